//! Joins small groups to larger ones that name the same things, and fragments without a header
//! to what has none either.

use crate::lines::Lines;
use crate::tally::{arranged, descending, distinct};
use crate::vocabulary::Vocabulary;
use crate::watch::{Stopped, Watch};
use crate::words::pattern;

/// A group with less than this share of the lines may belong to a larger one.
const SMALL_SHARE_MAX: f64 = 0.01;
/// The same for a group with a header of its own.
const FORMAL_SHARE_MAX: f64 = 0.005;
/// Share of a small group's lines that must name something of the larger one, and of no other.
const NAMED_MIN: f64 = 0.5;
/// The larger group is at least this many times larger.
const LARGER_FACTOR: usize = 3;
/// A fragment is at least this many times smaller than the group it belongs to.
const FRAGMENT_FACTOR: usize = 10;
/// A fragment has no more patterns than this.
const FRAGMENT_PATTERNS_MAX: usize = 2;

/// Lines that belong together so far.
#[derive(Debug, Clone)]
pub struct Source {
    /// The lines.
    pub lines: Vec<u32>,
    /// Told apart from others of the same layout by a name: a machine, an application.
    pub named: bool,
}

/// Joins small groups to the one larger group that names the same things.
///
/// # Errors
/// [`Stopped`] when the watch says so.
pub fn join_small(
    all: Lines<'_>,
    sources: Vec<Source>,
    watch: &mut dyn Watch,
) -> Result<Vec<Vec<u32>>, Stopped> {
    let total = all.texts.len() as f64;
    let apart: Vec<bool> = sources
        .iter()
        .map(|source| source.named || all.is_object(source.lines[0]))
        .collect();
    let mut groups: Vec<Vec<u32>> = sources.into_iter().map(|source| source.lines).collect();
    let vocabulary = Vocabulary::of(all, &groups, watch)?;
    let mut order = descending(groups.len(), &|at| groups[at].len() as f64);
    order.reverse();
    let mut moves = Vec::new();
    for index in order {
        let lines = &groups[index];
        let stamped = all.is_stamped(lines[0]);
        let limit = if stamped {
            FORMAL_SHARE_MAX
        } else {
            SMALL_SHARE_MAX
        };
        if apart[index] || lines.len() as f64 >= limit * total {
            continue;
        }
        let mut named = vec![0.0; groups.len()];
        for line in lines {
            for other in vocabulary.only_others(all.bytes(*line), index) {
                if groups[other].len() > LARGER_FACTOR * lines.len() {
                    named[other] += 1.0;
                }
            }
        }
        let order = descending(named.len(), &|at| named[at]);
        let next = order.get(1).map_or(0.0, |at| named[*at]);
        let home = order[0];
        if named[home] >= NAMED_MIN * lines.len() as f64 && named[home] > 2.0 * next {
            moves.push((index, home));
        }
    }
    // The smallest first: what a group has taken in goes on with it.
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
#[must_use]
pub fn join_fragments(all: Lines<'_>, groups: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    let simple = |group: &Vec<u32>| {
        let patterns = group.iter().map(|line| pattern(all.bytes(*line)));
        distinct(patterns, FRAGMENT_PATTERNS_MAX + 1) <= FRAGMENT_PATTERNS_MAX
    };
    let (formal, bare): (Vec<_>, Vec<_>) = groups
        .into_iter()
        .partition(|group| all.is_stamped(group[0]) || all.is_object(group[0]));
    let order = descending(bare.len(), &|at| bare[at].len() as f64);
    let mut kept: Vec<Vec<u32>> = Vec::new();
    for group in arranged(bare, &order) {
        match kept.first_mut() {
            Some(first) if group.len() * FRAGMENT_FACTOR <= first.len() && simple(&group) => {
                first.extend(group);
            }
            _ => kept.push(group),
        }
    }
    let Some(largest) = kept.first().map(Vec::len) else {
        return formal;
    };
    for group in formal {
        let midst = all.is_stamped(group[0]) && !all.lead(group[0]).starts_with("0 ");
        if midst && group.len() <= largest && simple(&group) {
            kept[0].extend(group);
        } else {
            kept.push(group);
        }
    }
    kept
}
