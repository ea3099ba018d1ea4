//! T18: hostile values in fields, paths, queries and headers that mean something: whatever it
//! means, it is no failure of the host.

use reqwest::Method;
use serde_json::json;
use taskhost_e2e::answer::Answer;

use super::{host, is_well, says_where, send, values, with_value};

/// Doors where a field means something: a method, a path and a body, in which `VALUE` is the value.
const FIELDS: &str = r#"
PUT tasks/type {"type":VALUE,"params":{}}
PUT tasks/stream {"type":"echo","stream":VALUE}
PUT tasks/priority {"type":"echo","priority":VALUE}
PUT tasks/timeout_ms {"type":"echo","timeout_ms":VALUE}
PUT tasks/run_at {"type":"echo","run_at":VALUE}
PUT tasks/record {"type":"echo","record":VALUE}
PUT tasks/name {"type":"hello","params":{"name":VALUE}}
PUT tasks/params {"type":"echo","params":VALUE}
PUT tasks/whole VALUE
POST tasks {"type":"echo","id":VALUE}
POST tasks/bulk {"type":"echo","id":VALUE}
POST tasks/bulk VALUE
POST tasks/ended/cancel {"reason":VALUE}
POST tasks/ended/retry {"fresh":VALUE}
POST bulk {"op":VALUE,"filter":{"q":"x"}}
POST bulk {"op":"delete","dry_run":true,"filter":{"q":VALUE}}
POST bulk {"op":"delete","dry_run":true,"filter":{"status":VALUE}}
POST bulk {"op":"delete","dry_run":true,"filter":{"created_after":VALUE}}
POST bulk {"op":"delete","dry_run":true,"filter":{"requested_by":VALUE}}
POST bulk {"op":"delete","dry_run":true,"filter":{"all":true},"limit":VALUE}
POST bulk {"op":"delete","dry_run":true,"filter":{"all":true},"cursor":VALUE}
PUT schedules/s {"type":"echo","interval":VALUE}
PUT schedules/s {"type":"echo","cron":VALUE}
PUT schedules/s {"type":"echo","rrule":VALUE}
PUT schedules/s {"type":"echo","interval":"9h","time_zone":VALUE}
PUT schedules/s {"type":"echo","interval":"9h","starts_at":VALUE}
PUT schedules/s {"type":"echo","interval":"9h","jitter":VALUE}
PUT schedules/s {"type":"echo","interval":"9h","catch_up":"all","catch_up_max":VALUE}
PUT schedules/s {"type":"echo","interval":"9h","params":VALUE}
PUT collections/prompts/p VALUE
PUT streams/other {"retention_days":VALUE}
POST streams/s/documents {"@timestamp":VALUE}
POST streams/s/count {"from":VALUE,"to":9}
POST streams/s/count {"from":0,"to":9,"where":{"field":"v","eq":VALUE}}
POST streams/s/count {"from":0,"to":9,"where":{"field":VALUE,"exists":true}}
POST streams/s/sample {"from":0,"to":9,"size":VALUE}
POST streams/s/sample {"from":0,"to":9,"seed":VALUE}
PUT streams/s/features/f {"name":VALUE,"filter":{"always":{}}}
PUT streams/s/features/f {"name":"f","filter":VALUE}
POST /v1/tokens {"name":VALUE,"roles":{"default":"viewer"}}
POST /v1/tokens {"name":"ann","roles":{"default":"viewer"},"streams":[VALUE]}
POST /v1/tokens {"name":"ann","roles":{"default":"viewer"},"expires_at":VALUE}
POST /login {"token":VALUE}
POST streams/s/features/_bulk {"operations":VALUE}
POST streams/s/features/_bulk {"operations":[{"index":{"feature":VALUE}}]}
POST /internal/streams/s/features/_task {"action":VALUE}
POST /internal/streams/s/features/_task {"action":"schedule","from":VALUE,"to":9}
POST /internal/streams/s/features/_task {"action":"schedule","from":0,"to":9,"connectorId":VALUE}
POST /internal/streams/s/features/_identify?schedule=true {"from":0,"to":VALUE}
"#;

/// Texts for a path and a query, percent-encoded.
const TEXTS: [&str; 14] = [
    "%00",
    "a%00b",
    "%ff",
    "%ed%a0%80",
    "%c0%80",
    "1e400",
    "9007199254740993",
    "18446744073709551616",
    "-1",
    "..",
    "%2e%2e%2f",
    "%f0%9f%98%80",
    "%25",
    "%22%27--",
];

