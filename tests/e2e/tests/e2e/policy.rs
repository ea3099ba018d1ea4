//! What task types may reach: asked for by them, allowed by the operator.

use serde_json::{Value, json};
use taskhost_e2e::component::greeter;
use taskhost_e2e::home::Home;
use taskhost_e2e::tasks::task;

const ALLOWED: &str = "\n[[allow]]\ntype = \"greeter\"\n\
    http = [{ origin = \"https://a.example\", path_prefix = \"/v1/\" }]\n\
    secrets = [\"for-greeter\"]\n";

fn wanting(secrets: &[&str], path_prefix: &str) -> Value {
    json!({"capabilities": {
        "http": [{"origin": "https://a.example", "methods": ["GET"], "path_prefix": path_prefix}],
        "secrets": secrets}})
}

fn contains(texts: &Value, part: &str) {
    let texts = texts.as_array().unwrap_or_else(|| panic!("{texts}"));
    let found = texts
        .iter()
        .any(|text| text.as_str().unwrap().contains(part));
    assert!(found, "{part} in {texts:?}");
}

#[tokio::test]
async fn what_is_within_the_policy_is_active_and_what_is_beyond_waits() {
    let home = Home::new();
    home.settings(ALLOWED);
    let host = home.start().await;
    let within = greeter("1", &wanting(&["for-greeter"], "/v1/x"));
    let first = host.push_bytes(within).await.expect(201);
    assert_eq!(first["state"], "active", "{first:#}");
    contains(&first["changes"], "newly wants: secret for-greeter");

    let beyond = greeter("2", &wanting(&["other"], "/v2/"));
    let second = host.push_bytes(beyond.clone()).await.expect(201);
    assert_eq!(second["state"], "pending_approval", "{second:#}");
    for part in [
        "newly wants: http origin https://a.example (GET, /v2/)",
        "newly wants: secret other",
        "no longer wants: secret for-greeter",
        "version: 1 → 2",
    ] {
        contains(&second["changes"], part);
    }
    let wants = ["http origin https://a.example (GET, /v2/)", "secret other"];
    assert_eq!(second["needs_approval"], json!(wants));
    let setting = second["setting"].as_str().unwrap();
    let digest = &second["digest"];
    let refused = host.decide("greeter", digest, "activate").await;
    let problem = refused.problem(409, "needs-approval");
    let detail = problem["detail"].as_str().unwrap();
    let command = format!(
        "taskhost types approve greeter {}",
        digest.as_str().unwrap()
    );
    assert!(
        detail.contains("secret other") && detail.contains(&command),
        "{detail}"
    );
    assert_eq!(host.run("t", "greeter", json!({})).await["payload"], "1");
    host.stop().await;

    // What the answer says can be pasted: that is enough.
    home.settings(&format!("{ALLOWED}\n{setting}\n"));
    let host = home.start().await;
    assert_eq!(host.version("greeter", digest).await["state"], "active");
    assert_eq!(host.run("t", "greeter", json!({})).await["payload"], "2");
    let again = host.push_bytes(beyond).await.expect(200);
    assert_eq!(again["state"], "active", "{again:#}");
    assert!(again.get("needs_approval").is_none(), "{again:#}");
}

/// What became active after it had come stays: it is wanted more.
#[tokio::test]
async fn what_the_settings_allow_later_takes_no_newer_ones_place() {
    let home = Home::new();
    let host = home.start().await;
    let beyond = greeter("1", &wanting(&["other"], "/"));
    let first = host.push_bytes(beyond).await.expect(201);
    host.push_bytes(greeter("2", &json!({}))).await.expect(201);
    host.stop().await;
    home.settings(first["setting"].as_str().unwrap());
    let host = home.start().await;
    let digest = &first["digest"];
    let version = host.version("greeter", digest).await;
    assert_eq!(version["state"], "pending_approval");
    let shown = host.cli(&["types", "list"]).await.done();
    assert!(shown.contains("the settings allow it by now"), "{shown}");
    assert_eq!(host.run("t", "greeter", json!({})).await["payload"], "2");
    host.decide("greeter", digest, "activate").await.expect(200);
    assert_eq!(host.run("u", "greeter", json!({})).await["payload"], "1");
}

