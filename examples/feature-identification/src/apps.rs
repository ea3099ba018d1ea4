//! Splits a group by application where no word names one: an application forwarded through a
//! syslog, which writes headers of its own into its messages, and applications that share the
//! layout of a logging library, whose loggers and threads have nothing in common.

use std::collections::BTreeMap;

use crate::line::Kind;
use crate::sets::Sets;
use crate::shape::Lines;
use crate::words::masked_text;

/// An application stands apart when it has this share of a group's lines, and the rest too.
const APPLICATION_SHARE_MIN: f64 = 0.08;
/// A family of loggers with less than this share is part of another.
const LOGGERS_SHARE_MIN: f64 = 0.05;
/// And with fewer lines than this.
const LOGGERS_LINES_MIN: usize = 8;
/// More families than this are no loggers.
const FAMILIES_MAX: usize = 256;
/// Share of the smaller family's lines on threads of the other that makes them one application.
const THREADS_SHARED_MIN: f64 = 0.1;

/// Splits one group of lines; gives it back whole where it is one application.
#[must_use]
pub fn by_application(all: Lines<'_>, lines: Vec<u32>) -> Vec<Vec<u32>> {
    let parts = forwarded(all, &lines).or_else(|| unrelated(all, &lines));
    parts.unwrap_or_else(|| vec![lines])
}

fn kind(all: Lines<'_>, line: u32, column: usize) -> Option<&Kind> {
    all.headers[line as usize]
        .columns
        .get(column)
        .map(|column| &column.kind)
}

fn text<'a>(all: Lines<'a>, line: u32, column: usize) -> &'a [u8] {
    let at = all.headers[line as usize].columns.get(column);
    at.map_or(&[], |at| {
        &all.texts[line as usize].as_bytes()[at.start..at.end]
    })
}

fn share(lines: &[u32], test: impl Fn(u32) -> bool) -> f64 {
    lines.iter().filter(|line| test(**line)).count() as f64 / lines.len().max(1) as f64
}

/// Programs of a syslog whose messages begin with a timestamp of their own.
fn forwarded(all: Lines<'_>, lines: &[u32]) -> Option<Vec<Vec<u32>>> {
    let tag =
        (0..3).find(|tag| share(lines, |line| kind(all, line, *tag) == Some(&Kind::Tag)) >= 0.6)?;
    let mut programs: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
    for line in lines {
        programs
            .entry(masked_text(text(all, *line, tag)))
            .or_default()
            .push(*line);
    }
    let stamped = |line: u32| {
        (tag + 1..tag + 3).any(|at| matches!(kind(all, line, at), Some(Kind::Stamp(_))))
    };
    let (mut own, mut rest) = (Vec::new(), Vec::new());
    for program in programs.into_values() {
        if share(&program, stamped) >= 0.6 {
            own.extend(program);
        } else {
            rest.extend(program);
        }
    }
    let least = APPLICATION_SHARE_MIN * lines.len() as f64;
    if (own.len() as f64) < least || (rest.len() as f64) < least {
        return None;
    }
    own.sort_unstable();
    rest.sort_unstable();
    Some(vec![own, rest])
}

/// Lines of one family of loggers.
#[derive(Debug, Default)]
struct Loggers {
    lines: Vec<u32>,
    threads: BTreeMap<Vec<u8>, usize>,
}

/// Families of loggers that never run on the same threads.
fn unrelated(all: Lines<'_>, lines: &[u32]) -> Option<Vec<Vec<u32>>> {
    let (thread, logger) = thread_and_logger(all, lines)?;
    let mut families: BTreeMap<Vec<u8>, Loggers> = BTreeMap::new();
    for line in lines {
        let family = families
            .entry(family(text(all, *line, logger)).to_vec())
            .or_default();
        family.lines.push(*line);
        *family
            .threads
            .entry(masked_text(text(all, *line, thread)))
            .or_insert(0) += 1;
    }
    if families.len() > FAMILIES_MAX {
        return None;
    }
    let families: Vec<Loggers> = families.into_values().collect();
    let mut sets = Sets::new(families.len());
    join(&families, lines.len(), &mut sets);
    let mut parts: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for (index, family) in families.into_iter().enumerate() {
        parts
            .entry(sets.find(index))
            .or_default()
            .extend(family.lines);
    }
    for part in parts.values_mut() {
        part.sort_unstable();
    }
    (parts.len() > 1).then(|| parts.into_values().collect())
}

