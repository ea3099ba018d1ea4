//! Proposes atoms for filters: short constant pieces of text that a group's lines share.
//!
//! Pieces are runs of whole tokens without anything that varies: no timestamps, no numbers, no
//! names with digits unless most of the group has them. What is proposed here is only likely to
//! be good; [`crate::cover`] measures it on the whole sample.

use crate::bits::Bits;
use crate::hash::{FastMap, hash_of};
use crate::sample::Sample;
use crate::stamp::is_calendar_word;

/// Lines of each group that are read for pieces.
const LINES_MAX: usize = 192;
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

/// One test of the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    /// The text has this within it.
    Contains(String),
    /// The text begins with this.
    Starts(String),
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
#[must_use]
pub fn propose(sample: &Sample<'_>) -> Vec<Vec<Atom>> {
    let lines: Vec<Vec<usize>> = (0..sample.members.len())
        .map(|group| chosen_lines(sample, group))
        .collect();
    let mut pieces: FastMap<u64, Piece> = FastMap::default();
    for (group, items) in lines.iter().enumerate() {
        let constants = constants(sample, items);
        for (row, item) in items.iter().enumerate() {
            collect(sample, *item, &constants, &mut |text, offset| {
                pieces.entry(hash_of(text.as_bytes())).or_default().add(group, row, offset, text);
            });
        }
    }
    let mut pieces: Vec<Piece> = pieces.into_values().collect();
    pieces.sort_by(|a, b| a.text.cmp(&b.text));
    lines
        .iter()
        .enumerate()
        .map(|(group, items)| {
            let mut atoms = starts(sample, items);
            atoms.extend(shortlist(&pieces, group, &lines));
            atoms
        })
        .collect()
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

    fn of_group(&self, group: usize) -> impl Iterator<Item = usize> {
        let group = group as u32;
        self.rows.iter().filter(move |(g, _)| *g == group).map(|(_, row)| *row as usize)
    }
}

/// The heaviest items of a group and, between them, a spread of the others.
fn chosen_lines(sample: &Sample<'_>, group: usize) -> Vec<usize> {
    let mut items: Vec<usize> = sample.members[group].iter().collect();
    if items.len() <= LINES_MAX {
        return items;
    }
    items.sort_by(|a, b| sample.items[*b].weight.total_cmp(&sample.items[*a].weight));
    let (heavy, rest) = items.split_at(LINES_MAX / 2);
    let step = rest.len().div_ceil(LINES_MAX / 2).max(1);
    heavy.iter().chain(rest.iter().step_by(step)).copied().collect()
}

/// Names with digits that are constants of this group all the same.
fn constants(sample: &Sample<'_>, items: &[usize]) -> FastMap<u64, ()> {
    let mut counts: FastMap<u64, (f64, bool)> = FastMap::default();
    for item in items {
        let stamps = sample.stamps(*item);
        let mut seen = Vec::new();
        for token in tokens(sample.text(*item), &stamps) {
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
        let share = if bare { NUMBER_SHARE_MIN } else { DIGITS_SHARE_MIN };
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
        if let Some((_, end)) = stamps.iter().find(|(start, end)| (*start..*end).contains(&at)) {
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
            tokens.push(if plain { Token::Fixed(at, at + 1) } else { Token::Varies });
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
    let tokens = tokens(text, &sample.stamps(item));
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

/// A piece says something: a letter or two signs, and it is no fragment.
fn is_telling(piece: &str) -> bool {
    let letters = piece.bytes().filter(u8::is_ascii_alphanumeric).count();
    let signs = piece.bytes().filter(u8::is_ascii_punctuation).count();
    letters + 2 * signs >= 3 && piece.len() >= 3 || (letters >= 1 && signs >= 1)
}

/// How the lines open, if they share that: the text before the first thing that varies.
fn starts(sample: &Sample<'_>, items: &[usize]) -> Vec<Atom> {
    let mut counts: FastMap<&str, usize> = FastMap::default();
    for item in items {
        let text = sample.text(*item);
        let stamps = sample.stamps(*item);
        let fixed = tokens(text, &stamps)
            .into_iter()
            .map_while(|token| match token {
                Token::Fixed(_, end) if end <= PIECE_BYTES_MAX => Some(end),
                _ => None,
            });
        for end in fixed.take(PIECE_TOKENS_MAX) {
            *counts.entry(&text[..end]).or_insert(0) += 1;
        }
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(text, count)| (std::cmp::Reverse(*count), *text));
    let enough = |count: usize| count >= 3 && count * 25 >= items.len();
    counts
        .into_iter()
        .filter(|(_, count)| enough(*count))
        .take(16)
        .map(|(text, _)| Atom::Starts(text.to_owned()))
        .collect()
}

/// Picks pieces that cover the group: those that others lack, and those that nearly all have.
fn shortlist(pieces: &[Piece], group: usize, lines: &[Vec<usize>]) -> Vec<Atom> {
    let own = lines[group].len();
    let mut candidates: Vec<(Bits, f64, f64, &Piece)> = Vec::new();
    for piece in pieces {
        let count = piece.of_group(group).count();
        if count < 2.min(own) || count * 100 < own {
            continue;
        }
        let mut rows = Bits::new(own);
        piece.of_group(group).for_each(|row| rows.set(row));
        let mut elsewhere = vec![0usize; lines.len()];
        for (other, _) in &piece.rows {
            elsewhere[*other as usize] += 1;
        }
        let foreign = elsewhere
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != group)
            .map(|(other, count)| *count as f64 / lines[other].len().max(1) as f64)
            .sum::<f64>();
        let share = count as f64 / own as f64;
        candidates.push((rows, share, foreign, piece));
    }
    let place = |piece: &Piece| piece.offsets as f64 / piece.rows.len().max(1) as f64;
    // The share first; then what stands early; then what is short.
    candidates.sort_by(|a, b| {
        b.1.total_cmp(&a.1)
            .then(place(a.3).total_cmp(&place(b.3)))
            .then(a.3.text.len().cmp(&b.3.text.len()))
            .then(a.3.text.cmp(&b.3.text))
    });
    let mut picked: Vec<&Piece> = Vec::new();
    for limit in [0.0, 0.05, 0.4] {
        let pure = candidates.iter().filter(|(_, share, foreign, _)| *foreign <= limit * share);
        pick(pure, own, if limit == 0.0 { 20 } else { 10 }, &mut picked);
    }
    pick(candidates.iter(), own, 12, &mut picked);
    for (_, share, _, piece) in candidates.iter().take(8) {
        if *share > 0.5 && !picked.iter().any(|p| p.text == piece.text) {
            picked.push(piece);
        }
    }
    picked.into_iter().map(|piece| Atom::Contains(piece.text.clone())).collect()
}

/// Greedy cover of the group's lines.
fn pick<'p>(
    candidates: impl Iterator<Item = &'p (Bits, f64, f64, &'p Piece)>,
    own: usize,
    count: usize,
    picked: &mut Vec<&'p Piece>,
) {
    let candidates: Vec<_> = candidates.take(4_000).collect();
    let mut covered = Bits::new(own);
    for _ in 0..count {
        let gain = |rows: &Bits| rows.minus(&covered).iter().count();
        let Some((rows, .., piece)) = candidates
            .iter()
            .rev()
            .max_by_key(|(rows, ..)| gain(rows))
            .filter(|(rows, ..)| gain(rows) > 0)
        else {
            return;
        };
        covered = covered.or(rows);
        if !picked.iter().any(|p| p.text == piece.text) {
            picked.push(piece);
        }
    }
}
