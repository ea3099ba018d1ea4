//! Random documents under random mappings: Elasticsearch and the model agree on every one that
//! Elasticsearch takes.

use std::cell::Cell;

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use taskhost_model::condition::{Condition, Range, Test};

use crate::streams::Count;
use crate::tests::conditions;

const KEYS: [&str; 5] = ["a", "b", "a.b", "c", "\u{e9}"];

const FIELDS: [&str; 8] = ["a", "b", "a.b", "a.b.c", "c", "\u{e9}", "a.keyword", "none"];

/// How a field may be mapped.
fn mappings() -> Vec<Value> {
    let of = |kind: &str| json!({"type": kind});
    let sibling = json!({"keyword": {"type": "keyword", "ignore_above": 2}});
    let mut all = vec![
        Value::Null,
        json!({"type": "keyword", "ignore_above": 2}),
        json!({"type": "keyword", "null_value": "a"}),
        json!({"type": "text", "fields": sibling}),
        json!({"type": "keyword", "index": false, "doc_values": false}),
        json!({"type": "long", "coerce": false}),
        json!({"type": "object", "enabled": false}),
        json!({"type": "object", "dynamic": false}),
    ];
    let kinds = [
        "keyword",
        "text",
        "long",
        "integer",
        "short",
        "byte",
        "double",
        "float",
        "half_float",
        "boolean",
        "date",
        "date_nanos",
        "flattened",
        "nested",
        "ip",
    ];
    all.extend(kinds.iter().map(|kind| of(kind)));
    all
}

fn mapped() -> impl Strategy<Value = Value> {
    prop::sample::select(mappings())
}

/// Texts that are numbers, words and neither; numbers in odd forms are written by hand below.
fn scalar() -> impl Strategy<Value = Value> {
    let odd = [
        json!(""),
        json!("5"),
        json!("5.0"),
        json!(" 7 "),
        json!("5e0"),
        json!("true"),
        json!("a b"),
        json!("A_b 1"),
        json!("\u{df}"),
        json!("2026-01-01"),
        json!(5),
        json!(5.0),
        json!(5.7),
        json!(-0.0),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(9_007_199_254_740_993_u64),
        json!(1e300),
        json!(0.1),
        json!(70_000),
        json!(true),
        json!(false),
        json!("*"),
        json!("\\?"),
    ];
    prop_oneof![
        3 => prop::sample::select(odd.to_vec()),
        1 => (-3..9i64).prop_map(Value::from),
        1 => (-9.0..9.0).prop_map(Value::from),
        2 => "[aAbB5. ]{0,4}".prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => scalar(),
        1 => Just(Value::Null),
        2 => vec(scalar(), 0..3).prop_map(Value::Array),
        1 => scalar().prop_map(|inner| json!([[inner]])),
        1 => scalar().prop_map(|inner| json!({"b": inner})),
        1 => scalar().prop_map(|inner| json!({"b": {"c": inner}})),
        1 => scalar().prop_map(|inner| json!([{"b": inner}])),
    ]
}

/// What fails is made smaller in bounded time: a case takes seconds.
fn cases_of(cases: u32) -> Config {
    Config {
        cases: std::env::var("TASKHOST_CASES").map_or(cases, |cases| cases.parse().unwrap()),
        failure_persistence: None,
        max_shrink_iters: 60,
        ..Config::default()
    }
}

fn object(entries: Vec<(&'static str, Value)>) -> Map<String, Value> {
    let entries = entries.into_iter();
    entries
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn leaf() -> impl Strategy<Value = Condition> {
    let bound = || scalar().prop_filter("a bound", |value| !value.is_boolean());
    let text = || {
        scalar().prop_map(|value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        })
    };
    let test = prop_oneof![
        3 => scalar().prop_map(Test::Eq),
        1 => scalar().prop_map(Test::Neq),
        1 => bound().prop_map(Test::Lt),
        1 => bound().prop_map(Test::Gte),
        1 => (bound(), bound()).prop_map(|(gt, lte)| Test::Range(Range {
            gt: Some(gt),
            lte: Some(lte),
            ..Range::default()
        })),
        3 => text().prop_map(Test::Contains),
        1 => text().prop_map(Test::StartsWith),
        1 => text().prop_map(Test::EndsWith),
        1 => any::<bool>().prop_map(Test::Exists),
    ];
    (prop::sample::select(&FIELDS[..]), test)
        .prop_map(|(field, test)| Condition::field(field, test))
}

fn condition() -> impl Strategy<Value = Condition> {
    leaf().prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Condition::And),
            vec(inner.clone(), 0..3).prop_map(Condition::Or),
            inner.prop_map(Condition::not),
        ]
    })
}

