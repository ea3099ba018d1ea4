//! Queries for significant events: one for each feature, each checked against the data.

use std::sync::Arc;

use serde_json::{Value, json};
use taskhost_e2e::host::Host;
use taskhost_e2e::model::{self, ModelServer, Said};
use taskhost_e2e::tasks::stream;
use tokio::sync::Barrier;

use super::{
    IDENTIFICATION, QUERIES, completed, home, home_with, range, says, started, told, with,
};

fn feature(name: &str, text: &str) -> Value {
    json!({"name": name, "filter": {"field": "message", "contains": text}})
}

fn asking(features: &[Value]) -> Value {
    with(&json!({"connector": "small", "features": features}))
}

fn thought(text: &str) -> Value {
    json!({"title": "Failed logins", "severity": "high", "why": "Somebody may guess passwords.",
           "query": {"field": "message", "contains": text}})
}

async fn saved(host: &Host) -> Vec<Value> {
    let path = format!("{}/collections/queries", stream("logs"));
    let listed = host.get(&path).await.expect(200);
    listed["documents"].as_array().unwrap().clone()
}

/// Each selects something among the documents of its feature, and never most of them.
fn hold(queries: &[Value]) {
    for query in queries {
        let (count, of) = (
            query["count"].as_u64().unwrap(),
            query["of"].as_u64().unwrap(),
        );
        assert!(count > 0 && 2 * count <= of, "{query:#}");
        for key in ["id", "title", "severity", "why", "query"] {
            assert!(!query[key].is_null(), "{key} in {query:#}");
        }
    }
}

#[tokio::test]
async fn without_a_model_each_feature_has_one_that_holds_in_the_data() {
    let host = started(&home("")).await;
    let whole = completed(&host, "whole", QUERIES, range()).await;
    let queries = whole["queries"].as_array().unwrap();
    assert_eq!(
        (queries.len(), &whole["features"]),
        (1, &json!(1)),
        "{whole:#}"
    );
    assert_eq!(queries[0]["feature"]["name"], "logs");
    hold(queries);

    let found = completed(&host, "found", IDENTIFICATION, range()).await;
    let features = found["features"].as_array().unwrap();
    let payload = completed(&host, "each", QUERIES, range()).await;
    let queries = payload["queries"].as_array().unwrap();
    hold(queries);
    let dropped = payload["dropped"].as_array().unwrap();
    assert_eq!(payload["features"], features.len());
    assert_eq!(queries.len() + dropped.len(), features.len(), "{payload:#}");
    assert!(2 * queries.len() > features.len(), "{payload:#}");
    let mut of: Vec<_> = queries
        .iter()
        .map(|it| it["feature"]["uuid"].as_str())
        .collect();
    of.sort_unstable();
    of.dedup();
    assert_eq!(of.len(), queries.len(), "one for each");
    assert!(payload.get("tokens_used").is_none());

    assert_eq!(
        saved(&host).await.len(),
        0,
        "nothing is kept unless it is asked for"
    );
    let keeping = with(&json!({"save": true}));
    let kept = completed(&host, "keep", QUERIES, keeping.clone()).await;
    assert_eq!(kept["saved"], queries.len());
    assert_eq!(saved(&host).await.len(), queries.len());
    let again = completed(&host, "again", QUERIES, keeping).await;
    assert_eq!(
        (&again["queries"], &again["saved"]),
        (&kept["queries"], &json!(0))
    );
}

#[tokio::test]
async fn a_models_query_is_proposed_with_its_counts() {
    let server = ModelServer::start(|_, _| says(&thought("failed password"))).await;
    let host = started(&home_with(&server, "")).await;
    let payload = completed(&host, "a", QUERIES, asking(&[feature("sshd", "sshd[")])).await;
    let query = &payload["queries"][0];
    hold(std::slice::from_ref(query));
    assert_eq!(
        (&query["title"], &query["source"]),
        (&json!("Failed logins"), &json!("model"))
    );
    let both = json!({"and": [{"field": "message", "contains": "sshd["},
                              {"field": "message", "contains": "failed password"}]});
    assert_eq!(query["query"], both);
    assert_eq!(
        (&payload["dropped"], &payload["tokens_used"]),
        (&json!([]), &json!(12))
    );
    let (system, shown) = told(&server.seen()[0]);
    assert!(
        system.starts_with("You write detection queries"),
        "{system}"
    );
    assert!(
        shown.contains("\"system\":\"sshd\"") && shown.contains("sshd["),
        "{shown}"
    );
}

