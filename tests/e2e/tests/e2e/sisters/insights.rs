//! Insights over several streams, which the params name.

use serde_json::{Value, json};
use taskhost_e2e::component::component;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::model::{ModelServer, Said};
use taskhost_e2e::tasks::task;

use super::{INSIGHTS, home, home_with, says, started, told, with};

/// `logs` with real lines, and two small streams beside it.
async fn three_streams(home: &Home) -> Host {
    let host = started(home).await;
    for (name, trouble) in [
        ("shop", "payment: connection refused"),
        ("idle", "all is well"),
    ] {
        let lines = (0..200).map(|n| {
            let message = match n % 20 {
                7 => trouble.to_owned(),
                _ => format!("order {n} was placed"),
            };
            json!({"@timestamp": 1_000_000 + n, "message": message})
        });
        host.fill(name, lines).await;
    }
    host
}

async fn discovered(host: &Host, id: &str, more: &Value) -> Value {
    let done = host.run(id, INSIGHTS, with(more)).await;
    assert_eq!(done["status"], "completed", "{done:#}");
    done["payload"].clone()
}

#[tokio::test]
async fn without_a_model_streams_are_compared_by_what_was_counted() {
    let host = three_streams(&home("")).await;
    let all = json!({"streams": ["logs", "shop", "idle"]});
    let payload = discovered(&host, "a", &all).await;
    let looked = payload["streams"].as_array().unwrap();
    let names: Vec<_> = looked
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["idle", "logs", "shop"]);
    let counts: Vec<_> = looked.iter().map(|it| it["documents"].as_u64()).collect();
    assert_eq!(counts, [Some(200), Some(3_000), Some(200)]);
    let insights = payload["insights"].as_array().unwrap();
    assert!(insights.len() > 1, "{payload:#}");
    let refused = &insights[0];
    assert_eq!(refused["title"], "“refused” in 2 streams", "{payload:#}");
    assert_eq!(
        (&refused["streams"], &refused["source"]),
        (&json!(["logs", "shop"]), &json!("computed"))
    );
    let evidence = refused["evidence"].as_array().unwrap();
    let of_shop = evidence.iter().find(|it| it["stream"] == "shop").unwrap();
    assert_eq!(
        (&of_shop["count"], &of_shop["of"]),
        (&json!(10), &json!(200))
    );
}

#[tokio::test]
async fn a_models_insights_rest_on_events_that_were_counted() {
    let server = ModelServer::start(|_, nth| {
        let true_one = json!({"title": "The shop cannot be paid", "severity": "critical",
            "summary": "Payment is refused.", "evidence": ["e1"]});
        let made_up = json!({"title": "The moon is full", "severity": "low",
            "summary": "It is.", "evidence": ["e99"]});
        says(&match nth {
            0 => json!({"insights": [true_one, made_up]}),
            _ => json!({"insights": [made_up]}),
        })
    })
    .await;
    let host = three_streams(&home_with(&server, "")).await;
    let params = json!({"streams": ["shop"], "connector": "small"});
    let payload = discovered(&host, "a", &params).await;
    let insights = payload["insights"].as_array().unwrap();
    assert_eq!(
        (insights.len(), &insights[0]["source"]),
        (1, &json!("model")),
        "{payload:#}"
    );
    assert_eq!(insights[0]["evidence"][0]["count"], 10);
    assert_eq!(payload["dropped"][0]["title"], "The moon is full");
    assert_eq!(payload["tokens_used"], 12);
    let (system, shown) = told(&server.seen()[0]);
    assert!(
        system.starts_with("You look at significant events"),
        "{system}"
    );
    assert!(shown.contains("connection refused"), "{shown}");

    let payload = discovered(&host, "b", &params).await;
    assert_eq!(payload["insights"][0]["source"], "computed", "{payload:#}");
    assert!(payload["model_failed"].is_string(), "{payload:#}");
}

#[tokio::test]
async fn a_model_that_fails_leaves_the_insights_that_were_counted() {
    let server = ModelServer::start(|_, _| Said::Status(500, Vec::new(), "{}".to_owned())).await;
    let host = three_streams(&home_with(&server, "")).await;
    let params = json!({"streams": ["shop"], "connector": "small"});
    let payload = discovered(&host, "a", &params).await;
    assert_eq!(payload["insights"][0]["source"], "computed", "{payload:#}");
    let why = payload["model_failed"].to_string();
    assert!(why.contains("status 500"), "{why}");
}

#[tokio::test]
async fn streams_have_to_be_there_and_are_the_only_ones_that_are_read() {
    let host = three_streams(&home("")).await;
    let params = with(&json!({"streams": ["logs", "absent"]}));
    let body = json!({"type": INSIGHTS, "params": params});
    let refused = host.put(&task("a"), &body).await;
    assert_eq!(refused.status, 404, "{refused:?}");
    assert!(refused.json().to_string().contains("absent"));
    let params = with(&json!({"streams": ["A B"]}));
    let body = json!({"type": INSIGHTS, "params": params});
    let refused = host.put(&task("a"), &body).await.expect(400);
    assert!(
        refused.to_string().contains("params.streams"),
        "{refused:#}"
    );
}

/// By what such a child answers a component would read what it was not granted.
#[tokio::test]
async fn a_component_names_no_streams_for_its_children() {
    let home = Home::with(&["parent"]);
    home.settings(
        "[[allow]]\ntype = \"parent\"\n\
         children = [\"hello\", \"sleeper\", \"parent\", \"missing\"]\n",
    );
    let descriptor = json!({"id": "missing", "version": "1", "title": "Reads what its params name",
        "streams_from": "/streams"});
    home.add_bytes("names", &component(&descriptor.to_string(), "{}"));
    let host = home.start().await;
    host.fill("logs", [json!({"message": "x"})]).await;
    let named = json!({"streams": ["logs"]});
    let by_a_person = host.run("a", "missing", named.clone()).await;
    assert_eq!(by_a_person["status"], "completed", "{by_a_person:#}");
    let spawn = json!({"spawn": {"key": "a", "task_type": "missing", "params": named}});
    let parent = host.run("b", "parent", json!({"steps": [spawn]})).await;
    let answer = &parent["payload"]["answers"][0];
    assert_eq!(answer["code"], "invalid", "{parent:#}");
    assert!(answer.to_string().contains("names streams"), "{answer}");
    host.stop().await;
}