/// A stream of those of the documents that Elasticsearch takes, and these.
async fn filled(server: &Server, about: &Value, texts: Vec<String>) -> (StreamKey, Vec<String>) {
    let name = format!("{:x}", rand::random::<u64>());
    let key = server.index(&name, about).await;
    let taken = server.write(&key, &texts).await;
    let kept = texts.into_iter().zip(taken);
    let kept = kept.filter_map(|(text, taken)| taken.then_some(text));
    (key, kept.collect())
}

/// Both who sees the mapping and who does not find just what the model says.
async fn check(
    server: &Server,
    about: &Value,
    texts: Vec<String>,
    conditions: &[Condition],
) -> usize {
    let (key, texts) = filled(server, about, texts).await;
    let blind = server.somebody(&[&key], &["read"], &json!({})).await;
    let streams = server.streams();
    for (condition, number) in conditions.iter().zip(0u32..) {
        let matches = |text: &&String| {
            let document: Value = serde_json::from_str(text).unwrap();
            condition.matches(&document)
        };
        let expected: Vec<&String> = texts.iter().filter(matches).collect();
        let by = if number % 2 == 0 {
            &given::reader()
        } else {
            &blind
        };
        let found = found(&streams, by, &key, Some(condition.clone())).await;
        assert_eq!(
            found.iter().collect::<Vec<_>>(),
            expected,
            "{condition:?} by {by:?} of {about}"
        );
        if number % 8 == 0 {
            let query = asking(Some(condition.clone()));
            let count = streams.count(by, &key, &query).await.unwrap();
            assert_eq!(count, Count::exactly(expected.len() as u64));
        }
    }
    server.remove(&key).await;
    texts.len()
}

fn about(properties: Value, default: &Value) -> Value {
    let mut properties = properties;
    properties["@timestamp"] = json!({"type": "date"});
    let mut mappings = json!({"properties": properties});
    if let Value::Object(mappings) = &mut mappings {
        mappings.extend(default.as_object().cloned().unwrap_or_default());
    }
    json!({
        "mappings": mappings,
        "settings": {"index.mapping.ignore_malformed": true, "number_of_replicas": 0},
    })
}

/// The documents with a time each, in order.
fn timed(objects: impl IntoIterator<Item = Map<String, Value>>) -> Vec<String> {
    let each = |(mut object, number): (Map<String, Value>, i64)| {
        object.insert("@timestamp".to_owned(), json!(number));
        Value::Object(object).to_string()
    };
    objects.into_iter().zip(0..).map(each).collect()
}

#[test]
fn elasticsearch_and_the_model_agree() {
    let Some(server) = Server::find() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fields = (mapped(), mapped(), mapped());
    let documents = vec(vec((prop::sample::select(&KEYS[..]), value()), 0..4), 1..60);
    let cases = (fields, documents, vec(condition(), 1..25));
    let taken = Cell::new(0);
    TestRunner::new(cases_of(24))
        .run(&cases, |((a, b, c), documents, conditions)| {
            let mut properties = json!({});
            for (name, mapping) in [("a", a), ("b", b), ("c", c)] {
                if mapping != Value::Null {
                    properties[name] = mapping;
                }
            }
            let texts = timed(documents.into_iter().map(object));
            let about = about(properties, &json!({}));
            let some = runtime.block_on(check(&server, &about, texts, &conditions));
            taken.set(taken.get() + some);
            Ok(())
        })
        .unwrap();
    let taken = taken.get();
    assert!(taken > 100, "only {taken} documents were taken");
}

