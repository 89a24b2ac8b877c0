//! A page of tables, pictures and curves that needs nothing else.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::chart::Chart;
use super::page::shell;
use super::plane::Plane;
use super::text::escape;

/// A page about measurements, in the dress of `report.html`. What is given as text is shown as text.
#[derive(Clone, Debug)]
pub struct Document {
    title: String,
    body: String,
}

impl Document {
    /// A page that begins with what it is, what it is about, and a sentence.
    pub fn new(kind: &str, title: &str, lede: &str) -> Self {
        Self {
            title: title.to_owned(),
            body: format!(
                "<header><p class=\"eyebrow\">{}</p><h1>{}</h1><p class=\"lede\">{}</p></header>",
                escape(kind),
                escape(title),
                escape(lede)
            ),
        }
    }

    /// Rows of cells under a heading; the first row names the columns.
    pub fn table(&mut self, heading: &str, note: &str, rows: &[Vec<String>]) {
        let line = |row: &Vec<String>, tag: &str| {
            let cells = row
                .iter()
                .map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
            format!("<tr>{}</tr>", cells.collect::<String>())
        };
        let mut rows = rows.iter();
        let head = rows.next().map(|row| line(row, "th")).unwrap_or_default();
        let body: String = rows.map(|row| line(row, "td")).collect();
        self.section(heading, note, &format!("<table>{head}{body}</table>"));
    }

    /// Pictures (PNG files), each with its title and a sentence.
    pub fn pictures(&mut self, heading: &str, note: &str, pictures: &[(&str, &str, Vec<u8>)]) {
        let mut films = String::new();
        for (title, about, png) in pictures {
            let _ = write!(
                films,
                "<figure class=\"film\"><figcaption><h3>{0}</h3><p>{1}</p></figcaption>\
                 <img alt=\"{0}\" src=\"data:image/png;base64,{2}\"></figure>",
                escape(title),
                escape(about),
                STANDARD.encode(png)
            );
        }
        self.section(
            heading,
            note,
            &format!("<div class=\"films\">{films}</div>"),
        );
    }

    /// Curves; nothing where there is none to draw.
    pub fn charts(&mut self, heading: &str, note: &str, charts: &[Chart]) {
        let charts: String = charts.iter().map(Chart::render).collect();
        if !charts.is_empty() {
            self.section(
                heading,
                note,
                &format!("<div class=\"charts\">{charts}</div>"),
            );
        }
    }

    /// Shares against shares.
    pub fn plane(&mut self, heading: &str, note: &str, plane: &Plane) {
        self.section(
            heading,
            note,
            &format!("<div class=\"charts\">{}</div>", plane.render()),
        );
    }

    fn section(&mut self, heading: &str, note: &str, content: &str) {
        let _ = writeln!(
            self.body,
            "<section><h2>{}</h2><p class=\"note\">{}</p>{content}</section>",
            escape(heading),
            escape(note)
        );
    }

    /// The page, whose last line says what it was made from.
    pub fn render(&self, source: &str) -> String {
        shell(&self.title, &self.body, source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_and_never_run() {
        let hostile = "<script>alert(1)</script>";
        let mut document = Document::new(hostile, hostile, hostile);
        document.table(
            hostile,
            hostile,
            &[vec![hostile.into()], vec![hostile.into()]],
        );
        document.pictures(hostile, hostile, &[(hostile, hostile, b"png".to_vec())]);
        document.charts(hostile, hostile, &[]);
        let page = document.render(hostile);
        assert!(!page.contains(hostile));
        assert_eq!(page.matches("&lt;script&gt;").count(), 3 + 1 + 4 + 5 + 1);
        assert!(page.contains("data:image/png;base64,cG5n"));
    }
}
