//! Proposes atoms for filters: short constant pieces of text that a group's lines share.
//!
//! Pieces are runs of whole tokens without anything that varies: no timestamps, no numbers, no
//! names with digits unless most of the group has them. What is proposed here is only likely to
//! be good; [`crate::cover`] measures it on the whole sample.

use std::collections::BTreeMap;

use crate::bits::Bits;
use crate::hash::{FastMap, hash_of};
use crate::sample::Sample;
use crate::stamp::is_calendar_word;
use crate::watch::{Stopped, Watch};

/// Lines that are read for pieces, over all groups; and of each group at least and at most.
const LINES_OF_ALL: usize = 2_400;
const LINES_MIN: usize = 40;
const LINES_MAX: usize = 192;
/// A label's value is of use where this share of the group's lines has it.
const LABEL_SHARE_MIN: f64 = 0.05;
/// Tokens of each line that are read, from its start.
const TOKENS_MAX: usize = 56;
/// Tokens in one piece at most.
const PIECE_TOKENS_MAX: usize = 5;
/// Bytes in one piece at most.
const PIECE_BYTES_MAX: usize = 36;
/// A name with digits is a constant where this share of the group's lines has it.
const DIGITS_SHARE_MIN: f64 = 0.3;
/// A bare number is a constant where this share has it.
const NUMBER_SHARE_MIN: f64 = 0.9;

/// A piece that fewer of a group's lines have is not looked at.
const PIECE_SHARE_MIN: f64 = 0.004;
/// More letters make a piece no more telling.
const LETTERS_ENOUGH: usize = 6;
/// Candidates that are weighed against each other.
const CANDIDATES_MAX: usize = 3_000;

/// One test of the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    /// The text has this within it.
    Contains(String),
    /// The text begins with this.
    Starts(String),
    /// This label of the document has this value.
    Label(usize, String),
}

/// An atom and the items that satisfy it.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The test.
    pub atom: Atom,
    /// The items that satisfy it.
    pub items: Bits,
}

/// Per group the atoms worth a try.
///
/// # Errors
/// [`Stopped`] when the watch says so.
pub fn propose(sample: &Sample<'_>, watch: &mut dyn Watch) -> Result<Vec<Vec<Atom>>, Stopped> {
    let count = sample.members.len();
    let share = (LINES_OF_ALL / count.max(1)).clamp(LINES_MIN, LINES_MAX);
    let lines: Vec<Vec<usize>> = (0..count)
        .map(|group| chosen_lines(sample, group, share))
        .collect();
    // Most pieces occur once: those that are rare in every group are dropped before they cost.
    let mut frequent: FastMap<u64, Piece> = FastMap::default();
    for (group, items) in lines.iter().enumerate() {
        let weights = weights(sample, items);
        let constants = constants(sample, items);
        let mut shares: FastMap<u64, f64> = FastMap::default();
        for (row, item) in items.iter().enumerate() {
            watch.step(group)?;
            let mut seen = Vec::new();
            collect(sample, *item, &constants, &mut |text, _| {
                seen.push(hash_of(text.as_bytes()))
            });
            seen.sort_unstable();
            seen.dedup();
            for piece in seen {
                *shares.entry(piece).or_insert(0.0) += weights[row];
            }
        }
        let least = least_share(sample, group);
        let kept = shares.into_iter().filter(|(_, share)| *share >= least);
        frequent.extend(kept.map(|(piece, _)| (piece, Piece::default())));
    }
    for (group, items) in lines.iter().enumerate() {
        let constants = constants(sample, items);
        for (row, item) in items.iter().enumerate() {
            watch.step(group)?;
            collect(sample, *item, &constants, &mut |text, offset| {
                if let Some(piece) = frequent.get_mut(&hash_of(text.as_bytes())) {
                    piece.add(group, row, offset, text);
                }
            });
        }
    }
    let mut pieces: Vec<Piece> = frequent.into_values().collect();
    pieces.sort_by(|a, b| a.text.cmp(&b.text));
    let mut proposed = Vec::with_capacity(count);
    for (group, items) in lines.iter().enumerate() {
        watch.step(group)?;
        let mut atoms = labels(sample, group);
        atoms.extend(starts(sample, items));
        atoms.extend(shortlist(sample, &pieces, group, &lines));
        proposed.push(atoms);
    }
    Ok(proposed)
}

