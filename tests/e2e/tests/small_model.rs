//! A real language model answers tasks. `tests/small-model.sh` starts it, and runs this.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use serde_json::{Value, json};
use taskhost_e2e::home::Home;

/// How a real one names things is not judged, but that its answers come through the same way as
/// the scripted ones.
#[tokio::test]
async fn a_real_model_answers() {
    let url = std::env::var("TASKHOST_MODEL_URL").expect("what tests/small-model.sh sets");
    let home = Home::with(&["asks-model"]);
    home.settings(&format!(
        "runs.slots = 1\n[[allow]]\ntype = \"asks-model\"\nmodels = [\"small\", \"large\"]\n\
         [connectors.small]\nurl = \"{url}\"\nmodel = \"smollm2\"\ntimeout_s = 300\n"
    ));
    let host = home.start().await;
    for (ask, is_fine) in [
        ("text", Value::is_string as fn(&Value) -> bool),
        ("typed", |named| {
            named["name"].is_string() && named["confidence"].is_u64()
        }),
        ("tool", |both| {
            both["arguments"].is_object() && both["text"].is_string()
        }),
        ("many", |texts| {
            texts.as_array().is_some_and(|all| all.len() == 3)
        }),
    ] {
        let done = host
            .run(ask, "asks-model", json!({"ask": ask, "count": 3}))
            .await;
        assert!(is_fine(&done["payload"]), "{done:#}");
        assert!(done["usage"]["tokens"].as_u64() > Some(10), "{done:#}");
    }
    // As many as would take it minutes.
    let params = json!({"ask": "many", "count": 64});
    host.schedule("long", "asks-model", params).await;
    host.reaches("long", "in_progress").await;
    host.verb("long", "cancel").await.expect(200);
    host.reaches("long", "canceled").await;
    let done = host
        .run("after", "asks-model", json!({"ask": "text"}))
        .await;
    assert_eq!(done["status"], "completed", "{done:#}");
}
