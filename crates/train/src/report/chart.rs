//! Curves as inline SVG.

use std::fmt::Write as _;

use super::text::{escape, number};

/// The most points of a drawn curve; longer ones are averaged down, not thinned out.
const MOST_POINTS: usize = 300;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 28.0;

/// Several curves over the same places.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What the curves are.
    pub title: String,
    /// What the places count: images, or waves.
    pub unit: &'static str,
    /// The places, rising.
    pub x: Vec<f64>,
    /// Name and values of each curve, one value for each place; not a number where there is none.
    pub curves: Vec<(String, Vec<f64>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Linear,
    Log,
}

impl Chart {
    /// A figure with a legend, a switch between linear and log where both make sense, and the
    /// numbers for whoever points at a place. Empty when there is nothing to draw.
    pub(crate) fn render(&self) -> String {
        let chart = self.averaged();
        let values = || chart.curves.iter().flat_map(|(_, values)| values);
        let finite = || values().copied().filter(|value| value.is_finite());
        let (least, most) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), value| {
            (a.min(value), b.max(value))
        });
        if least > most {
            return String::new();
        }
        let has_log = least > 0.0 && most > 2.0 * least;

        let mut html = format!(
            "<figure class=\"chart\" data-unit=\"{}\"><figcaption><h3>",
            self.unit
        );
        html.push_str(&escape(&self.title));
        html.push_str("</h3><ul class=\"legend\">");
        for (place, (name, values)) in chart.curves.iter().enumerate() {
            let last = values.iter().rev().find(|value| value.is_finite());
            let last = last.map(|value| number(*value)).unwrap_or_default();
            let (name, colour) = (escape(name), place % 6);
            let _ = write!(html, "<li class=\"c{colour}\">{name} <b>{last}</b></li>");
        }
        html.push_str("</ul>");
        if has_log {
            html.push_str("<label class=\"scale\"><input type=\"checkbox\"> log</label>");
        }
        html.push_str("</figcaption>");
        html.push_str(&chart.svg(Axis::Linear, least, most));
        if has_log {
            html.push_str(&chart.svg(Axis::Log, least, most));
        }
        let _ = write!(
            html,
            "<script type=\"application/json\">{}</script></figure>",
            chart.json()
        );
        html
    }

    /// The same curves with at most [`MOST_POINTS`] places: means of neighbours.
    fn averaged(&self) -> Chart {
        let group = self.x.len().div_ceil(MOST_POINTS).max(1);
        let shorten = |values: &[f64]| values.chunks(group).map(mean_of_finite).collect();
        Chart {
            title: self.title.clone(),
            unit: self.unit,
            x: shorten(&self.x),
            curves: self
                .curves
                .iter()
                .map(|(name, values)| (name.clone(), shorten(values)))
                .collect(),
        }
    }

    fn svg(&self, axis: Axis, least: f64, most: f64) -> String {
        let (bottom, top) = match axis {
            Axis::Linear => {
                let margin = ((most - least) * 0.06).max(most.abs() * 1e-3).max(1e-12);
                (least - margin, most + margin)
            }
            Axis::Log => (least * 0.94, most * 1.06),
        };
        let (first, last) = match (self.x.first(), self.x.last()) {
            (Some(&first), Some(&last)) if last > first => (first.min(0.0), last),
            (Some(&only), _) => (only - 1.0, only + 1.0),
            _ => (0.0, 1.0),
        };
        let right = WIDTH - RIGHT;
        let floor = HEIGHT - BOTTOM;
        let place = |x: f64| LEFT + (x - first) / (last - first) * (right - LEFT);
        let rise = |y: f64| {
            let part = match axis {
                Axis::Linear => (y - bottom) / (top - bottom),
                Axis::Log => (y / bottom).ln() / (top / bottom).ln(),
            };
            floor - part * (floor - TOP)
        };

        let class = match axis {
            Axis::Linear => "linear",
            Axis::Log => "log",
        };
        let mut svg = format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{}\" data-left=\"{LEFT}\" data-right=\"{right}\" \
             data-first=\"{first}\" data-last=\"{last}\">",
            escape(&self.title)
        );
        for tick in ticks(axis, bottom, top) {
            let y = rise(tick);
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                number(tick)
            );
        }
        for tick in ticks(Axis::Linear, first, last) {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                place(tick),
                HEIGHT - 8.0,
                number(tick)
            );
        }
        for (colour, (_, values)) in self.curves.iter().enumerate() {
            let colour = colour % 6;
            let points: Vec<_> = self.x.iter().zip(values).collect();
            let mut path = String::new();
            for run in points.split(|(_, value)| !value.is_finite()) {
                for (place_in_run, &(x, value)) in run.iter().enumerate() {
                    let letter = if place_in_run == 0 { 'M' } else { 'L' };
                    let _ = write!(path, "{letter}{:.1} {:.1}", place(*x), rise(*value));
                }
                if let &[(x, value)] = run {
                    let (x, y) = (place(*x), rise(*value));
                    let _ = write!(
                        svg,
                        "<circle class=\"c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
                    );
                }
            }
            let _ = write!(svg, "<path class=\"curve c{colour}\" d=\"{path}\"/>");
        }
        svg.push_str("<path class=\"cursor\"/></svg>");
        svg
    }

    /// The numbers behind the curves. Curve names are not in it: nothing that a user wrote.
    fn json(&self) -> String {
        let rounded = |values: &[f64]| -> Vec<Option<f64>> {
            let five_digits = |value: f64| format!("{value:.4e}").parse().ok();
            let finite = |value: &f64| Some(*value).filter(|value| value.is_finite());
            values
                .iter()
                .map(|value| finite(value).and_then(five_digits))
                .collect()
        };
        let curves: Vec<_> = self.curves.iter().map(|(_, y)| rounded(y)).collect();
        serde_json::json!({ "x": rounded(&self.x), "curves": curves }).to_string()
    }
}