fn least_share(sample: &Sample<'_>, group: usize) -> f64 {
    (2.0 / sample.sizes[group]).max(PIECE_SHARE_MIN)
}

/// The share of the chosen lines that each of them stands for.
fn weights(sample: &Sample<'_>, items: &[usize]) -> Vec<f64> {
    let total: f64 = items.iter().map(|item| sample.items[*item].weight).sum();
    items
        .iter()
        .map(|item| sample.items[*item].weight / total)
        .collect()
}

/// Values of labels that a good part of the group has.
fn labels(sample: &Sample<'_>, group: usize) -> Vec<Atom> {
    let mut atoms = Vec::new();
    for label in 0..sample.all.labels.len() {
        let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
        for item in sample.members[group].iter() {
            if let Some(value) = sample.label(label, item) {
                *counts.entry(value).or_insert(0.0) += sample.items[item].weight;
            }
        }
        let frequent = counts.into_iter().filter(|(_, weight)| {
            *weight >= 3.0 && *weight >= LABEL_SHARE_MIN * sample.sizes[group]
        });
        atoms.extend(frequent.map(|(value, _)| Atom::Label(label, value.to_owned())));
    }
    atoms
}

/// A piece of text and the lines that have it.
#[derive(Debug, Default)]
struct Piece {
    text: String,
    rows: Vec<(u32, u32)>,
    offsets: usize,
}

impl Piece {
    fn add(&mut self, group: usize, row: usize, offset: usize, text: &str) {
        if self.text.is_empty() {
            text.clone_into(&mut self.text);
        }
        let key = (group as u32, row as u32);
        if self.rows.last() != Some(&key) {
            self.rows.push(key);
            self.offsets += offset;
        }
    }

    /// How far from the start of a line it stands, in bytes on average.
    fn place(&self) -> f64 {
        self.offsets as f64 / self.rows.len().max(1) as f64
    }

    fn of_group(&self, group: usize) -> impl Iterator<Item = usize> {
        let group = group as u32;
        self.rows
            .iter()
            .filter(move |(g, _)| *g == group)
            .map(|(_, row)| *row as usize)
    }
}

/// The heaviest items of a group and, between them, a spread of the others.
fn chosen_lines(sample: &Sample<'_>, group: usize, most: usize) -> Vec<usize> {
    let mut items: Vec<usize> = sample.members[group].iter().collect();
    if items.len() <= most {
        return items;
    }
    items.sort_by(|a, b| sample.items[*b].weight.total_cmp(&sample.items[*a].weight));
    let (heavy, rest) = items.split_at(most / 2);
    let step = rest.len().div_ceil(most / 2).max(1);
    heavy
        .iter()
        .chain(rest.iter().step_by(step))
        .copied()
        .collect()
}

/// Names with digits that are constants of this group all the same.
fn constants(sample: &Sample<'_>, items: &[usize]) -> FastMap<u64, ()> {
    let mut counts: FastMap<u64, (f64, bool)> = FastMap::default();
    for item in items {
        let stamps = sample.stamps(*item);
        let mut seen = Vec::new();
        for token in tokens(sample.text(*item), stamps) {
            if let Token::Digits(start, end) = token {
                let word = &sample.text(*item).as_bytes()[start..end];
                seen.push((hash_of(word), word.iter().all(u8::is_ascii_digit)));
            }
        }
        seen.sort_unstable();
        seen.dedup();
        for (word, bare) in seen {
            counts.entry(word).or_insert((0.0, bare)).0 += 1.0;
        }
    }
    let enough = |count: f64, bare: bool| {
        let share = if bare {
            NUMBER_SHARE_MIN
        } else {
            DIGITS_SHARE_MIN
        };
        count >= 3.0 && count >= share * items.len() as f64
    };
    counts.retain(|_, (count, bare)| enough(*count, *bare));
    counts.into_keys().map(|word| (word, ())).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// A word or a run of blanks or a single sign: constant.
    Fixed(usize, usize),
    /// Has digits.
    Digits(usize, usize),
    /// Part of a timestamp, or not ASCII.
    Varies,
}

