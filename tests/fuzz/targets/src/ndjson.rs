//! The ingest of a body as HTTP takes it: each line stands alone and is stored as it was sent, or
//! told of; in how many pieces the body arrives makes no difference.
//!
//! The first two bytes of an input say in what pieces; the rest is the body.

use axum::body::Body;
use serde_json::Value;
use taskhost_model::query::{Query, SIZE_MAX, Sort};
use taskhost_model::time::Timestamp;
use taskhost_store::streams::StreamSettings;

use crate::exactness::is_exact;
use crate::host::{self, Host};
use crate::wire::{Answer, in_pieces, post};

const CONTENT_TYPE: &str = "application/x-ndjson";
/// Fewer lines than one search answers.
const BODY_BYTES_MAX: usize = 24 * 1024;
/// Rejected lines that are listed.
const LISTED_MAX: usize = 100;
/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 300;
const MANY_BYTES: u64 = 1 << 30;

/// Ingests the body twice, whole and in pieces.
pub fn run(data: &[u8]) {
    let Some((pieces, body)) = data.split_first_chunk::<2>() else {
        return;
    };
    let body = &body[..body.len().min(BODY_BYTES_MAX)];
    host::block_on(async {
        let (stores, clock) = host::empty();
        let host = Host::start(stores, clock).await;
        let whole = ingest(&host, "whole", Body::from(body.to_vec())).await;
        let parts = ingest(&host, "parts", in_pieces(body, pieces)).await;
        assert_eq!(whole, parts);
        let stored = stored(&host, "whole").await;
        assert_eq!(stored, self::stored(&host, "parts").await);
        compare(body, &whole, &stored, host.clock.now());
        host.end().await;
    });
}

async fn ingest(host: &Host, name: &str, body: Body) -> Value {
    let settings = StreamSettings::default();
    let key = host::stream(name);
    host.stores.streams.put(&key, &settings).await.unwrap();
    let path = format!("/v1/spaces/default/streams/{name}/documents");
    let answer = host.answers.answer(post(&path, CONTENT_TYPE, body)).await;
    let answer = Answer::read(answer).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.content_type(), "application/json");
    answer.json()
}

/// Every document, oldest first, but those at the last millisecond that there is: no range holds
/// it.
async fn stored(host: &Host, name: &str) -> Vec<Value> {
    let (key, by) = (host::stream(name), host::somebody());
    let (first, last) = (Timestamp::from_ms(i64::MIN), Timestamp::from_ms(i64::MAX));
    let mut query = Query::range(first, last);
    query.sort = Some(Sort::Asc);
    query.size = Some(SIZE_MAX);
    let streams = &host.stores.streams;
    let found = streams.search(&by, &key, &query, MANY_BYTES).await.unwrap();
    assert!(found.next.is_none() && found.left_out == 0);
    let parsed = found
        .documents
        .iter()
        .map(|text| serde_json::from_str(text));
    parsed.collect::<Result<_, _>>().unwrap()
}

/// The answer and what is stored follow from the lines of the body.
fn compare(body: &[u8], answer: &Value, stored: &[Value], now: Timestamp) {
    let number = |key: &str| answer.get(key).map_or(Some(0), Value::as_u64).unwrap();
    let rejected = answer["rejected"].as_array().unwrap();
    let lines = || body.split(|byte| *byte == b'\n').zip(1_u64..);
    let is_blank = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).is_empty();
    let written = lines().filter(|(line, _)| !is_blank(line)).count() as u64;
    let refused = rejected.len() as u64 + number("more_rejected");
    assert_eq!(number("accepted") + refused, written, "{answer}");
    assert!(rejected.len() <= LISTED_MAX && rejected.is_sorted_by_key(|it| it["line"].as_u64()));
    for mistake in rejected {
        let reason = mistake["reason"].as_str().unwrap();
        assert!(
            !reason.is_empty() && reason.len() <= REASON_BYTES_MAX,
            "{reason}"
        );
    }
    if number("more_rejected") > 0 {
        return;
    }
    let is_rejected = |line: u64| rejected.iter().any(|it| it["line"] == line);
    let accepted = lines().filter(|(line, at)| !is_blank(line) && !is_rejected(*at));
    let mut expected: Vec<_> = accepted.map(|(line, _)| document(line, now)).collect();
    let last = Timestamp::from_ms(i64::MAX);
    expected.retain(|(at, _)| *at < last);
    // In order of time; of those at one time, as they arrived.
    expected.sort_by_key(|(at, _)| *at);
    let expected: Vec<Value> = expected.into_iter().map(|(_, value)| value).collect();
    assert_eq!(stored, expected);
    for (line, at) in lines().filter(|(line, _)| !is_blank(line)) {
        assert_eq!(is_document(line), !is_rejected(at), "line {at} of {answer}");
    }
}

/// What is stored of a line: what it says, with its time as RFC 3339.
fn document(line: &[u8], now: Timestamp) -> (Timestamp, Value) {
    let mut value: Value = serde_json::from_slice(line).unwrap();
    let given = value.get("@timestamp").filter(|at| !at.is_null());
    let at = given.map_or(now, |at| serde_json::from_value(at.clone()).unwrap());
    value["@timestamp"] = Value::from(at.to_string());
    (at, value)
}

/// Whether a line is one: an object that is read back as it is written, with a time if it has one.
fn is_document(line: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(line) else {
        return false;
    };
    let text = str::from_utf8(line).unwrap();
    let is_time = match value.get("@timestamp") {
        None | Some(Value::Null) => true,
        Some(at) => serde_json::from_value::<Timestamp>(at.clone()).is_ok(),
    };
    value.is_object() && is_time && is_exact(text)
}
