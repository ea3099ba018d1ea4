//! What a language model proposes of a system, and what it is told of that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use taskhost_sdk::Condition;

use crate::identify::Said;
use crate::words_of_models::{NAME_CHARS_MAX, clean};

/// A shorter quotation stands everywhere.
const QUOTE_BYTES_MIN: usize = 4;
/// And of a longer one no more is looked for.
const QUOTE_CHARS_MAX: usize = 500;
/// A longer filter is no insight, and costs time.
const FILTER_BYTES_MAX: usize = 4_096;
/// The longest reason that a model is told.
const WHY_CHARS_MAX: usize = 300;
/// Tags, properties and quotations of one system that are looked at.
const EXTRAS_MAX: usize = 10;

/// A system, as a model proposes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Proposal {
    /// What it is called.
    pub name: String,
    /// The cluster that it writes: `c1`.
    pub cluster: Option<String>,
    /// What selects its documents, where the cluster's own filter does not do.
    pub filter: Option<Value>,
    /// What kind of system it is.
    pub subtype: Option<String>,
    /// Its name in a few words.
    pub title: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What identifies it.
    pub properties: Map<String, Value>,
    /// Text that stands in its lines.
    pub evidence: Vec<String>,
}

/// What came of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It names the system of that number.
    Names(usize),
    /// The system of that number names itself otherwise: it has a title.
    Entitles(usize),
    /// It is about the system of that number, and its filter is better than that of the arithmetic.
    Improves(usize),
    /// It is new, and has that number.
    Adds(usize),
    /// Nothing speaks for it, as the sentence says.
    Dropped(String),
}

#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) documents: usize,
    pub(crate) lines: Vec<String>,
    pub(crate) clusters: BTreeMap<String, usize>,
}

impl Proposal {
    /// As it is kept, and no longer: what an answer holds, only a model bounds.
    ///
    /// # Errors
    /// In words for the model, why it cannot be read.
    pub fn read(system: &Value) -> Result<Self, String> {
        let read = Self::deserialize(system);
        let it = read.map_err(|error| clean(&error.to_string(), WHY_CHARS_MAX))?;
        let filter = it.filter.filter(|it| !it.is_null());
        if filter
            .as_ref()
            .is_some_and(|it| it.to_string().len() > FILTER_BYTES_MAX)
        {
            return Err("its filter is too long".to_owned());
        }
        let short = |text: &str| clean(text, NAME_CHARS_MAX);
        let some = |texts: &[String], chars_max: usize| {
            let texts = texts.iter().take(EXTRAS_MAX);
            texts.map(|text| clean(text, chars_max)).collect()
        };
        let properties = it.properties.iter().filter_map(|(key, value)| {
            let value = match value {
                Value::String(text) => Value::from(short(text)),
                Value::Number(_) | Value::Bool(_) => value.clone(),
                _ => return None,
            };
            Some((short(key), value))
        });
        Ok(Self {
            name: short(&it.name),
            cluster: it.cluster.as_deref().map(short),
            filter,
            subtype: it.subtype.as_deref().map(short),
            title: it.title.map(|title| clean(&title, 2 * NAME_CHARS_MAX)),
            tags: some(&it.tags, NAME_CHARS_MAX),
            properties: properties.take(EXTRAS_MAX).collect(),
            evidence: some(&it.evidence, QUOTE_CHARS_MAX),
        })
    }
}

/// What it quotes, long enough to say something.
pub(crate) fn quotes(proposal: &Proposal) -> Vec<String> {
    let quotes = proposal.evidence.iter();
    let long_enough = quotes.filter(|quote| quote.len() >= QUOTE_BYTES_MIN);
    long_enough.cloned().collect()
}

/// As it is shown to a model, a line has single blanks.
pub(crate) fn single(text: &str) -> String {
    clean(text, usize::MAX)
}

/// What a model is told of its proposal.
pub(crate) fn told(proposal: &Proposal, verdict: &Verdict, shown: &Shown) -> Value {
    let verdict = match verdict {
        Verdict::Names(at) => format!("names c{}; the cluster keeps its own filter", at + 1),
        Verdict::Entitles(at) => format!(
            "its title is that of c{}; the name stays, since no word of yours stands there or in \
             your evidence",
            at + 1
        ),
        Verdict::Improves(at) => format!("names c{}, and its filter is better", at + 1),
        Verdict::Adds(_) => "is new".to_owned(),
        Verdict::Dropped(why) => format!("dropped: {}", clean(why, WHY_CHARS_MAX)),
    };
    json!({"name": proposal.name, "verdict": verdict, "documents": shown.documents,
        "of_clusters": shown.clusters, "lines": shown.lines})
}

impl Said {
    /// Beside its name.
    #[must_use]
    pub fn of(proposal: &Proposal) -> Self {
        Self {
            subtype: proposal.subtype.clone().filter(|it| !it.is_empty()),
            tags: proposal.tags.clone(),
            properties: proposal.properties.clone(),
            computed_name: None,
        }
    }
}

/// Fields of all tests.
pub(crate) fn fields_of(filter: &Condition, names: &mut Vec<String>) {
    match filter {
        Condition::Always | Condition::Never => {}
        Condition::And(all) | Condition::Or(all) => {
            all.iter().for_each(|one| fields_of(one, names));
        }
        Condition::Not(one) => fields_of(one, names),
        Condition::Field { field, .. } => names.push(field.clone()),
    }
}
