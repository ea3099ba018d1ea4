//! Feature identification with language models of all kinds behind a server that speaks OpenAI's
//! protocol: what they make better, and that none of them makes anything worse.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::model::{self, ModelServer, Said, Seen};
use taskhost_e2e::places;
use taskhost_e2e::tasks::task;
use tokio::sync::Barrier;

const TYPE: &str = "streams_feature_identification";
const PROMPTS: &str = "/v1/spaces/default/collections/prompts";

/// Two sources that nobody would take for one.
fn two_sources() -> impl Iterator<Item = Value> {
    (0..400).map(|n| {
        let message = if n % 2 == 0 {
            format!(
                "10.0.0.{} - - [24/Nov/2026:12:00:00 +0000] \"GET /a/{n} HTTP/1.1\" 200 {n} \
                \"-\" \"curl/8.0\"",
                n % 250
            )
        } else {
            format!(
                "2026-11-24T12:00:00.000Z INFO [worker-{}] com.example.Queue: took job {n} \
                from queue high after {} ms, no error",
                n % 4,
                n * 3
            )
        };
        json!({"@timestamp": 1_000_000 + n, "message": message})
    })
}

fn home_of(url: &str) -> Home {
    home_within(url, 2)
}

/// With a model that has so many seconds for an answer.
fn home_within(url: &str, timeout_s: u32) -> Home {
    let home = Home::with(&["feature-identification"]);
    home.settings(&format!(
        "[[allow]]\ntype = \"{TYPE}\"\nmodels = [\"small\"]\n\
         [connectors.small]\nurl = \"{url}\"\nmodel = \"tiny\"\ntimeout_s = {timeout_s}\n\
         requests_at_once = 8\n"
    ));
    home
}

async fn host_of(server: &ModelServer) -> Host {
    let host = home_of(&server.url()).start().await;
    host.fill("logs", two_sources()).await;
    host
}

async fn server(script: impl Fn(&Seen, usize) -> Said + Send + Sync + 'static) -> ModelServer {
    ModelServer::start(script).await
}

fn params(connector: Option<&str>) -> Value {
    let mut params = json!({"start": 1_000_000, "end": 2_000_000});
    if let Some(connector) = connector {
        params["connector"] = json!(connector);
    }
    params
}

async fn identified(host: &Host, id: &str, connector: Option<&str>) -> Value {
    host.schedule_on("logs", id, TYPE, params(connector)).await;
    host.reaches(id, "completed").await
}

async fn features(host: &Host) -> Vec<Value> {
    let listed = host
        .get("/internal/streams/logs/features")
        .await
        .expect(200);
    listed["features"].as_array().unwrap().clone()
}

