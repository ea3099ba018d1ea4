//! Guests compute on every core of hosts that share a store, and each goes on to tell the others
//! that it is alive: none is taken for lost, and nothing that it runs.

use std::time::{Duration, Instant};

use serde_json::json;
use taskhost_e2e::fleet::{Fleet, LEASE};
use taskhost_e2e::long;

const HOSTS: usize = 2;
/// Guests that compute, for each core and host: so many that none has had its 10 s at the end.
const FOR_EACH_CORE: usize = 4;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// T9: no false `stale`, no lost run, and beats go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_whose_guests_compute_on_every_core_are_alive() {
    let lasts = if long() { LEASE * 4 } else { LEASE * 3 / 2 };
    let Some(fleet) = Fleet::find(HOSTS, &["ignores-cancel"], "runs.slots = 64\n").await else {
        return;
    };
    let hosts = fleet.start_all().await;
    let cores = std::thread::available_parallelism().unwrap().get();
    let spinning: Vec<_> = (0..cores * FOR_EACH_CORE * HOSTS)
        .map(|n| format!("spins-{n}"))
        .collect();
    for (n, id) in spinning.iter().enumerate() {
        hosts[n % HOSTS]
            .schedule(id, "ignores-cancel", json!({"how": "spin"}))
            .await;
    }
    for id in &spinning {
        hosts[0].moves(id).await;
    }
    let (begun, mut oldest_ms) = (Instant::now(), 0);
    let mut looks = tokio::time::interval(BETWEEN_LOOKS);
    while begun.elapsed() < lasts {
        looks.tick().await;
        for host in &hosts {
            let listed = host.get("/v1/hosts").await.expect(200);
            for seen in listed["hosts"].as_array().unwrap() {
                assert_eq!(seen["state"], "alive", "{listed:#}");
                oldest_ms = oldest_ms.max(seen["heartbeat_age_ms"].as_u64().unwrap());
            }
        }
        for (n, id) in spinning.iter().enumerate() {
            hosts[(n + 1) % HOSTS].is_at_work_still(id).await;
        }
    }
    println!("the oldest beat that was seen: {oldest_ms} ms");
    assert!(u128::from(oldest_ms) < LEASE.as_millis(), "{oldest_ms} ms");
    for host in &hosts {
        let reclaimed = host.metric("taskhost_runs_reclaimed_total").await;
        assert_eq!(reclaimed, Some(0.0));
    }
    for id in &spinning {
        hosts[0].verb(id, "cancel").await.expect(200);
    }
    for id in &spinning {
        hosts[0].reaches(id, "canceled").await;
    }
    for host in hosts {
        host.stop().await;
    }
    fleet.clear().await;
}
