//! A host stands still for three leases and goes on, with guests that know nothing of it: what
//! others have written meanwhile stands.

use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use taskhost_e2e::fleet::{Fleet, LEASE, pass, pass_until};
use taskhost_e2e::host::Host;

use crate::takeover::name;

async fn runs_on(host: &Host, id: &str, name: &Value) -> Value {
    let running = |task: &Value| task["run"]["state"] == "running" && task["run"]["host"] == *name;
    host.until(id, running).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_stood_still_brings_nothing_back() {
    if !taskhost_e2e::long() {
        return;
    }
    let components = ["sleeper", "cooperative", "hello-task"];
    let Some(fleet) = Fleet::find(2, &components, "").await else {
        return;
    };
    let hosts = fleet.start_all().await;
    let (slow, other) = (&hosts[0], &hosts[1]);
    let (slow_name, other_name) = (name(slow).await, name(other).await);
    // Ends while the other host has it; and what still runs there, and tells how far it is.
    let ms = 5_000;
    slow.schedule("ends", "sleeper", json!({"ms": ms})).await;
    slow.schedule("goes-on", "cooperative", json!({})).await;
    runs_on(other, "ends", &slow_name).await;
    runs_on(other, "goes-on", &slow_name).await;
    slow.moves("goes-on").await;
    kill_process(slow.pid(), Signal::STOP).unwrap();
    let stopped_at = tokio::time::Instant::now();
    let ended = other.reaches("ends", "completed").await;
    assert_eq!(ended["run"]["host"], other_name);
    assert_eq!(ended["run"]["lease_number"], 2);
    let moved = |task: &Value| task["run"]["host"] == other_name && done(task) > 20;
    let before = other.until("goes-on", moved).await;
    // A whole number of leases has to pass
    pass_until(stopped_at + 3 * LEASE).await;
    kill_process(slow.pid(), Signal::CONT).unwrap();
    // It hears that it was lost, and works again as another life.
    let hello = json!({"name": "again"});
    let of_the_new_life = async || {
        slow.log()
            .contains("this host was declared lost")
            .then_some(())
    };
    slow.see("that it was lost", of_the_new_life).await;
    slow.run("after", "hello", hello).await;
    let mut last = before;
    for _ in 0..20 {
        let further = |task: &Value| task["revision"] != last["revision"];
        let now = other.until("goes-on", further).await;
        assert!(
            done(&now) >= done(&last),
            "of the other life: {last:#}, {now:#}"
        );
        assert_eq!(now["run"]["lease_number"], 2, "{now:#}");
        assert_eq!(now["run"]["host"], other_name);
        last = now;
    }
    for host in &hosts {
        assert_eq!(
            host.task("ends").await,
            ended,
            "the other host's result stands"
        );
    }
    slow.verb("goes-on", "cancel").await.expect(200);
    other.reaches("goes-on", "canceled").await;
    for host in hosts {
        host.stop().await;
    }
    fleet.clear().await;
}

fn done(task: &Value) -> u64 {
    task["progress"]["done"].as_u64().unwrap_or(0)
}

/// Short of a lease nobody is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_stood_still_for_a_moment_keeps_what_it_runs() {
    if !taskhost_e2e::long() {
        return;
    }
    let Some(fleet) = Fleet::find(2, &["sleeper"], "").await else {
        return;
    };
    let hosts = fleet.start_all().await;
    let slow = name(&hosts[0]).await;
    hosts[0]
        .schedule("t", "sleeper", json!({"ms": 12_000}))
        .await;
    runs_on(&hosts[1], "t", &slow).await;
    kill_process(hosts[0].pid(), Signal::STOP).unwrap();
    // It is how long it stands still
    pass(LEASE - Duration::from_secs(6)).await;
    kill_process(hosts[0].pid(), Signal::CONT).unwrap();
    let ended = hosts[1].reaches("t", "completed").await;
    let run = &ended["run"];
    let all = (&run["host"], &run["lease_number"], &run["crashes"]);
    assert_eq!(all, (&slow, &json!(1), &json!(0)));
    fleet.clear().await;
}
