//! Splits lines by the shape of their headers: first by lead, then by the kinds of the columns
//! as long as those are formal (levels, numbers, brackets), because a layout is fixed there and
//! the message, which is free, has not begun.

use crate::line::{COLUMNS_MAX, Kind};
use crate::lines::{Lines, share};
use crate::pairs::pairs;
use crate::sets::merge_alike;
use crate::tally::{Parts, Tally, arranged, descending};
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
/// Names that are read of a line of JSON, and in how many bytes.
const KEYS_MAX: usize = 24;
const KEYS_BYTES_MAX: usize = 1_024;

/// Groups the lines by lead and by formal columns. Every line is in exactly one group.
///
/// # Errors
/// [`Stopped`] when the watch says so.
pub fn by_shape(all: Lines<'_>, watch: &mut dyn Watch) -> Result<Vec<Vec<u32>>, Stopped> {
    let every: Vec<u32> = (0..all.headers.len() as u32).collect();
    let leads = Parts::of(&every, &mut |line| all.lead(line).as_bytes().to_vec());
    let (mut done, mut objects) = (Vec::new(), Vec::new());
    for lines in leads.into_groups() {
        watch.step(0)?;
        if all.is_object(lines[0]) {
            objects.push(lines);
        } else if all.is_stamped(lines[0]) {
            for lines in by_zone(all, &lines) {
                for lines in by_quotes(all, lines) {
                    split(all, lines, 0, 0, &mut done);
                }
            }
        } else {
            done.push(lines);
        }
    }
    done.extend(by_keys(all, objects));
    Ok(done)
}

/// Objects that have most of their names in common are one group, however they open.
fn by_keys(all: Lines<'_>, groups: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    let order = descending(groups.len(), &|at| groups[at].len() as f64);
    let mut groups = arranged(groups, &order);
    if groups.len() > OPENINGS_MAX {
        let rest = groups.split_off(OPENINGS_MAX).concat();
        groups.push(rest);
    }
    let keys: Vec<Tally> = groups
        .iter()
        .map(|lines| {
            tallied(lines, &mut |line, count| {
                for pair in pairs(all.texts[line as usize], KEYS_BYTES_MAX, KEYS_MAX) {
                    count(pair.key.as_bytes());
                }
            })
        })
        .collect();
    merge_alike(groups, &|a, b| {
        let most = keys[a].total().max(keys[b].total());
        keys[a].common(&keys[b]) >= AGREEMENT_MIN * most
    })
}

/// Takes a text that stands in a line.
type Count<'a> = &'a mut dyn FnMut(&[u8]);