#[tokio::test]
async fn an_approval_is_for_one_version_and_kept_with_it() {
    let home = Home::new();
    let host = home.start().await;
    let pushed = host
        .push_bytes(greeter("1", &wanting(&["a"], "/")))
        .await
        .expect(201);
    let body = json!({"type": "greeter", "params": {}});
    let answer = host.put(&task("t"), &body).await;
    answer.problem(404, "unknown-task-type");
    let view = host.get("/v1/task-types/greeter").await.expect(200);
    assert_eq!(view["granted"], Value::Null, "{view:#}");
    assert_eq!(view["wanted"]["secrets"], json!(["a"]));

    let digest = &pushed["digest"];
    let approved = host.decide("greeter", digest, "approve").await.expect(200);
    assert_eq!(approved["state"], "active", "{approved:#}");
    assert_eq!(host.run("t", "greeter", json!({})).await["payload"], "1");
    let second = host
        .push_bytes(greeter("2", &wanting(&["a"], "/")))
        .await
        .expect(201);
    assert_eq!(second["state"], "pending_approval", "{second:#}");
    host.stop().await;

    let host = home.start().await;
    let view = host.get("/v1/task-types/greeter").await.expect(200);
    assert_eq!(view["granted"], view["wanted"], "{view:#}");
    let version = host.version("greeter", digest).await;
    assert_eq!(
        (&version["state"], &version["needs_approval"]),
        (&json!("active"), &Value::Null)
    );
    assert_eq!(version["approval"]["allowed"]["secrets"], json!(["a"]));
    assert!(version["approval"]["by"].is_string() && version["approval"]["at"].is_string());
    assert_eq!(host.run("t", "greeter", json!({})).await["payload"], "1");
    // What was approved once needs nobody's word on the way back.
    host.decide("greeter", &second["digest"], "approve")
        .await
        .expect(200);
    assert_eq!(host.run("t", "greeter", json!({})).await["payload"], "2");
    let back = host.decide("greeter", digest, "activate").await.expect(200);
    assert_eq!(back["state"], "active", "{back:#}");
    let repeated = host.decide("greeter", digest, "approve").await.expect(200);
    assert_eq!(
        (&repeated["state"], &repeated["changes"]),
        (&json!("active"), &json!([]))
    );
}

#[tokio::test]
async fn the_command_line_says_what_waits_and_approves_it() {
    let home = Home::new();
    let host = home.start().await;
    let file = home.path().join("greeter.wasm");
    std::fs::write(&file, greeter("1", &wanting(&["a"], "/"))).unwrap();
    let pushed = host
        .cli(&["types", "push", file.to_str().unwrap()])
        .await
        .done();
    let digest = host.get("/v1/task-types/greeter").await.expect(200);
    let digest = digest["versions"][0]["digest"].as_str().unwrap()[..12].to_owned();
    let command = format!("taskhost types approve greeter {digest}");
    for part in [
        "greeter 1: pending_approval",
        "newly wants: secret a",
        command.as_str(),
        "[[allow]]",
        "secrets = [\"a\"]",
    ] {
        assert!(pushed.contains(part), "{part} in {pushed}");
    }
    // Whole lines, which can be pasted.
    let setting = "\n[[allow]]\ntype = \"greeter\"\n\
                   http = [{ origin = \"https://a.example\", methods = [\"GET\"], \
                   path_prefix = \"/\" }]\nsecrets = [\"a\"]\n";
    host.see("the setting in the log", async || {
        host.log().contains(setting).then_some(())
    })
    .await;
    let listed = host.cli(&["types", "list"]).await.done();
    assert!(
        listed.contains("pending_approval") && listed.contains(&command),
        "{listed}"
    );
    let refused = host.cli(&["types", "activate", "greeter", &digest]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("types approve greeter"), "{refused:?}");
    let unknown = host.cli(&["types", "approve", "greeter", "0123"]).await;
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    let approved = host
        .cli(&["types", "approve", "greeter", &digest[..4]])
        .await
        .done();
    assert!(approved.contains("greeter 1: active"), "{approved}");
    assert!(!approved.contains("approve"), "{approved}");
    assert_eq!(host.run("t", "greeter", json!({})).await["payload"], "1");
}

/// A file that waits for approval is judged, so the host is ready; and it waits over restarts.
#[tokio::test]
async fn what_lies_in_the_folder_waits_as_well() {
    let home = Home::new();
    home.add_bytes("greeter", &greeter("1", &wanting(&["a"], "/")));
    let host = home.start().await;
    let view = host.get("/v1/task-types/greeter").await.expect(200);
    let version = &view["versions"][0];
    assert_eq!(version["state"], "pending_approval", "{view:#}");
    assert_eq!(view["active"], Value::Null);
    assert!(
        host.log().contains("types approve greeter"),
        "{}",
        host.log()
    );
    host.stop().await;
    let host = home.start().await;
    let digest = &version["digest"];
    assert_eq!(
        host.version("greeter", digest).await["state"],
        "pending_approval"
    );
    host.decide("greeter", digest, "approve").await.expect(200);
    host.stop().await;
    let host = home.start().await;
    assert_eq!(host.version("greeter", digest).await["state"], "active");
    assert_eq!(host.run("t", "greeter", json!({})).await["payload"], "1");
}

#[tokio::test]
async fn a_newer_contract_than_the_hosts_is_refused_in_words() {
    let host = Home::new().start().await;
    let answer = host.push_bytes(greeter("1", &json!({"min_host": "1.7", "stream": "new"})));
    let problem = answer.await.problem(422, "invalid-component");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("the contract 1.7, and this one has 1.0"),
        "{detail}"
    );
    assert!(!detail.contains("`stream`"), "{detail}");
    host.push_bytes(greeter("1", &json!({"min_host": "1.0"})))
        .await
        .expect(201);
}
