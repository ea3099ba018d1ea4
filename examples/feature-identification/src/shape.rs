//! Splits lines by the shape of their headers: first by lead, then by the kinds of the columns
//! as long as those are formal (levels, numbers, brackets), because a layout is fixed there and
//! the message, which is free, has not begun.

use std::collections::BTreeMap;

use crate::line::{COLUMNS_MAX, Header, Kind};
use crate::pairs::pairs;
use crate::sets::Sets;
use crate::watch::{Stopped, Watch};
use crate::words::{masked_text, pattern};

/// Smaller parts of a piece than this share stay with its largest part.
const PART_SHARE_MIN: f64 = 0.01;
/// A part needs this many lines to stand alone.
const PART_LINES_MIN: usize = 4;
/// How much two parts must agree on what follows to be one after all.
const AGREEMENT_MIN: f64 = 0.5;
/// More ways to open a line of JSON than this are not compared.
const OPENINGS_MAX: usize = 128;
/// More words than this in one part are no names.
const NAMES_MAX: usize = 4;
/// A part with fewer patterns is a kind of message and no program.
const NAME_PATTERNS_MIN: usize = 4;
/// Names that are read of a line of JSON.
const KEYS_MAX: usize = 24;

/// Lines that are looked at together.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a> {
    /// Their headers.
    pub headers: &'a [Header],
    /// Their texts.
    pub texts: &'a [&'a str],
    /// What else their documents say about where they come from: per label the values.
    pub labels: &'a [Vec<Option<&'a str>>],
}

/// Groups the lines by lead and by formal columns. Every line is in exactly one group.
///
/// # Errors
/// [`Stopped`] when the watch says so.
pub fn by_shape(all: Lines<'_>, watch: &mut dyn Watch) -> Result<Vec<Vec<u32>>, Stopped> {
    let mut leads: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (index, header) in (0u32..).zip(all.headers) {
        leads.entry(&header.lead).or_default().push(index);
    }
    let (mut done, mut json) = (Vec::new(), Vec::new());
    for (lead, lines) in leads {
        watch.step(0)?;
        if lead.starts_with("json") {
            json.push(lines);
        } else if lead.starts_with(|c: char| c.is_ascii_digit()) {
            for lines in by_zone(all, &lines) {
                for lines in by_quotes(all, lines) {
                    split(all, lines, 0, 0, &mut done);
                }
            }
        } else {
            done.push(lines);
        }
    }
    done.extend(by_keys(all, json));
    Ok(done)
}

/// Objects that have most of their names in common are one group, however they open.
fn by_keys(all: Lines<'_>, mut groups: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    groups.sort_by_key(|lines| std::cmp::Reverse(lines.len()));
    if groups.len() > OPENINGS_MAX {
        let rest = groups.split_off(OPENINGS_MAX).concat();
        groups.push(rest);
    }
    let keys: Vec<BTreeMap<&str, f64>> = groups
        .iter()
        .map(|lines| {
            shares(lines, |line, count| {
                for pair in pairs(all.texts[line as usize], 1_024, KEYS_MAX) {
                    count(pair.key);
                }
            })
        })
        .collect();
    merge_similar(groups, |a, b| {
        let common = overlap(&keys[a], &keys[b]);
        let most = keys[a].values().sum::<f64>().max(keys[b].values().sum());
        common >= AGREEMENT_MIN * most
    })
}

/// The share of the lines that each text stands in.
fn shares<K: Ord>(lines: &[u32], mut read: impl FnMut(u32, &mut dyn FnMut(K))) -> BTreeMap<K, f64> {
    let mut shares = BTreeMap::new();
    for line in lines {
        read(*line, &mut |key| {
            *shares.entry(key).or_insert(0.0) += 1.0 / lines.len() as f64;
        });
    }
    shares
}

fn overlap<K: Ord>(a: &BTreeMap<K, f64>, b: &BTreeMap<K, f64>) -> f64 {
    a.iter()
        .filter_map(|(key, share)| Some(share.min(*b.get(key)?)))
        .sum()
}

