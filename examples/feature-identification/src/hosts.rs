//! Splits a group by the word that names the machine or the application: in one layout, many
//! sources may write, and a column right after the timestamp tells them apart.
//!
//! Not every such word is a source of its own: the nodes of a cluster differ by a number, and a
//! laptop changes its name with its network. Values are kept together where one is a numbered
//! family, or where they say the same things with the same process numbers.

use crate::hash::{FastMap, hash_of};
use crate::line::Kind;
use crate::lines::{Lines, share};
use crate::pairs::pairs;
use crate::sets::Sets;
use crate::tally::{Parts, Tally, descending};
use crate::words::{TEXT_MAX, masked_text, pattern};

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
/// Names of fields that rank higher are those of applications.
const APPLICATION_RANK: usize = 5;
/// Share of a value's `program[number]` tags that another one also has, to be one machine.
const PROCESS_OVERLAP_MIN: f64 = 0.3;

/// Splits one group of lines; gives it back whole where nothing names sources.
#[must_use]
pub fn by_source(all: Lines<'_>, lines: Vec<u32>) -> Vec<Vec<u32>> {
    let place = host_column(all, &lines).or_else(|| named_value(all, &lines));
    let mut parts = match place {
        Some(place) => by_place(all, lines, &place),
        None => vec![lines],
    };
    for label in 0..all.labels.len() {
        let place = Place::Label(label);
        parts = parts
            .into_iter()
            .flat_map(|part| by_place(all, part, &place))
            .collect();
    }
    parts
}

/// The host that a group's lines name, and its programs with their shares, the largest first.
#[must_use]
pub fn host_and_programs(all: Lines<'_>, lines: &[u32]) -> Option<(String, Vec<(String, f64)>)> {
    let Place::Host(column) = host_column(all, lines)? else {
        return None;
    };
    let (mut hosts, mut programs) = (Tally::default(), Tally::default());
    let part = 1.0 / lines.len() as f64;
    for line in lines {
        hosts.add(all.column(*line, column), part);
        let tag = all.column(*line, column + 1);
        let ends = |byte: &&u8| !matches!(byte, b'[' | b'(' | b':');
        let name = &tag[..tag.iter().take_while(ends).count()];
        if !name.is_empty() {
            programs.add(name, part);
        }
    }
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let (host, share) = hosts.largest()?;
    let programs = programs
        .ranked()
        .into_iter()
        .map(|(name, share)| (text(name), share));
    (share >= 0.5).then(|| (text(host), programs.collect()))
}

fn by_place(all: Lines<'_>, lines: Vec<u32>, place: &Place) -> Vec<Vec<u32>> {
    let values = values(all, &lines, place);
    if values.len() < 2 || values.len() > VALUES_MAX {
        return vec![lines];
    }
    let mut sets = Sets::new(values.len());
    let hosts = matches!(place, Place::Host(_));
    join(&values, lines.len(), hosts, &mut sets);
    sets.merge(values.into_iter().map(|value| value.lines).collect())
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
    /// It is this label of the documents, and not in the text.
    Label(usize),
}

/// The first column of words, if what follows it is the start of a message by some program.
fn host_column(all: Lines<'_>, lines: &[u32]) -> Option<Place> {
    let is = |line: u32, column: usize, kind: Kind| all.kind(line, column) == Some(&kind);
    let word = |column: usize| share(lines, &|line| is(line, column, Kind::Word));
    let column = (0..3).find(|column| word(*column) >= 0.95)?;
    // A level comes after the name of the source; a word behind it belongs to the message.
    if (0..column).any(|before| share(lines, &|line| is(line, before, Kind::Level)) >= 0.5) {
        return None;
    }
    let (next, second) = (column + 1, column + 2);
    // Some write the facility between the host and the program.
    let tagged = |line: u32| {
        is(line, next, Kind::Tag) || (is(line, next, Kind::Word) && is(line, second, Kind::Tag))
    };
    if share(lines, &tagged) >= 0.6 {
        return Some(Place::Host(column));
    }
    let leveled = |line: u32| is(line, next, Kind::Level);
    let numbered = |line: u32| {
        let number = is(line, second, Kind::Number) || is(line, second, Kind::Signs);
        is(line, next, Kind::Word) && number
    };
    let formal = share(lines, &leveled) >= 0.9 || share(lines, &numbered) >= 0.9;
    formal.then_some(Place::Column(column))
}

