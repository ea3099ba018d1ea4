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

use serde_json::{Map, Value};
use taskhost_sdk::Condition;

use crate::arrange::{Placed, arrange};
use crate::cover::drafts;
use crate::fields::{Fields, fields, text_at};
use crate::groups::{groups, headers};
use crate::lines::Lines;
use crate::naming::{Story, stories};
use crate::sample::Sample;
use crate::tally::distinct;
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
    /// And whether it is the system's.
    pub own: Vec<bool>,
    /// What a language model has said of it beside its name; none where it has not named it.
    pub said: Option<Said>,
}

/// What a language model says of a system.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Said {
    /// What kind of system.
    pub subtype: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What identifies it.
    pub properties: Map<String, Value>,
    /// What the arithmetic calls it, in place of which it has the model's name.
    pub computed_name: Option<String>,
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
    if !is_enough(lines.len(), all.texts.len()) {
        return false;
    }
    let share = lines.len() as f64 / all.texts.len() as f64;
    if share >= ODDITY_SHARE_MAX {
        return true;
    }
    let patterns = lines.iter().map(|line| pattern(all.bytes(*line)));
    distinct(patterns, ODDITY_PATTERNS_MAX + 1) > ODDITY_PATTERNS_MAX
}

/// Whether so many of the documents may be a system.
#[must_use]
pub fn is_enough(lines: usize, documents: usize) -> bool {
    lines >= GROUP_LINES_MIN && lines as f64 >= GROUP_SHARE_MIN * documents as f64
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
        let mut is_own = vec![false; documents.len()];
        own.iter().for_each(|line| is_own[*line as usize] = true);
        outcome.found.push(Found {
            own: is_own,
            said: None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Unwatched;
    use serde_json::json;

    fn messages(texts: impl Iterator<Item = String>) -> Vec<Value> {
        texts
            .map(|text| json!({"@timestamp": "2024-01-02T03:04:05Z", "message": text}))
            .collect()
    }

    fn two_systems() -> Vec<Value> {
        let sshd = (0..400).map(|n| {
            let (second, say) = (n % 60, ["closed", "opened", "failed"][n % 3]);
            format!("Jan  2 03:04:{second:02} gate sshd[{n}]: session {say} for user u{n}")
        });
        let shop = (0..200).map(|n| {
            let (second, say) = (n % 60, ["placed", "paid"][n % 2]);
            format!(
                "2024-01-02 03:04:{second:02},123 INFO [exec-{n}] org.acme.shop.Cart: {say} {n}"
            )
        });
        messages(sshd.chain(shop))
    }

    #[test]
    fn two_systems_are_two_features_with_filters_names_and_evidence() {
        let documents = two_systems();
        let outcome = identify(&documents, &mut Unwatched).unwrap();
        assert_eq!((outcome.found.len(), outcome.unmatched), (2, 0));
        let names: Vec<&str> = outcome
            .found
            .iter()
            .map(|one| one.story.name.as_str())
            .collect();
        assert!(names.contains(&"sshd on gate"), "{names:?}");
        assert!(names.contains(&"org.acme.shop"), "{names:?}");
        for one in &outcome.found {
            assert_eq!((one.precision, one.recall), (1.0, 1.0));
            assert!(one.confidence > 90 && !one.story.evidence.is_empty());
            let filter = one.filter.to_json().to_string();
            assert!(
                !filter.contains(|c: char| c.is_ascii_digit()),
                "no numbers in {filter}"
            );
        }
    }

    #[test]
    fn one_system_is_one_feature_and_none_is_none() {
        let documents = two_systems();
        let outcome = identify(&documents[..400], &mut Unwatched).unwrap();
        assert_eq!((outcome.found.len(), outcome.unmatched), (1, 0));
        let outcome = identify(&[], &mut Unwatched).unwrap();
        assert_eq!((outcome.found.len(), outcome.unmatched), (0, 0));
        let outcome = identify(&[json!({"n": 1}), json!(7)], &mut Unwatched).unwrap();
        assert_eq!((outcome.found.len(), outcome.unmatched), (0, 2));
    }

    #[test]
    fn the_same_sample_gives_the_same_features() {
        let documents = two_systems();
        let filters = || -> Vec<Condition> {
            let outcome = identify(&documents, &mut Unwatched).unwrap();
            outcome.found.into_iter().map(|one| one.filter).collect()
        };
        assert_eq!(filters(), filters());
    }

    #[test]
    fn documents_of_services_are_told_apart_by_their_fields() {
        let documents: Vec<Value> = (0..300)
            .map(|n| {
                let service = ["orders", "auth", "mail"][n % 3];
                let text = ["placed order", "user came in", "sent letter"][n % 3];
                json!({"message": format!("{text} {n}"), "service": {"name": service}})
            })
            .collect();
        let outcome = identify(&documents, &mut Unwatched).unwrap();
        let mut names: Vec<&str> = outcome
            .found
            .iter()
            .map(|one| one.story.name.as_str())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["auth", "mail", "orders"]);
        assert_eq!(outcome.unmatched, 0);
    }

    #[test]
    fn odd_documents_do_no_harm() {
        let noise = |n: usize| -> String {
            let letters = (0..n % 90).map(|at| {
                char::from_u32((n * 7_919 + at * 104_729) as u32 % 0x2_0000).unwrap_or('\u{fffd}')
            });
            letters.collect()
        };
        for documents in [
            messages((0..2_000).map(noise)),
            messages((0..10_000).map(|_| "the same line".to_owned())),
            messages((0..20).map(|n| "word ".repeat(20_000 * (n % 3)))),
            messages((0..300).map(|n| format!("{{\"k{n}\":{n},\"v{n}\":[{{}}"))),
            messages((0..300).map(|n| format!("k{n}=2024-01-02T03:04:05Z \u{e9}{n}"))),
        ] {
            let outcome = identify(&documents, &mut Unwatched).unwrap();
            assert!(outcome.found.len() <= 64 && outcome.unmatched <= documents.len());
        }
    }

    /// Stops at the given call.
    struct StopAt(usize);

    impl Watch for StopAt {
        fn phase(&mut self, _: &'static str, _: usize) -> Result<(), Stopped> {
            self.step(0)
        }

        fn step(&mut self, _: usize) -> Result<(), Stopped> {
            if self.0 == 0 {
                return Err(Stopped);
            }
            self.0 -= 1;
            Ok(())
        }

        fn tell(&mut self, done: usize, _: &str) -> Result<(), Stopped> {
            self.step(done)
        }
    }

    #[test]
    fn it_stops_wherever_it_is_told_to() {
        let documents = two_systems();
        let mut calls = 0;
        while identify(&documents, &mut StopAt(calls)).is_err() {
            calls += 1;
            assert!(calls < 100_000);
        }
        assert!(calls > 100, "only {calls} looks at the watch");
    }
}