fn merge_similar(groups: Vec<Vec<u32>>, similar: impl Fn(usize, usize) -> bool) -> Vec<Vec<u32>> {
    let mut sets = Sets::new(groups.len());
    for first in 0..groups.len() {
        for second in first + 1..groups.len() {
            if similar(first, second) {
                sets.join(first, second);
            }
        }
    }
    let mut merged: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for (index, lines) in groups.into_iter().enumerate() {
        merged.entry(sets.find(index)).or_default().extend(lines);
    }
    let sorted = |mut lines: Vec<u32>| {
        lines.sort_unstable();
        lines
    };
    merged.into_values().map(sorted).collect()
}

/// Machines in different zones write different offsets; summer time alone is no difference.
fn by_zone(all: Lines<'_>, lines: &[u32]) -> Vec<Vec<u32>> {
    let minutes = |line: u32| {
        let (start, end) = all.headers[line as usize].zone?;
        let text = all.texts[line as usize].get(start..end)?;
        let digits: i32 = text[1..].replace(':', "").parse().ok()?;
        let total = digits / 100 * 60 + digits % 100;
        Some(if text.starts_with('-') { -total } else { total })
    };
    let parts = parts_of(lines, |line| minutes(line).unwrap_or(0));
    let zones: Vec<i32> = parts.iter().map(|(zone, _)| *zone).collect();
    let groups = parts.into_iter().map(|(_, part)| part).collect();
    merge_similar(groups, |a, b| (zones[a] - zones[b]).abs() <= 60)
}

/// Where a quoted text follows the timestamp, the number of quoted texts is part of the layout.
fn by_quotes(all: Lines<'_>, lines: Vec<u32>) -> Vec<Vec<u32>> {
    let text = |line: u32| all.texts[line as usize].as_bytes();
    let opens = |line: &&u32| {
        let first = all.headers[**line as usize].columns.first();
        first.is_some_and(|column| text(**line)[column.start] == b'"')
    };
    if lines.iter().filter(opens).count() * 10 < lines.len() * 9 {
        return vec![lines];
    }
    let quotes = |line: u32| text(line).iter().filter(|byte| **byte == b'"').count();
    parts_of(&lines, quotes)
        .into_iter()
        .map(|(_, part)| part)
        .collect()
}

/// Parts by a key; those that are too small go with the largest.
fn parts_of<K: Ord + Clone>(lines: &[u32], key: impl Fn(u32) -> K) -> Vec<(K, Vec<u32>)> {
    let mut parts: BTreeMap<K, Vec<u32>> = BTreeMap::new();
    for line in lines {
        parts.entry(key(*line)).or_default().push(*line);
    }
    keep_large(parts, lines.len())
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
    let columns = &headers[line as usize].columns;
    // The last word of a line is what it says, even if it says `error`.
    let last = columns.len() <= column + 1;
    match columns.get(column).map(|c| &c.kind) {
        Some(Kind::Stamp(format)) => Form::Stamp(format.clone()),
        Some(Kind::Level) if !last => Form::Level,
        Some(Kind::Bracket) => Form::Bracket,
        Some(Kind::Signs) => Form::Signs,
        Some(Kind::Number) => Form::Number,
        Some(Kind::Pair(_)) => Form::Pair,
        Some(Kind::Tag) => Form::Tag,
        Some(Kind::Word | Kind::Other | Kind::Level) | None => Form::Text,
    }
}