/// A name that nearly all lines have and that is a usual one for what writes a log.
fn named_value(all: Lines<'_>, lines: &[u32]) -> Option<Place> {
    let mut counts = Tally::default();
    for line in lines {
        for pair in pairs(all.texts[*line as usize], PAIRS_BYTES_MAX, PAIRS_MAX) {
            if names_source(pair.key) {
                counts.add(pair.key.as_bytes(), 1.0);
            }
        }
    }
    let frequent = counts
        .iter()
        .filter(|(_, count)| *count >= 0.95 * lines.len() as f64);
    let names: Vec<String> = frequent
        .map(|(key, _)| String::from_utf8_lossy(key).into_owned())
        .collect();
    let order = descending(names.len(), &|at| rank(&names[at]) as f64);
    order.first().map(|at| Place::Named(names[*at].clone()))
}

/// Whether a field of this name usually tells what wrote a line.
#[must_use]
pub fn names_source(key: &str) -> bool {
    rank(key) > 0
}

/// Whether a field of this name tells the application, and not just the machine.
#[must_use]
pub fn names_application(key: &str) -> bool {
    rank(key) > APPLICATION_RANK
}

/// How well a name of a field suits the name of a source; 0: not at all.
fn rank(key: &str) -> usize {
    const PARTS: [&str; 12] = [
        "hostname",
        "host",
        "unit",
        "pod",
        "deployment",
        "container",
        "program",
        "application",
        "appname",
        "app",
        "svc",
        "service",
    ];
    let lower = key.to_ascii_lowercase();
    if lower == "name" {
        return PARTS.len();
    }
    let parts = lower.split(|c: char| !c.is_ascii_alphanumeric());
    let best = parts
        .filter_map(|part| PARTS.iter().position(|known| *known == part))
        .max();
    best.map_or(0, |at| at + 1)
}

