//! From a sample of documents to features: the whole of the algorithm, a pure function.
//!
//! # How it works
//! 1. The field with the text is chosen, and fields that name applications ([`crate::fields`]).
//! 2. Each line's header is read: its timestamp's format, and what kinds of columns follow
//!    ([`crate::line`]).
//! 3. Lines are grouped by that shape ([`crate::shape`]), then by host or service where a column
//!    names one ([`crate::hosts`]), then by families of loggers ([`crate::apps`]); lines without
//!    a header follow the vocabulary ([`crate::links`]).
//! 4. For each group a short filter is built of pieces of text that its lines share and others
//!    lack ([`crate::atoms`], [`crate::cover`]), and the filters are put in order
//!    ([`crate::arrange`]).
//! 5. Each filter is measured on all documents of the sample, and described in words
//!    ([`crate::naming`]).

use serde_json::Value;
use taskhost_sdk::Condition;

use crate::arrange::{Placed, arrange};
use crate::cover::drafts;
use crate::fields::{Fields, fields, text_at};
use crate::groups::{groups, headers};
use crate::naming::{Story, stories};
use crate::sample::Sample;
use crate::shape::Lines;
use crate::watch::{Stopped, Watch};
use crate::words::pattern;

/// A group must have this many lines to become a feature.
const GROUP_LINES_MIN: usize = 5;
/// And this share of the sample.
const GROUP_SHARE_MIN: f64 = 0.002;
/// A group with less than this share and hardly more than one pattern is an oddity of another.
const ODDITY_SHARE_MAX: f64 = 0.01;
const ODDITY_PATTERNS_MAX: usize = 2;
/// One test that so many documents satisfy without exception may be expected to hold.
const PROOF_MIN: usize = 1_000;
/// Documents between two looks at the watch.
const BEAT_DOCUMENTS: usize = 64;

/// A system that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Selects its documents.
    pub filter: Condition,
    /// What people read about it.
    pub story: Story,
    /// Of the documents that satisfy the filter, the share that is the system's.
    pub precision: f64,
    /// Of the system's documents, the share that satisfies the filter.
    pub recall: f64,
    /// From 0 to 100.
    pub confidence: u8,
    /// For each document of the sample, whether it satisfies the filter.
    pub matched: Vec<bool>,
}

/// What a sample holds.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The systems. A document belongs to the first whose filter it satisfies.
    pub found: Vec<Found>,
    /// Documents that satisfy no filter.
    pub unmatched: usize,
}

/// Finds the systems that wrote the documents. The same documents give the same outcome.
///
/// # Errors
/// [`Stopped`] when the watch says so.
pub fn identify(documents: &[Value], watch: &mut dyn Watch) -> Result<Outcome, Stopped> {
    watch.phase("field statistics", documents.len())?;
    let fields = fields(documents);
    watch.step(documents.len())?;
    if fields == Fields::default() {
        // Nothing in them is text: there is nothing to tell systems apart by.
        return Ok(Outcome {
            found: Vec::new(),
            unmatched: documents.len(),
        });
    }
    let texts: Vec<&str> = documents
        .iter()
        .map(|document| {
            let path = fields.text.as_deref().unwrap_or("");
            text_at(document, path).unwrap_or("")
        })
        .collect();
    let labels: Vec<Vec<Option<&str>>> = fields
        .labels
        .iter()
        .map(|path| {
            documents
                .iter()
                .map(|document| text_at(document, path))
                .collect()
        })
        .collect();
    let headers = headers(&texts, watch)?;
    let all = Lines {
        headers: &headers,
        texts: &texts,
        labels: &labels,
    };
    let mut groups = groups(all, &fields.labels, watch)?;
    groups.retain(|lines| is_system(all, lines));
    let sample = Sample::new(all, &groups, watch)?;
    let drafts = drafts(&sample, &fields, watch)?;
    let placed = arrange(&sample, drafts);
    let stories = stories(&sample, &groups, watch)?;
    measure(documents, &fields, &groups, placed, &stories, watch)
}

