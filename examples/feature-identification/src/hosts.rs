//! Splits a group by the word that names the machine or the application: in one layout, many
//! sources may write, and a column right after the timestamp tells them apart.
//!
//! Not every such word is a source of its own: the nodes of a cluster differ by a number, and a
//! laptop changes its name with its network. Values are kept together where one is a numbered
//! family, or where they say the same things with the same process numbers.

use std::collections::BTreeMap;

use crate::hash::{FastMap, hash_of};
use crate::line::{Header, Kind};
use crate::pairs::pairs;
use crate::sets::Sets;
use crate::shape::Lines;
use crate::words::{masked_text, pattern};

/// This many spellings that differ in their digits alone are a family.
const FAMILY_MIN: usize = 3;
/// Values with fewer lines do not stand alone.
const VALUE_LINES_MIN: usize = 4;
/// More values than this (families counted once) are words of a message, not names of sources.
const VALUES_MAX: usize = 24;
/// Share of the smaller value's lines that the larger one also says, to be one with a family.
const OVERLAP_MIN: f64 = 0.4;
/// Named values of a line that are read, and in how many bytes.
const PAIRS_MAX: usize = 24;
const PAIRS_BYTES_MAX: usize = 1_024;
/// Share of a value's `program[number]` tags that another one also has, to be one machine.
const PROCESS_OVERLAP_MIN: f64 = 0.3;

/// Splits one group of lines; gives it back whole where nothing names sources.
#[must_use]
pub fn by_source(all: Lines<'_>, lines: Vec<u32>) -> Vec<Vec<u32>> {
    let Some(place) = host_column(all, &lines).or_else(|| named_value(all, &lines)) else {
        return vec![lines];
    };
    let values = values(all, &lines, &place);
    if values.len() < 2 || values.len() > VALUES_MAX {
        return vec![lines];
    }
    let mut sets = Sets::new(values.len());
    join(&values, lines.len(), matches!(place, Place::Host(_)), &mut sets);
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

/// Where the name of the source stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// In this column, before the tag of a program.
    Host(usize),
    /// In this column.
    Column(usize),
    /// It is the value of this name.
    Named(String),
}

/// The first column of words, if what follows it is the start of a message by some program.
fn host_column(all: Lines<'_>, lines: &[u32]) -> Option<Place> {
    let share = |test: &dyn Fn(&Header) -> bool| {
        let hits = lines.iter().filter(|line| test(&all.headers[**line as usize]));
        hits.count() as f64 / lines.len() as f64
    };
    let kind = |header: &Header, column: usize| header.columns.get(column).map(|c| c.kind.clone());
    let column = (0..3).find(|column| share(&|h| kind(h, *column) == Some(Kind::Word)) >= 0.95)?;
    // A level comes after the name of the source; a word behind it belongs to the message.
    if (0..column).any(|before| share(&|h| kind(h, before) == Some(Kind::Level)) >= 0.5) {
        return None;
    }
    let tagged = share(&|h| kind(h, column + 1) == Some(Kind::Tag));
    let leveled = share(&|h| kind(h, column + 1) == Some(Kind::Level));
    let numbered = share(&|h| {
        kind(h, column + 1) == Some(Kind::Word)
            && matches!(kind(h, column + 2), Some(Kind::Number | Kind::Signs))
    });
    if tagged >= 0.6 {
        return Some(Place::Host(column));
    }
    (leveled >= 0.9 || numbered >= 0.9).then_some(Place::Column(column))
}

/// A name that nearly all lines have and that is a usual one for what writes a log.
fn named_value(all: Lines<'_>, lines: &[u32]) -> Option<Place> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lines {
        for pair in pairs(all.texts[*line as usize], PAIRS_BYTES_MAX, PAIRS_MAX) {
            if names_source(pair.key) {
                *counts.entry(pair.key).or_insert(0) += 1;
            }
        }
    }
    let (key, _) = counts
        .into_iter()
        .filter(|(_, count)| *count as f64 >= 0.95 * lines.len() as f64)
        .max_by_key(|(key, count)| (rank(key), *count))?;
    Some(Place::Named(key.to_owned()))
}

/// Whether a field of this name usually tells what wrote a line.
#[must_use]
pub fn names_source(key: &str) -> bool {
    rank(key) > 0
}

/// How well a name of a field suits the name of a source; 0: not at all.
fn rank(key: &str) -> usize {
    const PARTS: [&str; 12] = [
        "hostname", "host", "unit", "pod", "deployment", "container", "program", "application",
        "appname", "app", "svc", "service",
    ];
    let lower = key.to_ascii_lowercase();
    if lower == "name" {
        return PARTS.len();
    }
    let parts = lower.split(|c: char| !c.is_ascii_alphanumeric());
    let best = parts.filter_map(|part| PARTS.iter().position(|known| *known == part)).max();
    best.map_or(0, |at| at + 1)
}

