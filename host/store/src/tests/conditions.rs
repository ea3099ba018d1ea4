//! SQL and `model` mean the same by a condition: one table of cases, and random ones.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use taskhost_model::condition::{Condition, Range, Test};
use taskhost_model::query::Query;

use super::{quick_folder, sqlite};
use crate::conformance::{Subject, given};
use crate::streams::StreamDocument;

/// Documents in which something is odd.
pub(crate) fn documents() -> Vec<String> {
    let mut texts: Vec<String> = [
        json!({"message": "Accepted publickey for root", "n": 5}),
        json!({"message": "Straße ERROR", "n": "5", "a.b": 1, "a": {"b": 2, "c.d": 3}}),
        json!({"message": null, "n": 5.0, "tags": ["x", "yz", 3, null, ["deep"]]}),
        json!({"message": "it's \"quoted\" \\ \u{0} \u{1f600}", "n": 9_007_199_254_740_993_u64}),
        json!({"n": u64::MAX, "it's": true, "\"": "quote", "\u{0}": "nul", "$.n": 1, "": 2}),
        json!({"n": i64::MIN, "a": null, "flag": false, "message": ""}),
        json!({"n": -0.0, "a": [], "message": "%_*"}),
        json!({"n": {"x": 1}, "a": {"b": {"c": {"d": "deep"}}}, "message": "5"}),
        json!({"n": " 7 ", "message": "ss\u{df}\u{130}\u{131}"}),
        json!({}),
    ]
    .iter()
    .map(Value::to_string)
    .collect();
    // What `json!` cannot say: two equal keys, escapes in keys, white space, other roots.
    for text in [
        r#"{"n":1,"n":2,"message":"first","message":"last"}"#,
        "{ \"\\u006e\" : 5 , \"message\":\"\\u0041ccepted \\ud83d\\ude00\" }",
        r#"{"n":5e0,"message":"x"}"#,
        "[1,2]",
        "\"message\"",
    ] {
        texts.push(text.to_owned());
    }
    texts
}

pub(crate) fn conditions() -> Vec<Condition> {
    let operands = [
        json!(5),
        json!("5"),
        json!(5.0),
        json!(true),
        json!("true"),
        json!(9_007_199_254_740_992_u64),
        json!(u64::MAX),
        json!(i64::MIN),
        json!("x"),
        json!("it's \"quoted\" \\ \u{0} \u{1f600}"),
        json!(""),
        json!(1e300),
    ];
    let fields = [
        "n", "message", "a", "a.b", "a.c.d", "a.b.c.d", "tags", "it's", "\"", "\u{0}", "$.n",
        "none", "flag",
    ];
    let mut all = vec![Condition::Always, Condition::Never];
    for field in fields {
        all.push(Condition::exists(field, true));
        all.push(Condition::exists(field, false));
        for operand in &operands {
            let value = || operand.clone();
            all.push(Condition::field(field, Test::Eq(value())));
            all.push(Condition::field(field, Test::Neq(value())));
            if !operand.is_boolean() {
                all.push(Condition::field(field, Test::Lt(value())));
                all.push(Condition::field(field, Test::Gte(value())));
                let range = Range {
                    gt: Some(value()),
                    lte: Some(json!(1e18)),
                    ..Range::default()
                };
                all.push(Condition::field(field, Test::Range(range)));
            }
            if let Some(text) = operand.as_str() {
                all.push(Condition::contains(field, text));
                all.push(Condition::starts_with(field, text));
                all.push(Condition::ends_with(field, text));
            }
        }
        for text in ["ERROR", "\u{df}", "SS", "%", "_", "QUOTED", "\0"] {
            all.push(Condition::contains(field, text));
        }
    }
    all.push(Condition::and(all.clone().split_off(20)[..3].to_vec()));
    all.push(Condition::not(Condition::or(all[5..9].to_vec())));
    all
}

fn expected(condition: &Condition, text: &str) -> bool {
    let document: Value = serde_json::from_str(text).unwrap();
    condition.matches(&document)
}

