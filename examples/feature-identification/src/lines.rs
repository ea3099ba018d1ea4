//! The lines of a sample, their headers, and what else their documents say.

use crate::line::{Header, Kind};

/// Lines that are looked at together; a line is known by its number.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a> {
    /// Their headers.
    pub headers: &'a [Header],
    /// Their texts.
    pub texts: &'a [&'a str],
    /// What else their documents say about where they come from: per label the values.
    pub labels: &'a [Vec<Option<&'a str>>],
}

impl<'a> Lines<'a> {
    /// The text of a line.
    #[must_use]
    pub fn bytes(&self, line: u32) -> &'a [u8] {
        self.texts[line as usize].as_bytes()
    }

    /// The kind of a column of a line.
    #[must_use]
    pub fn kind(&self, line: u32, column: usize) -> Option<&'a Kind> {
        let column = self.headers[line as usize].columns.get(column);
        column.map(|column| &column.kind)
    }

    /// The text of a column of a line; empty where it has no such column.
    #[must_use]
    pub fn column(&self, line: u32, column: usize) -> &'a [u8] {
        let at = self.headers[line as usize].columns.get(column);
        at.map_or(&[], |at| &self.bytes(line)[at.start..at.end])
    }

    /// How a line opens.
    #[must_use]
    pub fn lead(&self, line: u32) -> &'a str {
        &self.headers[line as usize].lead
    }

    /// Whether a line has a timestamp that opens it.
    #[must_use]
    pub fn is_stamped(&self, line: u32) -> bool {
        self.headers[line as usize].stamped
    }

    /// Whether a line is a JSON object.
    #[must_use]
    pub fn is_object(&self, line: u32) -> bool {
        self.lead(line).starts_with("json")
    }

    /// The value of a label for a line.
    #[must_use]
    pub fn label(&self, label: usize, line: u32) -> Option<&'a str> {
        let values = self.labels.get(label)?;
        values.get(line as usize).copied().flatten()
    }
}

/// The share of some lines that pass a test.
pub fn share(lines: &[u32], test: &dyn Fn(u32) -> bool) -> f64 {
    let hits = lines.iter().filter(|line| test(**line)).count();
    hits as f64 / lines.len().max(1) as f64
}
