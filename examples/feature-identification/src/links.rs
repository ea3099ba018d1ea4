//! Brings home what has no header of its own: lines that continue another line (stack traces,
//! wrapped statements) and small groups that name the same things as a larger one.
//!
//! Evidence is shared vocabulary. A word counts for a group by how much more often it says it
//! than the others; identifiers (`QuorumCnxManager`, `shop_orders`) count more than plain words.

use std::collections::BTreeMap;

use crate::hash::FastMap;
use crate::line::{Header, is_numbered_frame};
use crate::shape::Lines;
use crate::watch::{Stopped, Watch};
use crate::words::{TEXT_MAX, is_filler, pattern, values, word_id, words};

/// A group with less than this share of the lines may belong to a larger one.
const SMALL_SHARE_MAX: f64 = 0.01;
/// The same for a group with a header of its own.
const FORMAL_SHARE_MAX: f64 = 0.005;
/// Share of a small group's lines that must name something of the larger one, and of no other.
const NAMED_MIN: f64 = 0.5;
/// By how much the best home must beat the next.
const LEAD_MIN: f64 = 1.5;
/// A fragment is at least this many times smaller than the group it belongs to.
const FRAGMENT_FACTOR: usize = 10;
/// A word that a group says in this share of its lines is half as telling as one that it always
/// says.
const RARE_SHARE: f64 = 0.02;
/// Lines name their home when they say this much of it on average.
const EVIDENCE_MIN: f64 = 0.01;
/// Lines between two looks at the watch.
const BEAT_LINES: usize = 64;
/// An identifier weighs as much as this many plain words.
const IDENTIFIER_WEIGHT: f64 = 4.0;

/// Lines that belong together so far.
#[derive(Debug, Clone)]
pub struct Source {
    /// The lines.
    pub lines: Vec<u32>,
    /// Told apart from others of the same layout by a name: a machine, an application.
    pub named: bool,
}

/// Which groups say a word: for each the share of its lines.
type Speakers = Vec<(u32, f64)>;

/// Moves continuing lines and small related groups to where they belong.
///
/// # Errors
/// [`Stopped`] when the watch says so.
pub fn settle(
    all: Lines<'_>,
    groups: Vec<Source>,
    watch: &mut dyn Watch,
) -> Result<Vec<Vec<u32>>, Stopped> {
    let Lines { headers, texts, .. } = all;
    let continues = |group: &Vec<u32>| headers[group[0] as usize].continues;
    let (loose, homes): (Vec<_>, Vec<_>) = groups
        .into_iter()
        .filter(|group| !group.lines.is_empty())
        .partition(|group| continues(&group.lines));
    let mut homes = join_small(headers, texts, homes, watch)?;
    homes = join_fragments(headers, texts, homes);
    let vocabulary = vocabulary(texts, &homes, watch)?;
    let count = homes.len();
    // A program that writes objects puts its traces inside them.
    let takes: Vec<bool> = homes
        .iter()
        .map(|group| !headers[group[0] as usize].lead.starts_with("json"))
        .collect();
    let mut homeless = Vec::new();
    let (mut taken, mut traced) = (vec![0.0; count], vec![0.0; count]);
    for style in loose.iter().flat_map(|group| by_style(texts, &group.lines)) {
        let mut total = vec![0.0; count];
        for (index, line) in style.lines.iter().enumerate() {
            if index % BEAT_LINES == 0 {
                watch.step(0)?;
            }
            let scores = scores(&vocabulary, texts[*line as usize], count, style.plain);
            total
                .iter_mut()
                .zip(&scores)
                .for_each(|(sum, score)| *sum += score);
        }
        total
            .iter_mut()
            .zip(&takes)
            .filter(|(_, takes)| !**takes)
            .for_each(|(sum, _)| *sum = 0.0);
        let least = EVIDENCE_MIN * style.lines.len() as f64;
        let clear = best(&total).filter(|home| total[*home] >= least);
        match if count == 1 { Some(0) } else { clear } {
            Some(home) => {
                taken[home] += style.lines.len() as f64;
                traced[home] += if style.frames {
                    style.lines.len() as f64
                } else {
                    0.0
                };
                homes[home].extend(style.lines);
            }
            None => homeless.extend(style.lines),
        }
    }
    // What names nothing of its own, like frames of the language's library, follows the rest.
    match best(&traced).or_else(|| best(&taken)) {
        Some(home) => homes[home].extend(homeless),
        None => homes.push(homeless),
    }
    for group in &mut homes {
        group.sort_unstable();
    }
    homes.retain(|group| !group.is_empty());
    Ok(homes)
}