/// Splits at `column` and goes on with the next; `passed` counts columns of plain text passed.
fn split(all: Lines<'_>, lines: Vec<u32>, column: usize, passed: usize, done: &mut Vec<Vec<u32>>) {
    if column >= COLUMNS_MAX || passed > 2 || lines.len() < 2 * PART_LINES_MIN {
        done.push(lines);
        return;
    }
    let mut parts: BTreeMap<Form, Vec<u32>> = BTreeMap::new();
    for line in &lines {
        parts
            .entry(form(all.headers, *line, column))
            .or_default()
            .push(*line);
    }
    let stamped: usize = parts
        .iter()
        .filter(|(form, _)| matches!(form, Form::Stamp(_)))
        .map(|(_, part)| part.len())
        .sum();
    // Behind a word only timestamps still say something about the layout.
    if passed > 0 && stamped * 10 < lines.len() * 9 {
        if passed == 1 && column == 1 {
            let names = name_parts(all, &lines, column);
            if names.len() > 1 {
                done.extend(names);
                return;
            }
        }
        return split(all, lines, column + 1, passed + 1, done);
    }
    let parts = merge_parts(parts, lines.len(), column);
    if let [(form, _)] = parts.as_slice() {
        let text = matches!(form, Form::Text | Form::Tag);
        return split(all, lines, column + 1, passed + usize::from(text), done);
    }
    let follow: Vec<BTreeMap<Vec<u8>, f64>> = parts
        .iter()
        .map(|(_, part)| following(all, part, column))
        .collect();
    let texts: Vec<bool> = parts
        .iter()
        .map(|(form, _)| matches!(form, Form::Text | Form::Tag))
        .collect();
    let count = parts.len();
    let groups = parts.into_iter().map(|(_, part)| part).collect();
    let merged = merge_similar(groups, |a, b| {
        overlap(&follow[a], &follow[b]) >= AGREEMENT_MIN
    });
    let mixed = merged.len() < count || texts.iter().any(|text| *text);
    for part in merged {
        split(all, part, column + 1, passed + usize::from(mixed), done);
    }
}

/// Parts by the kind of the column behind a word, if that word is one of few names in each part
/// and of no two parts: two programs that put their names after the timestamp.
fn name_parts(all: Lines<'_>, lines: &[u32], column: usize) -> Vec<Vec<u32>> {
    let word = |line: u32| {
        let at = all.headers[line as usize].columns.get(column - 1);
        at.map_or(&[][..], |at| {
            &all.texts[line as usize].as_bytes()[at.start..at.end]
        })
    };
    let named = |line: &&u32| {
        let first = all.headers[**line as usize].columns.get(column - 1);
        first.is_some_and(|first| first.kind == Kind::Word)
    };
    if lines.iter().filter(named).count() * 20 < lines.len() * 19 {
        return Vec::new();
    }
    let parts = parts_of(lines, |line| form(all.headers, line, column));
    let formal = parts
        .iter()
        .filter(|(form, _)| !matches!(form, Form::Text | Form::Tag))
        .count();
    if parts.len() < 2 || formal == 0 {
        return Vec::new();
    }
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for (_, part) in &parts {
        let names = shares(part, |line, count| count(masked_text(word(line))));
        let patterns = shares(part, |line, count| {
            count(pattern(all.texts[line as usize].as_bytes()));
        });
        let own = names.keys().all(|name| !seen.contains(name));
        if names.len() > NAMES_MAX || patterns.len() < NAME_PATTERNS_MIN || !own {
            return Vec::new();
        }
        seen.extend(names.into_keys());
    }
    parts.into_iter().map(|(_, part)| part).collect()
}

/// What stands in the next column that is neither a level nor a sign nor a number.
fn following(all: Lines<'_>, lines: &[u32], column: usize) -> BTreeMap<Vec<u8>, f64> {
    shares(lines, |line, count| {
        let columns = all.headers[line as usize].columns.iter().skip(column + 1);
        let formal = |kind: &Kind| matches!(kind, Kind::Level | Kind::Signs | Kind::Number);
        if let Some(next) = columns.into_iter().find(|column| !formal(&column.kind)) {
            count(masked_text(
                &all.texts[line as usize].as_bytes()[next.start..next.end],
            ));
        }
    })
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
    keep_large(parts, total)
}

