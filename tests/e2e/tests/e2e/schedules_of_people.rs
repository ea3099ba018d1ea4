//! Schedules on a real Elasticsearch, with its people: whose they are, and what becomes of their
//! key.

use reqwest::Method;
use serde_json::{Value, json};
use taskhost_e2e::cluster::{Cluster, Person};
use taskhost_e2e::home::Home;

#[tokio::test]
async fn a_schedule_reads_with_the_key_of_its_author_and_pauses_without() {
    let Some(cluster) = Cluster::find("schedules") else {
        return;
    };
    cluster
        .stream("logs", (0..5).map(|n| format!("line {n}")))
        .await;
    let host = cluster.start(&Home::with(&["streams-reader"])).await;
    let adm = cluster.person("adm", Some("admin"), &["logs"]).await;
    let ope = cluster.person("ope", Some("operator"), &["logs"]).await;
    let blind = cluster.person("blind", Some("admin"), &[]).await;
    let path = "/v1/spaces/default/schedules/reads";
    let body = json!({"type": "streams-reader", "stream": cluster.named("logs"),
        "interval": "1h", "params": {"request": {"from": 0, "to": 9_999_999_999_999_i64}}});
    let put = async |by: &Person| {
        let request = host.request(Method::PUT, path).json(&body);
        host.send_as(by, request).await
    };
    put(&ope).await.problem(403, "forbidden");
    put(&blind).await.problem(404, "unknown-stream");
    let made = put(&adm).await.expect(201);
    assert_eq!(made["author"], adm.name);
    assert!(made["key_expires_at"].is_string());
    let seen = host.send_as(&ope, host.request(Method::GET, path)).await;
    seen.expect(200);
    let unseen = host.send_as(&blind, host.request(Method::GET, path)).await;
    unseen.problem(404, "not-found");

    let run = host.request(Method::POST, &format!("{path}/run"));
    let run = host.send_as(&adm, run).await.expect(202);
    let task = host.ends(run["task"].as_str().unwrap()).await;
    assert_eq!(
        (&task["status"], &task["requested_by"]),
        (&json!("completed"), &json!(adm.name))
    );
    // Its runs are over, and the key stays; whoever looks after keys has been there meanwhile.
    let run = host.request(Method::POST, &format!("{path}/run"));
    let run = host.send_as(&adm, run).await.expect(202);
    assert_eq!(
        host.ends(run["task"].as_str().unwrap()).await["status"],
        "completed"
    );

    let ended = json!({"username": adm.name});
    cluster
        .ask(Method::DELETE, "_security/api_key", Some(&ended))
        .await;
    let run = host.request(Method::POST, &format!("{path}/run"));
    host.send_as(&adm, run).await.problem(409, "not-fired");
    let paused: Value = host
        .send_as(&adm, host.request(Method::GET, path))
        .await
        .expect(200);
    assert_eq!(paused["state"], "paused");
    let reason = paused["paused"]["reason"].as_str().unwrap();
    assert!(
        reason.contains(&adm.name) && reason.contains("not accepted"),
        "{reason}"
    );
    assert_eq!(paused["last"]["outcome"], "failed");
    let again = put(&adm).await.expect(200);
    assert_eq!(again["state"], "active");
    let run = host.request(Method::POST, &format!("{path}/run"));
    let run = host.send_as(&adm, run).await.expect(202);
    assert_eq!(
        host.ends(run["task"].as_str().unwrap()).await["status"],
        "completed"
    );
    let stored = cluster.stored().await;
    for secret in cluster.secrets().iter().chain([&adm.password]) {
        assert!(!stored.contains(secret.as_str()), "a secret is stored");
    }
    host.stop().await;
}
