//! Loading and unloading leaves nothing behind: neither memory, nor descriptors, nor threads, nor
//! memory maps.

use serde_json::{Value, json};
use taskhost_e2e::held::Held;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::{component, long, places};

/// Types that take turns, beside a real one. Of each the host keeps what is active, and the newest
/// five that are retired; the rest is forgotten.
const TYPES: usize = 8;
const KEPT: usize = 1 + 5;
/// Every so many loads one is of a component of 250 kB, and another one comes by the folder.
const LARGE_EVERY: usize = 25;
const FOLDER_EVERY: usize = 50;

/// Loads a version of one of the types, and runs it once, so that a run has been pinned to it and
/// its code was loaded for more than `describe`.
async fn load(home: &Home, host: &Host, n: usize) {
    let (type_id, version) = (format!("tiny-{}", n % TYPES), n.to_string());
    let descriptor = json!({"id": type_id, "version": version, "title": "Tiny"});
    let bytes = component::component(&descriptor.to_string(), &version);
    if n.is_multiple_of(FOLDER_EVERY) {
        home.add_bytes("tiny", &bytes);
        host.see("the version in the folder", async || {
            let answer = host.get(&format!("/v1/task-types/{type_id}")).await;
            (answer.status == 200 && answer.json()["version"] == version).then_some(())
        })
        .await;
    } else {
        host.push_bytes(bytes).await.expect(201);
    }
    let done = host.run(&type_id, &type_id, json!({})).await;
    assert_eq!(done["payload"], n, "{done:#}");
    if n.is_multiple_of(LARGE_EVERY) {
        let original = std::fs::read(places::component("sleeper")).unwrap();
        let pushed = host.push_bytes(component::renumbered(&original, n)).await;
        pushed.expect(201);
        let done = host.run("large", "sleeper", json!({"ms": 1})).await;
        assert_eq!(done["run"]["digest"], pushed.json()["digest"], "{done:#}");
    }
}

/// Makes these loads, and answers the least that was held: what comes and goes by itself does not
/// count, and what stays cannot hide.
async fn least_held(home: &Home, host: &Host, loads: std::ops::Range<usize>) -> Held {
    let mut least = Held::by(host);
    for n in loads {
        load(home, host, n).await;
        least = least.least(Held::by(host));
    }
    least
}

#[tokio::test]
async fn they_leave_nothing_behind() {
    // After the warm-up what is held is looked at over some loads, and again over the last ones.
    // The warm-up takes more components than the pool keeps slots warm (100, wasmtime's default):
    // until then each component's first run maps a slot that none had before.
    let (warm_up, looks, loads) = if long() {
        (200, 100, 1_000)
    } else {
        (120, 25, 75)
    };
    let home = Home::new();
    home.settings("component_cache = \"cache\"\n");
    let host = home.start().await;
    least_held(&home, &host, 0..warm_up).await;
    let before = least_held(&home, &host, warm_up..warm_up + looks).await;
    let end = warm_up + looks + loads;
    least_held(&home, &host, warm_up + looks..end - looks).await;
    let after = least_held(&home, &host, end - looks..end).await;
    println!("held after {warm_up} loads: {before:?}\nafter {loads} more: {after:?}");
    assert!(after.is_flat_since(&before), "{after:?}, before {before:?}");
    let list = host.get("/v1/task-types").await.expect(200);
    let types = list["task_types"].as_array().unwrap();
    assert_eq!(types.len(), TYPES + 1, "{list:#}");
    let forgotten = |each: &Value| each["versions"].as_array().unwrap().len() == KEPT;
    assert!(types.iter().all(forgotten), "{list:#}");
    host.stop().await;
}
