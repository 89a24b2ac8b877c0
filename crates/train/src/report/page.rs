//! The sections of the page.

use std::fmt::Write as _;

use serde_json::Value;

use super::chart::Chart;
use super::film::Frame;
use super::text::{count, duration, escape, label, number};
use super::{Story, next_commands};
use crate::{Ending, Progress, Score};

/// Curves that belong on one chart, by the names that steps give them. What is not named here shares
/// the first chart.
const CHARTS: &[(&str, &[&str])] = &[
    ("Losses", &[]),
    ("How real the discriminator finds them", &["real", "fake"]),
];

/// A page around its content; the last line says what it was made from.
pub(super) fn shell(title: &str, body: &str, source: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\
         <title>{} · Trompe</title><style>{}</style></head><body><main>{body}<footer>Made by Trompe {} \
         from {}. This page needs no network.</footer></main><script>{}</script></body></html>\n",
        escape(title),
        include_str!("page.css"),
        env!("CARGO_PKG_VERSION"),
        escape(source),
        include_str!("page.js"),
    )
}

/// The whole page.
pub(super) fn render(story: &Story) -> String {
    let mut body = String::new();
    for section in [
        head(story),
        facts(story),
        pictures(story),
        curves(story),
        scores(story),
        warnings(story),
        next(story),
        settings(story),
    ] {
        body.push_str(&section);
        body.push('\n');
    }
    shell(&story.name, &body, "the run's journal")
}

fn head(story: &Story) -> String {
    let (state, class) = story.state();
    let mut what = String::new();
    if let Some(start) = &story.history.start {
        let colours = match start.channels {
            1 => "gray",
            3 => "RGB",
            _ => "RGBA",
        };
        let recipe = match &start.preset {
            Some(preset) => format!("Preset <b>{}</b>", escape(preset)),
            None => "A recipe of its own".into(),
        };
        let _ = write!(
            what,
            "<p class=\"lede\">{recipe}, a {} of {} parameters, on <b>{}</b>: \
             {} images of {}×{} pixels, {colours}.</p>",
            escape(&start.model.to_uppercase()),
            count(start.parameters),
            escape(&start.source),
            count(start.images_in_set),
            start.width,
            start.height,
        );
    }
    format!(
        "<header><p class=\"eyebrow\">Trompe training report</p>\
         <h1>{} <span class=\"badge {class}\">{state}</span></h1>{what}</header>",
        escape(&story.name)
    )
}

/// The few numbers that everyone looks for.
fn facts(story: &Story) -> String {
    let history = &story.history;
    let mut tiles = Vec::new();
    let last = history.evaluations.last();
    for (name, score) in last.iter().flat_map(|last| &last.scores) {
        let mut note = detail(score, "unit");
        let bits = score.details.get("bits_per_dim").and_then(Value::as_f64);
        if let Some(bits) = bits {
            let _ = write!(note, ", {} bits/dim", number(bits));
        }
        tiles.push((label(name), number(score.value), note));
    }
    let target = history.start.as_ref().map_or(0, |start| start.images);
    if let Some(progress) = history.progress.last() {
        let part = match &history.ending {
            Ending::Done(_) => format!("{} steps", count(history.step())),
            _ => format!("of {} planned", count(target)),
        };
        tiles.push(("images seen".into(), count(progress.images), part));
        let seconds = match &history.ending {
            Ending::Done(done) => done.seconds,
            Ending::Interrupted(interrupted) => interrupted.seconds,
            Ending::Open => progress.seconds,
        };
        tiles.push(("training time".into(), duration(seconds), String::new()));
        let device = history.start.as_ref().map(|start| start.device.clone());
        tiles.push((
            "images per second".into(),
            number(median_speed(&history.progress)),
            device
                .map(|device| format!("median, on {device}"))
                .unwrap_or_default(),
        ));
    }
    let mut html = String::from("<section class=\"facts\">");
    for (name, value, note) in tiles {
        let _ = write!(
            html,
            "<div><span>{}</span><strong>{}</strong><small>{}</small></div>",
            escape(&name),
            escape(&value),
            escape(&note)
        );
    }
    html.push_str("</section>");
    html
}

/// A report after the first step alone has no speed: that step is not timed.
fn measured_speed(progress: &Progress) -> f64 {
    match progress.images_per_second {
        speed if speed > 0.0 => speed,
        _ => f64::NAN,
    }
}

fn median_speed(progress: &[Progress]) -> f64 {
    let mut speeds: Vec<f64> = progress
        .iter()
        .map(measured_speed)
        .filter(|speed| speed.is_finite())
        .collect();
    speeds.sort_by(f64::total_cmp);
    speeds.get(speeds.len() / 2).copied().unwrap_or(f64::NAN)
}

fn pictures(story: &Story) -> String {
    let films = [
        (
            "Generated",
            "The same latents at each time.",
            &story.generated,
        ),
        (
            "Reconstructions",
            "Held-out images, each followed by what the model makes of it.",
            &story.reconstructions,
        ),
    ];
    let films: String = films
        .iter()
        .map(|(title, note, frames)| film(title, note, frames))
        .collect();
    if films.is_empty() {
        return films;
    }
    format!("<section><h2>Pictures</h2><div class=\"films\">{films}</div></section>")
}