fn keep_large<K: Ord + Clone>(parts: BTreeMap<K, Vec<u32>>, total: usize) -> Vec<(K, Vec<u32>)> {
    let Some(largest) = parts
        .iter()
        .max_by_key(|(_, part)| part.len())
        .map(|(key, _)| key.clone())
    else {
        return Vec::new();
    };
    let (mut kept, mut small) = (Vec::new(), Vec::new());
    for (key, part) in parts {
        let enough =
            part.len() >= PART_LINES_MIN && part.len() as f64 >= PART_SHARE_MIN * total as f64;
        if enough || key == largest {
            kept.push((key, part));
        } else {
            small.extend(part);
        }
    }
    if let Some((_, part)) = kept.iter_mut().find(|(key, _)| *key == largest) {
        part.extend(small);
        part.sort_unstable();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::header;
    use crate::watch::Unwatched;

    fn sizes(texts: &[String]) -> Vec<usize> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let headers: Vec<Header> = texts.iter().map(|text| header(text)).collect();
        let all = Lines {
            headers: &headers,
            texts: &texts,
            labels: &[],
        };
        let mut sizes: Vec<usize> = by_shape(all, &mut Unwatched)
            .unwrap()
            .iter()
            .map(Vec::len)
            .collect();
        sizes.sort_unstable();
        sizes
    }

    fn lines(count: usize, line: impl Fn(usize) -> String) -> Vec<String> {
        (10..10 + count).map(line).collect()
    }

    #[test]
    fn layouts_with_one_timestamp_part_by_their_columns() {
        let mut texts = lines(30, |n| {
            format!("2024-01-02 03:04:{n},123 INFO [main] a.B: did {n}")
        });
        texts.extend(lines(20, |n| {
            format!("2024-01-02 03:04:{n},123 - WARN  [x:B@{n}] - did")
        }));
        assert_eq!(sizes(&texts), [20, 30]);
    }

    #[test]
    fn one_layout_stays_whole_whatever_its_messages_begin_with() {
        let mut texts = lines(20, |n| {
            format!("[Sun Dec 04 04:47:{n} 2005] [error] [client 1] no")
        });
        texts.extend(lines(30, |n| {
            format!("[Sun Dec 04 04:47:{n} 2005] [notice] child {n} up")
        }));
        texts.extend(lines(9, |n| {
            format!("[Sun Dec 04 04:47:{n} 2005] [notice] {n} children")
        }));
        assert_eq!(sizes(&texts), [59]);
    }

    #[test]
    fn what_follows_joins_levels_that_others_do_not_know() {
        let line = |level: &str, n: usize| {
            format!("2024-01-02T03:04:{n}Z 7 [{level}] [MY-{n}] [Server] said {n}")
        };
        let mut texts = lines(30, |n| line("Warning", n));
        texts.extend(lines(30, |n| line("System", n)));
        assert_eq!(sizes(&texts), [60]);
    }

    #[test]
    fn zones_part_but_summer_time_does_not() {
        let line = |zone: &str, n: usize| {
            format!("10.0.0.1 - - [02/Jan/2024:03:04:{n} {zone}] \"GET /{n} HTTP/1.1\" 200 5")
        };
        let mut texts = lines(20, |n| line("+0100", n));
        texts.extend(lines(20, |n| line("+0200", n)));
        assert_eq!(sizes(&texts), [40]);
        texts.extend(lines(20, |n| line("-0500", n)));
        assert_eq!(sizes(&texts), [20, 40]);
    }

    #[test]
    fn objects_part_by_their_names() {
        let mut texts = lines(10, |n| {
            format!("{{\"ts\":{n}.5,\"msg\":\"a\",\"level\":\"info\"}}")
        });
        texts.extend(lines(10, |n| {
            format!("{{\"msg\":\"a\",\"ts\":{n}.5,\"level\":\"info\"}}")
        }));
        texts.extend(lines(10, |n| {
            format!("{{\"pid\":{n},\"host\":\"b\",\"say\":\"x\"}}")
        }));
        assert_eq!(sizes(&texts), [10, 20]);
    }
}