/// Large enough, and no mere oddity.
fn is_system(all: Lines<'_>, lines: &[u32]) -> bool {
    let share = lines.len() as f64 / all.texts.len() as f64;
    if lines.len() < GROUP_LINES_MIN || share < GROUP_SHARE_MIN {
        return false;
    }
    if share >= ODDITY_SHARE_MAX {
        return true;
    }
    let patterns = lines
        .iter()
        .map(|line| pattern(all.texts[*line as usize].as_bytes()));
    let mut patterns: Vec<u64> = patterns.collect();
    patterns.sort_unstable();
    patterns.dedup();
    patterns.len() > ODDITY_PATTERNS_MAX
}

/// Measures the filters on the documents themselves.
fn measure(
    documents: &[Value],
    fields: &Fields,
    groups: &[Vec<u32>],
    placed: Vec<Placed>,
    stories: &[Story],
    watch: &mut dyn Watch,
) -> Result<Outcome, Stopped> {
    watch.phase("measuring", documents.len() * placed.len())?;
    let whole = |group: &Vec<u32>| 10 * group.len() >= 9 * documents.len();
    let alone = placed.len() == 1 && groups.iter().any(whole);
    let mut outcome = Outcome::default();
    let mut taken = vec![false; documents.len()];
    let mut done = 0;
    for Placed { group, draft } in placed {
        let mut filter = draft.condition;
        let mut matched = evaluate(&filter, documents, done, watch)?;
        done += documents.len();
        // A stream of one system has no other lines: whatever comes is of that system.
        let proven = matches!(filter, Condition::Field { .. }) && documents.len() >= PROOF_MIN;
        if alone && !(proven && matched.iter().all(|hit| *hit)) {
            filter = match &fields.text {
                Some(text) => Condition::exists(text.as_str(), true),
                None => Condition::always(),
            };
            matched = evaluate(&filter, documents, done, watch)?;
        }
        let own = &groups[group];
        let hits = own.iter().filter(|line| matched[**line as usize]).count();
        let all_hits = matched.iter().filter(|hit| **hit).count();
        let newly = own
            .iter()
            .filter(|line| matched[**line as usize] && !taken[**line as usize]);
        if newly.count() < GROUP_LINES_MIN.min(own.len()) {
            continue;
        }
        taken
            .iter_mut()
            .zip(&matched)
            .for_each(|(taken, hit)| *taken |= hit);
        let precision = hits as f64 / all_hits.max(1) as f64;
        let recall = hits as f64 / own.len().max(1) as f64;
        outcome.found.push(Found {
            confidence: confidence(precision, recall, own.len()),
            filter,
            story: stories.get(group).cloned().unwrap_or_default(),
            precision: rounded(precision),
            recall: rounded(recall),
            matched,
        });
    }
    outcome.unmatched = taken.iter().filter(|taken| !**taken).count();
    Ok(outcome)
}

/// Which documents satisfy a filter.
///
/// # Errors
/// [`Stopped`] when the watch says so.
pub fn evaluate(
    filter: &Condition,
    documents: &[Value],
    done: usize,
    watch: &mut dyn Watch,
) -> Result<Vec<bool>, Stopped> {
    let mut matched = Vec::with_capacity(documents.len());
    for (index, document) in documents.iter().enumerate() {
        if index % BEAT_DOCUMENTS == 0 {
            watch.step(done + index)?;
        }
        matched.push(filter.matches(document));
    }
    Ok(matched)
}

/// The filter's F1, less where few lines speak for it.
fn confidence(precision: f64, recall: f64, lines: usize) -> u8 {
    let f1 = 2.0 * precision * recall / (precision + recall).max(f64::EPSILON);
    let support = 1.0 - (-(lines as f64) / 20.0).exp();
    (100.0 * f1 * support).round() as u8
}

fn rounded(share: f64) -> f64 {
    (share * 10_000.0).round() / 10_000.0
}