fn film(title: &str, note: &str, frames: &[Frame]) -> String {
    let Some(last) = frames.len().checked_sub(1) else {
        return String::new();
    };
    let mut html =
        format!("<figure class=\"film\"><figcaption><h3>{title}</h3><p>{note}</p></figcaption>");
    for (place, frame) in frames.iter().enumerate() {
        let hidden = if place == last { "" } else { " hidden" };
        let _ = write!(
            html,
            "<img alt=\"{title} after {images} images\" data-when=\"{images} images · step {}\"\
             {hidden} src=\"data:image/png;base64,{}\">",
            count(frame.step),
            frame.png,
            images = count(frame.images),
        );
    }
    if last > 0 {
        let _ = write!(
            html,
            "<div class=\"player\"><button type=\"button\" aria-label=\"play\">▶</button>\
             <input type=\"range\" min=\"0\" max=\"{last}\" value=\"{last}\" \
             aria-label=\"time\"><output></output></div>"
        );
    }
    html.push_str("</figure>");
    html
}

fn curves(story: &Story) -> String {
    let progress = &story.history.progress;
    let images: Vec<f64> = progress.iter().map(|p| p.images as f64).collect();
    let mut names: Vec<&String> = progress.iter().flat_map(|p| p.losses.keys()).collect();
    // The loss that the others are parts of comes first.
    names.sort_by_key(|name| (*name != "loss", *name));
    names.dedup();
    let chart_of = |name: &str| {
        let special = CHARTS
            .iter()
            .position(|(_, members)| members.contains(&name));
        special.unwrap_or(0)
    };
    let losses = CHARTS.iter().enumerate().map(|(place, (title, _))| Chart {
        title: (*title).into(),
        unit: "images",
        x: images.clone(),
        curves: names
            .iter()
            .filter(|name| chart_of(name) == place)
            .map(|name| {
                let value = |p: &Progress| p.losses.get(*name).copied().unwrap_or(f64::NAN);
                (label(name), progress.iter().map(value).collect())
            })
            .collect(),
    });

    let evaluations = &story.history.evaluations;
    let mut scored: Vec<&String> = evaluations.iter().flat_map(|e| e.scores.keys()).collect();
    scored.sort();
    scored.dedup();
    let scores = scored.iter().map(|name| Chart {
        title: format!("Score: {}", label(name)),
        unit: "images",
        x: evaluations.iter().map(|e| e.images as f64).collect(),
        curves: vec![(
            label(name),
            evaluations
                .iter()
                .map(|e| e.scores.get(*name).map_or(f64::NAN, |score| score.value))
                .collect(),
        )],
    });
    let speed = Chart {
        title: "Speed".into(),
        unit: "images",
        x: images.clone(),
        curves: vec![(
            "images per second".into(),
            progress.iter().map(measured_speed).collect(),
        )],
    };
    let charts: String = losses
        .chain(scores)
        .chain([speed])
        .map(|chart| chart.render())
        .collect();
    if charts.is_empty() {
        return charts;
    }
    format!(
        "<section><h2>Curves</h2><p class=\"note\">Over images seen.</p>\
         <div class=\"charts\">{charts}</div></section>"
    )
}

/// A score's detail as text; empty without.
fn detail(score: &Score, name: &str) -> String {
    match score.details.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(value)) => value.as_f64().map(number).unwrap_or_default(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn scores(story: &Story) -> String {
    let Some(last) = story.history.evaluations.last() else {
        return String::new();
    };
    if last.scores.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<section><h2>Scores</h2><p class=\"note\">After {} images, with what makes each \
         comparable.</p><table>",
        count(last.images)
    );
    for (name, score) in &last.scores {
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td class=\"value\">{}</td><td>",
            escape(&label(name)),
            number(score.value)
        );
        for name in score.details.keys() {
            let _ = write!(
                html,
                "<span class=\"pair\">{} <b>{}</b></span> ",
                escape(&label(name)),
                escape(&detail(score, name))
            );
        }
        html.push_str("</td></tr>");
    }
    html.push_str("</table></section>");
    html
}

fn warnings(story: &Story) -> String {
    let history = &story.history;
    let mut items: Vec<String> = history
        .warnings
        .iter()
        .map(|warning| {
            format!(
                "<li><span>step {}</span> {} <code>{}</code></li>",
                count(warning.step),
                escape(&warning.message),
                escape(&warning.code)
            )
        })
        .collect();
    if !history.unreadable.is_empty() {
        items.push(format!(
            "<li>{} lines of the journal could not be understood and are not shown, the first \
             being line {}.</li>",
            history.unreadable.len(),
            history.unreadable[0]
        ));
    }
    if items.is_empty() {
        return String::new();
    }
    format!(
        "<section class=\"warnings\"><h2>Warnings</h2><ul>{}</ul></section>",
        items.concat()
    )
}

