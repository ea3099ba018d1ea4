//! Names groups after what sets them apart, and says in sentences what is known of them.

use crate::apps::main_logger;
use crate::hosts::host_and_programs;
use crate::line::is_level;
use crate::lines::{Lines, share};
use crate::sample::Sample;
use crate::stamp::is_calendar_word;
use crate::tally::{Tally, arranged, descending};
use crate::watch::{Stopped, Watch};
use crate::words::is_filler;

/// Lines of a group that are shown.
const EVIDENCE_MAX: usize = 4;
/// Of a shown line at most so many characters.
const EVIDENCE_CHARS: usize = 160;
/// Words that name a group at most.
const NAME_WORDS_MAX: usize = 2;
/// A word names a group when it is this much of the best word.
const WORD_SHARE_MIN: f64 = 0.4;
/// And it must be written in this share of the lines more than twice as often as elsewhere.
const WORD_SCORE_MIN: f64 = 0.02;
/// A label is that of a group when this share of its lines has it, and of the label's lines.
const PURE_SHARE_MIN: f64 = 0.9;
/// Patterns of a group that are read for words.
const LINES_MAX: usize = 500;
/// Text of a line that is read for words, in bytes.
const WORDS_BYTES_MAX: usize = 400;
/// What people read about a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Story {
    /// What it is called.
    pub name: String,
    /// The name in a few words.
    pub title: String,
    /// Its lines have the name for themselves, as their program's, host's or logger's.
    pub names_itself: bool,
    /// What is known.
    pub description: String,
    /// Frequent lines, with shares.
    pub evidence: Vec<String>,
}

/// The stories of all groups.
///
/// # Errors
/// [`Stopped`] when the watch says so.
pub fn stories(
    sample: &Sample<'_>,
    groups: &[Vec<u32>],
    watch: &mut dyn Watch,
) -> Result<Vec<Story>, Stopped> {
    let mut words: Vec<Tally> = Vec::new();
    for group in 0..groups.len() {
        watch.step(group)?;
        words.push(word_shares(sample, group, watch)?);
    }
    let mut stories = Vec::new();
    for (group, lines) in groups.iter().enumerate() {
        watch.step(group)?;
        stories.push(story(sample, group, lines, &words));
    }
    Ok(stories)
}

