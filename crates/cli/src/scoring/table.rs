//! Scores as a table: on the terminal, in Markdown, in HTML.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};
use trompe::write_atomically;

use crate::console::Console;
use crate::failure::Failure;
use crate::table::columns;

/// Where to write the scores as a table.
#[derive(Clone, Debug, Args)]
pub(crate) struct TableArguments {
    /// Also write the scores as a table: Markdown for `.md`, a page for `.html`
    #[arg(long, value_name = "FILE", value_parser = table)]
    table: Option<Table>,
}

/// A file and what it will hold.
#[derive(Clone, Debug)]
struct Table {
    path: PathBuf,
    write: fn(&str, &[Vec<String>]) -> String,
}

/// Understands the name of a table's file.
fn table(text: &str) -> Result<Table, String> {
    let path = PathBuf::from(text);
    let write = match path.extension().and_then(|ending| ending.to_str()) {
        Some("md") => markdown,
        Some("html") => html,
        _ => return Err("end it in `.md` or `.html`".to_owned()),
    };
    Ok(Table { path, write })
}

const HEADER: [&str; 7] = [
    "score",
    "value",
    "19 of 20",
    "features",
    "protocol",
    "real",
    "generated",
];

/// Prints scores for people, and writes the table that was asked for.
pub(crate) fn tell(
    arguments: &TableArguments,
    title: &str,
    scores: &Map<String, Value>,
    console: &Console,
) -> Result<(), Failure> {
    let rows = rows(scores);
    console.data(columns(&rows))?;
    arguments.write(title, &rows, console)
}

/// A row for each score and each of its parts, under a row that names the columns.
pub(crate) fn rows(scores: &Map<String, Value>) -> Vec<Vec<String>> {
    let mut rows = vec![HEADER.map(str::to_owned).to_vec()];
    for (name, score) in scores {
        rows.push(row(name, score));
        let parts = score["parts"].as_array().into_iter().flatten();
        rows.extend(
            parts.map(|part| row(&format!("· {}", part["name"].as_str().unwrap_or("")), part)),
        );
    }
    // A column that nothing stands in tells nothing.
    for column in (2..HEADER.len()).rev() {
        if rows[1..].iter().all(|row| row[column] == "–") {
            rows.iter_mut().for_each(|row| drop(row.remove(column)));
        }
    }
    rows
}

impl TableArguments {
    /// Writes rows, the first of which names the columns, where a table was asked for.
    pub(crate) fn write(
        &self,
        title: &str,
        rows: &[Vec<String>],
        console: &Console,
    ) -> Result<(), Failure> {
        if let Some(Table { path, write }) = &self.table {
            write_atomically(path, |file| file.write_all(write(title, rows).as_bytes()))?;
            console.say(format_args!("wrote `{}`", path.display()));
        }
        Ok(())
    }
}

fn row(name: &str, score: &Value) -> Vec<String> {
    let number = |value: &Value| value.as_f64().map(short);
    let count = |name: &str| score[name].as_u64().map(|count| count.to_string());
    let text = |name: &str| score[name].as_str().map(str::to_owned);
    let interval = || {
        let interval = &score["interval"];
        Some(format!(
            "{} to {}",
            number(&interval["low"])?,
            number(&interval["high"])?
        ))
    };
    let features = || {
        let network = text("network")?;
        Some(match score["verified"].as_bool() {
            Some(false) => format!("{network} (unverified)"),
            _ => network,
        })
    };
    let cells = [
        number(&score["value"]),
        interval(),
        features(),
        text("protocol"),
        count("n_real")
            .filter(|count| count != "0")
            .or_else(|| count("n")),
        count("n_generated"),
    ];
    let cells = cells.map(|cell| cell.unwrap_or_else(|| "–".to_owned()));
    [name.to_owned()].into_iter().chain(cells).collect()
}

/// Four significant digits: more than any sample here carries.
pub(crate) fn short(value: f64) -> String {
    let digits = match value.abs() {
        size if size < 1e-4 && size > 0.0 => return format!("{value:.3e}"),
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        size if size >= 1.0 => 3,
        size if size >= 0.01 || size == 0.0 => 4,
        size => (3.0 - size.log10().floor()).min(15.0) as usize,
    };
    format!("{value:.digits$}")
}

fn markdown(title: &str, rows: &[Vec<String>]) -> String {
    let line = |row: &Vec<String>| format!("| {} |\n", row.join(" | ").replace('\n', " "));
    let rule = format!("|{}\n", "---|".repeat(rows[0].len()));
    let body: String = rows[1..].iter().map(line).collect();
    format!("{title}\n\n{}{rule}{body}", line(&rows[0]))
}

fn html(title: &str, rows: &[Vec<String>]) -> String {
    let escape = |text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        text.replace('>', "&gt;").replace('"', "&quot;")
    };
    let line = |row: &Vec<String>, tag: &str| {
        let cells = row
            .iter()
            .map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let body: String = rows[1..].iter().map(|row| line(row, "td")).collect();
    format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{0}</title>\n<style>body{{font-family:\
         sans-serif}}td,th{{padding:.2em .8em;text-align:left;border-bottom:1px solid #ccc}}</style>\n\
         <h1>{0}</h1>\n<table>\n{1}{body}</table>\n",
        escape(title),
        line(&rows[0], "th"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_keep_four_digits() {
        let pairs = [
            (1234.5, "1234"),
            (12.3456, "12.35"),
            (0.98765, "0.9877"),
            (-0.000123456, "-0.0001235"),
            (0.0, "0.0000"),
            (-1.23456e-9, "-1.235e-9"),
        ];
        for (value, text) in pairs {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn tables_hold_what_scores_say_and_nothing_that_a_browser_would_run() {
        let score = json!({"value": 2.0, "network": "<b>", "verified": false, "n_real": 5});
        let rows = [HEADER.map(str::to_owned).to_vec(), row("fid", &score)];
        let page = html("a <script>", &rows);
        assert!(page.contains("&lt;b&gt; (unverified)") && !page.contains("<script>"));
        assert!(
            markdown("Scores", &rows)
                .contains("| fid | 2.000 | – | <b> (unverified) | – | 5 | – |")
        );
    }
}
