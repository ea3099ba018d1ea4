//! T18: values that have wedged other task systems come in through every door. Each is refused in
//! words, or comes out again exactly as it came in; none is a failure of the host, and whatever was
//! accepted ends.

mod fields;
mod random;

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use taskhost_e2e::answer::Answer;
use taskhost_e2e::component::echo;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::{stream, task};

/// Doors behind which any JSON is kept.
const DOORS: [Door; 6] = [
    Door::Task,
    Door::Submitted,
    Door::InBulk,
    Door::Scheduled,
    Door::Collection,
    Door::Document,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Task,
    Submitted,
    InBulk,
    Scheduled,
    Collection,
    Document,
}

/// What becomes of a value, behind every door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Refused,
    /// One of the two.
    Either,
}

/// What became of one.
#[derive(Debug)]
enum Came {
    /// It came out again, as this text.
    Out(String),
    /// By this problem.
    Refused(Value),
}

/// Values as they stand in a body.
fn values() -> Vec<(Vec<u8>, Fate)> {
    use Fate::{Either, Kept, Refused};
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let long = |bytes: usize| format!("\"{}\"", "y".repeat(bytes));
    let many = |values: usize| format!("[{}1]", "1,".repeat(values));
    let texts = [
        (r#""NUL \u0000.""#, Kept),
        (r#""\u0001\u001b[2J\u202e\u007f\ufeff\uffff""#, Kept),
        (r#""\ud83d\ude00 \\ \" \/""#, Kept),
        (r#"{"\u0000":1,"":2,"__proto__":{"constructor":3}}"#, Kept),
        (r#""\ud800""#, Refused),
        (r#""\udc00\ud800 x""#, Refused),
        (r#"{"\udfff":1}"#, Refused),
        ("1e400", Refused),
        ("-1e400", Refused),
        ("[1e999999999]", Refused),
        ("9007199254740993", Kept),
        ("-9007199254740993", Kept),
        ("18446744073709551615", Kept),
        ("-9223372036854775808", Kept),
        ("18446744073709551616", Refused),
        ("-9223372036854775809", Refused),
        ("123456789012345678901234567890", Refused),
        ("0.1000000000000000055511151231257827", Either),
        ("1e-400", Either),
        ("-0.0", Either),
        (r#"{"a":1,"a":2}"#, Refused),
        (r#"{"a":1,"\u0061":2}"#, Refused),
        ("NaN", Refused),
        ("-Infinity", Refused),
        ("01", Refused),
        ("'x'", Refused),
        ("\"\u{1}\"", Refused),
        ("\u{feff}1", Refused),
        ("1/**/", Refused),
        ("", Refused),
        ("1} {\"v\":1", Refused),
    ];
    let mut all: Vec<(Vec<u8>, Fate)> = texts
        .into_iter()
        .map(|(text, fate)| (text.as_bytes().to_vec(), fate))
        .collect();
    all.extend([
        (nested(50).into_bytes(), Kept),
        // Data of a stream may be deeper than what tasks are given.
        (nested(65).into_bytes(), Either),
        (nested(200).into_bytes(), Refused),
        (nested(5_000).into_bytes(), Refused),
        ("[".repeat(100_000).into_bytes(), Refused),
        (long(900_000).into_bytes(), Kept),
        (long(2 << 20).into_bytes(), Refused),
        (many(1_100_000).into_bytes(), Refused),
        (b"\"\xff\xfe\"".to_vec(), Refused),
        (b"\"\xed\xa0\x80\"".to_vec(), Refused),
        (b"\"\xc0\x80\"".to_vec(), Refused),
        (b"\0".to_vec(), Refused),
    ]);
    all
}

/// A host with something behind every door.
async fn host() -> Host {
    let home = Home::with(&["hello-task", "feature-identification"]);
    home.add_bytes(
        "echo",
        &echo(r#"{"id":"echo","version":"1","title":"Echo"}"#),
    );
    let (host, _) = home.start_for_people().await;
    host.put(&stream("s"), &json!({})).await.expect(201);
    host
}

fn with_value(before: &str, value: &[u8], after: &str) -> Vec<u8> {
    [before.as_bytes(), value, after.as_bytes()].concat()
}

async fn send(host: &Host, method: Method, path: &str, kind: &str, body: Vec<u8>) -> Answer {
    let request = host.request(method, path).header("content-type", kind);
    host.send(request.body(body)).await
}

/// A JSON value, so that two texts of one are the same: `\u0061` is `a`, an object has no order,
/// and a number is an integer or the nearest float, by another parser than the host's.
#[derive(Debug, PartialEq)]
enum Exact {
    Object(BTreeMap<String, Self>),
    Array(Vec<Self>),
    Text(String),
    Integer(i128),
    Float(f64),
    Word(String),
}

impl Exact {
    fn of(text: &str) -> Self {
        let text = text.trim();
        match text.as_bytes()[0] {
            b'{' => {
                let all: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).unwrap();
                let all = all
                    .into_iter()
                    .map(|(key, part)| (key, Self::of(part.get())));
                Self::Object(all.collect())
            }
            b'[' => {
                let all: Vec<Box<RawValue>> = serde_json::from_str(text).unwrap();
                Self::Array(all.iter().map(|part| Self::of(part.get())).collect())
            }
            b'"' => Self::Text(serde_json::from_str(text).unwrap()),
            b'-' | b'0'..=b'9' => match text.parse() {
                Ok(integer) => Self::Integer(integer),
                // `-0` is a float to some.
                Err(_) if text.parse() == Ok(0.0) => Self::Integer(0),
                Err(_) => Self::Float(text.parse().unwrap()),
            },
            _ => Self::Word(text.to_owned()),
        }
    }
}

/// The text of a part of a JSON text, as it is written there.
fn raw(text: &str, path: &[&str]) -> String {
    let mut text = text.to_owned();
    for step in path {
        let part: Box<RawValue> = match step.parse::<usize>() {
            Ok(at) => {
                let mut all: Vec<Box<RawValue>> = serde_json::from_str(&text).unwrap();
                all.remove(at)
            }
            Err(_) => {
                let mut all: BTreeMap<String, Box<RawValue>> =
                    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                all.remove(*step)
                    .unwrap_or_else(|| panic!("{step}: {text}"))
            }
        };
        text = part.get().to_owned();
    }
    text
}

/// Sees that a refusal says what is wrong, and where.
fn is_refusal(answer: &Answer) -> Value {
    assert!([400, 413].contains(&answer.status), "{answer:?}");
    let problem = answer.json();
    let code = problem["code"].as_str().unwrap().to_owned();
    says_where(&answer.problem(answer.status, &code));
    problem
}

fn says_where(problem: &Value) {
    let fields = problem["errors"].as_array().map_or(0, Vec::len);
    let is_said = fields > 0 || problem["code"] == "too-large";
    assert!(is_said, "{problem:#}");
    let path = problem["instance"].as_str().map_or(0, str::len);
    let length = problem.to_string().len() - path;
    assert!(length < 5_000, "a refusal does not send back what came");
}

/// Waits until a task has ended, and reads what it was given.
async fn echoed(host: &Host, id: &str) -> Came {
    let ended = host.ends(id).await;
    assert_eq!(ended["status"], "completed", "{:.2000}", ended.to_string());
    let text = host.get(&task(id)).await.text;
    Came::Out(raw(&text, &["payload", "v"]))
}

/// Sends a value through a door, and looks what comes out again.
async fn through(host: &Host, door: Door, n: usize, value: &[u8]) -> Came {
    const JSON: &str = "application/json";
    const NDJSON: &str = "application/x-ndjson";
    let tasks = "/v1/spaces/default/tasks";
    let id = format!("{door:?}-{n}").to_lowercase();
    let wish = |more: &str| {
        let begun = format!("{{\"type\":\"echo\",{more}\"params\":{{\"v\":");
        with_value(&begun, value, "}}")
    };
    match door {
        Door::Task => {
            let answer = send(host, Method::PUT, &task(&id), JSON, wish("")).await;
            match answer.status {
                201 => echoed(host, &id).await,
                _ => Came::Refused(is_refusal(&answer)),
            }
        }
        Door::Submitted => {
            let answer = send(host, Method::POST, tasks, JSON, wish("")).await;
            match answer.status {
                202 => echoed(host, answer.json()["id"].as_str().unwrap()).await,
                _ => Came::Refused(is_refusal(&answer)),
            }
        }
        Door::InBulk => {
            let line = wish(&format!("\"id\":\"{id}\","));
            let answer = host.upload(&format!("{tasks}/bulk"), NDJSON, line).await;
            let result = answer.expect(200)["results"][0].clone();
            match result.get("problem") {
                None => echoed(host, &id).await,
                Some(problem) => {
                    says_where(problem);
                    Came::Refused(problem.clone())
                }
            }
        }
        Door::Scheduled => {
            let path = format!("/v1/spaces/default/schedules/{id}");
            let wish = wish("\"interval\":\"24h\",");
            let answer = send(host, Method::PUT, &path, JSON, wish).await;
            if answer.status != 201 {
                return Came::Refused(is_refusal(&answer));
            }
            let shown = raw(&host.get(&path).await.text, &["params", "v"]);
            is_right(door, value, Fate::Kept, &Came::Out(shown));
            let fired = host.post(&format!("{path}/run"), &json!({})).await;
            echoed(host, fired.expect(202)["task"].as_str().unwrap()).await
        }
        Door::Collection => {
            let path = format!("/v1/spaces/default/collections/prompts/{id}");
            let body = with_value("{\"v\":", value, "}");
            let answer = send(host, Method::PUT, &path, JSON, body).await;
            match answer.status {
                200 => Came::Out(raw(&host.get(&path).await.text, &["body", "v"])),
                _ => Came::Refused(is_refusal(&answer)),
            }
        }
        Door::Document => ingested(host, n, value).await,
    }
}

/// As a document of a stream, at a time of its own.
async fn ingested(host: &Host, n: usize, value: &[u8]) -> Came {
    let line = with_value(&format!("{{\"@timestamp\":{n},\"v\":"), value, "}");
    let answer = host.ingest("s", line).await.expect(200);
    if answer["accepted"] != 1 {
        let refused = answer["rejected"][0].clone();
        assert!(refused["reason"].is_string(), "{answer:#}");
        return Came::Refused(refused);
    }
    let query = json!({"from": n, "to": n + 1, "size": 1});
    let found = host.post(&format!("{}/sample", stream("s")), &query).await;
    Came::Out(raw(&found.text, &["documents", "0", "v"]))
}

fn is_right(door: Door, value: &[u8], fate: Fate, came: &Came) {
    let short = value.len().min(80);
    let shown = format!("{door:?} {}", value[..short].escape_ascii());
    match came {
        Came::Out(text) => {
            assert_ne!(fate, Fate::Refused, "{shown} came out again");
            let value = std::str::from_utf8(value).unwrap();
            let (came, sent) = (Exact::of(text), Exact::of(value));
            assert!(came == sent, "{shown}: {text:.1000}");
        }
        Came::Refused(problem) => assert_ne!(fate, Fate::Kept, "{shown}: {problem}"),
    }
}

/// Nothing is wedged: whatever is there has ended, or is shown, and what comes next is done.
async fn is_well(host: &Host) {
    for id in host.listed("").await {
        host.ends(&id).await;
    }
    let came = through(host, Door::Task, usize::MAX, b"{\"last\":1}").await;
    is_right(Door::Task, b"{\"last\":1}", Fate::Kept, &came);
}

#[tokio::test]
async fn what_can_be_kept_comes_out_as_it_came_and_the_rest_is_refused() {
    let host = host().await;
    for (n, (value, fate)) in values().into_iter().enumerate() {
        for door in DOORS {
            let came = through(&host, door, n, &value).await;
            is_right(door, &value, fate, &came);
        }
    }
    is_well(&host).await;
    host.stop().await;
}