/// Joins small groups to the one larger group that names the same things.
fn join_small(
    headers: &[Header],
    texts: &[&str],
    sources: Vec<Source>,
    watch: &mut dyn Watch,
) -> Result<Vec<Vec<u32>>, Stopped> {
    let total = texts.len() as f64;
    let named_apart: Vec<bool> = sources.iter().map(|source| source.named).collect();
    let mut groups: Vec<Vec<u32>> = sources.into_iter().map(|source| source.lines).collect();
    let vocabulary = vocabulary(texts, &groups, watch)?;
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|index| groups[*index].len());
    let mut moves = Vec::new();
    for index in order {
        let lines = &groups[index];
        let lead = &headers[lines[0] as usize].lead;
        let formal = lead.starts_with(|c: char| c.is_ascii_digit());
        let limit = if formal {
            FORMAL_SHARE_MAX
        } else {
            SMALL_SHARE_MAX
        };
        let apart = named_apart[index] || lead.starts_with("json");
        if apart || lines.len() as f64 >= limit * total {
            continue;
        }
        let mut named = vec![0usize; groups.len()];
        for line in lines {
            let mut seen = identifiers(texts[*line as usize])
                .filter_map(|word| only_other(vocabulary.get(&word)?, index))
                .filter(|other| groups[*other].len() > 3 * lines.len())
                .collect::<Vec<_>>();
            seen.sort_unstable();
            seen.dedup();
            for other in seen {
                named[other] += 1;
            }
        }
        let Some(home) = (0..groups.len()).max_by_key(|home| named[*home]) else {
            continue;
        };
        let next = named.iter().enumerate().filter(|(other, _)| *other != home);
        let next = next.map(|(_, count)| *count).max().unwrap_or(0);
        if named[home] as f64 >= NAMED_MIN * lines.len() as f64 && named[home] > 2 * next {
            moves.push((index, home));
        }
    }
    for (index, home) in moves {
        let lines = std::mem::take(&mut groups[index]);
        groups[home].extend(lines);
    }
    groups.retain(|group| !group.is_empty());
    Ok(groups)
}

/// A few lines of one or two patterns without a header are part of what else has no header; so
/// are lines of one pattern with the timestamp in their midst, which part entries of several
/// lines.
fn join_fragments(headers: &[Header], texts: &[&str], groups: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    let lead = |group: &Vec<u32>| headers[group[0] as usize].lead.as_str();
    let bare = |group: &Vec<u32>| {
        !lead(group).starts_with(|c: char| c.is_ascii_digit()) && !lead(group).starts_with("json")
    };
    let simple = |group: &Vec<u32>| {
        let mut patterns: Vec<u64> = group
            .iter()
            .map(|line| pattern(texts[*line as usize].as_bytes()))
            .collect();
        patterns.sort_unstable();
        patterns.dedup();
        patterns.len() <= 2
    };
    let (mut bares, mut formal): (Vec<_>, Vec<_>) = groups.into_iter().partition(bare);
    bares.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let mut kept: Vec<Vec<u32>> = Vec::new();
    for group in bares {
        let largest = kept.first().map_or(0, Vec::len);
        let few = group.len() * FRAGMENT_FACTOR <= largest;
        match kept.first_mut() {
            Some(first) if few && simple(&group) => first.extend(group),
            _ => kept.push(group),
        }
    }
    if let Some(first) = kept.first_mut() {
        let size = first.len();
        let parts = |group: &Vec<u32>| {
            !lead(group).starts_with("0 ")
                && !lead(group).starts_with("json")
                && group.len() <= size
                && simple(group)
        };
        let (separators, rest): (Vec<_>, Vec<_>) = formal.into_iter().partition(parts);
        first.extend(separators.concat());
        formal = rest;
    }
    formal.extend(kept);
    formal
}