fn tokens(text: &str, stamps: &[(usize, usize)]) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() && tokens.len() < TOKENS_MAX {
        if let Some((_, end)) = stamps
            .iter()
            .find(|(start, end)| (*start..*end).contains(&at))
        {
            tokens.push(Token::Varies);
            at = *end;
            continue;
        }
        let same = |test: fn(&u8) -> bool| bytes[at..].iter().take_while(|b| test(b)).count();
        let word = same(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if word > 0 {
            let piece = &bytes[at..at + word];
            tokens.push(if piece.iter().any(u8::is_ascii_digit) {
                Token::Digits(at, at + word)
            } else if is_calendar_word(piece) {
                Token::Varies
            } else {
                Token::Fixed(at, at + word)
            });
            at += word;
        } else if bytes[at] == b' ' {
            let blanks = same(|byte| *byte == b' ');
            tokens.push(Token::Fixed(at, at + blanks));
            at += blanks;
        } else if bytes[at].is_ascii() {
            let plain = bytes[at] == b'\t' || bytes[at].is_ascii_punctuation();
            tokens.push(if plain {
                Token::Fixed(at, at + 1)
            } else {
                Token::Varies
            });
            at += 1;
        } else {
            tokens.push(Token::Varies);
            at += 1;
            while at < bytes.len() && !text.is_char_boundary(at) {
                at += 1;
            }
        }
    }
    tokens
}

/// Calls `emit` with every piece of a line and where it starts.
fn collect(
    sample: &Sample<'_>,
    item: usize,
    constants: &FastMap<u64, ()>,
    emit: &mut dyn FnMut(&str, usize),
) {
    let text = sample.text(item);
    let tokens = tokens(text, sample.stamps(item));
    let span = |token: Token| match token {
        Token::Fixed(start, end) => Some((start, end)),
        Token::Digits(start, end) => {
            let constant = constants.contains_key(&hash_of(&text.as_bytes()[start..end]));
            constant.then_some((start, end))
        }
        Token::Varies => None,
    };
    for first in 0..tokens.len() {
        let Some((start, _)) = span(tokens[first]) else {
            continue;
        };
        for token in tokens.iter().skip(first).take(PIECE_TOKENS_MAX) {
            let Some((_, end)) = span(*token) else {
                break;
            };
            if end - start > PIECE_BYTES_MAX {
                break;
            }
            if is_telling(&text[start..end]) {
                emit(&text[start..end], start);
            }
        }
    }
}

/// A piece says something: letters, or signs that stand together.
fn is_telling(piece: &str) -> bool {
    let letters = piece.bytes().filter(u8::is_ascii_alphanumeric).count();
    let signs = piece.bytes().filter(u8::is_ascii_punctuation).count();
    piece.len() >= 2 && letters + 2 * signs >= 3
        || (letters >= 1 && signs >= 1)
        || (letters >= 1 && piece.len() >= letters + 2)
}

/// How the lines open, if they share that: the text before the first thing that varies.
fn starts(sample: &Sample<'_>, items: &[usize]) -> Vec<Atom> {
    let total: f64 = items.iter().map(|item| sample.items[*item].weight).sum();
    let mut counts: FastMap<&str, f64> = FastMap::default();
    for item in items {
        let text = sample.text(*item);
        let stamps = sample.stamps(*item);
        let fixed = tokens(text, stamps)
            .into_iter()
            .map_while(|token| match token {
                Token::Fixed(_, end) if end <= PIECE_BYTES_MAX => Some(end),
                _ => None,
            });
        for end in fixed.take(PIECE_TOKENS_MAX) {
            *counts.entry(&text[..end]).or_insert(0.0) += sample.items[*item].weight;
        }
    }
    let mut counts: Vec<(&str, f64)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    counts.retain(|(_, weight)| *weight >= 3.0 && *weight >= 0.02 * total);
    let starts = counts.into_iter().take(16);
    starts
        .map(|(text, _)| Atom::Starts(text.to_owned()))
        .collect()
}