/// Values of headers.
const HEADERS: [&[u8]; 10] = [
    b"\xff",
    b"\xed\xa0\x80",
    b"\"\xff\"",
    b"",
    b"\"",
    b"*",
    b"\"1e400\"",
    b"W/\"1\"",
    b"\"9007199254740993\"",
    b"\"18446744073709551616\"",
];

/// Where `TEXT` stands for one of them.
const PLACES: [&str; 20] = [
    "tasks/TEXT",
    "tasks/t?wait=TEXT",
    "tasks/t?since=TEXT",
    "tasks?q=TEXT",
    "tasks?status=TEXT",
    "tasks?type=TEXT",
    "tasks?cursor=TEXT",
    "tasks?limit=TEXT",
    "tasks?created_after=TEXT",
    "tasks?requested_by=TEXT",
    "tasks?counts=TEXT",
    "tasks?TEXT=1",
    "tasks/t/runs/TEXT/log",
    "schedules/TEXT",
    "schedules?cursor=TEXT",
    "streams/TEXT",
    "collections/TEXT",
    "collections/prompts/TEXT",
    "collections/prompts?cursor=TEXT",
    "streams/s/features/TEXT",
];

/// Whatever it means, it is no failure of the host, and a refusal says what is wrong.
fn is_answer(answer: &Answer, shown: &str) {
    assert!(answer.status < 500, "{shown}: {answer:?}");
    if answer.status >= 400 {
        let code = answer.json()["code"].as_str().unwrap().to_owned();
        let mut problem = answer.problem(answer.status, &code);
        // The path, and the params of a run that stands against the request, are told whole.
        for told in ["instance", "params"] {
            problem.as_object_mut().unwrap().remove(told);
        }
        let length = problem.to_string().len();
        assert!(length < 5_000, "{shown}: {:.1000}", answer.text);
        if code == "invalid" {
            says_where(&problem);
        }
    }
}

fn path(place: &str) -> String {
    match place.starts_with('/') {
        true => place.to_owned(),
        false => format!("/v1/spaces/default/{place}"),
    }
}

#[tokio::test]
async fn a_value_that_means_nothing_is_no_failure_in_any_field() {
    let host = host().await;
    host.run("ended", "echo", json!({})).await;
    let mut values: Vec<Vec<u8>> = values().into_iter().map(|(value, _)| value).collect();
    let kinds = [
        "null",
        "true",
        "-1",
        "0",
        "1.5",
        "[]",
        "{}",
        "\"\"",
        "\"9999-12-31T23:59:60Z\"",
    ];
    values.extend(kinds.map(|value| value.as_bytes().to_vec()));
    for field in FIELDS.trim().lines() {
        let mut words = field.splitn(3, ' ');
        let [method, place, template] = std::array::from_fn(|_| words.next().unwrap());
        let (before, after) = template.split_once("VALUE").unwrap();
        let lines = place.ends_with("bulk") && place != "bulk" || place.ends_with("documents");
        let kind = if lines {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        for value in &values {
            let body = with_value(before, value, after);
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = send(&host, method, &path(place), kind, body).await;
            let short = value[..value.len().min(80)].escape_ascii();
            is_answer(&answer, &format!("{field} {short}"));
        }
    }
    let cancel = json!({"op": "cancel", "filter": {"all": true}});
    host.post(&path("bulk"), &cancel).await.expect(200);
    is_well(&host).await;
    host.stop().await;
}

#[tokio::test]
async fn a_text_that_means_nothing_is_no_failure_in_any_path_query_or_header() {
    let host = host().await;
    host.run("t", "echo", json!({})).await;
    let long = "x".repeat(7_000);
    for text in TEXTS.into_iter().chain([long.as_str()]) {
        for place in PLACES {
            let path = path(&place.replace("TEXT", text));
            let answer = host.get(&path).await;
            is_answer(&answer, &path);
        }
    }
    for value in HEADERS {
        let body = json!({"type": "echo"});
        for (name, method, place) in [
            ("idempotency-key", Method::POST, "tasks"),
            ("if-match", Method::PUT, "tasks/t"),
            ("if-none-match", Method::PUT, "tasks/t"),
            ("traceparent", Method::POST, "tasks"),
            ("last-event-id", Method::DELETE, "tasks/gone"),
            ("content-type", Method::POST, "tasks"),
        ] {
            let request = host.request(method, &path(place)).json(&body);
            let answer = host.send(request.header(name, value)).await;
            is_answer(&answer, &format!("{name}: {}", value.escape_ascii()));
        }
    }
    is_well(&host).await;
    host.stop().await;
}