/// The share of the lines that each text stands in.
fn tallied(lines: &[u32], read: &mut dyn FnMut(u32, Count<'_>)) -> Tally {
    let mut tally = Tally::default();
    for line in lines {
        read(*line, &mut |text| tally.add(text, 1.0 / lines.len() as f64));
    }
    tally
}

/// Machines in different zones write different offsets; summer time alone is no difference.
fn by_zone(all: Lines<'_>, lines: &[u32]) -> Vec<Vec<u32>> {
    let zone = |line: u32| {
        let (start, end) = all.headers[line as usize].zone?;
        all.texts[line as usize].get(start..end)
    };
    let parts = parts_of(lines, &mut |line| {
        zone(line).unwrap_or("+0000").as_bytes().to_vec()
    });
    let zones: Vec<i32> = parts.iter().map(|(zone, _)| minutes(zone)).collect();
    let groups = parts.into_iter().map(|(_, part)| part).collect();
    merge_alike(groups, &|a, b| (zones[a] - zones[b]).abs() <= 60)
}

/// `-0530`, `+05:30` in minutes.
fn minutes(zone: &[u8]) -> i32 {
    let digits = zone.iter().filter(|byte| byte.is_ascii_digit());
    let number = digits.fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0'));
    let minutes = number / 100 * 60 + number % 100;
    if zone.first() == Some(&b'-') {
        -minutes
    } else {
        minutes
    }
}

/// Where a quoted text follows the timestamp, the number of quoted texts is part of the layout.
fn by_quotes(all: Lines<'_>, lines: Vec<u32>) -> Vec<Vec<u32>> {
    if share(&lines, &|line| all.column(line, 0).first() == Some(&b'"')) < 0.9 {
        return vec![lines];
    }
    let quotes = |line: u32| all.bytes(line).iter().filter(|byte| **byte == b'"').count();
    let parts = parts_of(&lines, &mut |line| vec![quotes(line).min(255) as u8]);
    parts.into_iter().map(|(_, part)| part).collect()
}

/// Parts by a key; those that are too small go with the largest.
fn parts_of(lines: &[u32], key: &mut dyn FnMut(u32) -> Vec<u8>) -> Vec<(Vec<u8>, Vec<u32>)> {
    keep_large(Parts::of(lines, key), lines.len())
}

// A column's kind as far as it matters for the layout, as the key of a part. A timestamp is
// `@` with its format.
const LEVEL: &[u8] = b"level";
const BRACKET: &[u8] = b"bracket";
const SIGNS: &[u8] = b"signs";
const NUMBER: &[u8] = b"number";
const PAIR: &[u8] = b"pair";
const TAG: &[u8] = b"tag";
const TEXT: &[u8] = b"text";

fn form(all: Lines<'_>, line: u32, column: usize) -> Vec<u8> {
    // The last word of a line is what it says, even if it says `error`.
    let last = all.headers[line as usize].columns.len() <= column + 1;
    let form = match all.kind(line, column) {
        Some(Kind::Stamp(format)) => return format!("@{format}").into_bytes(),
        Some(Kind::Level) if !last => LEVEL,
        Some(Kind::Bracket) => BRACKET,
        Some(Kind::Signs) => SIGNS,
        Some(Kind::Number) => NUMBER,
        Some(Kind::Pair(_)) => PAIR,
        Some(Kind::Tag) => TAG,
        Some(Kind::Word | Kind::Other | Kind::Level) | None => TEXT,
    };
    form.to_vec()
}

fn is_text(form: &[u8]) -> bool {
    form == TEXT || form == TAG
}

/// Splits at `column` and goes on with the next; `passed` counts columns of plain text passed.
fn split(all: Lines<'_>, lines: Vec<u32>, column: usize, passed: usize, done: &mut Vec<Vec<u32>>) {
    if column >= COLUMNS_MAX || passed > 2 || lines.len() < 2 * PART_LINES_MIN {
        done.push(lines);
        return;
    }
    let stamped = |line: u32| matches!(all.kind(line, column), Some(Kind::Stamp(_)));
    // Behind a word only timestamps still say something about the layout.
    if passed > 0 && share(&lines, &stamped) < 0.9 {
        if passed == 1 && column == 1 {
            let names = name_parts(all, &lines, column);
            if names.len() > 1 {
                done.extend(names);
                return;
            }
        }
        return split(all, lines, column + 1, passed + 1, done);
    }
    let parts = merge_parts(
        Parts::of(&lines, &mut |line| form(all, line, column)),
        column,
    );
    let parts = keep_large(parts, lines.len());
    if let [(form, _)] = parts.as_slice() {
        let text = is_text(form);
        return split(all, lines, column + 1, passed + usize::from(text), done);
    }
    let follow: Vec<Tally> = parts
        .iter()
        .map(|(_, part)| following(all, part, column))
        .collect();
    let text = parts.iter().any(|(form, _)| is_text(form));
    let count = parts.len();
    let groups = parts.into_iter().map(|(_, part)| part).collect();
    let merged = merge_alike(groups, &|a, b| {
        follow[a].common(&follow[b]) >= AGREEMENT_MIN
    });
    let mixed = text || merged.len() < count;
    for part in merged {
        split(all, part, column + 1, passed + usize::from(mixed), done);
    }
}

/// Parts by the kind of the column behind a word, if that word is one of few names in each part
/// and of no two parts: two programs that put their names after the timestamp.
fn name_parts(all: Lines<'_>, lines: &[u32], column: usize) -> Vec<Vec<u32>> {
    if share(lines, &|line| {
        all.kind(line, column - 1) == Some(&Kind::Word)
    }) < 0.95
    {
        return Vec::new();
    }
    let parts = parts_of(lines, &mut |line| form(all, line, column));
    if parts.len() < 2 || parts.iter().all(|(form, _)| is_text(form)) {
        return Vec::new();
    }
    let mut seen = Tally::default();
    for (_, part) in &parts {
        let names = tallied(part, &mut |line, count| {
            count(&masked_text(all.column(line, column - 1)));
        });
        let patterns = tallied(part, &mut |line, count| {
            count(&pattern(all.bytes(line)).to_le_bytes());
        });
        let own = names.iter().all(|(name, _)| seen.of(name) == 0.0);
        if names.len() > NAMES_MAX || patterns.len() < NAME_PATTERNS_MIN || !own {
            return Vec::new();
        }
        for (name, share) in names.iter() {
            seen.add(name, share);
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}

/// What stands in the next column that is neither a level nor a sign nor a number.
fn following(all: Lines<'_>, lines: &[u32], column: usize) -> Tally {
    let formal = |kind: &Kind| matches!(kind, Kind::Level | Kind::Signs | Kind::Number);
    tallied(lines, &mut |line, count| {
        let next = (column + 1..COLUMNS_MAX)
            .find(|next| all.kind(line, *next).is_some_and(|kind| !formal(kind)));
        if let Some(next) = next {
            count(&masked_text(all.column(line, next)));
        }
    })
}

/// Puts together what is hardly told apart: tags and text, and text with what it may begin with.
fn merge_parts(mut parts: Parts, column: usize) -> Parts {
    let (tags, texts) = (parts.count(TAG), parts.count(TEXT));
    if texts > 0 && tags < 4 * texts {
        let tagged = parts.take(TAG);
        parts.put(TEXT, &tagged);
    } else if tags > 0 {
        let plain = parts.take(TEXT);
        parts.put(TAG, &plain);
    }
    if column > 0 && parts.count(TEXT) > 0 {
        // Free text may begin with a number or a bracket; it does not begin with a level.
        for form in [BRACKET, NUMBER, SIGNS, PAIR] {
            let part = parts.take(form);
            parts.put(TEXT, &part);
        }
    }
    parts
}

/// The parts in order of their keys; those that are too small go with the largest.
fn keep_large(parts: Parts, total: usize) -> Vec<(Vec<u8>, Vec<u32>)> {
    let mut parts = parts.into_vec();
    parts.retain(|(_, part)| !part.is_empty());
    let size = |at: usize| parts[at].1.len() as f64;
    let Some(largest) = descending(parts.len(), &size).first().copied() else {
        return Vec::new();
    };
    let least = (PART_SHARE_MIN * total as f64).max(PART_LINES_MIN as f64);
    let small: Vec<usize> = (0..parts.len())
        .filter(|at| size(*at) < least && *at != largest)
        .collect();
    for at in &small {
        let part = std::mem::take(&mut parts[*at].1);
        parts[largest].1.extend(part);
    }
    if !small.is_empty() {
        parts[largest].1.sort_unstable();
    }
    parts.retain(|(_, part)| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{Header, header};
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
