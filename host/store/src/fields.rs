//! Statistics of the fields of documents, gathered one document at a time. Memory stays bounded
//! because the bytes that are looked at are.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;

use serde_json::Value;
use taskhost_model::condition::FIELD_BYTES_MAX;
use taskhost_model::query::Query;

use crate::streams::{FieldStat, FieldStats, ValueCount};

/// Documents that are looked at when the query does not say.
pub(crate) const SAMPLE_DEFAULT: u64 = 10_000;

const FIELDS_MAX: usize = 1_000;
const DISTINCT_MAX: usize = 10_000;
const VALUES_DEFAULT: u64 = 10;
const TEXT_CHARACTERS_MAX: usize = 256;
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Statistics that grow.
#[derive(Debug)]
pub(crate) struct Gathering<'a> {
    only: Option<&'a [String]>,
    values_max: usize,
    bytes_left: u64,
    hasher: RandomState,
    documents: u64,
    fields: HashMap<String, Field>,
    left_out: HashSet<u64>,
}

#[derive(Debug, Default)]
struct Field {
    present: u64,
    /// The number of the last document that had it.
    last_document: u64,
    types: BTreeMap<&'static str, u64>,
    /// By the hash of type and whole value.
    values: HashMap<u64, (Value, u64)>,
    more_values: bool,
}

impl<'a> Gathering<'a> {
    pub(crate) fn new(query: &'a Query) -> Self {
        let values_max = query.max_values.unwrap_or(VALUES_DEFAULT).min(100);
        Self {
            only: query.fields.as_deref(),
            values_max: usize::try_from(values_max).unwrap_or(usize::MAX),
            bytes_left: query.max_bytes.unwrap_or(u64::MAX).min(BYTES_MAX),
            hasher: RandomState::new(),
            documents: 0,
            fields: HashMap::new(),
            left_out: HashSet::new(),
        }
    }

    /// Looks at a document; false when no more bytes may be looked at, this one's included.
    pub(crate) fn take(&mut self, body: &str) -> bool {
        let Some(left) = self.bytes_left.checked_sub(body.len() as u64) else {
            return false;
        };
        self.bytes_left = left;
        self.documents += 1;
        if let Ok(Value::Object(object)) = serde_json::from_str(body) {
            for (key, value) in object {
                self.walk(key, value);
            }
        }
        true
    }

    /// The statistics: most frequent fields first, and within a field the most frequent values.
    pub(crate) fn finish(self) -> FieldStats {
        let values_max = self.values_max;
        let each = |(name, field): (String, Field)| field.finish(name, values_max);
        let mut fields: Vec<FieldStat> = self.fields.into_iter().map(each).collect();
        fields.sort_by(|a, b| {
            b.present
                .cmp(&a.present)
                .then_with(|| a.field.cmp(&b.field))
        });
        FieldStats {
            documents: self.documents,
            fields,
            fields_left_out: self.left_out.len() as u64,
        }
    }

    fn walk(&mut self, path: String, value: Value) {
        // No condition can name it; and the paths of many fields below a long name would take far
        // more than the document does.
        if path.is_empty() || path.len() > FIELD_BYTES_MAX {
            self.left_out.insert(self.hasher.hash_one(path));
            return;
        }
        match value {
            Value::Object(object) if !object.is_empty() => {
                for (key, value) in object {
                    self.walk(format!("{path}.{key}"), value);
                }
            }
            value => self.count(path, value),
        }
    }

    fn count(&mut self, path: String, value: Value) {
        if self.only.is_some_and(|only| !only.contains(&path)) {
            return;
        }
        if self.fields.len() >= FIELDS_MAX && !self.fields.contains_key(&path) {
            self.left_out.insert(self.hasher.hash_one(path));
            return;
        }
        let field = self.fields.entry(path).or_default();
        if field.last_document != self.documents {
            field.last_document = self.documents;
            field.present += 1;
        }
        *field.types.entry(type_name(&value)).or_default() += 1;
        field.add(&self.hasher, value);
    }
}

impl Field {
    /// Counts a value; of an array, its elements.
    fn add(&mut self, hasher: &RandomState, value: Value) {
        let hash = match &value {
            Value::Array(_) => {
                if let Value::Array(elements) = value {
                    for element in elements {
                        self.add(hasher, element);
                    }
                }
                return;
            }
            Value::Null | Value::Object(_) => return,
            Value::String(text) => hasher.hash_one(("string", text)),
            Value::Number(number) => hasher.hash_one(("number", number.to_string())),
            Value::Bool(flag) => hasher.hash_one(("boolean", flag)),
        };
        if let Some((_, count)) = self.values.get_mut(&hash) {
            *count += 1;
        } else if self.values.len() < DISTINCT_MAX {
            self.values.insert(hash, (shortened(value), 1));
        } else {
            self.more_values = true;
        }
    }