#[tokio::test]
async fn elasticsearch_agrees_on_every_case_of_the_table() {
    let Some(server) = Server::find() else {
        return;
    };
    let objects = conditions::documents().into_iter().filter_map(|text| {
        let value: Value = serde_json::from_str(&text).ok()?;
        value.as_object().cloned()
    });
    // Numbers as they are written, which Elasticsearch keeps in terms and the model does not.
    // And the empty text, of which a field of numbers keeps no trace.
    let written = [
        r#"{"n":""}"#,
        r#"{"message":5e0}"#,
        r#"{"message":5.00}"#,
        r#"{"message":500e-2}"#,
    ];
    let written = written
        .iter()
        .map(|text| text.replace('{', "{\"@timestamp\":99,"));
    let mut texts = timed(objects);
    texts.extend(written);
    let conditions = conditions::conditions();
    for (number, (properties, default)) in [
        (json!({}), json!({})),
        (
            json!({"message": {"type": "keyword"}, "n": {"type": "keyword"}}),
            json!({}),
        ),
        (
            json!({"message": {"type": "text"}, "n": {"type": "double"}}),
            json!({}),
        ),
        (json!({}), json!({"dynamic": false})),
    ]
    .into_iter()
    .enumerate()
    {
        // An eighth of the table for each mapping: many requests stand behind one case.
        let some = conditions.iter().skip(number).step_by(8).cloned();
        let some: Vec<_> = some.chain([Condition::starts_with("n", "")]).collect();
        let taken = check(&server, &about(properties, &default), texts.clone(), &some).await;
        assert!(taken >= 5, "only {taken} documents were taken");
    }
}

/// Pieces of log lines, also such that words end where one would not think.
const PIECES: [&str; 22] = [
    "sshd[1234]:",
    "Failed password for",
    "ERROR",
    "10.0.0.1",
    "foo_bar",
    "na\u{ef}ve",
    " ",
    "  ",
    "\t",
    "\n",
    "it's",
    "a.b.c",
    "AbC-123",
    "\u{65e5}\u{672c}\u{8a9e}",
    "\u{30ab}\u{30bf}",
    "e\u{301}",
    "x\u{200d}y",
    "\u{1f600}",
    "I\u{307}",
    "1,000",
    "u:v",
    "\u{feff}w",
];

fn line() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        12 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
        1 => (200..600usize).prop_map(|length| "ab1".repeat(length / 3)),
    ];
    vec((piece, prop::sample::select(&["", " "][..])), 1..8).prop_map(|pieces| {
        let pieces = pieces.into_iter();
        pieces.map(|(piece, after)| piece + after).collect()
    })
}

/// A part of one of the lines, as it is or with another case.
fn part(lines: &[String], (line, from, length): (usize, usize, usize), upper: bool) -> String {
    let line: Vec<char> = lines[line % lines.len()].chars().collect();
    let from = from % line.len();
    let part: String = line.iter().skip(from).take(length).collect();
    if upper {
        part.to_ascii_uppercase()
    } else {
        part
    }
}

#[test]
fn lines_are_found_by_any_part_of_them() {
    let Some(server) = Server::find() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = (any::<usize>(), any::<usize>(), 1..40usize);
    let parts = vec((place, any::<bool>(), 0..4usize, 0..3usize), 1..30);
    TestRunner::new(cases_of(12))
        .run(&(vec(line(), 1..40), parts), |(lines, parts)| {
            let object_of = |line: &String| {
                let Value::Object(object) = json!({"m": line, "s": line, "o": line}) else {
                    unreachable!();
                };
                object
            };
            let texts = timed(lines.iter().map(object_of));
            let conditions = parts.into_iter().map(|(place, upper, test, field)| {
                let (part, field) = (part(&lines, place, upper), ["m", "s", "o"][field]);
                match test {
                    0 => Condition::starts_with(field, part),
                    1 => Condition::ends_with(field, part),
                    2 => Condition::eq(field, lines[place.0 % lines.len()].clone()),
                    _ => Condition::contains(field, part),
                }
            });
            let properties = json!({"s": {"type": "text"}, "o": {"type": "text", "norms": false}});
            let about = about(properties, &json!({}));
            let conditions: Vec<_> = conditions.collect();
            runtime.block_on(check(&server, &about, texts, &conditions));
            Ok(())
        })
        .unwrap();
}
