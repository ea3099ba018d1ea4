//! People of a cluster: who is nobody, and what those see who may not see everything.

use reqwest::Method;
use serde_json::{Value, json};
use taskhost_e2e::cluster::{Cluster, Person};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::places;

const TYPE: &str = "streams_feature_identification";

/// Every path that the router has, as it stands in its source.
fn routes() -> Vec<String> {
    let folder = places::top().join("host/server/src/http");
    let mut routes = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let quoted = text.split('"').skip(1).step_by(2);
        let paths = quoted.filter(|it| it.starts_with("/v1/") || it.starts_with("/internal/"));
        routes.extend(paths.map(|it| it.replace(['{', '}'], "")));
    }
    routes.sort();
    routes.dedup();
    assert!(routes.len() > 30, "{routes:?}");
    routes
}

#[tokio::test]
async fn nobody_is_answered_on_any_route() {
    let Some(cluster) = Cluster::find("nobody") else {
        return;
    };
    let mut host = cluster.start(&Home::new()).await;
    let plain = reqwest::Client::new();
    host.http = plain.clone();
    for route in routes() {
        for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE] {
            for authorization in [None, Some("Basic bm86Ym9keQ=="), Some("nonsense")] {
                let mut request = plain.request(method.clone(), format!("{}{route}", host.url));
                if let Some(authorization) = authorization {
                    request = request.header("authorization", authorization);
                }
                let answer = host.send(request).await;
                let problem = answer.problem(401, "unauthorized");
                assert!(!problem.to_string().contains("bm86"), "{problem}");
                let challenge = answer.header("www-authenticate");
                assert!(challenge.contains("ApiKey"), "{route}: {challenge}");
                // A browser would ask for it, and send it along with whatever a page wants.
                assert!(!challenge.contains("Basic"), "{challenge}");
            }
        }
    }
    // People with a browser are asked by it; a script of another origin is not let in with that.
    for page in ["/", "/streams/logs", "/streams/logs/features/x"] {
        for method in [Method::GET, Method::POST] {
            let request = plain.request(method, format!("{}{page}", host.url));
            let answer = host.send(request).await;
            assert_eq!(answer.status, 401, "{answer:?}");
            let challenge = answer.header("www-authenticate");
            assert!(challenge.starts_with("Basic realm="), "{challenge}");
            assert!(answer.header("content-type").starts_with("text/html"));
        }
    }
    for (site, asks) in [
        ("same-origin", true),
        ("cross-site", false),
        ("none", false),
    ] {
        let request = plain.get(format!("{}/v1/info", host.url));
        let answer = host.send(request.header("sec-fetch-site", site)).await;
        answer.problem(401, "unauthorized");
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge.contains("Basic"), asks, "{site}: {challenge}");
    }
    let foreign = plain.get(format!("{}/v1/info", host.url));
    let foreign = host.send(foreign.header("origin", "https://evil.example"));
    foreign.await.problem(403, "origin-not-allowed");
    host.send(plain.get(format!("{}/metrics", host.url)))
        .await
        .problem(401, "unauthorized");
    for open in ["/livez", "/readyz", "/assets/page.css"] {
        let answer = host.send(plain.get(format!("{}{open}", host.url))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let hint = plain.post(format!("{}/internal/hosts/hint", host.url));
    host.send(hint).await.problem(403, "hint-not-allowed");
    host.stop().await;
}

/// A run reads all that its params name with the rights of whoever asked, and is seen by those who
/// may read all of it.
#[tokio::test]
async fn insights_are_for_those_who_read_each_of_the_streams() {
    let Some(cluster) = Cluster::find("insights") else {
        return;
    };
    let home = Home::with(&["insights-discovery"]);
    let host = cluster.start(&home).await;
    for name in ["a", "b"] {
        let message = |n: usize| match n % 5 {
            0 => format!("payment {n}: connection refused"),
            _ => format!("order {n} was placed"),
        };
        cluster.stream(name, (0..100).map(message)).await;
    }
    let ann = cluster.person("ann", Some("operator"), &["a", "b"]).await;
    let ben = cluster.person("ben", Some("operator"), &["a"]).await;
    let streams = ["a", "b"].map(|name| cluster.named(name));
    let params = json!({"start": 0, "end": 9_999_999, "streams": streams});
    let body = json!({"type": "streams_insights_discovery", "params": params});
    let path = "/v1/spaces/default/tasks/both";
    let schedule = || host.request(Method::PUT, path).json(&body);
    host.send_as(&ben, schedule())
        .await
        .problem(404, "unknown-stream");
    host.send_as(&ann, schedule()).await.expect(201);
    let done = host.reaches("both", "completed").await;
    let looked = done["payload"]["streams"].as_array().unwrap();
    let counts: Vec<_> = looked.iter().map(|it| it["documents"].as_u64()).collect();
    assert_eq!(counts, [Some(100), Some(100)], "{done:#}");
    for (by, status) in [(&ann, "completed"), (&ben, "not_started")] {
        let seen = host.send_as(by, host.request(Method::GET, path)).await;
        assert_eq!(seen.expect(200)["status"], status, "{}", by.name);
    }
    host.stop().await;
}

/// What is asked of a stream and its tasks; the name stands for both.
fn asked() -> Vec<(Method, String, Option<Value>)> {
    let range = json!({"from": 0, "to": 9_999_999});
    let own = json!({"type": TYPE, "stream": "NAME", "params": {"start": 0, "end": 9}});
    let task = format!("/v1/spaces/default/tasks/{TYPE}_NAME");
    let stream = "/v1/spaces/default/streams/NAME";
    let kibana = "/internal/streams/NAME/features";
    let get = |path: String| (Method::GET, path, None);
    let post = |path: String, body: &Value| (Method::POST, path, Some(body.clone()));
    let nothing = json!({});
    vec![
        get(task.clone()),
        get(format!("{task}?wait=10ms&since=0")),
        get(format!(
            "{task}/runs/01a222fb-4755-70e9-a0bf-19c333e42178/log"
        )),
        get(format!("{task}/recording")),
        post(format!("{task}/cancel"), &nothing),
        post(format!("{task}/acknowledge"), &nothing),
        (Method::DELETE, task, None),
        get("/v1/spaces/default/tasks?stream=NAME".to_owned()),
        get("/v1/spaces/default/tasks?q=NAME".to_owned()),
        get(stream.to_owned()),
        post(format!("{stream}/sample"), &range),
        post(format!("{stream}/count"), &range),
        get(format!("{stream}/collections/features")),
        get(format!("{stream}/collections/features/x")),
        get(format!("{kibana}/_status")),
        get(kibana.to_owned()),
        get(format!("{kibana}/x")),
        (
            Method::PUT,
            format!("{kibana}/x"),
            Some(json!({"name": "x"})),
        ),
        (Method::DELETE, format!("{kibana}/x"), None),
        post(format!("{kibana}/x/exclude"), &nothing),
        post(format!("{kibana}/_bulk"), &json!({"operations": []})),
        post(format!("{kibana}/_identify?schedule=true"), &range),
        post(format!("{kibana}/_identify?cancel=true"), &nothing),
        post(format!("{kibana}/_task"), &json!({"action": "acknowledge"})),
        (
            Method::DELETE,
            format!("/internal/streams/_tasks/{TYPE}_NAME"),
            None,
        ),
        (
            Method::PUT,
            "/v1/spaces/default/tasks/NAME-of-mine".to_owned(),
            Some(own),
        ),
    ]
}

async fn answered(
    host: &Host,
    by: &Person,
    name: &str,
    (method, path, body): &(Method, String, Option<Value>),
) -> (u16, String) {
    let request = host.request(method.clone(), &path.replace("NAME", name));
    let request = match body {
        Some(body) => {
            let text = body.to_string().replace("NAME", name);
            request
                .header("content-type", "application/json")
                .body(text)
        }
        None => request,
    };
    let answer = host.send_as(by, request).await;
    (answer.status, answer.text.replace(name, "NAME"))
}

#[tokio::test]
async fn what_somebody_may_not_see_is_not_there_on_any_route() {
    let Some(cluster) = Cluster::find("people") else {
        return;
    };
    let host = cluster
        .start(&Home::with(&["feature-identification"]))
        .await;
    let message = |n: usize| format!("10.0.0.{n} GET /a/{n} HTTP/1.1 200");
    cluster.stream("seen", (0..20).map(message)).await;
    cluster.stream("other", (0..20).map(message)).await;
    let ann = cluster.person("ann", Some("operator"), &["seen"]).await;
    let others = [
        cluster.person("viewer", Some("viewer"), &["other"]).await,
        cluster
            .person("operator", Some("operator"), &["other"])
            .await,
        cluster.person("roleless", None, &["seen", "other"]).await,
    ];
    let (seen, ghost) = (cluster.named("seen"), cluster.named("gone"));
    let features = format!("/internal/streams/{seen}/features/_identify?schedule=true");
    let range = json!({"from": 0, "to": 9_999_999});
    let request = host.request(Method::POST, &features).json(&range);
    host.send_as(&ann, request).await.expect(200);
    let id = format!("{TYPE}_{seen}");
    // The run has read with her rights: the superuser's answer says whose it is.
    let done = host.reaches(&id, "completed").await;
    assert_eq!(done["requested_by"], ann.name.as_str(), "{done:#}");
    for by in &others {
        for asked in asked() {
            let there = answered(&host, by, &seen, &asked).await;
            let absent = answered(&host, by, &ghost, &asked).await;
            assert_eq!(there, absent, "{} on {} {}", by.name, asked.0, asked.1);
        }
        for path in [
            "/v1/spaces/default/tasks",
            "/internal/streams/_tasks",
            "/v1/spaces/default/collections/prompts",
        ] {
            let answer = host.send_as(by, host.request(Method::GET, path)).await;
            assert!(!answer.text.contains(&seen), "{answer:?}");
            if by.name == others[2].name {
                let problem = answer.problem(403, "forbidden");
                assert!(problem.to_string().contains("viewer"), "{problem}");
            }
        }
        let hosts = host.request(Method::GET, "/v1/hosts");
        host.send_as(by, hosts).await.problem(403, "forbidden");
        let push = host.request(Method::POST, "/v1/task-types");
        let push = push.header("content-type", "application/wasm").body("x");
        let answer = host.send_as(by, push).await;
        assert!([403, 404].contains(&answer.status), "{answer:?}");
    }
    // She sees it herself, and it is still there after what the others have tried.
    let own = host.request(Method::GET, &format!("/v1/spaces/default/tasks/{id}"));
    let own = host.send_as(&ann, own).await.expect(200);
    assert_eq!(own["status"], "completed", "{own:#}");

    let (stored, log) = (cluster.stored().await, host.log());
    assert!(stored.contains(&id));
    let mut secrets = cluster.secrets();
    for person in others.iter().chain([&ann]) {
        secrets.push(person.password.clone());
        secrets.push(person.authorization()["Basic ".len()..].to_owned());
    }
    for (place, text) in [("the log", &log), ("the store", &stored)] {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret} is in {place}");
        }
    }
    host.stop().await;
}
