//! Text in columns.

/// Sets rows of cells in columns, two spaces apart. A column whose cells below the first row all
/// begin with a digit, a sign or a dash is set to the right, as numbers are.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = (0..count)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| width(cell)).max().unwrap_or(0)
        })
        .collect();
    let is_numeric = |column: usize| {
        let mut cells = rows.iter().skip(1).filter_map(|row| row.get(column));
        rows.len() > 1
            && cells.all(|cell| cell.starts_with(|c: char| c.is_ascii_digit() || "-+–".contains(c)))
    };
    let is_right: Vec<bool> = (0..count).map(is_numeric).collect();
    let mut lines = Vec::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let blank = " ".repeat(widths[column] - width(cell));
            if is_right[column] {
                format!("{blank}{cell}")
            } else {
                format!("{cell}{blank}")
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_words_to_the_left() {
        let rows = [["name", "score"], ["größer", "7"], ["a", "-12.5"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(
            columns(&rows),
            "name    score\ngrößer      7\na       -12.5"
        );
    }
}