/// The source's name, and the text of the line before and after it.
fn named<'a>(all: Lines<'a>, line: u32, place: &Place) -> Option<[&'a [u8]; 3]> {
    let text = all.bytes(line);
    let limit = text.len().min(TEXT_MAX);
    match place {
        Place::Host(column) | Place::Column(column) => {
            let at = all.headers[line as usize].columns.get(*column)?;
            // What stands before is the timestamp.
            Some([
                &text[at.start..at.end],
                &[],
                &text[at.end..limit.max(at.end)],
            ])
        }
        Place::Named(key) => {
            let whole = all.texts[line as usize];
            let pair = pairs(whole, PAIRS_BYTES_MAX, PAIRS_MAX)
                .into_iter()
                .find(|pair| pair.key == key)?;
            let start = pair.value.as_ptr() as usize - whole.as_ptr() as usize;
            let end = start + pair.value.len();
            Some([
                &text[start..end],
                &text[..start],
                &text[end..limit.max(end)],
            ])
        }
        Place::Label(label) => Some([all.label(*label, line)?.as_bytes(), &[], &text[..limit]]),
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
    let named: Vec<u32> = lines
        .iter()
        .copied()
        .filter(|line| named(all, *line, place).is_some())
        .collect();
    let name = |line: u32| self::named(all, line, place).map_or(&[][..], |[name, ..]| name);
    let mut values = Vec::new();
    for (_, family) in Parts::of(&named, &mut |line| masked_text(name(line))).into_vec() {
        let spelled = Parts::of(&family, &mut |line| name(line).to_vec()).into_groups();
        if spelled.len() >= FAMILY_MIN {
            values.push(value(all, family, place, true));
        } else {
            values.extend(
                spelled
                    .into_iter()
                    .map(|lines| value(all, lines, place, false)),
            );
        }
    }
    // Lines without a name go with the largest value.
    if let Some(largest) = values.iter_mut().max_by_key(|value| value.lines.len()) {
        let nameless = lines
            .iter()
            .filter(|line| named.binary_search(line).is_err());
        largest.lines.extend(nameless);
    }
    values
}

fn value(all: Lines<'_>, lines: Vec<u32>, place: &Place, family: bool) -> Value {
    let (mut patterns, mut processes) = (FastMap::default(), FastMap::default());
    for [_, before, after] in lines.iter().filter_map(|line| named(all, *line, place)) {
        let rest = pattern(after) ^ pattern(before).rotate_left(1);
        *patterns.entry(rest).or_insert(0) += 1;
        let tag = after.trim_ascii_start();
        let tag = &tag[..tag.iter().take_while(|byte| **byte != b' ').count()];
        // Numbers below ten belong to every machine: `init[1]`, `kernel[0]`.
        let digits = tag.iter().filter(|byte| byte.is_ascii_digit()).count();
        if digits >= 2 && tag.last() == Some(&b':') && matches!(place, Place::Host(_)) {
            *processes.entry(hash_of(tag)).or_insert(0) += 1;
        }
    }
    Value {
        lines,
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
        let hits = one
            .processes
            .keys()
            .filter(|tag| two.processes.contains_key(*tag));
        hits.count() as f64 / one.processes.len().max(1) as f64
    };
    let few = small.processes.len().min(large.processes.len());
    few >= 4 && shared(small, large).max(shared(large, small)) >= PROCESS_OVERLAP_MIN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{Header, header};

    fn sizes(texts: &[String], labels: &[Vec<Option<&str>>]) -> Vec<usize> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let headers: Vec<Header> = texts.iter().map(|text| header(text)).collect();
        let all = Lines {
            headers: &headers,
            texts: &texts,
            labels,
        };
        let lines = (0..texts.len() as u32).collect();
        let mut sizes: Vec<usize> = by_source(all, lines).iter().map(Vec::len).collect();
        sizes.sort_unstable();
        sizes
    }

    fn lines(count: usize, line: impl Fn(usize) -> String) -> Vec<String> {
        (10..10 + count).map(line).collect()
    }

    #[test]
    fn machines_part_even_if_they_say_the_same() {
        let say = |host: &str, n: usize| format!("Jan  2 03:04:{n} {host} cron[{n}]: run {n}");
        let mut texts = lines(30, |n| say("alpha", n));
        texts.extend(lines(20, |n| say("beta", n + 50)));
        assert_eq!(sizes(&texts, &[]), [20, 30]);
    }

    #[test]
    fn nodes_of_a_cluster_are_one_and_so_is_a_machine_that_changes_its_name() {
        let node = |n: usize| format!("Jan  2 03:04:{n} node{} cron[{n}]: run {n}", n % 9);
        assert_eq!(sizes(&lines(40, node), &[]), [40]);
        // The same long-lived processes under two names.
        let say = |host: &str, n: usize| {
            format!("Jan  2 03:04:{n} {host} app{}[4{}]: said {n}", n % 6, n % 6)
        };
        let mut texts = lines(30, |n| say("home", n));
        texts.extend(lines(30, |n| say("office", n)));
        assert_eq!(sizes(&texts, &[]), [60]);
    }

    #[test]
    fn verbs_are_no_machines() {
        let verbs = ["install", "configure", "remove"];
        let texts = lines(60, |n| {
            format!("2024-01-02 03:04:{n} {} pkg{n}:amd64 1.2", verbs[n % 3])
        });
        assert_eq!(sizes(&texts, &[]), [60]);
    }

    #[test]
    fn services_part_by_the_name_in_their_lines_or_documents() {
        let say = |service: &str, what: &str, n: usize| {
            format!("{{\"ts\":{n},\"service\":\"{service}\",\"msg\":\"{what} {n}\"}}")
        };
        let mut texts = lines(20, |n| say("orders", "placed", n));
        texts.extend(lines(20, |n| say("auth", "login", n)));
        assert_eq!(sizes(&texts, &[]), [20, 20]);
        let mut texts = lines(20, |n| format!("placed order {n}"));
        texts.extend(lines(20, |n| format!("login of user {n}")));
        let mut label = vec![Some("orders"); 20];
        label.extend([Some("auth"); 20]);
        assert_eq!(sizes(&texts, &[label]), [20, 20]);
    }

    #[test]
    fn names_of_fields_are_ranked() {
        assert!(names_source("host.name") && names_source("service") && names_source("k8s_pod"));
        assert!(!names_source("level") && !names_source("mapped") && !names_source("user.name"));
        assert!(names_application("service.name") && !names_application("host.name"));
    }
}
