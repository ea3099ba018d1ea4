//! Tables for people: with borders, fitted to the terminal, or plain aligned columns where
//! there is none.

use std::io::IsTerminal;

use comfy_table::{ContentArrangement, Table, presets};

use super::text;

/// The narrowest terminal that a table is fitted to.
const WIDTH_MIN: u16 = 40;

/// Where a table goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Medium {
    /// A terminal with so many columns.
    Terminal(u16),
    /// A file or another program.
    Plain,
}

impl Medium {
    /// What standard output is.
    pub(crate) fn of_stdout() -> Self {
        let stdout = std::io::stdout();
        if !stdout.is_terminal() {
            return Self::Plain;
        }
        let size = rustix::termios::tcgetwinsize(&stdout);
        Self::Terminal(size.map_or(80, |size| size.ws_col).max(WIDTH_MIN))
    }
}

/// A table. Cells are text of anybody: they are escaped here; a line feed breaks the line.
pub(crate) fn table(medium: Medium, header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    match medium {
        Medium::Terminal(width) => {
            table.load_style(presets::UTF8_FULL_CONDENSED);
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width);
        }
        Medium::Plain => {
            table.load_style(presets::NOTHING);
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    let is_plain = medium == Medium::Plain;
    let name = |name: &&str| {
        if is_plain {
            name.to_uppercase()
        } else {
            (*name).to_owned()
        }
    };
    table.set_header(header.iter().map(name).collect::<Vec<_>>());
    for row in rows {
        let cell = |cell: &String| match is_plain {
            true => text::shown(&cell.replace('\n', "; ")),
            false => text::shown_lines(cell),
        };
        table.add_row(row.iter().map(cell).collect::<Vec<_>>());
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    // The plain style puts a space before the first column.
    let lines = lines.map(|line| match is_plain {
        true => line.strip_prefix(' ').map_or(line.clone(), str::to_owned),
        false => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        vec![
            row("one", "a\nb"),
            row("\u{1b}[31m", "x".repeat(80).as_str()),
        ]
    }

    #[test]
    fn plain_tables_have_one_line_a_row_however_wide() {
        let text = table(Medium::Plain, &["name", "what"], &rows());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].starts_with("NAME"), "{text}");
        assert!(lines[1].contains("a; b"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn on_a_terminal_tables_keep_to_its_width() {
        let text = table(Medium::Terminal(40), &["name", "what"], &rows());
        assert!(
            text.lines().all(|line| line.chars().count() <= 40),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'));
    }
}
