//! Points between 0 and 1 in both directions, as inline SVG.

use std::fmt::Write as _;

use super::text::escape;

const SIDE: f64 = 420.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 46.0;

/// One share against another, with a name at each point.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// What is shown.
    pub title: String,
    /// What the two directions are: to the right, and up.
    pub axes: [String; 2],
    /// Name of a row of points, and the points, which are joined.
    pub rows: Vec<(String, Vec<PlanePoint>)>,
}

/// A point's name and place.
pub type PlanePoint = (String, [f64; 2]);

impl Plane {
    pub(super) fn render(&self) -> String {
        let (right, floor) = (LEFT + SIDE, TOP + SIDE);
        let place = |[x, y]: [f64; 2]| (LEFT + x * SIDE, floor - y * SIDE);
        let mut html = format!(
            "<figure class=\"plane\"><figcaption><h3>{}</h3><ul class=\"legend\">",
            escape(&self.title)
        );
        for (colour, (name, _)) in self.rows.iter().enumerate() {
            let _ = write!(html, "<li class=\"c{}\">{}</li>", colour % 6, escape(name));
        }
        let _ = write!(
            html,
            "</ul></figcaption><svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">",
            right + RIGHT,
            floor + BOTTOM,
            escape(&self.title)
        );
        for step in 0..=5 {
            let share = f64::from(step) / 5.0;
            let (x, y) = place([share, share]);
            let _ = write!(
                html,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}M{x:.1} {TOP}V{floor}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{share}</text>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{share}</text>",
                LEFT - 8.0,
                y + 4.0,
                floor + 18.0
            );
        }
        let middle = LEFT + SIDE / 2.0;
        let _ = write!(
            html,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(14 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            floor + 38.0,
            escape(&self.axes[0]),
            TOP + SIDE / 2.0,
            escape(&self.axes[1])
        );
        for (colour, (_, points)) in self.rows.iter().enumerate() {
            let colour = colour % 6;
            let mut path = String::new();
            for (at, (name, point)) in points.iter().enumerate() {
                let (x, y) = place(*point);
                let letter = if at == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{letter}{x:.1} {y:.1}");
                let _ = write!(
                    html,
                    "<circle class=\"c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>\
                     <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    x + 8.0,
                    y + 4.0,
                    escape(name)
                );
            }
            let _ = write!(html, "<path class=\"curve c{colour}\" d=\"{path}\"/>");
        }
        html.push_str("</svg></figure>");
        html
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_shares_lie_further_right_and_higher() {
        let point = |name: &str, x, y| (name.to_owned(), [x, y]);
        let plane = Plane {
            title: "t".to_owned(),
            axes: ["a".to_owned(), "b".to_owned()],
            rows: vec![(
                "r".to_owned(),
                vec![point("<p>", 0.0, 0.0), point("q", 1.0, 1.0)],
            )],
        };
        let html = plane.render();
        let path = format!(
            "d=\"M{LEFT:.1} {:.1}L{:.1} {TOP:.1}\"",
            TOP + SIDE,
            LEFT + SIDE
        );
        assert!(html.contains(&path), "{html}");
        assert!(html.contains("&lt;p&gt;"));
    }
}
