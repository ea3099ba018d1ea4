//! Tasks that come, end in every way and go leave nothing behind: neither memory, nor descriptors,
//! nor threads, nor memory maps.

use futures_util::future::join_all;
use serde_json::json;
use taskhost_e2e::held::Held;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::long;
use taskhost_e2e::tasks::task;

/// Tasks of a round, beside those that come together.
const TASKS: usize = 80;
/// So many at once: what is held at once does not grow.
const AT_ONCE: usize = 16;
/// Measured: up to 25 beside the other tests. What each task leaves would be 1,680.
const MAPS_OF_PLACES: usize = 64;
/// Tasks that come in one body.
const TOGETHER: usize = 60;

/// A task from its schedule to its deletion, in one way or another.
async fn comes_and_goes(host: &Host, id: &str, n: usize) {
    let path = task(id);
    match n % 5 {
        0 => {
            host.run(id, "hello", json!({"name": id})).await;
            host.verb(id, "acknowledge").await.expect(200);
        }
        1 => {
            let params = json!({"code": "x", "retryable": true});
            let failed = host.run(id, "fails", params).await;
            assert_eq!(failed["run"]["attempt"], 3, "{failed:#}");
        }
        2 => {
            host.schedule(id, "cooperative", json!({})).await;
            let mut events = host.events(&format!("{path}/events"), None).await;
            events.until("progress", |_| true).await;
            host.verb(id, "cancel").await.expect(200);
            host.reaches(id, "canceled").await;
        }
        3 => {
            let params = json!({"lines": 300, "bytes": 300});
            let done = host.run(id, "log-flood", params).await;
            let run = done["run"]["id"].as_str().unwrap();
            let log = host.get(&format!("{path}/runs/{run}/log")).await;
            assert_eq!(log.status, 200, "{log:?}");
        }
        // It goes while it is at work.
        _ => {
            host.schedule(id, "sleeper", json!({"ms": 50})).await;
        }
    }
    host.delete(&path).await.expect(204);
}

async fn round(host: &Host, round: usize) {
    for first in (0..TASKS).step_by(AT_ONCE) {
        let all = (first..first + AT_ONCE).map(async |n| {
            comes_and_goes(host, &format!("r{round}-{n}"), n).await;
        });
        join_all(all).await;
    }
    let line = |n: usize| {
        let params = json!({"name": "x".repeat(1_000)});
        let line = json!({"id": format!("b{round}-{n}"), "type": "hello", "params": params});
        format!("{line}\n")
    };
    let lines: String = (0..TOGETHER).map(line).collect();
    let tasks = "/v1/spaces/default/tasks";
    let path = format!("{tasks}/bulk");
    host.upload(&path, "application/x-ndjson", lines)
        .await
        .expect(200);
    let all_ended = async || {
        let page = host
            .get(&format!("{tasks}?counts&limit=1"))
            .await
            .expect(200);
        (page["counts"]["completed"] == TOGETHER).then_some(())
    };
    host.see("all of them completed", all_ended).await;
    let delete = json!({"op": "delete", "filter": {"type": "hello"}});
    host.post("/v1/spaces/default/bulk", &delete)
        .await
        .expect(200);
}

/// The least that is held after some rounds: what comes and goes by itself does not count.
async fn least_held(host: &Host, rounds: std::ops::Range<usize>) -> Held {
    let mut least: Option<Held> = None;
    for n in rounds {
        round(host, n).await;
        let held = Held::by(host);
        least = Some(least.map_or(held, |least| least.least(held)));
    }
    least.unwrap()
}

/// T15: after a warm-up it is flat, however many tasks come and go.
#[tokio::test]
async fn tasks_that_have_gone_leave_nothing_behind() {
    // What is held is looked at over some rounds, and again over the last ones.
    let (warm_up, looks, rounds) = if long() { (20, 20, 400) } else { (4, 3, 12) };
    let home = Home::with(&["hello-task", "fails", "cooperative", "log-flood", "sleeper"]);
    let host = home.start().await;
    least_held(&host, 0..warm_up).await;
    let before = least_held(&host, warm_up..warm_up + looks).await;
    let end = warm_up + looks + rounds;
    least_held(&host, warm_up + looks..end - looks).await;
    let after = least_held(&host, end - looks..end).await;
    let tasks = (TASKS + TOGETHER) * rounds;
    println!("held at first: {before:?}\nafter {tasks} more tasks: {after:?}");
    // A place for guests that is taken for the first time divides maps, and which are is chance.
    let bound = Held {
        maps: before.maps + MAPS_OF_PLACES,
        ..before
    };
    assert!(after.is_flat_since(&bound), "{after:?}, before {before:?}");
    assert_eq!(host.listed("").await, [""; 0], "all of them have gone");
    host.stop().await;
}
