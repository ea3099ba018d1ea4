//! Children: spawned by a run, waited for without a slot, and ended with their parent.

use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::task;

const ALLOW: &str = "[[allow]]\ntype = \"fan-out\"\nchildren = [\"fan-out\"]\n\
                     [[allow]]\ntype = \"parent\"\n\
                     children = [\"hello\", \"sleeper\", \"parent\", \"missing\"]\n";

fn home(runs: &str) -> Home {
    let home = Home::with(&["hello-task", "fan-out", "parent", "sleeper"]);
    home.settings(&format!("{runs}{ALLOW}"));
    home
}

/// All tasks that are children.
async fn children(host: &Host) -> Vec<Value> {
    let listed = host
        .get("/v1/spaces/default/tasks?limit=1000")
        .await
        .expect(200);
    let mut tasks = listed["tasks"].as_array().unwrap().clone();
    tasks.retain(|task| task.get("parent").is_some());
    tasks
}

async fn did(host: &Host, id: &str, steps: Value) -> Vec<Value> {
    let done = host.run(id, "parent", json!({"steps": steps})).await;
    assert_eq!(done["status"], "completed", "{done:#}");
    done["payload"]["answers"].as_array().unwrap().clone()
}

fn sum_of(numbers: std::ops::Range<u64>) -> u64 {
    numbers.sum()
}

#[tokio::test]
async fn a_parent_in_the_only_slot_waits_without_it() {
    let host = home("runs.slots = 1\n").start().await;
    let params = json!({"from": 1, "to": 1_001, "parts": 3, "part_ms": 50});
    let done = host.run("t", "fan-out", params).await;
    assert_eq!(done["payload"]["sum"], sum_of(1..1_001), "{done:#}");
    assert_eq!(
        (&done["progress"]["done"], &done["progress"]["total"]),
        (&json!(3), &json!(3))
    );
    let children = children(&host).await;
    assert_eq!(children.len(), 3);
    let mut keys = Vec::new();
    for child in &children {
        assert_eq!(child["status"], "completed", "{child:#}");
        let parent = &child["parent"];
        assert_eq!(
            (&parent["task"], &parent["run"], &parent["depth"]),
            (&json!("t"), &done["run"]["id"], &json!(1))
        );
        keys.push(parent["key"].as_str().unwrap());
    }
    keys.sort_unstable();
    assert_eq!(keys, ["part-0", "part-1", "part-2"]);
    let child = children[0]["id"].as_str().unwrap();
    let shown = host.cli(&["status", child]).await.done();
    assert!(shown.contains("of t"), "its parent is shown");
}