/// Asks SQLite which of the documents match, one stream for each document.
async fn check(s: &Subject, texts: &[String], conditions: &[Condition]) {
    let numbered = texts.iter().zip(0..);
    let documents = numbered.map(|(text, at_ms)| given::document(at_ms, text));
    let documents: Vec<StreamDocument> = documents.collect();
    let key = s.ingested("logs", documents).await.unwrap();
    for condition in conditions {
        let matching = texts.iter().filter(|text| expected(condition, text));
        let matching: Vec<&String> = matching.collect();
        let mut query: Query = given::query(0, 1_000_000);
        query.condition = Some(condition.clone());
        query.size = Some(10_000);
        query.sort = Some(taskhost_model::query::Sort::Asc);
        let streams = &s.stores.streams;
        let found = streams
            .search(&given::reader(), &key, &query, given::MANY_BYTES)
            .await;
        assert_eq!(
            found.unwrap().documents.iter().collect::<Vec<_>>(),
            matching,
            "{condition:?}"
        );
        let count = streams.count(&given::reader(), &key, &query).await.unwrap();
        assert_eq!(count.value, matching.len() as u64, "{condition:?}");
    }
    s.stores.streams.delete(&key).await.unwrap();
}

#[tokio::test]
async fn every_case_of_the_table_means_the_same() {
    let folder = quick_folder();
    let s = sqlite(folder.path(), &given::clock());
    check(&s, &documents(), &conditions()).await;
    s.stores.close().await;
}

const KEYS: [&str; 6] = ["a", "b", "a.b", "\"", "\u{0}", "\u{e9}"];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        (9_007_199_254_740_990_u64..9_007_199_254_740_996).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e3..1e3).prop_map(Value::from),
        (-3..3i64).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[aAbB0-9 .'\"%\u{0}\u{e9}]{0,4}".prop_map(Value::from),
    ]
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![4 => scalar(), 1 => Just(Value::Null)];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let entry = (prop::sample::select(&KEYS[..]), inner.clone());
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::Array),
            vec(entry, 0..4).prop_map(object),
        ]
    })
}

pub(crate) fn object(entries: Vec<(&'static str, Value)>) -> Value {
    let entries = entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    Value::Object(entries.collect::<Map<_, _>>())
}

pub(crate) fn condition() -> impl Strategy<Value = Condition> {
    let bound = || scalar().prop_filter("a bound", |value| !value.is_boolean());
    let text = || "[aAbB0-9'\"%\u{0}\u{e9}]{0,2}";
    let test = prop_oneof![
        scalar().prop_map(Test::Eq),
        scalar().prop_map(Test::Neq),
        bound().prop_map(Test::Lt),
        bound().prop_map(Test::Lte),
        bound().prop_map(Test::Gt),
        (bound(), bound()).prop_map(|(gte, lt)| Test::Range(Range {
            gte: Some(gte),
            lt: Some(lt),
            ..Range::default()
        })),
        text().prop_map(Test::Contains),
        text().prop_map(Test::StartsWith),
        text().prop_map(Test::EndsWith),
        any::<bool>().prop_map(Test::Exists),
    ];
    let field =
        prop::sample::select(&["a", "b", "a.b", "a.a.b", "\"", "\u{0}", "\u{e9}", "a."][..]);
    let leaf = (field, test).prop_map(|(field, test)| Condition::field(field, test));
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Condition::And),
            vec(inner.clone(), 0..3).prop_map(Condition::Or),
            inner.prop_map(Condition::not),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn random_cases_mean_the_same(
        documents in vec(vec((prop::sample::select(&KEYS[..]), value()), 0..5), 1..20),
        conditions in vec(condition(), 1..20),
    ) {
        let texts: Vec<String> = documents.into_iter().map(|it| object(it).to_string()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = quick_folder();
        runtime.block_on(async {
            let s = sqlite(folder.path(), &given::clock());
            check(&s, &texts, &conditions).await;
            s.stores.close().await;
        });
    }
}