fn mean_of_finite(values: &[f64]) -> f64 {
    let finite = || values.iter().filter(|value| value.is_finite());
    finite().sum::<f64>() / finite().count() as f64
}

/// Round numbers within a range, about five of them.
fn ticks(axis: Axis, bottom: f64, top: f64) -> Vec<f64> {
    if axis == Axis::Log && top > 8.0 * bottom {
        let decades = (top / bottom).log10();
        let digits: &[f64] = if decades > 3.0 {
            &[1.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let (low, high) = (bottom.log10().floor() as i32, top.log10().ceil() as i32);
        return (low..=high)
            .flat_map(|power| digits.iter().map(move |digit| digit * 10_f64.powi(power)))
            .filter(|tick| (bottom..=top).contains(tick))
            .collect();
    }
    let rough = (top - bottom) / 4.5;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(10.0 * power);
    let (low, high) = ((bottom / step).ceil(), (top / step).floor());
    (0..=(high - low).clamp(0.0, 20.0) as u32)
        .map(|place| (low + f64::from(place)) * step)
        .filter(|tick| *tick <= top)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(x: &[f64], y: &[f64]) -> Chart {
        Chart {
            title: "t".into(),
            unit: "images",
            x: x.to_vec(),
            curves: vec![("a".into(), y.to_vec())],
        }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(Axis::Linear, 0.0, 100_000.0), [0.0, 5e4, 1e5]);
        assert_eq!(ticks(Axis::Linear, 21.0, 43.0), [25.0, 30.0, 35.0, 40.0]);
        assert_eq!(
            ticks(Axis::Log, 0.9, 120.0),
            [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
        );
    }

    #[test]
    fn larger_values_are_drawn_higher() {
        let svg = chart(&[0.0, 10.0], &[1.0, 2.0]).render();
        let curve = svg.split("curve c0\" d=\"M").nth(1).unwrap();
        let heights: Vec<f64> = curve
            .split('"')
            .next()
            .unwrap()
            .split('L')
            .map(|point| point.split(' ').nth(1).unwrap().parse().unwrap())
            .collect();
        // The y axis of SVG points down.
        assert!(heights[0] > heights[1] + 100.0, "{heights:?}");
        assert!(heights.iter().all(|y| (TOP..=HEIGHT - BOTTOM).contains(y)));
    }

    #[test]
    fn a_gap_breaks_the_curve_and_nothing_draws_nothing() {
        let svg = chart(&[0.0, 1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, f64::NAN, 2.0, 1.0]).render();
        let curve = svg.split("curve c0\" d=\"").nth(1).unwrap();
        let curve = curve.split('"').next().unwrap();
        assert_eq!(curve.matches('M').count(), 2);
        assert_eq!(chart(&[0.0], &[f64::NAN]).render(), "");
        assert_eq!(chart(&[], &[]).render(), "");
    }

    #[test]
    fn long_curves_are_averaged() {
        let x: Vec<f64> = (0..3000).map(f64::from).collect();
        let y: Vec<f64> = (0..3000).map(|i| f64::from(i % 2)).collect();
        let short = chart(&x, &y).averaged();
        assert_eq!(short.x.len(), MOST_POINTS);
        assert!(short.curves[0].1.iter().all(|y| *y == 0.5));
    }

    #[test]
    fn a_log_axis_needs_positive_values() {
        assert!(
            chart(&[0.0, 1.0], &[1.0, 100.0])
                .render()
                .contains("class=\"log\"")
        );
        assert!(
            !chart(&[0.0, 1.0], &[-1.0, 100.0])
                .render()
                .contains("class=\"log\"")
        );
    }
}