/// The one group besides `index` that says a word, if it is just one.
fn only_other(speakers: &Speakers, index: usize) -> Option<usize> {
    let mut others = speakers
        .iter()
        .filter(|(group, _)| *group as usize != index);
    let first = others.next()?;
    others.next().is_none().then_some(first.0 as usize)
}

fn vocabulary(
    texts: &[&str],
    groups: &[Vec<u32>],
    watch: &mut dyn Watch,
) -> Result<FastMap<u64, Speakers>, Stopped> {
    let mut all: FastMap<u64, Speakers> = FastMap::default();
    for (group, lines) in (0u32..).zip(groups) {
        let weight = 1.0 / lines.len() as f64;
        for (index, line) in lines.iter().enumerate() {
            if index % BEAT_LINES == 0 {
                watch.step(0)?;
            }
            let mut seen: Vec<u64> = tokens(texts[*line as usize])
                .map(|(word, _)| word)
                .collect();
            seen.sort_unstable();
            seen.dedup();
            for word in seen {
                let speakers = all.entry(word).or_default();
                match speakers.last_mut() {
                    Some((last, share)) if *last == group => *share += weight,
                    _ => speakers.push((group, weight)),
                }
            }
        }
    }
    Ok(all)
}

/// Words and values of a line, and whether each is an identifier.
fn tokens(text: &str) -> impl Iterator<Item = (u64, bool)> {
    let text = &text.as_bytes()[..text.len().min(TEXT_MAX)];
    let plain = words(text)
        .filter(|word| !is_filler(word))
        .map(|word| (word_id(word), is_identifier(word)));
    plain.chain(values(text).map(|value| (word_id(value), true)))
}

fn identifiers(text: &str) -> impl Iterator<Item = u64> {
    tokens(text)
        .filter(|(_, identifier)| *identifier)
        .map(|(word, _)| word)
}

/// Not a word of a language: capitals or signs inside.
fn is_identifier(word: &[u8]) -> bool {
    let inner = &word[1..];
    inner.iter().any(|byte| matches!(byte, b'_' | b'$'))
        || (inner.iter().any(u8::is_ascii_uppercase) && word.iter().any(u8::is_ascii_lowercase))
}

/// How much a line speaks for each group; by its identifiers alone or by `plain` words as well.
fn scores(vocabulary: &FastMap<u64, Speakers>, text: &str, count: usize, plain: bool) -> Vec<f64> {
    let mut scores = vec![0.0; count];
    for (word, identifier) in tokens(text).filter(|(_, identifier)| plain || *identifier) {
        let Some(speakers) = vocabulary.get(&word) else {
            continue;
        };
        let sum: f64 = speakers.iter().map(|(_, share)| share).sum::<f64>() + RARE_SHARE;
        let weight = if identifier { IDENTIFIER_WEIGHT } else { 1.0 };
        for (group, share) in speakers {
            scores[*group as usize] += weight * share / sum;
        }
    }
    scores
}

/// The clear winner, if there is one.
fn best(scores: &[f64]) -> Option<usize> {
    let winner = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]))?;
    let next = scores
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != winner);
    let next = next.map(|(_, score)| *score).fold(0.0, f64::max);
    (scores[winner] > 0.0 && scores[winner] >= LEAD_MIN * next).then_some(winner)
}

/// Continuing lines of one style.
struct Style {
    lines: Vec<u32>,
    /// They are frames of a stack trace.
    frames: bool,
    /// Plain words tell their home, and not identifiers alone.
    plain: bool,
}