/// `ftpd on combo` → `ftpd-on-combo`; what is taken gets a number.
#[must_use]
pub fn slug(name: &str, taken: &mut Vec<String>) -> String {
    let mut slug = String::new();
    for letter in name.chars().take(60) {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    let slug = match slug.trim_end_matches('-') {
        "" => "system",
        slug => slug,
    };
    let numbered = (2..).map(|number| format!("{slug}-{number}"));
    let free = std::iter::once(slug.to_owned())
        .chain(numbered)
        .find(|candidate| !taken.contains(candidate))
        .unwrap_or_default();
    taken.push(free.clone());
    free
}

fn story(sample: &Sample<'_>, group: usize, lines: &[u32], words: &[Tally]) -> Story {
    let telling = telling_words(group, words);
    let host = host_and_programs(sample.all, lines);
    let logger = main_logger(sample.all, lines);
    let label = label(sample, lines);
    let names_itself = label.is_some() || host.is_some() || logger.is_some();
    let (name, title) = if let Some(label) = label {
        (label.clone(), label)
    } else if let Some((host, programs)) = &host {
        match programs.first() {
            Some((program, share)) if *share >= 0.8 => {
                let name = format!("{program} on {host}");
                (name.clone(), name)
            }
            _ => {
                let names: Vec<&str> = programs
                    .iter()
                    .take(3)
                    .map(|(name, _)| name.as_str())
                    .collect();
                (host.clone(), format!("{host}: {}", names.join(", ")))
            }
        }
    } else if let Some(logger) = &logger {
        (logger.clone(), format!("Application {logger}"))
    } else if is_access_log(sample.all, lines) {
        let name = "access log".to_owned();
        (name, "Access log of a web server".to_owned())
    } else if telling.is_empty() {
        (
            format!("system {}", group + 1),
            format!("System {}", group + 1),
        )
    } else {
        let name = telling[..telling.len().min(NAME_WORDS_MAX)].join(" ");
        (name, format!("Lines with {}", quoted(&telling)))
    };
    let mut parts = vec![opening(sample, group)];
    if let Some((host, programs)) = &host {
        let listed = programs.iter().filter(|(_, share)| *share >= 0.01).take(6);
        let listed: Vec<String> = listed
            .map(|(name, share)| format!("{name} ({})", percent(*share)))
            .collect();
        parts.push(format!(
            "The host is {host}; programs: {}.",
            listed.join(", ")
        ));
    }
    if let Some(logger) = logger {
        parts.push(format!("Most of its loggers begin with {logger}."));
    }
    if !telling.is_empty() {
        parts.push(format!(
            "Words that others do not write: {}.",
            quoted(&telling)
        ));
    }
    Story {
        name,
        title,
        names_itself,
        description: parts.join(" "),
        evidence: evidence(sample, group),
    }
}

/// Whether what follows the timestamp is a request in quotes.
fn is_access_log(all: Lines<'_>, lines: &[u32]) -> bool {
    const METHODS: [&[u8]; 4] = [b"\"GET ", b"\"POST ", b"\"HEAD ", b"\"PUT "];
    let request = |line: u32| {
        let column = all.column(line, 0);
        METHODS.iter().any(|method| column.starts_with(method))
    };
    share(lines, &request) >= 0.8
}

/// The value of a label that nearly all lines have.
fn label(sample: &Sample<'_>, lines: &[u32]) -> Option<String> {
    let all = sample.all;
    let value_of = |label: usize| {
        let mut counts = Tally::default();
        for value in lines.iter().filter_map(|line| all.label(label, *line)) {
            counts.add(value.as_bytes(), 1.0);
        }
        let (value, count) = counts.largest()?;
        let value = std::str::from_utf8(value).ok()?;
        let whole = all.labels[label]
            .iter()
            .filter(|one| **one == Some(value))
            .count();
        // A label that others share as well does not set the group apart.
        let apart = count >= PURE_SHARE_MIN * lines.len().max(whole) as f64;
        apart.then(|| value.to_owned())
    };
    (0..all.labels.len()).find_map(value_of)
}

fn opening(sample: &Sample<'_>, group: usize) -> String {
    let Some(item) = heaviest(sample, group).first().copied() else {
        return String::new();
    };
    match sample.stamps(item).first() {
        Some((start, end)) => {
            let stamp = sample.text(item).get(*start..*end).unwrap_or("");
            format!("Its lines have timestamps like `{stamp}`.")
        }
        None => "Its lines have no timestamp of their own.".to_owned(),
    }
}

/// The items of a group, the most frequent first.
fn heaviest(sample: &Sample<'_>, group: usize) -> Vec<usize> {
    let items: Vec<usize> = sample.members[group].iter().collect();
    let order = descending(items.len(), &|at| sample.items[items[at]].weight);
    arranged(items, &order)
}

fn evidence(sample: &Sample<'_>, group: usize) -> Vec<String> {
    heaviest(sample, group)
        .into_iter()
        .take(EVIDENCE_MAX)
        .map(|item| {
            let share = sample.items[item].weight / sample.sizes[group];
            let text = sample.text(item).trim();
            let mut shown: String = text.chars().take(EVIDENCE_CHARS).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            format!("{} like: {shown}", percent(share))
        })
        .collect()
}

/// In which share of a group's lines each word stands.
fn word_shares(sample: &Sample<'_>, group: usize, watch: &mut dyn Watch) -> Result<Tally, Stopped> {
    let mut shares = Tally::default();
    for (index, item) in heaviest(sample, group)
        .into_iter()
        .take(LINES_MAX)
        .enumerate()
    {
        if index % 64 == 0 {
            watch.step(group)?;
        }
        let mut seen = Tally::default();
        for word in name_words(sample.text(item)) {
            seen.add(word.as_bytes(), 1.0);
        }
        for (word, _) in seen.iter() {
            shares.add(word, sample.items[item].weight / sample.sizes[group]);
        }
    }
    Ok(shares)
}

/// Words that could name something; names of values (`key=`, `"key":`) do not.
fn name_words(text: &str) -> Vec<&str> {
    let mut end = text.len().min(WORDS_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '$');
    text.split(|c: char| !part(c))
        .filter(|word| {
            let after = &text[word.as_ptr() as usize - text.as_ptr() as usize + word.len()..];
            !after.starts_with('=') && !after.starts_with("\":")
        })
        .map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
        .filter(|word| {
            let digits = word.bytes().filter(u8::is_ascii_digit).count();
            (3..=40).contains(&word.len())
                && word.starts_with(|c: char| c.is_ascii_alphabetic())
                && digits <= 2
                && !is_level(word.as_bytes())
                && !is_calendar_word(word.as_bytes())
                && !is_filler(word.as_bytes())
        })
        .collect()
}

/// The words that a group writes often and the others seldom, the best first.
fn telling_words(group: usize, words: &[Tally]) -> Vec<String> {
    let mut scored = Tally::default();
    for (word, share) in words[group].iter() {
        let others = words
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != group);
        let elsewhere = others
            .map(|(_, shares)| shares.of(word))
            .fold(0.0, f64::max);
        scored.add(word, share - 2.0 * elsewhere);
    }
    let ranked = scored.ranked();
    let best = ranked.first().map_or(0.0, |(_, score)| *score);
    let least = (WORD_SHARE_MIN * best).max(WORD_SCORE_MIN);
    let telling: Vec<&[u8]> = ranked
        .into_iter()
        .take_while(|(_, score)| *score >= least)
        .map(|(word, _)| word)
        .collect();
    // An identifier names a program better than a word of a language does; a long word better
    // than a short one.
    let rank = |at: usize| f64::from(rank(telling[at]));
    let order = descending(telling.len(), &rank);
    let names = order
        .into_iter()
        .map(|at| String::from_utf8_lossy(telling[at]).into_owned());
    names.take(NAME_WORDS_MAX).collect()
}

