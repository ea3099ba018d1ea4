//! What a query for significant events is, and how it is checked against the data.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use taskhost_sdk::{Clients, Condition, Error, Stream};
use uuid::Uuid;

use crate::feature::Feature;
use crate::range::Range;
use crate::sample::{documents, sampling};
use crate::signs::{Severity, Sign, signs};
use crate::text::{cut, fields_of, grouped, kinds, paths, text_field, texts};

/// Ids of queries are made of what they select, below this one.
const NAMESPACE: Uuid = Uuid::from_u128(0x3d1f_8c52_90aa_4b0e_8f5d_61c0_27ab_94e7);
/// Lines of a feature that are shown to a model.
const SHOWN_MAX: usize = 25;
/// Of each so many characters.
const SHOWN_CHARS_MAX: usize = 240;

/// Who has thought of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Counting alone.
    Computed,
    /// A language model.
    Model,
}

/// A query that selects significant events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventQuery {
    /// The same for the same query in every run.
    pub id: String,
    /// The feature among whose documents it looks.
    pub feature: Named,
    /// What it finds, in a few words.
    pub title: String,
    /// How bad it is when it finds something.
    pub severity: Severity,
    /// Why somebody would want to know.
    pub why: String,
    /// Selects the events, in the whole stream.
    #[schemars(with = "Value")]
    pub query: Condition,
    /// The same without the feature's filter.
    #[schemars(with = "Value")]
    pub test: Condition,
    /// How many documents of the range it selects.
    pub count: u64,
    /// How many documents the feature has in the range.
    pub of: u64,
    /// Who has thought of it.
    pub source: Source,
}

/// A feature by its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Named {
    /// Its uuid, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// What it is called.
    pub name: String,
}

/// What is known of a feature's documents, to think of queries and to check them.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The feature.
    pub feature: Feature,
    /// How many documents it has in the range.
    pub of: u64,
    /// The field with the text, if one has it.
    pub field: Option<String>,
    /// Kinds of its lines with their counts in the sample, the most frequent first.
    pub lines: Vec<String>,
    /// What sets a few of its lines apart.
    pub signs: Vec<Sign>,
    /// Fields that its documents have.
    pub fields: BTreeSet<String>,
    /// How many documents were looked at.
    pub sampled: usize,
}

/// A query that somebody has thought of.
#[derive(Debug, Clone, PartialEq)]
pub struct Thought {
    /// In a few words.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// Why somebody would want to know.
    pub why: String,
    /// Selects the events among the feature's documents.
    pub test: Condition,
    /// Who has thought of it.
    pub source: Source,
}

impl Ground {
    /// Counts and samples the feature's documents.
    ///
    /// # Errors
    /// Those of [`Stream`].
    pub fn look(
        feature: Feature,
        (stream, range): (&Stream, Range),
        (size, seed): (u32, u64),
        clients: &Clients,
    ) -> Result<Self, Error> {
        let query = range.matching(&feature.filter);
        let of = stream.count(&query)?.value;
        let sampled = documents(stream.sample(&sampling(query, size, seed))?, clients)?;
        Ok(Self::of(feature, of, &sampled))
    }

    /// From documents of the feature.
    #[must_use]
    pub fn of(feature: Feature, of: u64, documents: &[Value]) -> Self {
        let field = text_field(documents);
        let texts = field
            .as_ref()
            .map_or_else(Vec::new, |field| texts(documents, field));
        let shown = kinds(&texts).into_iter().take(SHOWN_MAX);
        let lines = shown.map(|(count, line)| format!("{count}× {}", cut(line, SHOWN_CHARS_MAX)));
        Self {
            lines: lines.collect(),
            signs: signs(&texts),
            feature,
            of,
            field,
            fields: paths(documents),
            sampled: documents.len(),
        }
    }

    /// The thought as a query, if the data bear it out; else why not, for people.
    ///
    /// # Errors
    /// Those of [`Stream`].
    pub fn check(
        &self,
        thought: Thought,
        stream: &Stream,
        range: Range,
    ) -> Result<Result<EventQuery, String>, Error> {
        let mut fields = fields_of(&thought.test).into_iter();
        let invented = fields.find(|field| !self.fields.contains(*field));
        if let Some(field) = invented {
            let why = format!("no sampled document has the field `{}`", cut(field, 100));
            return Ok(Err(why));
        }
        let query = match &self.feature.filter {
            Condition::Always => thought.test.clone(),
            filter => Condition::and(vec![filter.clone(), thought.test.clone()]),
        };
        let counted = match stream.count(&range.matching(&query)) {
            Ok(counted) => counted.value,
            // Of a condition that is too large, or nested too deep.
            Err(error) if ["invalid", "too-large"].contains(&error.code()) => {
                return Ok(Err(error.message().to_owned()));
            }
            Err(error) => return Err(error),
        };
        if let Some(why) = objection(counted, self.of) {
            return Ok(Err(why));
        }
        Ok(Ok(self.query(thought, query, counted)))
    }

    fn query(&self, thought: Thought, query: Condition, count: u64) -> EventQuery {
        let id = Uuid::new_v5(&NAMESPACE, query.to_json().to_string().as_bytes());
        EventQuery {
            id: id.to_string(),
            feature: Named {
                uuid: self.feature.uuid.clone(),
                name: self.feature.name.clone(),
            },
            title: thought.title,
            severity: thought.severity,
            why: thought.why,
            query,
            test: thought.test,
            count,
            of: self.of,
            source: thought.source,
        }
    }
}

/// Why a query that selects so many of the feature's documents finds no events.
fn objection(count: u64, of: u64) -> Option<String> {
    match count {
        0 => Some("it selects nothing in the range".to_owned()),
        _ if count >= of => Some(format!(
            "it selects all {} documents of the feature: that is no event",
            grouped(of)
        )),
        _ if count > of / 2 => Some(format!(
            "it selects {} of the feature's {} documents: what most of them have is no event",
            grouped(count),
            grouped(of)
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_selects_nothing_or_most_is_no_event() {
        assert!(objection(0, 10).is_some());
        assert!(objection(10, 10).is_some());
        assert!(objection(6, 10).is_some());
        assert!(objection(1, 1).is_some());
        assert_eq!((objection(1, 10), objection(5, 10)), (None, None));
    }

    #[test]
    fn a_ground_has_kinds_of_lines_signs_and_fields() {
        let feature = Feature {
            uuid: None,
            name: "sshd".to_owned(),
            filter: Condition::always(),
            description: String::new(),
        };
        let documents: Vec<Value> = (0..20)
            .map(|n| {
                let line = if n == 7 {
                    "login failed".to_owned()
                } else {
                    format!("opened {n}")
                };
                json!({"message": line, "n": n})
            })
            .collect();
        let ground = Ground::of(feature, 20, &documents);
        assert_eq!(ground.lines, ["19× opened 0", "1× login failed"]);
        assert_eq!(ground.signs[0].text, "fail");
        assert!(ground.fields.iter().eq(["message", "n"]));
        assert_eq!(ground.field.as_deref(), Some("message"));
    }
}