#[tokio::test]
async fn a_parent_without_a_place_is_suspended_and_goes_on() {
    let host = home("runs.slots = 1\nruns.parked = 0\n").start().await;
    let params = json!({"from": 1, "to": 1_001, "parts": 3, "part_ms": 300});
    host.schedule("t", "fan-out", params).await;
    let waits = host
        .until("t", |task| task["run"]["state"] == "suspended")
        .await;
    assert_eq!(waits["status"], "in_progress");
    assert_eq!(waits["run"]["attempt"], 1);
    let done = host.reaches("t", "completed").await;
    assert_eq!(done["payload"]["sum"], sum_of(1..1_001), "{done:#}");
    assert_eq!(
        (&done["run"]["attempt"], &done["run"]["pauses"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(children(&host).await.len(), 3, "the same ones each time");
}

#[tokio::test]
async fn a_suspended_wait_is_over_when_it_was_to_be() {
    // The child needs one of them for longer than anybody waits.
    let host = home("runs.slots = 2\nruns.parked = 0\n").start().await;
    let steps = json!([
        {"spawn": {"key": "a", "task_type": "sleeper", "params": {"ms": 60_000}}},
        {"wait": {"ids": ["a"], "ms": 1_000}},
    ]);
    let answers = did(&host, "u", steps).await;
    assert_eq!(answers[1], Value::Null);
}

#[tokio::test]
async fn a_parent_goes_on_after_its_host_was_killed() {
    for parked in ["", "runs.parked = 0\n"] {
        let home = home(&format!("runs.slots = 2\n{parked}"));
        let host = home.start().await;
        let params = json!({"from": 0, "to": 100, "parts": 4, "part_ms": 400});
        host.schedule("t", "fan-out", params).await;
        host.see("the first child has ended", async || {
            let ended = |task: &Value| task["status"] == "completed";
            children(&host).await.iter().any(ended).then_some(())
        })
        .await;
        host.kill().await;
        let host = home.start().await;
        let done = host.reaches("t", "completed").await;
        assert_eq!(done["payload"]["sum"], sum_of(0..100), "{done:#}");
        assert_eq!(children(&host).await.len(), 4);
    }
}

#[tokio::test]
async fn children_end_with_their_parent() {
    for (parked, state) in [("", "running"), ("runs.parked = 0\n", "suspended")] {
        let host = home(&format!("runs.slots = 3\n{parked}")).start().await;
        let sleeper =
            |key| json!({"spawn": {"key": key, "task_type": "sleeper", "params": {"ms": 60_000}}});
        let grandchild = json!({"steps": [sleeper("x"), {"wait": {"ids": ["x"], "ms": 60_000}}]});
        let below = json!({"spawn": {"key": "p", "task_type": "parent", "params": grandchild}});
        let waits = json!({"wait": {"ids": ["a", "p"], "ms": 60_000}});
        let steps = json!([sleeper("a"), below, waits]);
        for (id, verb) in [
            ("canceled", "cancel"),
            ("deleted", "delete"),
            ("failed", ""),
        ] {
            let mut body = json!({"type": "parent", "params": {"steps": steps}});
            if verb.is_empty() {
                body["timeout_ms"] = json!(1_500);
            }
            host.put(&task(id), &body).await.expect(201);
            host.see("the grandchild is there", async || {
                (children(&host).await.len() == 3).then_some(())
            })
            .await;
            match verb {
                "cancel" => {
                    host.until(id, |task| task["run"]["state"] == state).await;
                    let answer = host.verb(id, verb).await.json();
                    if state == "suspended" {
                        assert_eq!(answer["status"], "canceled", "no guest is alive");
                    }
                    host.reaches(id, "canceled").await;
                }
                "delete" => drop(host.delete(&task(id)).await),
                _ => drop(host.reaches(id, "failed").await),
            }
            let ended = host
                .see("all children are canceled", async || {
                    let all = children(&host).await;
                    let are_canceled = all.iter().all(|task| task["status"] == "canceled");
                    are_canceled.then_some(all)
                })
                .await;
            for child in ended {
                assert_eq!(child["run"]["cancel_reason"], "its parent has ended");
                host.delete(&task(child["id"].as_str().unwrap())).await;
            }
        }
    }
}

#[tokio::test]
async fn what_a_parent_may_not_is_said() {
    let host = home("runs.slots = 4\n").start().await;
    let spawn = |key: &str, task_type: &str, params: Value| {
        let spawn = json!({"key": key, "task_type": task_type, "params": params});
        json!({ "spawn": spawn })
    };
    let you = json!({"name": "you"});
    let steps = json!([
        spawn("a", "hello", you.clone()),
        spawn("a", "hello", you.clone()),
        spawn("a", "hello", json!({"name": "another"})),
        spawn("a", "sleeper", json!({"ms": 1})),
        spawn("b", "fan-out", you.clone()),
        spawn("b", "missing", you.clone()),
        spawn("b", "hello", json!({"name": 7})),
        spawn("b c", "hello", you.clone()),
        {"status": "nobody"},
        {"wait": {"ids": [], "ms": 1}},
        {"wait": {"ids": ["nobody"], "ms": 1}},
        {"wait": {"ids": ["a"], "ms": 60_000}},
        {"status": "a"},
        {"cancel": "a"},
        {"status": "child-00000000000000000000000000000000"},
    ]);
    let answers = did(&host, "t", steps).await;
    assert_eq!(answers[0], answers[1]);
    let codes: Vec<_> = answers[2..11]
        .iter()
        .map(|it| it["code"].as_str())
        .collect();
    let expected = [
        "conflict",
        "conflict",
        "denied",
        "not-found",
        "invalid",
        "invalid",
        "not-found",
        "invalid",
        "not-found",
    ];
    assert_eq!(codes, expected.map(Some));
    assert_eq!(answers[6]["details"]["errors"][0]["field"], "params.name");
    for ended in &answers[11..13] {
        assert_eq!(ended["status"], "completed", "{ended:#}");
        assert_eq!(ended["result"]["greeting"], "Hello, you!");
    }
    assert_eq!(answers[13], "canceled", "which changes nothing");
    assert_eq!(answers[14]["status"], "deleted");
    // Another run has other children, also under the same key.
    let child = answers[0].as_str().unwrap();
    let again = did(
        &host,
        "t",
        json!([{"status": child}, spawn("a", "hello", you)]),
    )
    .await;
    assert_eq!(again[0]["code"], "not-found");
    assert_ne!(again[1], answers[0]);
}

#[tokio::test]
async fn children_are_so_deep_and_so_many() {
    let host = home("runs.slots = 8\n").start().await;
    let mut steps = json!([{"sleep": 1}]);
    for _ in 0..5 {
        steps = json!([
            {"spawn": {"key": "c", "task_type": "parent", "params": {"steps": steps}}},
            {"wait": {"ids": ["c"], "ms": 60_000}},
        ]);
    }
    let mut answers = did(&host, "t", steps).await;
    for _ in 0..4 {
        let below = &answers[1]["result"]["answers"];
        answers = below.as_array().unwrap().clone();
    }
    assert_eq!(answers[0]["code"], "quota-exceeded", "{answers:#?}");
    let steps = json!([
        {"spawn_many": 1_000},
        {"spawn": {"key": "more", "task_type": "hello", "params": {"name": "you"}}},
        {"spawn": {"key": "n7", "task_type": "hello", "params": {"name": "you"}}},
    ]);
    let answers = did(&host, "u", steps).await;
    assert_eq!(answers[0], 1_000);
    assert_eq!(answers[1]["code"], "quota-exceeded");
    assert!(answers[2].is_string(), "it is there already");
}