/// How well a word suits a name.
fn rank(word: &[u8]) -> u8 {
    let inner = &word[1..];
    let signs = inner
        .iter()
        .any(|byte| matches!(byte, b'_' | b'.' | b'$' | b'-'));
    let capitals = inner.iter().any(u8::is_ascii_uppercase);
    let small = word.iter().any(u8::is_ascii_lowercase);
    2 * u8::from(signs || (capitals && small)) + u8::from(word.len() > 3)
}

fn quoted(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("“{word}”")).collect();
    quoted.join(", ")
}

/// `31 %`, and `0.4 %` below one. In whole numbers: code that writes fractions would weigh more
/// than all the rest here.
fn percent(share: f64) -> String {
    match (share * 1_000.0).round() as u64 {
        permille @ 0..10 => format!("0.{permille} %"),
        _ => format!("{} %", (share * 100.0).round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_written_as_people_read_them() {
        let written: Vec<String> = [0.3149, 1.0, 0.0041, 0.0099].map(percent).into();
        assert_eq!(written, ["31 %", "100 %", "0.4 %", "1 %"]);
    }

    #[test]
    fn slugs_are_unique_and_plain() {
        let mut taken = Vec::new();
        assert_eq!(slug("sshd on LabSZ", &mut taken), "sshd-on-labsz");
        assert_eq!(slug("sshd on LabSZ", &mut taken), "sshd-on-labsz-2");
        assert_eq!(slug("…", &mut taken), "system");
    }

    #[test]
    fn names_are_words_and_no_numbers_or_levels() {
        let words = name_words("INFO Jan http 12345 org.acme.Cart: 10.0.0.1 a_b key=val");
        assert_eq!(words, ["org.acme.Cart", "a_b", "val"]);
    }
}