    fn finish(self, field: String, values_max: usize) -> FieldStat {
        let distinct = self.values.len() as u64;
        // The text breaks ties, so that the same sample has the same statistics.
        let mut top: Vec<(u64, String, Value)> = self
            .values
            .into_values()
            .map(|(value, count)| (count, value.to_string(), value))
            .collect();
        top.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        top.truncate(values_max);
        FieldStat {
            field,
            present: self.present,
            types: self.types,
            distinct,
            distinct_exact: !self.more_values,
            top: top
                .into_iter()
                .map(|(count, _, value)| ValueCount { value, count })
                .collect(),
        }
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn shortened(value: Value) -> Value {
    match value {
        Value::String(text) => match text.char_indices().nth(TEXT_CHARACTERS_MAX) {
            Some((end, _)) => Value::String(text[..end].to_owned()),
            None => Value::String(text),
        },
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use taskhost_model::time::Timestamp;

    fn query() -> Query {
        Query::range(Timestamp::from_ms(0), Timestamp::from_ms(1))
    }

    fn stats(query: &Query, documents: &[Value]) -> FieldStats {
        let mut gathering = Gathering::new(query);
        for document in documents {
            assert!(gathering.take(&document.to_string()));
        }
        gathering.finish()
    }

    #[test]
    fn objects_are_walked_through_and_elements_are_values() {
        let documents = [
            json!({"a": {"b": "x", "c": {}}, "tags": ["p", "q", ["p"], 1, null, {"z": 1}]}),
            json!({"a.b": "x", "a": {"b": 2}, "n": null}),
            json!([1]),
        ];
        let stats = stats(&query(), &documents);
        assert_eq!(stats.documents, 3);
        let names: Vec<_> = stats
            .fields
            .iter()
            .map(|field| field.field.as_str())
            .collect();
        assert_eq!(names, ["a.b", "a.c", "n", "tags"]);
        let value = serde_json::to_value(&stats).unwrap();
        assert_eq!(value["fields"][0]["present"], 2);
        assert_eq!(
            value["fields"][0]["types"],
            json!({"string": 2, "number": 1})
        );
        assert_eq!(
            value["fields"][0]["top"][0],
            json!({"value": "x", "count": 2})
        );
        assert_eq!(value["fields"][1]["types"], json!({"object": 1}));
        assert_eq!(value["fields"][2]["distinct"], 0);
        assert_eq!(value["fields"][3]["types"], json!({"array": 1}));
        assert_eq!(value["fields"][3]["distinct"], 3);
        assert_eq!(
            value["fields"][3]["top"][0],
            json!({"value": "p", "count": 2})
        );
        assert!(value.get("fields_left_out").is_none());
    }

    #[test]
    fn long_texts_are_cut_and_still_told_apart() {
        let long = |end: &str| json!({"t": format!("{}{end}", "ä".repeat(300))});
        let stats = stats(&query(), &[long("1"), long("2"), long("2")]);
        let field = &stats.fields[0];
        assert_eq!((field.distinct, field.top[0].count), (2, 2));
        assert_eq!(field.top[0].value, json!("ä".repeat(256)));
    }

    /// Two documents of 900 KB had made paths of 1.6 GB.
    #[test]
    fn what_no_condition_can_name_is_left_out_with_all_below_it() {
        let below: serde_json::Map<_, _> = (0..900).map(|n| (format!("f{n}"), json!(1))).collect();
        let long = "k".repeat(FIELD_BYTES_MAX + 1);
        let fits = "k".repeat(FIELD_BYTES_MAX);
        let documents = [json!({(long): below, "": 1, (fits.clone()): {"a": 1}, "b": 1})];
        let stats = stats(&query(), &documents);
        let names: Vec<_> = stats.fields.iter().map(|it| it.field.as_str()).collect();
        assert_eq!((names, stats.fields_left_out), (vec!["b"], 3));
    }

    #[test]
    fn everything_has_a_bound() {
        let mut asked = query();
        asked.max_values = Some(3);
        let mut wide = serde_json::Map::new();
        for number in 0..1_005 {
            wide.insert(format!("f{number:04}"), json!(1));
        }
        let stats_of_wide = stats(&asked, &[Value::Object(wide)]);
        assert_eq!(
            (stats_of_wide.fields.len(), stats_of_wide.fields_left_out),
            (1_000, 5)
        );
        let many: Vec<_> = (0..10_002).map(|number| json!({"n": number})).collect();
        let field = &stats(&asked, &many).fields[0];
        assert_eq!((field.distinct, field.distinct_exact), (10_000, false));
        assert_eq!((field.present, field.top.len()), (10_002, 3));
        asked.max_bytes = Some(8);
        asked.fields = Some(vec!["b".to_owned()]);
        let mut gathering = Gathering::new(&asked);
        assert!(gathering.take(r#"{"a":1}"#));
        assert!(!gathering.take(r#"{"b":1}"#));
        assert!(gathering.finish().fields.is_empty());
    }
}
