//! Which field of the documents is the text, and which fields name what wrote it.

use std::collections::BTreeMap;

use serde_json::Value;
use stream_reading::text::{TEXT_FIELDS, below};

use crate::hosts::names_source;

/// Objects within objects are looked into so deep.
const DEPTH_MAX: usize = 4;
/// Fields of one document that are looked at.
const FIELDS_MAX: usize = 64;
/// Documents that are looked at to choose fields.
const DOCUMENTS_MAX: usize = 2_000;
/// A field names sources when this share of the documents has it.
const LABEL_SHARE_MIN: f64 = 0.95;
/// And it has at most so many different values.
const LABEL_VALUES_MAX: usize = 64;
/// A longer value is no name, in bytes.
const LABEL_BYTES_MAX: usize = 96;

/// The fields that matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    /// The field that holds the text, if any does.
    pub text: Option<String>,
    /// Fields whose values name a machine or an application.
    pub labels: Vec<String>,
}

/// Chooses the fields.
#[must_use]
pub fn fields(documents: &[Value]) -> Fields {
    let step = documents.len().div_ceil(DOCUMENTS_MAX).max(1);
    let looked_at: Vec<&Value> = documents.iter().step_by(step).collect();
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for document in &looked_at {
        let mut left = FIELDS_MAX;
        visit(document, "", DEPTH_MAX, &mut left, &mut |path, text| {
            let field = seen.entry(path.to_owned()).or_default();
            field.present += 1;
            field.bytes += text.len();
            if field.values.len() <= LABEL_VALUES_MAX && text.len() <= LABEL_BYTES_MAX {
                *field.values.entry(text.to_owned()).or_insert(0) += 1;
            }
        });
    }
    let share = |count: usize| count as f64 / looked_at.len().max(1) as f64;
    let usual = TEXT_FIELDS.iter().find(|name| {
        seen.get(**name)
            .is_some_and(|field| share(field.present) >= 0.5)
    });
    let text = usual.map(|name| (*name).to_owned()).or_else(|| {
        seen.iter()
            .filter(|(path, field)| !path.starts_with('@') && share(field.present) >= 0.5)
            .max_by_key(|(_, field)| field.bytes)
            .map(|(path, _)| path.clone())
    });
    let labels = seen
        .into_iter()
        .filter(|(path, field)| {
            text.as_ref() != Some(path)
                && names_source(path)
                && share(field.present) >= LABEL_SHARE_MIN
                && field.values.len() <= LABEL_VALUES_MAX
        })
        .map(|(path, _)| path)
        .collect();
    Fields { text, labels }
}

/// The text at a dotted path: the literal key first, then the nested one, as conditions read it.
#[must_use]
pub fn text_at<'d>(document: &'d Value, path: &str) -> Option<&'d str> {
    let object = document.as_object()?;
    if let Some(value) = object.get(path) {
        return value.as_str();
    }
    path.match_indices('.')
        .find_map(|(at, _)| text_at(object.get(&path[..at])?, &path[at + 1..]))
}

#[derive(Debug, Default)]
struct Seen {
    present: usize,
    bytes: usize,
    values: BTreeMap<String, usize>,
}

fn visit(
    value: &Value,
    path: &str,
    depth: usize,
    left: &mut usize,
    found: &mut dyn FnMut(&str, &str),
) {
    let Some(object) = value.as_object() else {
        return;
    };
    for (key, value) in object {
        if *left == 0 {
            return;
        }
        *left -= 1;
        let Some(path) = below(path, key) else {
            continue;
        };
        match value {
            Value::String(text) => found(&path, text),
            Value::Object(_) if depth > 0 => visit(value, &path, depth - 1, left, found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_usual_field_is_the_text_and_names_are_labels() {
        let documents: Vec<Value> = (0..20)
            .map(|n| {
                json!({"@timestamp": "2024", "message": format!("m {n}"), "level": "info",
                       "service": {"name": if n % 2 == 0 { "shop" } else { "auth" }}})
            })
            .collect();
        let fields = fields(&documents);
        assert_eq!(fields.text.as_deref(), Some("message"));
        assert_eq!(fields.labels, ["service.name"]);
        assert_eq!(text_at(&documents[0], "service.name"), Some("shop"));
        assert_eq!(
            text_at(&json!({"a.b": "x", "a": {"b": "y"}}), "a.b"),
            Some("x")
        );
    }

    #[test]
    fn without_a_usual_field_the_longest_text_is_taken() {
        let documents = [json!({"kind": "a", "note": "a long text that says much"})];
        assert_eq!(fields(&documents).text.as_deref(), Some("note"));
        assert_eq!(fields(&[json!({"n": 1}), json!(7)]), Fields::default());
    }
}
