//! Splits a group by application where no word names one: an application forwarded through a
//! syslog, which writes headers of its own into its messages, and applications that share the
//! layout of a logging library, whose loggers and threads have nothing in common.

use crate::line::Kind;
use crate::lines::{Lines, share};
use crate::sets::Sets;
use crate::tally::{Parts, Tally, descending};
use crate::words::masked_text;

/// An application stands apart when it has this share of a group's lines, and the rest too.
const APPLICATION_SHARE_MIN: f64 = 0.08;
/// A family of loggers with less than this share is part of another.
const LOGGERS_SHARE_MIN: f64 = 0.03;
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

/// Programs of a syslog whose messages begin with a timestamp of their own.
fn forwarded(all: Lines<'_>, lines: &[u32]) -> Option<Vec<Vec<u32>>> {
    let tagged = |tag: usize| share(lines, &|line| all.kind(line, tag) == Some(&Kind::Tag));
    let tag = (0..3).find(|tag| tagged(*tag) >= 0.6)?;
    let programs = Parts::of(lines, &mut |line| masked_text(all.column(line, tag)));
    let stamped =
        |line: u32| (tag + 1..tag + 3).any(|at| matches!(all.kind(line, at), Some(Kind::Stamp(_))));
    let (own, rest): (Vec<_>, Vec<_>) = programs
        .into_groups()
        .into_iter()
        .partition(|program| share(program, &stamped) >= 0.6);
    let (mut own, mut rest) = (own.concat(), rest.concat());
    let least = APPLICATION_SHARE_MIN * lines.len() as f64;
    if (own.len() as f64) < least || (rest.len() as f64) < least {
        return None;
    }
    own.sort_unstable();
    rest.sort_unstable();
    Some(vec![own, rest])
}

/// Families of loggers that never run on the same threads.
fn unrelated(all: Lines<'_>, lines: &[u32]) -> Option<Vec<Vec<u32>>> {
    let (thread, logger) = thread_and_logger(all, lines)?;
    let families =
        Parts::of(lines, &mut |line| family(all.column(line, logger)).to_vec()).into_groups();
    if families.len() < 2 || families.len() > FAMILIES_MAX {
        return None;
    }
    let threads: Vec<Tally> = families
        .iter()
        .map(|family| {
            let mut threads = Tally::default();
            for line in family {
                threads.add(&masked_text(all.column(*line, thread)), 1.0);
            }
            threads
        })
        .collect();
    let mut sets = Sets::new(families.len());
    join(&families, &threads, lines.len(), &mut sets);
    let parts = sets.merge(families);
    (parts.len() > 1).then_some(parts)
}

/// What most loggers of a group have in common, if its lines name loggers.
#[must_use]
pub fn main_logger(all: Lines<'_>, lines: &[u32]) -> Option<String> {
    let level = level_column(all, lines)?;
    let logger = logger_column(all, lines, level + 1)?;
    let mut families = Tally::default();
    for line in lines {
        let name = all.column(*line, logger);
        families.add(family(name.strip_suffix(b":").unwrap_or(name)), 1.0);
    }
    let (family, count) = families.largest()?;
    (2.0 * count >= lines.len() as f64).then(|| String::from_utf8_lossy(family).into_owned())
}

fn level_column(all: Lines<'_>, lines: &[u32]) -> Option<usize> {
    let leveled = |at: usize| share(lines, &|line| all.kind(line, at) == Some(&Kind::Level));
    (0..3).find(|at| leveled(*at) >= 0.8)
}

fn logger_column(all: Lines<'_>, lines: &[u32], from: usize) -> Option<usize> {
    let dotted = |line: u32, column: usize| {
        let word = matches!(all.kind(line, column), Some(Kind::Tag | Kind::Word));
        word && all.column(line, column).contains(&b'.')
    };
    (from..5).find(|column| share(lines, &|line| dotted(line, *column)) >= 0.8)
}

fn thread_and_logger(all: Lines<'_>, lines: &[u32]) -> Option<(usize, usize)> {
    let level = level_column(all, lines)?;
    let bracketed = |at: usize| share(lines, &|line| all.kind(line, at) == Some(&Kind::Bracket));
    let thread = (0..4).find(|at| *at != level && bracketed(*at) >= 0.8)?;
    Some((thread, logger_column(all, lines, level.max(thread) + 1)?))
}

/// Joins families that run on the same threads, and small ones to where they fit best.
fn join(families: &[Vec<u32>], threads: &[Tally], total: usize, sets: &mut Sets) {
    let count = families.len();
    let shared = |a: usize, b: usize| {
        threads[a].common(&threads[b]) / families[a].len().min(families[b].len()) as f64
    };
    let largest = descending(count, &|at| families[at].len() as f64)[0];
    let least = (LOGGERS_SHARE_MIN * total as f64).max(LOGGERS_LINES_MIN as f64);
    for (index, family) in families.iter().enumerate() {
        for other in index + 1..count {
            if shared(index, other) >= THREADS_SHARED_MIN {
                sets.join(index, other);
            }
        }
        if (family.len() as f64) < least {
            let fit = |at: usize| if at == index { -1.0 } else { shared(index, at) };
            let best = descending(count, &fit)[0];
            sets.join(if fit(best) > 0.0 { best } else { largest }, index);
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
