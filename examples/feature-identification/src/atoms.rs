//! Proposes atoms for filters: short constant pieces of text that a group's lines share.
//!
//! What is proposed here is only likely to be good; [`crate::cover`] measures it on the whole
//! sample.

use crate::bits::Bits;
use crate::hash::{FastMap, hash_of};
use crate::pieces::{Stamped, constants, pieces_of, starts_of};
use crate::sample::Sample;
use crate::tally::{Tally, arranged, descending, ordered};
use crate::watch::{Stopped, Watch};

/// Lines that are read for pieces, over all groups; and of each group at least and at most.
const LINES_OF_ALL: usize = 2_400;
const LINES_MIN: usize = 40;
const LINES_MAX: usize = 192;
/// A label's value is of use where this share of the group's lines has it.
const LABEL_SHARE_MIN: f64 = 0.05;

/// Ways to open a line that are tried: at most so many, that so many lines have, and so much of
/// the group.
const STARTS_MAX: usize = 16;
const START_LINES_MIN: f64 = 3.0;
const START_SHARE_MIN: f64 = 0.02;
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
        let constants = constants(&stamped(sample, items));
        let mut shares: FastMap<u64, f64> = FastMap::default();
        for (row, item) in items.iter().enumerate() {
            watch.step(group)?;
            let mut seen = Vec::new();
            pieces_of(
                sample.text(*item),
                sample.stamps(*item),
                &constants,
                &mut |text, _| seen.push(hash_of(text.as_bytes())),
            );
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
        let constants = constants(&stamped(sample, items));
        for (row, item) in items.iter().enumerate() {
            watch.step(group)?;
            pieces_of(
                sample.text(*item),
                sample.stamps(*item),
                &constants,
                &mut |text, offset| {
                    if let Some(piece) = frequent.get_mut(&hash_of(text.as_bytes())) {
                        piece.add(group, row, offset, text);
                    }
                },
            );
        }
    }
    let pieces: Vec<Piece> = frequent.into_values().collect();
    let order = ordered(pieces.len(), &|a, b| pieces[a].text.cmp(&pieces[b].text));
    let pieces = arranged(pieces, &order);
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

fn stamped<'a>(sample: &Sample<'a>, items: &[usize]) -> Vec<Stamped<'a>> {
    items
        .iter()
        .map(|item| (sample.text(*item), sample.stamps(*item)))
        .collect()
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
        let mut counts = Tally::default();
        for item in sample.members[group].iter() {
            if let Some(value) = sample.label(label, item) {
                counts.add(value.as_bytes(), sample.items[item].weight);
            }
        }
        let least = START_LINES_MIN.max(LABEL_SHARE_MIN * sample.sizes[group]);
        for (value, _) in counts.iter().filter(|(_, weight)| *weight >= least) {
            let value = String::from_utf8_lossy(value).into_owned();
            atoms.push(Atom::Label(label, value));
        }
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
    let items: Vec<usize> = sample.members[group].iter().collect();
    if items.len() <= most {
        return items;
    }
    let order = descending(items.len(), &|at| sample.items[items[at]].weight);
    let items = arranged(items, &order);
    let (heavy, rest) = items.split_at(most / 2);
    let step = rest.len().div_ceil(most / 2).max(1);
    heavy
        .iter()
        .chain(rest.iter().step_by(step))
        .copied()
        .collect()
}

/// How the lines open, if they share that: the text before the first thing that varies.
fn starts(sample: &Sample<'_>, items: &[usize]) -> Vec<Atom> {
    let total: f64 = items.iter().map(|item| sample.items[*item].weight).sum();
    let mut counts = Tally::default();
    for item in items {
        for start in starts_of(sample.text(*item), sample.stamps(*item)) {
            counts.add(start.as_bytes(), sample.items[*item].weight);
        }
    }
    let frequent = |weight: f64| weight >= START_LINES_MIN && weight >= START_SHARE_MIN * total;
    let ranked = counts
        .ranked()
        .into_iter()
        .filter(|(_, weight)| frequent(*weight));
    let texts = ranked
        .take(STARTS_MAX)
        .filter_map(|(text, _)| std::str::from_utf8(text).ok());
    texts.map(|text| Atom::Starts(text.to_owned())).collect()
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
    let order = ordered(candidates.len(), &|a, b| {
        let (a, b) = (&candidates[a], &candidates[b]);
        b.share
            .total_cmp(&a.share)
            .then(worth(&b.piece.text).cmp(&worth(&a.piece.text)))
            .then(a.piece.place().total_cmp(&b.piece.place()))
            .then(a.piece.text.len().cmp(&b.piece.text.len()))
            .then(a.piece.text.cmp(&b.piece.text))
    });
    let candidates = arranged(candidates, &order);
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
