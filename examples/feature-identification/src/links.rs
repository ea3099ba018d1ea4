//! Brings home what has no header of its own: lines that continue another line (stack traces,
//! wrapped statements), and small groups that name the same things as a larger one.

use crate::continued::is_numbered_frame;
use crate::lines::Lines;
use crate::small::{Source, join_fragments, join_small};
use crate::tally::{Parts, descending};
use crate::vocabulary::Vocabulary;
use crate::watch::{Stopped, Watch};

/// By how much the best home must beat the next.
const LEAD_MIN: f64 = 1.5;
/// Lines name their home when they say this much of it on average.
const EVIDENCE_MIN: f64 = 0.01;
/// Lines between two looks at the watch.
const BEAT_LINES: usize = 64;

/// Moves continuing lines and small related groups to where they belong.
///
/// # Errors
/// [`Stopped`] when the watch says so.
pub fn settle(
    all: Lines<'_>,
    groups: Vec<Source>,
    watch: &mut dyn Watch,
) -> Result<Vec<Vec<u32>>, Stopped> {
    let (loose, homes): (Vec<_>, Vec<_>) = groups
        .into_iter()
        .filter(|group| !group.lines.is_empty())
        .partition(|group| all.headers[group.lines[0] as usize].continues);
    let mut homes = join_fragments(all, join_small(all, homes, watch)?);
    let vocabulary = Vocabulary::of(all, &homes, watch)?;
    let mut homeless = Vec::new();
    let (mut taken, mut traced) = (vec![0.0; homes.len()], vec![0.0; homes.len()]);
    for style in loose.iter().flat_map(|group| by_style(all, &group.lines)) {
        let count = style.lines.len() as f64;
        match home(all, &homes, &vocabulary, &style, watch)? {
            Some(home) => {
                taken[home] += count;
                traced[home] += if style.frames { count } else { 0.0 };
                homes[home].extend(style.lines);
            }
            None => homeless.extend(style.lines),
        }
    }
    // What names nothing of its own, like frames of the language's library, follows the rest.
    match clear(&traced).or_else(|| clear(&taken)) {
        Some(home) => homes[home].extend(homeless),
        None => homes.push(homeless),
    }
    for group in &mut homes {
        group.sort_unstable();
    }
    homes.retain(|group| !group.is_empty());
    Ok(homes)
}

/// The group that lines of one style clearly speak for.
fn home(
    all: Lines<'_>,
    homes: &[Vec<u32>],
    vocabulary: &Vocabulary,
    style: &Style,
    watch: &mut dyn Watch,
) -> Result<Option<usize>, Stopped> {
    if homes.len() == 1 {
        return Ok(Some(0));
    }
    let mut total = vec![0.0; homes.len()];
    for (index, line) in style.lines.iter().enumerate() {
        if index % BEAT_LINES == 0 {
            watch.step(0)?;
        }
        let scores = vocabulary.scores(all.bytes(*line), style.plain);
        total
            .iter_mut()
            .zip(&scores)
            .for_each(|(sum, score)| *sum += score);
    }
    for (sum, home) in total.iter_mut().zip(homes) {
        // A program that writes objects puts its traces inside them.
        if all.is_object(home[0]) {
            *sum = 0.0;
        }
    }
    let least = EVIDENCE_MIN * style.lines.len() as f64;
    Ok(clear(&total).filter(|home| total[*home] >= least))
}

/// The clear winner, if there is one.
fn clear(scores: &[f64]) -> Option<usize> {
    let order = descending(scores.len(), &|at| scores[at]);
    let winner = *order.first()?;
    let next = order.get(1).map_or(0.0, |at| scores[*at]);
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
fn by_style(all: Lines<'_>, lines: &[u32]) -> Vec<Style> {
    let key = |line: u32| -> (bool, bool, &[u8]) {
        let text = all.bytes(line);
        let indent = if text.first().is_some_and(u8::is_ascii_whitespace) {
            &text[..1]
        } else {
            b""
        };
        let inner = text.trim_ascii_start();
        match inner.strip_prefix(b"at ") {
            Some(frame) if of_runtime(frame) => (false, false, b""),
            Some(frame) => (true, true, code_base(frame)),
            None if is_numbered_frame(text) || inner.starts_with(b"File \"") => {
                (true, true, indent)
            }
            None if indent.is_empty() || inner.starts_with(b"... ") => (false, false, b""),
            None => (false, true, indent),
        }
    };
    let parts = Parts::of(lines, &mut |line| {
        let (frames, plain, rest) = key(line);
        [&[u8::from(frames), u8::from(plain)][..], rest].concat()
    });
    let styles = parts.into_vec().into_iter().map(|(key, lines)| Style {
        lines,
        frames: key[0] == 1,
        plain: key[1] == 1,
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
    use crate::line::{Header, header};
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
