//! Conditions: read, written and read again, and evaluated three times over the same documents:
//! by `model` in memory, by the store in memory, and by the embedded store.
//!
//! An input that begins with `{` is text: its first line is the condition, the others are the
//! documents. Any other is made of its bytes.

use std::cell::RefCell;
use std::sync::Arc;

use arbitrary::Unstructured;
use serde_json::{Map, Value};
use taskhost_model::condition::{Condition, DEPTH_MAX, NODES_MAX};
use taskhost_model::ids::{DocumentId, Label};
use taskhost_model::query::{Query, Sort};
use taskhost_model::time::{Clock, Timestamp};
use taskhost_store::documents::{Change, Scope, Writer};
use taskhost_store::limits::Limits;
use taskhost_store::open::{Settings, Stores, open};
use taskhost_store::streams::{StreamDocument, StreamSettings};
use tempfile::TempDir;

use crate::{host, pick, place};

const DOCUMENTS_MAX: usize = 6;
/// Nesting of what is made: more than is accepted, now and then.
const MADE_DEPTH_MAX: usize = DEPTH_MAX + 2;
const MANY_BYTES: u64 = 1 << 30;
/// Inputs whose documents one stream of the embedded store holds.
const INPUTS_A_STREAM: i64 = 500;

/// The condition means the same everywhere.
pub fn run(data: &[u8]) {
    let (condition, documents) = match data.first() {
        Some(b'{') => written(data),
        _ => made(&mut Unstructured::new(data)),
    };
    let Some(condition) = read(&condition) else {
        return;
    };
    host::block_on(async {
        let mut embedded = EMBEDDED.take().unwrap_or_else(Embedded::open);
        embedded.input += 1;
        compare(&embedded, &condition, &documents).await;
        EMBEDDED.set(Some(embedded));
    });
}

thread_local! {
    static EMBEDDED: RefCell<Option<Embedded>> = const { RefCell::new(None) };
}

/// The embedded store; removed with its thread.
struct Embedded {
    stores: Stores,
    input: i64,
    _folder: TempDir,
}

impl Embedded {
    fn open() -> Self {
        let folder = place::own();
        let settings = Settings {
            folder: folder.path().to_owned(),
            limits: Limits::default(),
        };
        Self {
            stores: open(&settings, Clock::System).unwrap(),
            input: 0,
            _folder: folder,
        }
    }
}

/// Reads it, and sees that it is read as it is written.
fn read(value: &Value) -> Option<Condition> {
    let condition = match Condition::from_json(value) {
        Ok(condition) => condition,
        Err(error) => {
            assert!(!error.problem.is_empty() && error.problem.len() < 1_000);
            return None;
        }
    };
    let (depth, nodes) = size(&condition);
    assert!(depth <= DEPTH_MAX && nodes <= NODES_MAX, "{condition:?}");
    let text = serde_json::to_string(&condition).unwrap();
    let again: Condition = serde_json::from_str(&text).unwrap();
    assert_eq!(again, condition, "{text}");
    assert_eq!(Condition::from_json(&condition.to_json()), Ok(again));
    Some(condition)
}

fn size(condition: &Condition) -> (usize, usize) {
    match condition {
        Condition::Always | Condition::Never | Condition::Field { .. } => (0, 1),
        Condition::Not(inner) => {
            let (depth, nodes) = size(inner);
            (depth + 1, nodes + 1)
        }
        Condition::And(parts) | Condition::Or(parts) => {
            let sizes = parts.iter().map(size);
            let (depth, nodes) = sizes.fold((0, 0), |a, b| (a.0.max(b.0 + 1), a.1 + b.1));
            (depth, nodes + 1)
        }
    }
}

async fn compare(embedded: &Embedded, condition: &Condition, documents: &[Value]) {
    let matching: Vec<String> = documents
        .iter()
        .filter(|document| condition.matches(document))
        .map(Value::to_string)
        .collect();
    let (memory, _) = host::empty();
    for stores in [&memory, &embedded.stores] {
        let input = Input {
            stores,
            number: embedded.input,
            condition,
            documents,
        };
        assert_eq!(input.in_stream().await, matching, "{condition:?}");
        assert_eq!(input.in_collection().await, matching, "{condition:?}");
    }
}

/// One input over one store.
struct Input<'a> {
    stores: &'a Stores,
    number: i64,
    condition: &'a Condition,
    documents: &'a [Value],
}

