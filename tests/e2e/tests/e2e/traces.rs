//! Traces: from whoever submits a task over its run to what its guest asks, at a collector that
//! speaks OTLP over HTTP.

use reqwest::Method;
use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::plain_server::{Server, answer};
use taskhost_e2e::tasks::task;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

async fn collector() -> Server {
    Server::new(|_| answer("200 OK", "content-type: application/json\r\n", "{}")).await
}

fn collected(server: &Server) -> Vec<Value> {
    let mut spans = Vec::new();
    for request in server.seen() {
        assert!(
            request.starts_with("POST /v1/traces HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains("content-type: application/json\r\n"),
            "{request}"
        );
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        for resource in body["resourceSpans"].as_array().unwrap() {
            for scope in resource["scopeSpans"].as_array().unwrap() {
                spans.extend(scope["spans"].as_array().unwrap().iter().cloned());
            }
        }
    }
    spans
}

async fn host(endpoint: &str) -> (Home, Host) {
    let home = Home::with(&["hello-task"]);
    home.settings(&format!("[telemetry]\notlp_endpoint = \"{endpoint}\"\n"));
    let host = home.start().await;
    (home, host)
}

#[tokio::test]
async fn a_run_and_its_calls_stand_in_the_trace_of_whoever_submitted_it() {
    let server = collector().await;
    let (_home, host) = host(&server.origin).await;
    let body = json!({"type": "hello", "params": {"name": "s3cret-name"}});
    let request = host.request(Method::PUT, &task("one")).json(&body);
    let request = request.header("traceparent", format!("00-{TRACE}-{CALLER}-01"));
    let made = host.send(request).await.expect(201);
    assert!(
        made["run"]["trace"].as_str().unwrap().contains(TRACE),
        "{made}"
    );
    host.reaches("one", "completed").await;
    let run_is_told = async || {
        let spans = collected(&server);
        let run = spans.iter().find(|span| span["name"] == "run hello");
        run.is_some().then_some(spans)
    };
    let spans = host.see("the run's span", run_is_told).await;
    let named = |name: &str| {
        let found = spans.iter().find(|span| span["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
    };
    let submission = named("PUT /v1/spaces/{space}/tasks/{id}");
    assert_eq!(submission["traceId"], TRACE);
    assert_eq!(submission["parentSpanId"], CALLER);
    assert_eq!(submission["kind"], 2);
    let run = named("run hello");
    assert_eq!(run["traceId"], TRACE);
    assert_eq!(run["parentSpanId"], submission["spanId"]);
    let calls: Vec<&Value> = spans
        .iter()
        .filter(|it| it["parentSpanId"] == run["spanId"])
        .collect();
    assert!(!calls.is_empty(), "{spans:#?}");
    for call in calls {
        let time = |key: &str| call[key].as_str().unwrap().parse::<u128>().unwrap();
        assert!(
            time("startTimeUnixNano") <= time("endTimeUnixNano"),
            "{call}"
        );
    }
    // Ids and names alone.
    assert!(!server.seen().concat().contains("s3cret-name"));
    host.stop().await;
}

#[tokio::test]
async fn a_collector_that_is_away_is_said_once_and_holds_nobody_up() {
    let (_home, host) = host("http://127.0.0.1:1").await;
    for id in ["a", "b", "c"] {
        host.run(id, "hello", json!({"name": id})).await;
    }
    let dropped = async || {
        let text = host.get("/metrics").await.text;
        let name = "taskhost_trace_spans_dropped_total ";
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        (line != "0").then_some(())
    };
    host.see("spans are dropped", dropped).await;
    host.run("d", "hello", json!({"name": "d"})).await;
    assert_eq!(
        host.log().matches("traces are not taken").count(),
        1,
        "{}",
        host.log()
    );
    host.stop().await;
}

#[tokio::test]
async fn what_is_no_traceparent_is_not_looked_at_and_without_a_collector_one_is_kept() {
    let host = Home::with(&["hello-task"]).start().await;
    let body = json!({"type": "hello", "params": {"name": "x"}});
    let send = async |id: &str, trace: &str| {
        let request = host.request(Method::PUT, &task(id)).json(&body);
        host.send(request.header("traceparent", trace))
            .await
            .expect(201)
    };
    let made = send("one", "nonsense").await;
    assert_eq!(made["run"].get("trace"), None);
    let given = format!("00-{TRACE}-{CALLER}-00");
    let made = send("two", &given).await;
    assert_eq!(made["run"]["trace"], given.as_str());
}
