//! Splits lines by the shape of their headers: first by lead, then by the kinds of the columns
//! as long as those are formal (levels, numbers, brackets), because a layout is fixed there and
//! the message, which is free, has not begun.

use std::collections::BTreeMap;

use crate::line::{COLUMNS_MAX, Header, Kind};

/// Smaller parts of a piece than this share stay with its largest part.
const PART_SHARE_MIN: f64 = 0.01;
/// A part needs this many lines to stand alone.
const PART_LINES_MIN: usize = 4;

/// Groups the lines by lead and by formal columns. Every line is in exactly one group.
#[must_use]
pub fn by_shape(headers: &[Header]) -> Vec<Vec<u32>> {
    let mut leads: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (index, header) in (0u32..).zip(headers) {
        leads.entry(&header.lead).or_default().push(index);
    }
    let mut done = Vec::new();
    for (lead, lines) in leads {
        if lead.is_empty() || lead == "json" || !lead.starts_with(|c: char| c.is_ascii_digit()) {
            done.push(lines);
        } else {
            split(headers, lines, 0, 0, &mut done);
        }
    }
    done
}

/// A kind as far as it matters for the layout.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Stamp(String),
    Level,
    Bracket,
    Signs,
    Number,
    Pair,
    Tag,
    Text,
}

fn form(headers: &[Header], line: u32, column: usize) -> Form {
    match headers[line as usize].columns.get(column).map(|c| &c.kind) {
        Some(Kind::Stamp(format)) => Form::Stamp(format.clone()),
        Some(Kind::Level) => Form::Level,
        Some(Kind::Bracket) => Form::Bracket,
        Some(Kind::Signs) => Form::Signs,
        Some(Kind::Number) => Form::Number,
        Some(Kind::Pair(_)) => Form::Pair,
        Some(Kind::Tag) => Form::Tag,
        Some(Kind::Word | Kind::Other) | None => Form::Text,
    }
}

/// Splits at `column` and goes on with the next; `passed` counts columns of plain text passed.
fn split(
    headers: &[Header],
    lines: Vec<u32>,
    column: usize,
    passed: usize,
    done: &mut Vec<Vec<u32>>,
) {
    if column >= COLUMNS_MAX || passed > 2 || lines.len() < 2 * PART_LINES_MIN {
        done.push(lines);
        return;
    }
    let mut parts: BTreeMap<Form, Vec<u32>> = BTreeMap::new();
    for line in &lines {
        parts.entry(form(headers, *line, column)).or_default().push(*line);
    }
    let stamped: usize = parts
        .iter()
        .filter(|(form, _)| matches!(form, Form::Stamp(_)))
        .map(|(_, part)| part.len())
        .sum();
    // Behind a word only timestamps still say something about the layout.
    if passed > 0 && stamped * 10 < lines.len() * 9 {
        return split(headers, lines, column + 1, passed + 1, done);
    }
    for (form, part) in merge_parts(parts, lines.len(), column) {
        let text = matches!(form, Form::Text | Form::Tag);
        split(headers, part, column + 1, passed + usize::from(text), done);
    }
}

fn merge_parts(
    mut parts: BTreeMap<Form, Vec<u32>>,
    total: usize,
    column: usize,
) -> Vec<(Form, Vec<u32>)> {
    let tags = parts.get(&Form::Tag).map_or(0, Vec::len);
    let texts = parts.get(&Form::Text).map_or(0, Vec::len);
    if texts > 0 && tags < 4 * texts {
        let tagged = parts.remove(&Form::Tag).unwrap_or_default();
        parts.entry(Form::Text).or_default().extend(tagged);
    } else if tags > 0 {
        let plain = parts.remove(&Form::Text).unwrap_or_default();
        parts.entry(Form::Tag).or_default().extend(plain);
    }
    if column > 0 && parts.contains_key(&Form::Text) {
        // Free text may begin with a number or a bracket; it does not begin with a level.
        for form in [Form::Bracket, Form::Number, Form::Signs, Form::Pair] {
            let part = parts.remove(&form).unwrap_or_default();
            parts.entry(Form::Text).or_default().extend(part);
        }
    }
    let Some(largest) = parts
        .iter()
        .max_by_key(|(_, part)| part.len())
        .map(|(form, _)| form.clone())
    else {
        return Vec::new();
    };
    let (mut kept, mut small) = (Vec::new(), Vec::new());
    for (form, part) in parts {
        let enough = part.len() >= PART_LINES_MIN
            && part.len() as f64 >= PART_SHARE_MIN * total as f64;
        if enough || form == largest {
            kept.push((form, part));
        } else {
            small.extend(part);
        }
    }
    if let Some((_, part)) = kept.iter_mut().find(|(form, _)| *form == largest) {
        part.extend(small);
        part.sort_unstable();
    }
    kept
}