impl Input<'_> {
    /// The documents of a stream that match, oldest first.
    async fn in_stream(&self) -> Vec<String> {
        let (key, by) = (host::stream("logs"), host::somebody());
        let streams = &self.stores.streams;
        if self.number % INPUTS_A_STREAM == 1 {
            streams.delete(&key).await.unwrap();
        }
        let settings = StreamSettings::default();
        streams.put(&key, &settings).await.unwrap();
        let from_ms = self.number * 1_000;
        let numbered = self.documents.iter().zip(from_ms..);
        let document = |(body, at_ms): (&Value, i64)| StreamDocument {
            at: Timestamp::from_ms(at_ms),
            body: Arc::from(body.to_string()),
        };
        let arriving = numbered.map(document).collect();
        streams.ingest(&key, arriving).await.unwrap();
        let until = Timestamp::from_ms(from_ms + 1_000);
        let mut query = Query::range(Timestamp::from_ms(from_ms), until);
        query.condition = Some(self.condition.clone());
        query.sort = Some(Sort::Asc);
        let found = streams.search(&by, &key, &query, MANY_BYTES).await.unwrap();
        let count = streams.count(&by, &key, &query).await.unwrap();
        assert_eq!(count.value, found.documents.len() as u64);
        let sample = streams.sample(&by, &key, &query, MANY_BYTES).await;
        let mut drawn = sample.unwrap().documents;
        let mut all = found.documents.clone();
        drawn.sort_unstable();
        all.sort_unstable();
        assert_eq!(drawn, all, "a sample of everything is everything");
        found.documents
    }

    /// The documents of a collection that match, page by page.
    async fn in_collection(&self) -> Vec<String> {
        let stream = host::stream("logs");
        let scope = Scope {
            space: stream.space,
            stream: Some(stream.name),
            label: Label::parse("features").unwrap(),
        };
        let id = |number: usize| DocumentId::parse(&format!("d{number}")).unwrap();
        let change = |number: usize| match self.documents.get(number) {
            Some(body) => Change::Put {
                id: id(number),
                body: Arc::from(body.to_string()),
                if_version: None,
            },
            None => Change::Delete {
                id: id(number),
                if_version: None,
            },
        };
        let changes = (0..DOCUMENTS_MAX).map(change).collect();
        let (documents, by) = (&self.stores.documents, Writer::Person("x".to_owned()));
        documents.apply(&scope, &by, changes).await.unwrap();
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let after = cursor.as_deref();
            let page = documents
                .query(&scope, Some(self.condition), after, 2)
                .await;
            let page = page.unwrap();
            found.extend(page.documents.iter().map(|it| it.body.to_string()));
            cursor = page.next;
            if cursor.is_none() {
                return found;
            }
        }
    }
}

fn written(data: &[u8]) -> (Value, Vec<Value>) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines().map(serde_json::from_str);
    let condition = lines.next().and_then(Result::ok).unwrap_or_default();
    let documents = lines.filter_map(Result::ok).filter(Value::is_object);
    (condition, documents.take(DOCUMENTS_MAX).collect())
}

const KEYS: [&str; 9] = [
    "a", "b", "a.b", "a.a.b", "c.d", "\"", "\u{0}", "\u{e9}", "a.",
];

fn made(u: &mut Unstructured<'_>) -> (Value, Vec<Value>) {
    let condition = condition(u, MADE_DEPTH_MAX);
    let documents = 0..=pick::below(u, DOCUMENTS_MAX);
    let documents = documents.map(|_| pick::object(u, &KEYS)).collect();
    (condition, documents)
}

fn condition(u: &mut Unstructured<'_>, depth: usize) -> Value {
    let kind = if depth == 0 { 0 } else { pick::below(u, 12) };
    let (key, value) = match kind {
        8 => ("not", condition(u, depth - 1)),
        9 | 10 => {
            let key = pick::one(u, &["and", "or"]);
            let parts = 0..pick::below(u, 4);
            let parts = parts.map(|_| condition(u, depth - 1)).collect();
            (key, Value::Array(parts))
        }
        11 => {
            let key = pick::one(u, &["always", "never", "not", "and"]);
            (key, Value::Object(Map::new()))
        }
        _ => return field(u),
    };
    object([(key, value)])
}

fn field(u: &mut Unstructured<'_>) -> Value {
    let field = match pick::sometimes(u, 12) {
        true => pick::text(u, 8),
        false => pick::one(u, &KEYS).to_owned(),
    };
    let bounds = ["gt", "gte", "lt", "lte"];
    let (operator, operand) = match pick::below(u, 12) {
        0 => {
            let some = (0..=pick::below(u, 3)).map(|_| (pick::one(u, &bounds), pick::scalar(u)));
            ("range", object(some.collect::<Vec<_>>()))
        }
        1 => {
            let operator = pick::one(u, &["eq", "gt", "like", "field", "contains"]);
            (operator, pick::value(u, &KEYS))
        }
        2..=4 => (pick::one(u, &bounds), pick::scalar(u)),
        5..=7 => (pick::one(u, &["eq", "neq"]), pick::scalar(u)),
        8..=10 => {
            let operator = pick::one(u, &["contains", "startsWith", "endsWith"]);
            (operator, Value::from(pick::odd_text(u)))
        }
        _ => ("exists", Value::from(pick::below(u, 2) == 1)),
    };
    object([("field", Value::from(field)), (operator, operand)])
}

fn object<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let entries = entries.into_iter();
    Value::Object(
        entries
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}
