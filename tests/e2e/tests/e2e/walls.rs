//! Spaces are walls: whoever has no role in one is answered as if it were empty, on every route
//! that the router has, whatever is in it.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use taskhost_e2e::holder::{Holder, sent};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::routes;
use taskhost_e2e::tasks::{stream, task};

const TYPE: &str = "streams_feature_identification";
const RUN: &str = "01a222fb-4755-70e9-a0bf-19c333e42178";

/// What a path's parameters stand for: of something that is there, or of what is not.
fn filled(route: &str, name: &str) -> String {
    let digest = "0".repeat(64);
    let of_type = format!("{TYPE}_{name}");
    let mut path = route.to_owned();
    for (parameter, value) in [
        ("{space}", "default"),
        ("{stream}", name),
        ("{name}", name),
        ("{label}", "features"),
        ("{type}", "hello"),
        ("{digest}", &digest),
        ("{run}", RUN),
        ("{token}", "0000000000000000"),
        ("{uuid}", "x"),
    ] {
        path = path.replace(parameter, value);
    }
    let schedule = path.replace("/schedules/{id}", &format!("/schedules/{name}"));
    // A task's id names its stream where Kibana asks for it.
    match schedule.contains("/tasks/{id}") {
        true => schedule.replace("{id}", &of_type),
        false => schedule.replace("{id}", "x"),
    }
}

/// The status and the beginning of an answer: a stream of events never ends.
async fn answered(
    host: &Host,
    by: &Holder,
    method: &Method,
    path: &str,
    body: &str,
) -> (u16, String) {
    let request = host.request(method.clone(), path);
    let request = request.header("authorization", by.authorization());
    let request = match *method {
        Method::GET => request,
        _ => request
            .header("content-type", "application/json")
            .body(body.to_owned()),
    };
    let mut response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").cloned();
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        let part = tokio::time::timeout(Duration::from_secs(5), response.chunk()).await;
        let text = part.ok().and_then(Result::ok).flatten().unwrap_or_default();
        return (status, String::from_utf8_lossy(&text).into_owned());
    }
    (status, response.text().await.unwrap())
}

