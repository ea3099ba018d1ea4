//! What a host held that is gone for good goes on elsewhere.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taskhost_e2e::fleet::{Fleet, LEASE};
use taskhost_e2e::host::Host;

const TASKS: usize = 12;

/// Others are given its runs so soon after the lease at most.
const AFTER_LEASE: Duration = Duration::from_secs(5);

pub(crate) async fn name(host: &Host) -> Value {
    host.get("/v1/info").await.expect(200)["host"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_host_held_goes_on_after_its_lease() {
    if !taskhost_e2e::long() {
        return;
    }
    let settings = "runs.slots = 16\n";
    let Some(fleet) = Fleet::find(3, &["sleeper"], settings).await else {
        return;
    };
    let mut hosts = fleet.start_all().await;
    let ids: Vec<String> = (0..TASKS).map(|n| format!("t{n}")).collect();
    for (n, id) in ids.iter().enumerate() {
        let params = json!({"ms": 3_600_000});
        hosts[n % 3].schedule(id, "sleeper", params).await;
    }
    let dead = name(&hosts[2]).await;
    let mut held = Vec::new();
    for id in &ids {
        let running = |task: &Value| task["run"]["state"] == "running";
        let task = hosts[0].until(id, running).await;
        if task["run"]["host"] == dead {
            held.push(id);
        }
    }
    assert!(!held.is_empty(), "a host claims what was scheduled over it");
    let begun = Instant::now();
    hosts.remove(2).kill().await;
    for id in held {
        let elsewhere =
            |task: &Value| task["run"]["state"] == "running" && task["run"]["host"] != dead;
        let task = hosts[0].until(id, elsewhere).await;
        let took = begun.elapsed();
        assert!(took <= LEASE + AFTER_LEASE, "{took:?}: {task:#}");
        let run = &task["run"];
        let counts = (&run["attempt"], &run["crashes"], &run["lease_number"]);
        assert_eq!(counts, (&json!(1), &json!(1), &json!(2)));
        // And it can be canceled over a host that may not be the one that runs it.
        hosts[1].verb(id, "cancel").await.expect(200);
        hosts[0].reaches(id, "canceled").await;
    }
    fleet.clear().await;
}