/// A piece under consideration for one group.
struct Candidate<'p> {
    rows: Bits,
    /// The share of the group's lines that have it.
    share: f64,
    /// The sum of the shares of the other groups' lines that have it.
    foreign: f64,
    piece: &'p Piece,
}

/// Picks pieces that cover the group: those that others lack, and those that nearly all have.
fn shortlist(
    sample: &Sample<'_>,
    pieces: &[Piece],
    group: usize,
    lines: &[Vec<usize>],
) -> Vec<Atom> {
    let weights: Vec<Vec<f64>> = lines.iter().map(|items| weights(sample, items)).collect();
    let least = least_share(sample, group);
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    for piece in pieces {
        let share: f64 = piece.of_group(group).map(|row| weights[group][row]).sum();
        if share < least {
            continue;
        }
        let mut rows = Bits::new(lines[group].len());
        piece.of_group(group).for_each(|row| rows.set(row));
        let others = piece
            .rows
            .iter()
            .filter(|(other, _)| *other as usize != group);
        candidates.push(Candidate {
            rows,
            share,
            foreign: others
                .map(|(other, row)| weights[*other as usize][*row as usize])
                .sum(),
            piece,
        });
    }
    candidates.sort_by(|a, b| {
        b.share
            .total_cmp(&a.share)
            .then(worth(&b.piece.text).cmp(&worth(&a.piece.text)))
            .then(a.piece.place().total_cmp(&b.piece.place()))
            .then(a.piece.text.len().cmp(&b.piece.text.len()))
            .then(a.piece.text.cmp(&b.piece.text))
    });
    let mut picked: Vec<&Piece> = Vec::new();
    for (limit, count) in [(0.0, 24), (0.05, 10), (0.4, 10), (f64::INFINITY, 10)] {
        let pure = candidates
            .iter()
            .filter(|one| one.foreign <= limit * one.share);
        pick(pure, &weights[group], count, &mut picked);
    }
    for one in candidates.iter().take(8).filter(|one| one.share > 0.5) {
        if !picked.iter().any(|piece| piece.text == one.piece.text) {
            picked.push(one.piece);
        }
    }
    picked
        .into_iter()
        .map(|piece| Atom::Contains(piece.text.clone()))
        .collect()
}

/// How well a piece reads and keeps: enough letters to be no accident, whole words.
fn worth(piece: &str) -> (usize, usize) {
    let letters = piece.bytes().filter(u8::is_ascii_alphabetic).count();
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| !byte.is_ascii_alphanumeric());
    let closed = usize::from(edge(piece.bytes().next())) + usize::from(edge(piece.bytes().last()));
    (letters.min(LETTERS_ENOUGH), closed)
}

/// Greedy cover of the group's lines.
fn pick<'p>(
    candidates: impl Iterator<Item = &'p Candidate<'p>>,
    weights: &[f64],
    count: usize,
    picked: &mut Vec<&'p Piece>,
) {
    let candidates: Vec<_> = candidates.take(CANDIDATES_MAX).collect();
    let mut covered = Bits::new(weights.len());
    for _ in 0..count {
        let gain = |one: &Candidate<'_>| -> f64 {
            one.rows
                .minus(&covered)
                .iter()
                .map(|row| weights[row])
                .sum()
        };
        // Of equals the first: `max_by` keeps the last.
        let Some((best, _)) = candidates
            .iter()
            .map(|one| (*one, gain(one)))
            .rev()
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .filter(|(_, gain)| *gain > 0.0)
        else {
            return;
        };
        covered = covered.or(&best.rows);
        if !picked.iter().any(|piece| piece.text == best.piece.text) {
            picked.push(best.piece);
        }
    }
}