/// What most loggers of a group have in common, if its lines name loggers.
#[must_use]
pub fn main_logger(all: Lines<'_>, lines: &[u32]) -> Option<String> {
    let level = level_column(all, lines)?;
    let logger = logger_column(all, lines, level + 1)?;
    let mut families: BTreeMap<&[u8], usize> = BTreeMap::new();
    for line in lines {
        let name = text(all, *line, logger);
        let name = name.strip_suffix(b":").unwrap_or(name);
        *families.entry(family(name)).or_insert(0) += 1;
    }
    let (family, count) = families.into_iter().max_by_key(|(_, count)| *count)?;
    (2 * count >= lines.len()).then(|| String::from_utf8_lossy(family).into_owned())
}

fn level_column(all: Lines<'_>, lines: &[u32]) -> Option<usize> {
    let leveled = |at: usize| share(lines, |line| kind(all, line, at) == Some(&Kind::Level));
    (0..3).find(|at| leveled(*at) >= 0.8)
}

fn logger_column(all: Lines<'_>, lines: &[u32], from: usize) -> Option<usize> {
    let dotted = |line: u32, column: usize| {
        let word = matches!(kind(all, line, column), Some(Kind::Tag | Kind::Word));
        word && text(all, line, column).contains(&b'.')
    };
    (from..5).find(|column| share(lines, |line| dotted(line, *column)) >= 0.8)
}

fn thread_and_logger(all: Lines<'_>, lines: &[u32]) -> Option<(usize, usize)> {
    let level = level_column(all, lines)?;
    let bracketed = |at: usize| share(lines, |line| kind(all, line, at) == Some(&Kind::Bracket));
    let thread = (0..4).find(|at| *at != level && bracketed(*at) >= 0.8)?;
    Some((thread, logger_column(all, lines, level.max(thread) + 1)?))
}

fn join(families: &[Loggers], total: usize, sets: &mut Sets) {
    let shared = |a: &Loggers, b: &Loggers| {
        let both = a
            .threads
            .iter()
            .filter_map(|(name, count)| Some(count.min(b.threads.get(name)?)));
        both.sum::<usize>() as f64 / a.lines.len().min(b.lines.len()) as f64
    };
    let largest = (0..families.len()).max_by_key(|index| families[*index].lines.len());
    for (index, family) in families.iter().enumerate() {
        for (other, second) in families.iter().enumerate().skip(index + 1) {
            if shared(family, second) >= THREADS_SHARED_MIN {
                sets.join(index, other);
            }
        }
        let few = family.lines.len() < LOGGERS_LINES_MIN
            || (family.lines.len() as f64) < LOGGERS_SHARE_MIN * total as f64;
        if few && let Some(largest) = largest {
            let home = (0..families.len())
                .filter(|other| *other != index)
                .max_by(|a, b| {
                    shared(family, &families[*a]).total_cmp(&shared(family, &families[*b]))
                })
                .filter(|home| shared(family, &families[*home]) > 0.0);
            sets.join(home.unwrap_or(largest), index);
        }
    }
}

/// What loggers of one code base have in common: `org.apache.hadoop` of
/// `org.apache.hadoop.ipc.Client:`, `wal` of `wal.FSHLog:`.
fn family(logger: &[u8]) -> &[u8] {
    let parts = logger.split(|byte| *byte == b'.').count();
    let keep = match parts {
        0..=2 => 1,
        3 => 2,
        _ => 3,
    };
    let ends = logger
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'.')
        .map(|(at, _)| at);
    ends.take(keep).last().map_or(logger, |end| &logger[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{Header, header};

    fn split(texts: &[String]) -> Vec<Vec<u32>> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let headers: Vec<Header> = texts.iter().map(|text| header(text)).collect();
        let all = Lines {
            headers: &headers,
            texts: &texts,
            labels: &[],
        };
        by_application(all, (0..texts.len() as u32).collect())
    }

    #[test]
    fn code_bases_without_a_common_thread_part() {
        let line = |n: usize, thread: &str, logger: &str| {
            format!("2024-01-02 03:04:05,123 INFO [{thread}-{n}] {logger}: did {n}")
        };
        let mut texts: Vec<String> = (0..40)
            .map(|n| line(n, "exec", "org.shop.web.Cart"))
            .collect();
        texts.extend((0..40).map(|n| line(n, "exec", "com.pool.db.Pool")));
        assert_eq!(split(&texts).len(), 1);
        texts.extend((0..40).map(|n| line(n, "flusher", "net.store.wal.Log")));
        assert_eq!(split(&texts).len(), 2);
    }

    #[test]
    fn an_application_behind_a_syslog_parts() {
        let mut texts: Vec<String> = (10..50)
            .map(|n| {
                format!("Nov 24 11:50:{n} vm proxy[7]: 10.0.0.1:{n} [24/Nov/2026:11:50:{n}] web")
            })
            .collect();
        texts.extend((10..50).map(|n| format!("Nov 24 11:50:{n} vm sshd[{n}]: session closed")));
        assert_eq!(split(&texts).len(), 2);
    }
}
