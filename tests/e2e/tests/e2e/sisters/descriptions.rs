//! One description of a stream; nothing is written.

use serde_json::json;
use taskhost_e2e::model::{self, ModelServer, Said};

use super::{
    DESCRIPTION, IDENTIFICATION, completed, home, home_with, range, says, started, told, with,
};

#[tokio::test]
async fn without_a_model_it_is_made_by_counting_and_names_the_systems() {
    let host = started(&home("")).await;
    let alone = completed(&host, "a", DESCRIPTION, range()).await;
    assert_eq!(alone["source"], "computed");
    assert_eq!(
        (&alone["documents_sampled"], &alone["features"]),
        (&json!(2_000), &json!(0))
    );
    assert!(alone.get("tokens_used").is_none(), "{alone:#}");
    let text = alone["description"].as_str().unwrap();
    let opening = "The stream logs has 3,000 documents in this range; their text stands in message";
    assert!(text.starts_with(opening), "{text}");

    let found = completed(&host, "b", IDENTIFICATION, range()).await;
    let largest = found["features"].as_array().unwrap().iter();
    let largest = largest.max_by_key(|it| it["count"].as_u64()).unwrap();
    let named = completed(&host, "c", DESCRIPTION, range()).await;
    let text = named["description"].as_str().unwrap();
    assert!(text.contains("systems are known in it: "), "{text}");
    assert!(text.contains(largest["name"].as_str().unwrap()), "{text}");
    // The same seed and the same documents say the same.
    assert_eq!(completed(&host, "d", DESCRIPTION, range()).await, named);
}

#[tokio::test]
async fn a_model_writes_it_as_the_space_has_said() {
    let written = "Twelve programs of one machine write here: web servers, databases and sshd.";
    let server = ModelServer::start(move |_, _| says(&json!({"description": written}))).await;
    let host = started(&home_with(&server, "")).await;
    let params = with(&json!({"connector": "small"}));
    let payload = completed(&host, "a", DESCRIPTION, params.clone()).await;
    assert_eq!(payload["description"], written);
    assert_eq!(
        (&payload["source"], &payload["tokens_used"]),
        (&json!("model"), &json!(12))
    );
    let (system, shown) = told(&server.seen()[0]);
    assert!(
        system.starts_with("You describe a stream of log data"),
        "{system}"
    );
    assert!(shown.contains("\"documents_in_range\":3000"), "{shown}");

    let own = "/v1/spaces/default/collections/prompts/description_generation";
    host.put(own, &json!({"text": "In one word."})).await;
    completed(&host, "b", DESCRIPTION, params).await;
    assert_eq!(told(&server.seen()[1]).0, "In one word.");
}

#[tokio::test]
async fn a_model_that_is_of_no_use_leaves_what_was_counted() {
    for broken in [
        "{\"description\": \"half",
        "{\"description\": \"\"}",
        "no JSON",
    ] {
        let server = ModelServer::start(move |_, _| Said::Json(model::text(broken))).await;
        let host = started(&home_with(&server, "")).await;
        let params = with(&json!({"connector": "small"}));
        let payload = completed(&host, "a", DESCRIPTION, params).await;
        assert_eq!(payload["source"], "computed", "{payload:#}");
        assert!(payload["model_failed"].is_string(), "{payload:#}");
        assert_eq!(server.seen().len(), 2, "it was asked again once");
        let counted = completed(&host, "b", DESCRIPTION, range()).await;
        assert_eq!(payload["description"], counted["description"]);
    }
}

/// One that the operator has not allowed, and one that is down.
#[tokio::test]
async fn nor_does_one_that_cannot_be_asked() {
    let server = ModelServer::start(|_, _| Said::Status(500, Vec::new(), "{}".to_owned())).await;
    let host = started(&home_with(&server, "")).await;
    for (connector, part) in [("small", "status 500"), ("large", "large")] {
        let params = with(&json!({"connector": connector}));
        let payload = completed(&host, connector, DESCRIPTION, params).await;
        assert_eq!(payload["source"], "computed", "{payload:#}");
        let why = payload["model_failed"].to_string();
        assert!(why.contains(part), "{why}");
    }
}
