//! The straight line: schedule, run, read, acknowledge.

use serde_json::json;
use taskhost_e2e::home::Home;

#[tokio::test]
async fn hello_from_schedule_to_acknowledge() {
    let host = Home::with(&["hello-task"]).start().await;
    let run = host.run("greet", "hello", json!({"name": "you"})).await;
    assert_eq!(run["status"], "completed");
}