fn names(features: &[Value]) -> Vec<String> {
    let systems = features.iter().filter(|one| one["type"] == "system");
    let mut names: Vec<String> = systems
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn calls(tool: &str, arguments: &str) -> Said {
    let function = json!({"name": tool, "arguments": arguments});
    let call = json!({"id": "c1", "type": "function", "function": function});
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    Said::Json(model::message(&message, "tool_calls"))
}

fn systems(tool: &str, systems: &[Value]) -> Said {
    calls(tool, &json!({"systems": systems}).to_string())
}

fn clusters(seen: &Seen) -> Vec<Value> {
    let shown = seen.body["messages"][1]["content"].as_str().unwrap();
    let shown: Value = serde_json::from_str(shown).unwrap();
    shown["clusters"].as_array().unwrap().clone()
}

/// The id of the cluster with such lines.
fn cluster(seen: &Seen, part: &str) -> Value {
    let clusters = clusters(seen);
    let found = clusters
        .iter()
        .find(|it| it["lines"].to_string().contains(part));
    found.unwrap_or_else(|| panic!("no {part} in {clusters:#?}"))["id"].clone()
}

fn nginx(seen: &Seen) -> Value {
    json!({"name": "nginx", "cluster": cluster(seen, "GET /a/"), "subtype": "web server",
        "tags": ["http"], "evidence": ["HTTP/1.1\" 200"]})
}

fn queue(seen: &Seen) -> Value {
    json!({"name": "Job queue", "cluster": cluster(seen, "com.example"),
        "evidence": ["com.example.Queue: took job"]})
}

fn limited() -> Said {
    let header = ("retry-after-ms", "30".to_owned());
    Said::Status(429, vec![header], "{}".to_owned())
}

fn is_description(seen: &Seen) -> bool {
    seen.body["response_format"].is_object()
}

fn described() -> Said {
    Said::Json(model::text(
        r#"{"description": "It serves pages, one after the other."}"#,
    ))
}

/// Validates one system, then has both, and describes what it is asked to.
fn good(seen: &Seen, nth: usize) -> Said {
    match nth {
        _ if is_description(seen) => described(),
        0 => systems("validate_systems", &[nginx(seen)]),
        _ => systems("finalize_systems", &[nginx(seen), queue(seen)]),
    }
}

#[tokio::test]
async fn a_good_model_names_and_describes_with_the_prompts_of_the_space() {
    let server = server(good).await;
    let host = host_of(&server).await;
    for (id, text) in [
        ("feature_identification", "Own words for systems"),
        ("feature_description", "Own words for descriptions"),
    ] {
        let kept = host
            .put(&format!("{PROMPTS}/{id}"), &json!({"text": text}))
            .await;
        kept.expect(200);
    }
    let done = identified(&host, "t", Some("small")).await;
    let payload = &done["payload"];
    assert_eq!(payload["model"]["connector"], "small", "{payload:#}");
    for (key, expected) in [("rounds", 2), ("proposed", 3), ("dropped", 0)] {
        assert_eq!(payload["model"][key], expected, "{payload:#}");
    }
    assert_eq!(payload["model"]["tokens_used"], done["usage"]["tokens"]);
    assert!(payload["model"]["problem"].is_null(), "{payload:#}");
    let found = features(&host).await;
    assert_eq!(names(&found), ["Job queue", "nginx"]);
    let nginx = found.iter().find(|one| one["name"] == "nginx").unwrap();
    assert_eq!(nginx["source"], "model");
    assert_eq!(
        (&nginx["subtype"], &nginx["tags"]),
        (&json!("web server"), &json!(["http"]))
    );
    assert_eq!(
        nginx["description"],
        "It serves pages, one after the other."
    );
    assert_eq!(
        (&nginx["count"], &nginx["run_id"]),
        (&json!(200), &done["run"]["id"])
    );
    for kind in [
        "dataset_analysis",
        "log_samples",
        "log_patterns",
        "error_logs",
    ] {
        let computed = found.iter().find(|one| one["type"] == kind);
        assert_eq!(computed.unwrap()["source"], "computed", "{kind}");
        assert!(
            payload["computed"].to_string().contains(kind),
            "{payload:#}"
        );
    }
    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    for seen in seen {
        let own = if is_description(&seen) {
            "descriptions"
        } else {
            "systems"
        };
        let system = &seen.body["messages"][0]["content"];
        assert_eq!(system, &json!(format!("Own words for {own}")));
    }
}

/// The lines of real programs make more systems than are described at once.
#[tokio::test]
async fn five_descriptions_are_asked_for_at_once() {
    let together = Arc::new(Barrier::new(5));
    let descriptions = AtomicUsize::new(0);
    let server = server(move |seen, _| {
        if is_description(seen) {
            let answer = model::text(r#"{"description": "It writes the lines that stand here."}"#);
            // Those after the first five are answered at once.
            return match descriptions.fetch_add(1, Ordering::SeqCst) {
                0..5 => Said::Together(Arc::clone(&together), answer),
                _ => Said::Json(answer),
            };
        }
        let name = |one: &Value| {
            let name = format!("{} here", one["called"].as_str().unwrap());
            json!({"name": name, "cluster": one["id"], "evidence": [one["lines"][0]]})
        };
        let named: Vec<Value> = clusters(seen).iter().map(name).collect();
        systems("finalize_systems", &named)
    })
    .await;
    let host = home_of(&server.url()).start().await;
    let data = std::fs::read_to_string(places::top().join("examples/data/stream.ndjson")).unwrap();
    let lines = data.lines().take(3_000);
    let document = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    host.fill("logs", lines.map(document)).await;
    let range = json!({"start": 0, "end": 4_000_000_000_000_i64, "connector": "small"});
    host.schedule_on("logs", "t", TYPE, range).await;
    let done = host.reaches("t", "completed").await;
    let described = server.seen().iter().filter(|it| is_description(it)).count();
    assert!(described > 5, "{done:#}");
    assert_eq!(server.most_at_once(), 5);
}

/// The connector waits for two minutes, and the run has less.
#[tokio::test]
async fn a_run_does_not_wait_into_its_deadline_for_a_model() {
    let server = server(|_, _| Said::Nothing).await;
    let host = home_within(&server.url(), 120).start().await;
    host.fill("logs", two_sources()).await;
    let body = json!({"type": TYPE, "params": params(Some("small")), "stream": "logs",
        "timeout_ms": 100_000});
    host.put(&task("t"), &body).await.expect(201);
    let done = host.reaches("t", "completed").await;
    let said = done["payload"]["model"]["problem"].to_string();
    assert!(said.contains("the time of the run"), "{said}");
    assert!(server.seen().is_empty());
    assert_eq!(names(&features(&host).await).len(), 2);
}

#[tokio::test]
async fn what_a_model_has_said_outlives_a_run_without_one() {
    let server = server(good).await;
    let host = host_of(&server).await;
    let said = |found: &[Value]| -> Vec<[Value; 4]> {
        let systems = found.iter().filter(|one| one["type"] == "system");
        let keys =
            |one: &Value| ["name", "description", "subtype", "tags"].map(|it| one[it].clone());
        systems.map(keys).collect()
    };
    identified(&host, "with", Some("small")).await;
    let before = said(&features(&host).await);
    identified(&host, "alone", None).await;
    assert_eq!(said(&features(&host).await), before);
}

/// What there is without a model, and what with each bad one.
async fn as_alone(script: impl Fn(&Seen, usize) -> Said + Send + Sync + 'static, part: &str) {
    let server = server(script).await;
    let host = host_of(&server).await;
    let found = |done: &Value| -> Vec<[Value; 4]> {
        let all = done["payload"]["features"].as_array().unwrap().iter();
        let keys = |one: &Value| ["uuid", "name", "filter", "count"].map(|it| one[it].clone());
        all.map(keys).collect()
    };
    let alone = identified(&host, "alone", None).await;
    assert!(alone["payload"].get("model").is_none());
    assert!(server.seen().is_empty());
    let with = identified(&host, "with", Some("small")).await;
    assert_eq!(found(&with), found(&alone), "{with:#}");
    let said = with["payload"]["model"].to_string();
    assert!(said.contains(part), "{said} lacks {part}");
}

#[tokio::test]
async fn a_lazy_model_changes_nothing() {
    let lazy = |_: &Seen, _| Said::Json(model::text("I am done."));
    as_alone(lazy, "proposed nothing").await;
}

#[tokio::test]
async fn a_lying_model_changes_nothing() {
    let lying = |seen: &Seen, _| {
        let with = |filter: Value, quote: &str| {
            let evidence = [quote];
            json!({"name": "Oracle", "filter": filter, "evidence": evidence})
        };
        let lies = [
            with(json!({"field": "message", "contains": "ORA-"}), "GET /a/"),
            with(json!({"field": "oracle.sid", "exists": true}), "GET /a/"),
            with(
                json!({"field": "message", "contains": "GET /a/1"}),
                "GET /a/1",
            ),
            with(json!({"field": "message", "contains": "GET"}), "ORA-00600"),
            with(json!({"field": "message", "exists": true}), "GET /a/"),
            json!({"name": "Oracle", "cluster": cluster(seen, "GET /a/"), "evidence": []}),
        ];
        systems("finalize_systems", &lies)
    };
    as_alone(lying, r#""dropped":6"#).await;
}

#[tokio::test]
async fn a_broken_model_changes_nothing() {
    let broken = |seen: &Seen, nth| match nth {
        0 => calls("finalize_systems", r#"{"systems": [{"name": "ngi"#),
        1 => systems("delete_systems", &[nginx(seen)]),
        _ => calls("finalize_systems", r#"{"systems": {"name": 7}}"#),
    };
    as_alone(broken, "bad-answer").await;
}

#[tokio::test]
async fn a_slow_model_changes_nothing() {
    as_alone(|_, _| Said::Nothing, "unavailable").await;
}

#[tokio::test]
async fn without_a_connector_of_that_name_the_arithmetic_stands() {
    let server = server(good).await;
    let host = host_of(&server).await;
    let done = identified(&host, "t", Some("large")).await;
    let said = done["payload"]["model"]["problem"].to_string();
    assert!(said.contains("denied"), "{said}");
    assert_eq!(names(&features(&host).await).len(), 2);
}

#[tokio::test]
async fn a_pause_has_the_run_go_on_where_it_was() {
    let server = server(move |seen, nth| match nth {
        1 | 3 => limited(),
        _ => good(seen, nth),
    })
    .await;
    let host = host_of(&server).await;
    let done = identified(&host, "t", Some("small")).await;
    let run = &done["run"];
    assert_eq!(
        (&run["attempt"], &run["pauses"]),
        (&json!(1), &json!(2)),
        "{done:#}"
    );
    assert_eq!(done["payload"]["model"]["rounds"], 2);
    assert_eq!(names(&features(&host).await), ["Job queue", "nginx"]);
    // Each round once, with a pause in the second; each description once, with a pause in one.
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test]
async fn what_a_round_has_found_survives_a_cancel_in_the_next() {
    let server = server(|seen, nth| match nth {
        1 => Said::Nothing,
        nth => good(seen, nth),
    })
    .await;
    let host = host_of(&server).await;
    host.schedule_on("logs", "t", TYPE, params(Some("small")))
        .await;
    server.until_seen(2).await;
    host.see("the round", async || {
        let now = host.get(&task("t")).await.expect(200);
        now["progress"]
            .to_string()
            .contains("round 2 of 3")
            .then_some(())
    })
    .await;
    host.verb("t", "cancel").await.expect(200);
    host.reaches("t", "canceled").await;
    let found = names(&features(&host).await);
    assert!(
        found.len() == 2 && found.contains(&"nginx".to_owned()),
        "{found:?}"
    );
}

/// The attempt that begins after the pause saves first what the model had named before it.
#[tokio::test]
async fn and_a_pause_with_a_cancel_after_it() {
    let server = server(|seen, nth| match nth {
        1 => limited(),
        2 => Said::Nothing,
        nth => good(seen, nth),
    })
    .await;
    let host = host_of(&server).await;
    host.schedule_on("logs", "t", TYPE, params(Some("small")))
        .await;
    server.until_seen(3).await;
    host.verb("t", "cancel").await.expect(200);
    host.reaches("t", "canceled").await;
    let found = names(&features(&host).await);
    assert!(found.contains(&"nginx".to_owned()), "{found:?}");
}

#[tokio::test]
async fn and_a_crash_of_the_host_after_which_the_run_goes_on() {
    let server = server(|seen, nth| match nth {
        1 => Said::Nothing,
        nth => good(seen, nth),
    })
    .await;
    let home = home_of(&server.url());
    let host = home.start().await;
    host.fill("logs", two_sources()).await;
    host.schedule_on("logs", "t", TYPE, params(Some("small")))
        .await;
    server.until_seen(2).await;
    host.kill().await;
    let host = home.start().await;
    let found = names(&features(&host).await);
    assert!(found.contains(&"nginx".to_owned()), "{found:?}");
    let done = host.reaches("t", "completed").await;
    assert_eq!(done["payload"]["model"]["rounds"], 2, "{done:#}");
    assert_eq!(names(&features(&host).await), ["Job queue", "nginx"]);
}

#[tokio::test]
async fn what_people_exclude_and_edit_stays_so_whatever_a_model_says() {
    let server = server(|seen, _| match is_description(seen) {
        true => described(),
        false => systems("finalize_systems", &[nginx(seen), queue(seen)]),
    })
    .await;
    let host = host_of(&server).await;
    let first = identified(&host, "first", Some("small")).await;
    let uuid = |name: &str| -> String {
        let all = first["payload"]["features"].as_array().unwrap();
        let one = all.iter().find(|one| one["name"] == name).unwrap();
        one["uuid"].as_str().unwrap().to_owned()
    };
    let one = |uuid: &str| format!("/internal/streams/logs/features/{uuid}");
    let excluded = uuid("Job queue");
    let exclude = format!("{}/exclude", one(&excluded));
    host.post(&exclude, &json!({})).await.expect(200);
    let filter = json!({"field": "message", "contains": "GET /a/1"});
    let edit = json!({"name": "Front door", "filter": filter});
    host.put(&one(&uuid("nginx")), &edit).await.expect(200);

    let seen_before = server.seen().len();
    let second = identified(&host, "second", Some("small")).await;
    let prompt = &server.seen()[seen_before].body["messages"][1]["content"];
    let prompt: Value = serde_json::from_str(prompt.as_str().unwrap()).unwrap();
    assert_eq!(prompt["excluded"], json!(["job queue"]));
    // It proposes the name all the same.
    assert_eq!(second["payload"]["model"]["dropped"], 1, "{second:#}");
    let found = features(&host).await;
    assert_eq!(names(&found), ["Front door"]);
    let kept = found
        .iter()
        .find(|one| one["name"] == "Front door")
        .unwrap();
    assert_eq!(kept["filter"], filter, "{kept:#}");
    // Even numbers of which the first digit is 1: 10 to 18, and 100 to 198.
    assert_eq!(
        (&kept["count"], &kept["source"]),
        (&json!(55), &json!("model"))
    );
    assert_eq!(
        names(second["payload"]["features"].as_array().unwrap()),
        ["Front door"]
    );
}