fn next(story: &Story) -> String {
    let model = story.history.start.as_ref().map(|start| &start.model);
    let mut commands = String::new();
    if !matches!(story.history.ending, Ending::Done(_)) {
        let line = format!("trompe train --run {} --resume", story.quoted_path());
        commands.push_str(&command(&line, "go on where it stopped"));
    }
    if story.history.snapshot.is_some() {
        for next in next_commands(&story.path, model.map_or("", |model| model)) {
            commands.push_str(&command(&next.line, next.purpose));
        }
    }
    if commands.is_empty() {
        return commands;
    }
    format!("<section><h2>Try next</h2><ul class=\"commands\">{commands}</ul></section>")
}

fn command(line: &str, purpose: &str) -> String {
    format!(
        "<li><span>{}</span><code>{}</code><button type=\"button\">copy</button></li>",
        escape(purpose),
        escape(line)
    )
}

fn settings(story: &Story) -> String {
    let mut html = String::from("<section><h2>Settings</h2>");
    if let Some(start) = &story.history.start {
        let rows = [
            ("batch", format!("{} images", count(start.batch))),
            ("steps", count(start.steps)),
            ("seed", start.seed.to_string()),
            ("device", start.device.clone()),
            ("source", start.source.clone()),
        ];
        html.push_str("<table>");
        for (name, value) in rows {
            let _ = write!(
                html,
                "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>",
                escape(&value)
            );
        }
        html.push_str("</table>");
        for chosen in &start.chosen {
            let _ = write!(html, "<p class=\"note\">{}</p>", escape(chosen));
        }
    }
    if !story.recipe.is_empty() {
        let _ = write!(
            html,
            "<details><summary>The whole recipe (<code>recipe.toml</code>)</summary>\
             <pre>{}</pre></details>",
            escape(&story.recipe)
        );
    }
    html.push_str("</section>");
    html
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::film::Frame;
    use crate::{Done, Evaluation, Event, History, Start, Warning, Written};

    fn story() -> Story {
        let mut history = History::default();
        let events = [
            Event::Start(Start {
                preset: Some("vae".into()),
                model: "vae".into(),
                source: "/data/<b>cats</b>".into(),
                channels: 1,
                ..Start::default()
            }),
            Event::Progress(Progress {
                step: 10,
                images: 640,
                images_per_second: 1234.5,
                losses: [("loss".to_string(), 30.0), ("real".to_string(), 0.5)].into(),
                ..Progress::default()
            }),
            Event::Evaluation(Evaluation {
                step: 10,
                images: 640,
                scores: serde_json::from_str(
                    r#"{"negative_elbo":{"value":24.07,"unit":"nats/image","split":"held-out"}}"#,
                )
                .unwrap(),
            }),
            Event::Warning(Warning {
                step: 3,
                code: "odd".into(),
                message: "something <odd>".into(),
            }),
            Event::Snapshot(Written {
                step: 10,
                images: 640,
                path: "runs/x/snapshots/latest.safetensors".into(),
            }),
            Event::Done(Done {
                run: "runs/x".into(),
                snapshot: "s".into(),
                step: 10,
                images: 640,
                seconds: 61.0,
                scores: Default::default(),
            }),
        ];
        events.into_iter().for_each(|event| history.add(event));
        let frame = |images| Frame {
            step: images,
            images,
            png: "iVBORw0KGgo=".into(),
        };
        Story {
            name: "0001-vae-digits".into(),
            path: "runs/0001-vae-digits".into(),
            history,
            recipe: "seed = 0 # <!--".into(),
            generated: vec![frame(64), frame(640)],
            reconstructions: vec![],
        }
    }

    #[test]
    fn the_page_tells_the_run() {
        let page = render(&story());
        for part in [
            "0001-vae-digits",
            "24.07",
            "nats/image",
            "held-out",
            "1 min 1 s",
            "trompe generate runs/0001-vae-digits",
            "How real the discriminator finds them",
            "data:image/png;base64,iVBORw0KGgo=",
            "something &lt;odd&gt;",
            "seed = 0 # &lt;!--",
        ] {
            assert!(page.contains(part), "`{part}` is missing");
        }
        // Only the last sheet is seen before anything is clicked.
        assert_eq!(page.matches("<img").count(), 2);
        assert_eq!(page.matches("images · step 64\" hidden").count(), 1);
    }

    #[test]
    fn the_page_fetches_nothing_and_runs_nothing_of_others() {
        let page = render(&story());
        assert!(!page.contains("<b>cats</b>"));
        for part in ["http://", "https://", "src=\"/", "@import", "url("] {
            assert!(!page.contains(part), "`{part}` would need a network");
        }
    }

    #[test]
    fn an_empty_run_has_a_page() {
        let story = Story {
            name: "x".into(),
            path: "x".into(),
            history: History::default(),
            recipe: String::new(),
            generated: vec![],
            reconstructions: vec![],
        };
        let page = render(&story);
        assert!(page.contains("unfinished") && page.contains("--resume"));
    }
}