/// The span of the source's name in a line.
fn span(all: Lines<'_>, line: u32, place: &Place) -> Option<(usize, usize)> {
    match place {
        Place::Host(column) | Place::Column(column) => {
            let column = all.headers[line as usize].columns.get(*column)?;
            Some((column.start, column.end))
        }
        Place::Named(key) => {
            let text = all.texts[line as usize];
            let pair = pairs(text, PAIRS_BYTES_MAX, PAIRS_MAX)
                .into_iter()
                .find(|pair| pair.key == key)?;
            let start = pair.value.as_ptr() as usize - text.as_ptr() as usize;
            Some((start, start + pair.value.len()))
        }
    }
}

/// The lines under one value of the host column, and what they say.
struct Value {
    lines: Vec<u32>,
    family: bool,
    patterns: FastMap<u64, u32>,
    processes: FastMap<u64, u32>,
}

fn values(all: Lines<'_>, lines: &[u32], place: &Place) -> Vec<Value> {
    type Found = (u32, (usize, usize));
    let mut spellings: BTreeMap<Vec<u8>, BTreeMap<&[u8], Vec<Found>>> = BTreeMap::new();
    let mut nameless = Vec::new();
    for line in lines {
        let Some((start, end)) = span(all, *line, place) else {
            nameless.push(*line);
            continue;
        };
        let name = &all.texts[*line as usize].as_bytes()[start..end];
        let spelled = spellings.entry(masked_text(name)).or_default();
        spelled.entry(name).or_default().push((*line, (start, end)));
    }
    let mut values = Vec::new();
    for spelled in spellings.into_values() {
        if spelled.len() >= FAMILY_MIN {
            let found: Vec<Found> = spelled.into_values().flatten().collect();
            values.push(value(all, &found, place, true));
        } else {
            values.extend(spelled.into_values().map(|found| value(all, &found, place, false)));
        }
    }
    // Lines without a name go with the largest value.
    if let Some(largest) = values.iter_mut().max_by_key(|value| value.lines.len()) {
        largest.lines.extend(nameless);
    }
    values
}

fn value(all: Lines<'_>, found: &[(u32, (usize, usize))], place: &Place, family: bool) -> Value {
    let (mut patterns, mut processes) = (FastMap::default(), FastMap::default());
    for (line, (start, end)) in found {
        let text = all.texts[*line as usize].as_bytes();
        let mut rest = pattern(&text[*end..]);
        if matches!(place, Place::Named(_)) {
            rest ^= pattern(&text[..*start]).rotate_left(1);
        }
        *patterns.entry(rest).or_insert(0) += 1;
        let tag = text[*end..].trim_ascii_start();
        let tag = &tag[..tag.iter().take_while(|byte| **byte != b' ').count()];
        // Numbers below ten belong to every machine: `init[1]`, `kernel[0]`.
        let digits = tag.iter().filter(|byte| byte.is_ascii_digit()).count();
        if digits >= 2 && tag.last() == Some(&b':') && matches!(place, Place::Host(_)) {
            *processes.entry(hash_of(tag)).or_insert(0) += 1;
        }
    }
    Value {
        lines: found.iter().map(|(line, _)| *line).collect(),
        family,
        patterns,
        processes,
    }
}

fn join(values: &[Value], total: usize, hosts: bool, sets: &mut Sets) {
    let first_family = values.iter().position(|value| value.family);
    let largest = (0..values.len()).max_by_key(|index| values[*index].lines.len());
    for (index, value) in values.iter().enumerate() {
        if let (true, Some(first)) = (value.family, first_family) {
            sets.join(first, index);
        }
        for (other, second) in values.iter().enumerate().skip(index + 1) {
            if same_source(value, second, hosts) {
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

fn same_source(first: &Value, second: &Value, hosts: bool) -> bool {
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
    // Two machines may say the same things; two names of anything else then are one source.
    if (!hosts || first.family || second.family) && overlap >= OVERLAP_MIN {
        return true;
    }
    let shared = |one: &Value, two: &Value| {
        let hits = one.processes.keys().filter(|tag| two.processes.contains_key(*tag));
        hits.count() as f64 / one.processes.len().max(1) as f64
    };
    let few = small.processes.len().min(large.processes.len());
    few >= 4 && shared(small, large).max(shared(large, small)) >= PROCESS_OVERLAP_MIN
}
