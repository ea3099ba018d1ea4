//! What a sample tells of a stream, before anybody puts it into words.

use serde_json::Value;
use stream_reading::feature::Feature;
use stream_reading::signs::{Sign, signs};
use stream_reading::text::{kinds, text_field, texts};
use taskhost_sdk::FieldStats;

/// Kinds of lines that are kept.
const KINDS_MAX: usize = 30;
/// Values of a field with more different ones say nothing of the stream.
const VALUES_MAX: u64 = 20;

/// What is known of the stream's part that was looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// The stream.
    pub(crate) name: String,
    /// What people wrote about it.
    pub(crate) described: Option<String>,
    /// Documents in the range.
    pub(crate) documents: u64,
    /// Documents of the sample.
    pub(crate) sampled: u64,
    /// The field with the text.
    pub(crate) text_field: Option<String>,
    /// Its other fields, most frequent first, with values where there are few.
    pub(crate) fields: Vec<FieldFact>,
    /// How many different kinds of lines the sample has.
    pub(crate) kinds: usize,
    /// The most frequent of them, with how many lines are like it.
    pub(crate) lines: Vec<(u64, String)>,
    /// Words of trouble.
    pub(crate) signs: Vec<Sign>,
    /// Systems that are known, with how many sampled documents are theirs.
    pub(crate) features: Vec<(u64, Feature)>,
}

/// A field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldFact {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
}

impl Facts {
    /// Adds what the documents of a sample say.
    pub(crate) fn look(&mut self, documents: &[Value], known: Vec<Feature>) {
        self.sampled = documents.len() as u64;
        self.text_field = text_field(documents);
        let field = self.text_field.clone().unwrap_or_default();
        let texts = texts(documents, &field);
        let kinds = kinds(&texts);
        self.kinds = kinds.len();
        let lines = kinds.into_iter().take(KINDS_MAX);
        self.lines = lines
            .map(|(count, line)| (count as u64, line.to_owned()))
            .collect();
        self.signs = signs(&texts).into_iter().filter(|it| it.is_word).collect();
        // A document belongs to the first feature whose filter it satisfies.
        let mut counts = vec![0; known.len()];
        for document in documents {
            let owner = known.iter().position(|it| it.filter.matches(document));
            if let Some(owner) = owner {
                counts[owner] += 1;
            }
        }
        self.features = counts.into_iter().zip(known).collect();
        self.features
            .sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        self.features.retain(|(count, _)| *count > 0);
    }

    /// Adds what fields there are.
    pub(crate) fn note(&mut self, stats: FieldStats) {
        let others = stats.fields.into_iter().filter(|field| {
            field.field != "@timestamp" && Some(&field.field) != self.text_field.as_ref()
        });
        let fact = |field: taskhost_sdk::FieldSummary| {
            let is_few = field.distinct <= VALUES_MAX;
            let values = field.top.into_iter().filter(|_| is_few).take(5);
            FieldFact {
                name: field.field,
                values: values.map(|value| shown(&value.value)).collect(),
            }
        };
        self.fields = others.take(40).map(fact).collect();
    }
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use taskhost_sdk::Condition;

    #[test]
    fn a_document_is_the_first_features_that_selects_it() {
        let feature = |name: &str, text: &str| Feature {
            uuid: None,
            name: name.to_owned(),
            filter: Condition::contains("message", text),
            description: String::new(),
        };
        let documents: Vec<Value> = (0..10)
            .map(|n| json!({"message": if n < 7 { "sshd: failed" } else { "cron: ran" }}))
            .collect();
        let mut facts = Facts::default();
        let known = vec![
            feature("cron", "cron"),
            feature("all", ":"),
            feature("none", "x"),
        ];
        facts.look(&documents, known);
        let counts: Vec<(u64, &str)> = facts
            .features
            .iter()
            .map(|(count, feature)| (*count, feature.name.as_str()))
            .collect();
        assert_eq!(counts, [(7, "all"), (3, "cron")]);
        assert_eq!((facts.kinds, facts.sampled), (2, 10));
        assert_eq!(facts.lines[0], (7, "sshd: failed".to_owned()));
    }
}
