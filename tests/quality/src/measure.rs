//! Runs the algorithm on a sample of a mix and scores its features on the whole mix.

use std::time::{Duration, Instant};

use feature_identification::ground::Ground;
use feature_identification::identify::{Found, identify};
use feature_identification::prompts::Prompts;
use feature_identification::talk::{Model, Talk, talk};
use feature_identification::watch::Unwatched;
use serde_json::Value;
use taskhost_model::condition::Condition;

use crate::accepted::Accepted;
use crate::mix::{Draw, Mix};
use crate::score::{adjusted_rand_index, best_groups, mean_best_f1};

/// Documents that the algorithm looks at, as the task does by default.
pub const SAMPLE_SIZE: usize = 10_000;

/// What came of one mix.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The features' filters, in order.
    pub filters: Vec<Condition>,
    /// Their names.
    pub names: Vec<String>,
    /// What the arithmetic calls those that a model has named otherwise, which is kept beside that.
    pub beside: Vec<Option<String>>,
    /// Adjusted Rand index over all documents.
    pub ari: f64,
    /// F1 of each source's best feature, averaged.
    pub f1: f64,
    /// The share of the sources whose best feature has a name that a person would accept.
    pub named: f64,
    /// The same where one that is kept beside the name will do.
    pub named_beside: f64,
    /// Time that the algorithm took.
    pub took: Duration,
}

/// Finds the systems in a sample of at most `size` documents of a mix.
#[must_use]
pub fn measure(mix: &Mix, size: usize, seed: u64) -> Measured {
    measured(mix, size, seed, None)
}

/// The same with a language model.
#[must_use]
pub fn measure_with(mix: &Mix, size: usize, seed: u64, model: &mut dyn Model) -> Measured {
    measured(mix, size, seed, Some(model))
}

fn measured(mix: &Mix, size: usize, seed: u64, model: Option<&mut dyn Model>) -> Measured {
    let sample: Vec<Value> = Draw::new(seed)
        .sample(mix.documents.len(), size)
        .into_iter()
        .map(|index| mix.documents[index].clone())
        .collect();
    let began = Instant::now();
    let mut found = identify(&sample, &mut Unwatched)
        .map(|outcome| outcome.found)
        .unwrap_or_default();
    if let Some(model) = model {
        let ground = Ground::new(&sample, &found, &[]);
        let talked = talk(
            ("logs", &Prompts::default()),
            &ground,
            &mut Talk::default(),
            model,
            &mut Unwatched,
            &mut |_, _| Ok(()),
        );
        // A run that is ended keeps what was saved: here, what the arithmetic has found.
        found = talked.unwrap_or_else(|_| found.clone());
    }
    let took = began.elapsed();
    let filters: Vec<Condition> = found.iter().map(|one| one.filter.clone()).collect();
    let computed = |one: &Found| one.said.as_ref().and_then(|it| it.computed_name.clone());
    let beside: Vec<Option<String>> = found.iter().map(computed).collect();
    let names: Vec<String> = found.into_iter().map(|one| one.story.name).collect();
    let assigned = assigned(&mix.documents, &filters);
    let best = best_groups(&mix.sources, &assigned, filters.len());
    let accepted = Accepted::read();
    let share = |accepts: &dyn Fn(&str, usize) -> bool| {
        let is_accepted = |(source, (group, _)): &(&usize, &(Option<usize>, f64))| {
            group.is_some_and(|group| accepts(&mix.names[**source], group))
        };
        best.iter().filter(is_accepted).count() as f64 / best.len().max(1) as f64
    };
    let has_name = |source: &str, group: usize| accepted.accepts(source, &names[group]);
    let has_one_beside = |source: &str, group: usize| {
        let beside = beside[group].as_ref();
        has_name(source, group) || beside.is_some_and(|name| accepted.accepts(source, name))
    };
    let (named, named_beside) = (share(&has_name), share(&has_one_beside));
    Measured {
        ari: adjusted_rand_index(&mix.sources, &assigned),
        f1: mean_best_f1(&mix.sources, &assigned, filters.len()),
        named,
        named_beside,
        names,
        beside,
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
