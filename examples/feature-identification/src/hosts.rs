//! Splits a group by the word that names the machine or the application: in one layout, many
//! sources may write, and a column right after the timestamp tells them apart.
//!
//! Not every such word is a source of its own: the nodes of a cluster differ by a number, and a
//! laptop changes its name with its network. Values are kept together where one is a numbered
//! family, or where they say the same things with the same process numbers.

use std::collections::BTreeMap;

use crate::hash::{FastMap, hash_of};
use crate::line::{Header, Kind};
use crate::sets::Sets;
use crate::words::{masked_text, pattern};

/// This many spellings that differ in their digits alone are a family.
const FAMILY_MIN: usize = 3;
/// Values with fewer lines do not stand alone.
const VALUE_LINES_MIN: usize = 4;
/// More values than this (families counted once) are words of a message, not names of sources.
const VALUES_MAX: usize = 24;
/// Share of the smaller value's lines that the larger one also says, to be one with a family.
const OVERLAP_MIN: f64 = 0.4;
/// Share of a value's `program[number]` tags that another one also has, to be one machine.
const PROCESS_OVERLAP_MIN: f64 = 0.3;

/// Splits one group of lines; gives it back whole where nothing names sources.
#[must_use]
pub fn by_host(headers: &[Header], texts: &[&str], lines: Vec<u32>) -> Vec<Vec<u32>> {
    let Some(column) = host_column(headers, &lines) else {
        return vec![lines];
    };
    let values = values(headers, texts, &lines, column);
    if values.len() < 2 || values.len() > VALUES_MAX {
        return vec![lines];
    }
    let mut sets = Sets::new(values.len());
    join(&values, lines.len(), &mut sets);
    let mut parts: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for (index, value) in values.into_iter().enumerate() {
        parts.entry(sets.find(index)).or_default().extend(value.lines);
    }
    parts
        .into_values()
        .map(|mut part| {
            part.sort_unstable();
            part
        })
        .collect()
}

/// The first column of words, if what follows it is the start of a message by some program.
fn host_column(headers: &[Header], lines: &[u32]) -> Option<usize> {
    let share = |test: &dyn Fn(&Header) -> bool| {
        let hits = lines.iter().filter(|line| test(&headers[**line as usize]));
        hits.count() as f64 / lines.len() as f64
    };
    let kind = |header: &Header, column: usize| header.columns.get(column).map(|c| c.kind.clone());
    let column = (0..3).find(|column| share(&|h| kind(h, *column) == Some(Kind::Word)) >= 0.95)?;
    let tagged = share(&|h| kind(h, column + 1) == Some(Kind::Tag));
    let leveled = share(&|h| kind(h, column + 1) == Some(Kind::Level));
    let numbered = share(&|h| {
        kind(h, column + 1) == Some(Kind::Word)
            && matches!(kind(h, column + 2), Some(Kind::Number | Kind::Signs))
    });
    (tagged >= 0.6 || leveled >= 0.9 || numbered >= 0.9).then_some(column)
}

/// The lines under one value of the host column, and what they say.
struct Value {
    lines: Vec<u32>,
    family: bool,
    patterns: FastMap<u64, u32>,
    processes: FastMap<u64, u32>,
}

fn values(headers: &[Header], texts: &[&str], lines: &[u32], column: usize) -> Vec<Value> {
    let mut spellings: BTreeMap<Vec<u8>, BTreeMap<&[u8], Vec<u32>>> = BTreeMap::new();
    for line in lines {
        let Some(at) = headers[*line as usize].columns.get(column) else {
            continue;
        };
        let name = &texts[*line as usize].as_bytes()[at.start..at.end];
        let spelled = spellings.entry(masked_text(name)).or_default();
        spelled.entry(name).or_default().push(*line);
    }
    let mut values = Vec::new();
    for spelled in spellings.into_values() {
        let family = spelled.len() >= FAMILY_MIN;
        if family {
            let lines = spelled.into_values().flatten().collect();
            values.push(value(headers, texts, lines, column, true));
        } else {
            for lines in spelled.into_values() {
                values.push(value(headers, texts, lines, column, false));
            }
        }
    }
    // Lines too short to have the column go with the largest value.
    let covered: usize = values.iter().map(|value| value.lines.len()).sum();
    if covered < lines.len()
        && let Some(largest) = values.iter_mut().max_by_key(|value| value.lines.len())
    {
        let short = |line: &&u32| headers[**line as usize].columns.len() <= column;
        largest.lines.extend(lines.iter().filter(short));
    }
    values
}

fn value(headers: &[Header], texts: &[&str], lines: Vec<u32>, column: usize, family: bool) -> Value {
    let (mut patterns, mut processes) = (FastMap::default(), FastMap::default());
    for line in &lines {
        let (columns, text) = (
            &headers[*line as usize].columns,
            texts[*line as usize].as_bytes(),
        );
        let Some(host) = columns.get(column) else {
            continue;
        };
        *patterns.entry(pattern(&text[host.end..])).or_insert(0) += 1;
        if let Some(next) = columns.get(column + 1) {
            let tag = &text[next.start..next.end];
            // Numbers below ten belong to every machine: `init[1]`, `kernel[0]`.
            let digits = tag.iter().filter(|byte| byte.is_ascii_digit()).count();
            if digits >= 2 {
                *processes.entry(hash_of(tag)).or_insert(0) += 1;
            }
        }
    }
    Value {
        lines,
        family,
        patterns,
        processes,
    }
}

fn join(values: &[Value], total: usize, sets: &mut Sets) {
    let first_family = values.iter().position(|value| value.family);
    let largest = (0..values.len()).max_by_key(|index| values[*index].lines.len());
    for (index, value) in values.iter().enumerate() {
        if let (true, Some(first)) = (value.family, first_family) {
            sets.join(first, index);
        }
        for (other, second) in values.iter().enumerate().skip(index + 1) {
            if same_source(value, second) {
                sets.join(index, other);
            }
        }
        let small = value.lines.len() < VALUE_LINES_MIN
            || value.lines.len() as f64 * 1_000.0 < total as f64;
        if small && let Some(home) = first_family.or(largest) {
            sets.join(home, index);
        }
    }
}

fn same_source(first: &Value, second: &Value) -> bool {
    let (small, large) = if first.lines.len() <= second.lines.len() {
        (first, second)
    } else {
        (second, first)
    };
    let said: u32 = small
        .patterns
        .iter()
        .filter(|(pattern, _)| large.patterns.contains_key(*pattern))
        .map(|(_, count)| count)
        .sum();
    let overlap = f64::from(said) / small.lines.len().max(1) as f64;
    if (first.family || second.family) && overlap >= OVERLAP_MIN {
        return true;
    }
    let shared = |one: &Value, two: &Value| {
        let hits = one.processes.keys().filter(|tag| two.processes.contains_key(*tag));
        hits.count() as f64 / one.processes.len().max(1) as f64
    };
    let few = small.processes.len().min(large.processes.len());
    few >= 4 && shared(small, large).max(shared(large, small)) >= PROCESS_OVERLAP_MIN
}