/// A host where something is in the space `default`, and people who may not see it.
async fn peopled() -> (Host, Vec<(&'static str, Holder)>) {
    let home = Home::with(&["feature-identification", "hello-task"]);
    let (host, _) = home.start_for_people().await;
    for name in ["seen", "other"] {
        host.put(&stream(name), &json!({})).await.expect(201);
        let message = |n: usize| {
            let line = json!({"@timestamp": 1_000_000 + n, "message": format!("10.0.0.{n} GET")});
            format!("{line}\n")
        };
        let lines: String = (0..20).map(message).collect();
        let path = format!("{}/documents", stream(name));
        host.upload(&path, "application/x-ndjson", lines)
            .await
            .expect(200);
    }
    let range = json!({"from": 0, "to": 9_999_999});
    let identify = "/internal/streams/seen/features/_identify?schedule=true";
    host.post(identify, &range).await.expect(200);
    host.reaches(&format!("{TYPE}_seen"), "completed").await;
    host.run("plain", "hello", json!({"name": "Ada"})).await;
    let params = json!({"start": 0, "end": 9_999_999});
    let body = json!({"type": TYPE, "stream": "seen", "interval": "24h", "params": params});
    let schedule = "/v1/spaces/default/schedules/seen";
    host.put(schedule, &body).await.expect(201);
    let mut people = Vec::new();
    for (who, wanted) in [
        // Everything, elsewhere.
        ("elsewhere", json!({"roles": {"elsewhere": "admin"}})),
        // Nothing of this stream.
        (
            "operator",
            json!({"roles": {"default": "operator"}, "streams": ["other"]}),
        ),
        (
            "viewer",
            json!({"roles": {"default": "viewer"}, "streams": ["othe*"]}),
        ),
        (
            "no streams",
            json!({"roles": {"default": "operator"}, "streams": []}),
        ),
    ] {
        let mut wanted = wanted;
        wanted["name"] = json!(who.replace(' ', "-"));
        people.push((who, host.holder(&wanted).await));
    }
    (host, people)
}

#[tokio::test]
async fn behind_a_wall_there_is_nothing_on_any_route() {
    let (host, people) = peopled().await;
    let bodies = [
        "{}",
        "{\"from\":0,\"to\":9}",
        "{\"action\":\"acknowledge\"}",
        "{\"op\":\"delete\",\"filter\":{\"all\":true},\"dry_run\":true}",
    ];
    let mut asked = 0;
    for route in routes::all() {
        for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE] {
            for body in bodies {
                for (who, by) in &people {
                    // Nothing that is global is behind a wall: these are for other tests.
                    if !route.contains("{space}") && !route.starts_with("/internal/streams") {
                        continue;
                    }
                    let there = answered(&host, by, &method, &filled(&route, "seen"), body).await;
                    let absent = answered(&host, by, &method, &filled(&route, "gone"), body).await;
                    let absent = (absent.0, absent.1.replace("gone", "seen"));
                    assert_eq!(there, absent, "{who}: {method} {route} {body}");
                    // What is on no stream is for all who are in its space.
                    let secrets = match *who {
                        "elsewhere" => &["10.0.0.", "Ada", "\"requested_by\""][..],
                        _ => &["10.0.0."],
                    };
                    for secret in secrets {
                        assert!(
                            !there.1.contains(*secret),
                            "{who}: {method} {route}: {there:?}"
                        );
                    }
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 500, "{asked}");
    for (method, path, body) in crate::people::asked() {
        for (who, by) in &people {
            let body = body.clone().unwrap_or_default().to_string();
            let on = |name: &str| (path.replace("NAME", name), body.replace("NAME", name));
            let (path, text) = on("seen");
            let there = answered(&host, by, &method, &path, &text).await;
            let (path, text) = on("gone");
            let absent = answered(&host, by, &method, &path, &text).await;
            let absent = (absent.0, absent.1.replace("gone", "seen"));
            assert_eq!(there, absent, "{who}: {method} {path}");
        }
    }
    // What is there is there still.
    let own = host.task(&format!("{TYPE}_seen")).await;
    assert_eq!(own["status"], "completed", "{own:#}");
    host.stop().await;
}

#[tokio::test]
async fn without_a_token_nothing_is_answered_on_any_route() {
    let home = Home::new();
    let (host, _) = home.start_for_people().await;
    let wanted = json!({"name": "vera", "roles": {"elsewhere": "viewer"}});
    let vera = host.holder(&wanted).await;
    let plain = reqwest::Client::new();
    for route in routes::all() {
        let route = route.replace(['{', '}'], "");
        for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE] {
            let forged = format!("Bearer tkh_{}_{}", vera.id, "0".repeat(64));
            for authorization in [None, Some(forged.as_str()), Some("nonsense")] {
                let mut request = plain.request(method.clone(), format!("{}{route}", host.url));
                if let Some(authorization) = authorization {
                    request = request.header("authorization", authorization);
                }
                let answer = sent(request).await;
                let problem = answer.problem(401, "unauthorized");
                assert!(!problem.to_string().contains("0000000000"), "{problem}");
            }
        }
    }
    // Whoever is somebody may know how the host is asked; what it counts is for admins.
    let docs = plain.get(format!("{}/docs", host.url));
    let asked = sent(docs).await;
    assert_eq!(asked.status, 401, "{asked:?}");
    assert!(asked.text.contains("action=\"/login\""), "{asked:?}");
    assert!(!asked.text.contains("/v1/"), "{asked:?}");
    for path in ["/docs", "/openapi.json"] {
        let answer = host.get_for(&vera, path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.text.contains("/v1/tokens"), "{path}");
    }
    for path in ["/metrics", "/v1/hosts", "/v1/tokens", "/v1/audit"] {
        host.get_for(&vera, path).await.problem(403, "forbidden");
        assert_eq!(host.get(path).await.status, 200, "{path}");
    }
    host.stop().await;
}

#[tokio::test]
async fn lists_counts_and_pages_tell_of_nothing_behind_a_wall() {
    let (host, people) = peopled().await;
    for (who, by) in &people {
        for path in [
            "/v1/spaces/default/tasks",
            "/v1/spaces/default/tasks?q=seen",
            "/v1/spaces/default/tasks?limit=1",
            "/v1/spaces/default/tasks?counts=true",
            "/v1/spaces/default/schedules",
            "/v1/spaces/default/streams",
            "/internal/streams/_tasks",
            "/",
            "/spaces/default",
        ] {
            let answer = host.get_for(by, path).await;
            assert!(!answer.text.contains("seen"), "{who} on {path}: {answer:?}");
            if *who == "elsewhere" {
                assert_eq!(answer.status, 403, "{answer:?}");
            }
        }
    }
    // In a space of their own the same names mean their own things.
    let (_, elsewhere) = &people[0];
    let own = "/v1/spaces/elsewhere/tasks/plain";
    let body = json!({"type": "hello", "params": {"name": "Eve"}});
    let request = host.request(Method::PUT, own).json(&body);
    host.send_for(elsewhere, request).await.expect(201);
    let listed = host
        .get_for(elsewhere, "/v1/spaces/elsewhere/tasks")
        .await
        .expect(200);
    assert_eq!(
        listed["tasks"].as_array().map(Vec::len),
        Some(1),
        "{listed:#}"
    );
    assert_eq!(
        host.get(&task("plain")).await.expect(200)["requested_by"],
        "admin"
    );
    host.stop().await;
}

/// A run reads as whoever has scheduled it, and nothing else.
#[tokio::test]
async fn a_run_reads_what_its_token_may_and_no_more() {
    let home = Home::with(&["streams-reader"]);
    let (host, _) = home.start_for_people().await;
    for name in ["own", "other"] {
        host.put(&stream(name), &json!({})).await.expect(201);
        let path = format!("{}/documents", stream(name));
        let line = "{\"@timestamp\":1000,\"message\":\"x\"}\n";
        host.upload(&path, "application/x-ndjson", line)
            .await
            .expect(200);
    }
    let ann = host
        .holder(&json!({"name": "ann", "roles": {"default": "operator"}, "streams": ["own"]}))
        .await;
    let schedule = |id: &str, on: &str| {
        let request = json!({"from": 0, "to": 9_999});
        let body = json!({"type": "streams-reader", "stream": on, "params": {"request": request}});
        host.send_for(&ann, host.request(Method::PUT, &task(id)).json(&body))
    };
    schedule("a", "own").await.expect(201);
    let done: Value = host.ends("a").await;
    assert_eq!(done["payload"]["count"]["value"], 1, "{done:#}");
    schedule("b", "other").await.problem(404, "unknown-stream");
    schedule("b", "none").await.problem(404, "unknown-stream");
    host.stop().await;
}