#[tokio::test]
async fn what_a_model_makes_up_is_dropped_and_the_counted_one_stays() {
    let lies = [
        (
            json!({"field": "message", "contains": "no line has this"}),
            "selects nothing",
        ),
        (
            json!({"field": "message", "contains": "sshd["}),
            "that is no event",
        ),
        (
            json!({"field": "message", "exists": true}),
            "that is no event",
        ),
        (json!({"not": {"field": "invented", "eq": 7}}), "`invented`"),
        (
            json!({"field": "message", "like": "%fail%"}),
            "no condition",
        ),
    ];
    let counted = {
        let host = started(&home("")).await;
        let params = with(&json!({"features": [feature("sshd", "sshd[")]}));
        completed(&host, "a", QUERIES, params).await
    };
    assert_eq!(counted["queries"].as_array().unwrap().len(), 1);
    let queries: Vec<Value> = lies.iter().map(|(query, _)| query.clone()).collect();
    let server = ModelServer::start(move |_, nth| match queries.get(nth) {
        Some(query) => {
            let mut lie = thought("");
            lie["query"] = query.clone();
            says(&lie)
        }
        None => Said::Json(model::text("{\"title\": \"half")),
    })
    .await;
    let host = started(&home_with(&server, "")).await;
    for (nth, why) in lies.iter().map(|(_, why)| *why).chain(["JSON"]).enumerate() {
        let params = asking(&[feature("sshd", "sshd[")]);
        let payload = completed(&host, &format!("lie-{nth}"), QUERIES, params).await;
        assert_eq!(payload["queries"], counted["queries"], "{payload:#}");
        let dropped = payload["dropped"].as_array().unwrap();
        assert_eq!(dropped.len(), 1, "{payload:#}");
        let said = dropped[0]["why"].as_str().unwrap();
        assert!(said.contains(why), "{why} in {said}");
    }
}

#[tokio::test]
async fn three_requests_go_at_once() {
    let together = Arc::new(Barrier::new(3));
    let server = ModelServer::start(move |_, _| {
        let answer = model::text(&thought("no line has this").to_string());
        Said::Together(Arc::clone(&together), answer)
    })
    .await;
    let host = started(&home_with(&server, "")).await;
    let texts = ["sshd[", "LOG:", "haproxy", "TCP_MISS", "dnsmasq", "slab"];
    let payload = completed(
        &host,
        "a",
        QUERIES,
        asking(&texts.map(|it| feature(it, it))),
    )
    .await;
    assert_eq!(
        (server.seen().len(), server.most_at_once()),
        (6, 3),
        "{payload:#}"
    );
    assert_eq!(payload["tokens_used"], 6 * 12);
}

#[tokio::test]
async fn a_model_that_wants_a_pause_has_the_run_queued_again_and_is_asked_nothing_twice() {
    // In the middle of the first three, which go out together.
    let server = ModelServer::start(|_, nth| match nth {
        1 => Said::Status(
            429,
            vec![("retry-after-ms", "30".to_owned())],
            "{}".to_owned(),
        ),
        _ => says(&thought("failed password")),
    })
    .await;
    let host = started(&home_with(&server, "")).await;
    let texts = ["LOG:", "haproxy", "TCP_MISS", "sshd["];
    let params = asking(&texts.map(|it| feature(it, it)));
    host.schedule_on("logs", "a", QUERIES, params).await;
    let done = host.reaches("a", "completed").await;
    assert_eq!(
        (&done["run"]["attempt"], &done["run"]["pauses"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(server.seen().len(), 5, "what was answered is kept");
    assert_eq!(done["payload"]["tokens_used"], 4 * 12);
    let queries = done["payload"]["queries"].as_array().unwrap();
    assert!(
        queries.iter().any(|it| it["source"] == "model"),
        "{queries:#?}"
    );
}

#[tokio::test]
async fn a_model_that_fails_leaves_the_queries_that_were_counted() {
    let server = ModelServer::start(|_, _| Said::Status(500, Vec::new(), "{}".to_owned())).await;
    let host = started(&home_with(&server, "")).await;
    let texts = ["LOG:", "haproxy", "TCP_MISS", "sshd["].map(|it| feature(it, it));
    let payload = completed(&host, "a", QUERIES, asking(&texts)).await;
    let counted = with(&json!({"features": texts}));
    let counted = completed(&host, "b", QUERIES, counted).await;
    assert_eq!(payload["queries"], counted["queries"], "{payload:#}");
    let dropped = payload["dropped"].to_string();
    assert!(dropped.contains("failed with status 500"), "{dropped}");
    assert_eq!(server.seen().len(), 3, "who is silent is asked no more");
}