/// Frames of a stack trace in one code base, the lines between frames, or lines with the same
/// indentation sign.
fn by_style(texts: &[&str], lines: &[u32]) -> Vec<Style> {
    let mut styles: BTreeMap<(bool, bool, u8, &[u8]), Vec<u32>> = BTreeMap::new();
    for line in lines {
        let text = texts[*line as usize].as_bytes();
        let indent = text
            .first()
            .copied()
            .filter(u8::is_ascii_whitespace)
            .unwrap_or(0);
        let inner = text.trim_ascii_start();
        let key = match inner.strip_prefix(b"at ") {
            Some(frame) if of_runtime(frame) => (false, false, 0, &[][..]),
            Some(frame) => (true, true, 0, code_base(frame)),
            None if is_numbered_frame(text) || inner.starts_with(b"File \"") => {
                (true, true, indent, &[][..])
            }
            None if indent == 0 || inner.starts_with(b"... ") => (false, false, 0, &[][..]),
            None => (false, true, indent, &[][..]),
        };
        styles.entry(key).or_default().push(*line);
    }
    let styles = styles
        .into_iter()
        .map(|((frames, plain, ..), lines)| Style {
            lines,
            frames,
            plain,
        });
    styles.collect()
}

/// A frame of the language's own library, which every program has.
fn of_runtime(frame: &[u8]) -> bool {
    [
        &b"java."[..],
        b"javax.",
        b"jdk.",
        b"sun.",
        b"com.sun.",
        b"scala.",
        b"kotlin.",
    ]
    .iter()
    .any(|base| frame.starts_with(base))
}

/// The first two parts of a dotted name.
fn code_base(frame: &[u8]) -> &[u8] {
    let mut dots = frame.iter().enumerate().filter(|(_, byte)| **byte == b'.');
    dots.nth(1).map_or(frame, |(at, _)| &frame[..at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::header;
    use crate::watch::Unwatched;

    fn settled(groups: &[Vec<String>]) -> Vec<usize> {
        let texts: Vec<&str> = groups.iter().flatten().map(String::as_str).collect();
        let headers: Vec<Header> = texts.iter().map(|text| header(text)).collect();
        let all = Lines {
            headers: &headers,
            texts: &texts,
            labels: &[],
        };
        let mut next = 0;
        let mut sources = Vec::new();
        for group in groups {
            let lines: Vec<u32> = (next..next + group.len() as u32).collect();
            next += group.len() as u32;
            sources.push(Source {
                lines,
                named: false,
            });
        }
        settle(all, sources, &mut Unwatched)
            .unwrap()
            .iter()
            .map(Vec::len)
            .collect()
    }

    fn lines(count: usize, line: impl Fn(usize) -> String) -> Vec<String> {
        (10..10 + count).map(line).collect()
    }

    #[test]
    fn traces_follow_the_application_that_names_their_classes() {
        let shop = lines(40, |n| {
            format!("2024-01-02 03:04:{n} ERROR acme.shop.CartService: {n}")
        });
        let other = lines(60, |n| {
            format!("2024/01/02 03:04:{n} [warn] disk {n} is full")
        });
        let mut trace = lines(20, |n| {
            format!("\tat acme.shop.CartService.put(CartService.java:{n})")
        });
        trace.extend(lines(10, |n| {
            format!("\tat java.lang.Thread.run(Thread.java:{n})")
        }));
        trace.extend(lines(10, |_| {
            "Caused by: java.io.IOException: broken".to_owned()
        }));
        assert_eq!(settled(&[shop, other, trace]), [80, 60]);
    }

    #[test]
    fn objects_take_no_traces() {
        let object = lines(40, |n| format!("{{\"logger\":\"acme.shop\",\"n\":{n}}}"));
        let plain = lines(60, |n| format!("2024/01/02 03:04:{n} acme disk {n}"));
        let trace = lines(20, |n| format!("\tat acme.shop.A.b(A.java:{n})"));
        assert_eq!(settled(&[object, plain, trace]), [40, 80]);
    }

    #[test]
    fn a_fragment_without_a_header_joins_what_has_none_either() {
        let talk = lines(80, |n| format!("<{n} get key_{}", "x".repeat(n % 7)));
        let table = lines(5, |n| format!("class   {n}: size {n}"));
        assert_eq!(settled(&[talk, table]), [85]);
    }
}
