//! What was built once against a released contract runs on a real host, as what is built now does.

use serde_json::json;
use taskhost_e2e::home::Home;
use taskhost_e2e::model::{self, ModelServer, Said};
use taskhost_e2e::places;

/// A component that was released with 1.0.0.
fn released(name: &str) -> Vec<u8> {
    let folder = places::top().join("wit/released/1.0.0/components");
    std::fs::read(folder.join(format!("{name}.wasm"))).unwrap()
}

async fn any_model() -> ModelServer {
    ModelServer::start(|seen, _| {
        if seen.path == "/v1/embeddings" {
            let data = json!([{"index": 0, "embedding": [0.5]}]);
            return Said::Json(json!({"data": data, "usage": {"prompt_tokens": 1}}));
        }
        Said::Json(model::text("hello"))
    })
    .await
}

async fn answers_every_call(component: &[u8]) {
    let model = any_model().await;
    let home = Home::new();
    home.add_bytes("whole-contract", component);
    std::fs::write(home.path().join("key"), "a-secret-of-some-length\n").unwrap();
    home.settings(&format!(
        "[[allow]]\ntype = \"whole-contract\"\nchildren = [\"whole-contract\"]\n\
         models = [\"small\"]\nsecrets = [\"key\"]\n\
         http = [{{ origin = \"https://taskhost.invalid\" }}]\n\
         [connectors.small]\nurl = \"{}\"\nmodel = \"tiny\"\n\
         [secrets.key]\nfile = \"key\"\norigins = [\"https://taskhost.invalid\"]\n",
        model.url()
    ));
    let host = home.start().await;
    let line = json!({"@timestamp": 1, "message": "one"});
    host.fill("logs.test", [line]).await;
    host.schedule_on("logs.test", "all", "whole-contract", json!({}))
        .await;
    let ended = host.ends("all").await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    let said = ended["payload"].as_object().unwrap();
    assert_eq!(said.len(), 40, "{said:?}");
    for (function, answer) in said {
        // There is no such server, and never will be.
        let expected = match function.as_str() {
            "http.send" => "unavailable",
            _ => "ok",
        };
        assert_eq!(answer, expected, "{function}: {said:?}");
    }
}

#[tokio::test]
async fn every_function_of_the_contract_answers() {
    answers_every_call(&std::fs::read(places::component("whole-contract")).unwrap()).await;
}

#[tokio::test]
async fn every_function_answers_what_was_built_once() {
    answers_every_call(&released("whole-contract")).await;
}

#[tokio::test]
async fn examples_of_that_day_run_in_rust_and_javascript() {
    let home = Home::new();
    let host = home.start().await;
    for (name, type_id) in [
        ("hello-task", "hello"),
        ("hello-javascript", "hello-javascript"),
    ] {
        host.push_bytes(released(name)).await.expect(201);
        let done = host.run(name, type_id, json!({"name": "you"})).await;
        let said = done["payload"].to_string();
        assert!(said.contains("Hello"), "{name}: {done:#}");
    }
}
