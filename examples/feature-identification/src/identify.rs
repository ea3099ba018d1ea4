//! From a sample of documents to features: the whole of the algorithm, a pure function.

use serde_json::Value;
use taskhost_sdk::Condition;

use crate::arrange::arrange;
use crate::cover::drafts;
use crate::groups::groups;
use crate::sample::Sample;

/// A group must have this many lines to become a feature.
const GROUP_LINES_MIN: usize = 5;
/// And this share of the sample.
const GROUP_SHARE_MIN: f64 = 0.002;

/// Finds the systems.
#[must_use]
pub fn identify(documents: &[Value]) -> Vec<Condition> {
    let texts: Vec<&str> = documents.iter().map(|d| d["message"].as_str().unwrap_or("")).collect();
    if texts.is_empty() {
        return Vec::new();
    }
    let mut groups = groups(&texts);
    let total = texts.len() as f64;
    groups.retain(|g| g.len() >= GROUP_LINES_MIN && g.len() as f64 >= GROUP_SHARE_MIN * total);
    let sample = Sample::new(&texts, &groups);
    let placed = arrange(&sample, drafts(&sample, "message"));
    if let [only] = placed.as_slice() {
        let whole = sample.weight(&only.draft.items) >= total;
        return vec![if whole { only.draft.condition.clone() } else { Condition::exists("message", true) }];
    }
    placed.into_iter().map(|one| one.draft.condition).collect()
}
