//! The real task type with a language model behind a server that speaks OpenAI's protocol, as its
//! user sees it: waiting for the model, and reviewing what it has said.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use taskhost_e2e::browser::Browser;
use taskhost_e2e::home::Home;
use taskhost_e2e::model::{self, ModelServer, Said, Seen};

const TYPE: &str = "streams_feature_identification";

/// One system of all lines with such a part, under the name that only a model would give it.
fn finalized(seen: &Seen) -> Said {
    let shown = seen.body["messages"][1]["content"].as_str().unwrap();
    let shown: Value = serde_json::from_str(shown).unwrap();
    let clusters = shown["clusters"].as_array().unwrap();
    let of_web = clusters
        .iter()
        .find(|one| one["lines"].to_string().contains("GET /a/"));
    let system = json!({"name": "nginx", "cluster": of_web.unwrap()["id"],
        "subtype": "web server", "tags": ["http"], "evidence": ["nginx: 10.0.0."]});
    let arguments = json!({"systems": [system]}).to_string();
    let function = json!({"name": "finalize_systems", "arguments": arguments});
    let call = json!({"id": "c1", "type": "function", "function": function});
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    Said::Json(model::message(&message, "tool_calls"))
}

#[tokio::test]
async fn it_waits_for_the_model_and_shows_what_that_has_said() {
    let is_open = Arc::new(AtomicBool::new(false));
    let open = Arc::clone(&is_open);
    let server = ModelServer::start(move |seen, _| {
        if !open.load(Ordering::SeqCst) {
            let after = ("retry-after", "3".to_owned());
            return Said::Status(429, vec![after], "{}".to_owned());
        }
        match seen.body["response_format"].is_object() {
            true => Said::Json(model::text(
                r#"{"description": "It serves pages, one after the other."}"#,
            )),
            false => finalized(seen),
        }
    })
    .await;
    let home = Home::with(&["feature-identification"]);
    home.settings(&format!(
        "[[allow]]\ntype = \"{TYPE}\"\nmodels = [\"small\"]\n\
         [connectors.small]\nurl = \"{}\"\nmodel = \"tiny\"\n",
        server.url()
    ));
    let host = home.start().await;
    let lines = (0..400).map(|n| {
        let message = match n % 2 {
            0 => format!("nginx: 10.0.0.{} \"GET /a/{n} HTTP/1.1\" 200 {n}", n % 250),
            _ => format!("CRON[{n}]: (root) CMD (run-parts --report /etc/cron.hourly)"),
        };
        json!({"@timestamp": 1_000_000 + n, "message": message})
    });
    host.fill("logs", lines).await;

    let browser = Browser::start().await;
    browser.open(&format!("{}/streams/logs", host.url)).await;
    browser.click("#connector option[value=small]").await;
    browser.click("#start").await;
    browser.state("waiting_retry").await;
    browser.says("#state", "Waiting to be tried again").await;
    browser.says("#reason", "It runs at").await;
    browser.picture("waiting-retry").await;
    // What the arithmetic has found is there by now.
    browser.says("#features", "documents").await;
    is_open.store(true, Ordering::SeqCst);
    browser.state("completed").await;
    browser
        .says("#control", "With the model small, 1 round")
        .await;
    browser.says("#review", "nginx").await;
    browser.picture("with-model").await;
    browser.click("#save").await;
    browser.state("acknowledged").await;
    browser.says("#features", "by a model").await;
    browser.says("#features", "web server").await;
    browser.click("#features .rows .row details summary").await;
    browser.close().await;
}
