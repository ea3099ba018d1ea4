//! Runs the algorithm on a sample of a mix and scores its features on the whole mix.

use std::time::{Duration, Instant};

use feature_identification::identify::identify;
use feature_identification::watch::Unwatched;
use serde_json::Value;
use taskhost_model::condition::Condition;

use crate::mix::{Draw, Mix};
use crate::score::{adjusted_rand_index, mean_best_f1};

/// Documents that the algorithm looks at, as the task does by default.
pub const SAMPLE_SIZE: usize = 10_000;

/// What came of one mix.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The features' filters, in order.
    pub filters: Vec<Condition>,
    /// Their names.
    pub names: Vec<String>,
    /// Adjusted Rand index over all documents.
    pub ari: f64,
    /// F1 of each source's best feature, averaged.
    pub f1: f64,
    /// Time that the algorithm took.
    pub took: Duration,
}

/// Finds the systems in a sample of at most `size` documents of a mix.
#[must_use]
pub fn measure(mix: &Mix, size: usize, seed: u64) -> Measured {
    let sample: Vec<Value> = Draw::new(seed)
        .sample(mix.documents.len(), size)
        .into_iter()
        .map(|index| mix.documents[index].clone())
        .collect();
    let began = Instant::now();
    let found = identify(&sample, &mut Unwatched)
        .map(|outcome| outcome.found)
        .unwrap_or_default();
    let took = began.elapsed();
    let filters: Vec<Condition> = found.iter().map(|one| one.filter.clone()).collect();
    let assigned = assigned(&mix.documents, &filters);
    Measured {
        ari: adjusted_rand_index(&mix.sources, &assigned),
        f1: mean_best_f1(&mix.sources, &assigned, filters.len()),
        names: found.into_iter().map(|one| one.story.name).collect(),
        filters,
        took,
    }
}

/// For each document the first filter that it satisfies, or the number of filters.
fn assigned(documents: &[Value], filters: &[Condition]) -> Vec<usize> {
    let first = |document: &Value| filters.iter().position(|filter| filter.matches(document));
    documents
        .iter()
        .map(|document| first(document).unwrap_or(filters.len()))
        .collect()
}
