//! Hot loading under load: while two hundred tasks run, types are replaced and broken files come
//! in, over HTTP and through the watched folder. No task is lost, each ends on the version that it
//! began with, and what is broken changes nothing.

mod broken;
mod load;

use std::sync::Arc;

use broken::Broken;
use load::{LANES, Load, REAL, TELLING};
use serde_json::{Value, json};
use taskhost_e2e::component::renumbered;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::places;
use taskhost_e2e::tasks::{TERMINAL, task};
use tokio::task::JoinSet;

/// Pushes over HTTP, beside those of broken files.
const PUSHES: usize = 64;
/// Every so many pushes one is of a real component, one comes through the folder as well, and one
/// is followed by broken files in the folder.
const REAL_EVERY: usize = 16;
const FOLDER_EVERY: usize = 8;
const BROKEN_FOLDER_EVERY: usize = 32;
const SEED: u64 = 20_260_705;

/// What stands in the answer for task types, without what tasks change: counts of runs, and what
/// becomes of versions that are not active any more.
async fn types(host: &Host) -> Value {
    let mut list = host.get("/v1/task-types").await.expect(200)["task_types"].take();
    for each in list.as_array_mut().unwrap() {
        let each = each.as_object_mut().unwrap();
        each.remove("unfinished").unwrap();
        let versions = each["versions"].as_array_mut().unwrap();
        versions.retain(|version| version["state"] == "active");
        for version in versions {
            version
                .as_object_mut()
                .unwrap()
                .remove("runs_pinned")
                .unwrap();
        }
    }
    list
}

/// Tasks that have not ended, of all types.
async fn unfinished(host: &Host) -> u64 {
    let list = host.get("/v1/task-types").await.expect(200);
    let types = list["task_types"].as_array().unwrap().iter();
    types.map(|each| each["unfinished"].as_u64().unwrap()).sum()
}

fn says(text: &str, broken: &Broken) {
    assert!(!text.is_empty(), "{}", broken.what);
    for word in broken.words.iter().flatten() {
        assert!(
            text.contains(word),
            "`{word}` for {} in: {text}",
            broken.what
        );
    }
}

/// Pushes a broken file. It is refused and changes nothing; or it is well in spite of the change,
/// and then it runs.
async fn push_broken(host: &Host, broken: &Broken, before: &mut Value) {
    let answer = host.push_bytes(broken.bytes.clone()).await;
    if answer.status == 201 && broken.words.is_none() {
        try_out(host, &answer.json(), broken).await;
        *before = types(host).await;
        return;
    }
    let problem = answer.problem(422, "invalid-component");
    says(problem["detail"].as_str().unwrap(), broken);
    assert!(
        !problem["errors"].as_array().unwrap().is_empty(),
        "{problem:#}"
    );
    assert_eq!(types(host).await, *before, "{}", broken.what);
}

/// A component with a flipped bit that was accepted is a version like any other: whatever its
/// tasks do, they come to an end, on it.
async fn try_out(host: &Host, pushed: &Value, broken: &Broken) {
    let id = format!("flipped-{}", &pushed["digest"].as_str().unwrap()[..16]);
    let type_id = &pushed["id"];
    let body = json!({"type": type_id, "params": {"name": "x"}, "timeout_ms": 2_000});
    let answer = host.put(&task(&id), &body).await;
    if answer.status == 400 {
        // The bit was one of its schema.
        answer.problem(400, "invalid");
        return;
    }
    answer.expect(201);
    let ended = host.ends(&id).await;
    let is_over = TERMINAL.iter().any(|status| ended["status"] == *status);
    assert!(is_over, "{}: {ended:#}", broken.what);
    assert_eq!(
        ended["run"]["digest"], pushed["digest"],
        "{}: {ended:#}",
        broken.what
    );
}

/// Why the file of this name in the folder is refused, when it is.
async fn rejected(host: &Host, name: &str) -> Option<String> {
    let list = host.get("/v1/task-types").await.expect(200);
    let file = format!("{name}.wasm");
    let mut rejected = list["rejected"].as_array()?.iter();
    let of_file = rejected.find(|each| each["file"] == *file)?;
    Some(of_file["reason"].as_str().unwrap().to_owned())
}

/// Puts broken files into the folder, one of them over a good one, and sees all refused.
async fn drop_broken(home: &Home, host: &Host, round: usize) {
    let before = types(host).await;
    let cut = broken::truncated();
    let cut = cut[cut.len() / 2].clone();
    let files: Vec<(String, Broken)> = broken::foreign()
        .into_iter()
        .enumerate()
        .map(|(n, broken)| (format!("broken-{round}-{n}"), broken))
        .chain([("steady".to_owned(), cut)])
        .collect();
    for (name, broken) in &files {
        home.add_bytes(name, &broken.bytes);
    }
    for (name, broken) in &files {
        let reason = host.see(name, async || rejected(host, name).await);
        says(&reason.await, broken);
    }
    assert_eq!(types(host).await, before);
}

/// Replaces a type's file, and waits until the host has taken it up.
async fn replace_in_folder(home: &Home, host: &Host, load: &Load, type_id: &str) {
    let version = load.begun(type_id);
    load.begins(type_id);
    home.add_bytes(type_id, &load::telling(type_id, version));
    let view = host.see("the file's version", async || {
        let view = host
            .get(&format!("/v1/task-types/{type_id}"))
            .await
            .expect(200);
        (view["version"] == *version.to_string()).then_some(view)
    });
    load.is_active(type_id, &view.await["active"]);
    host.see("no word of what lay there before", async || {
        rejected(host, type_id).await.is_none().then_some(())
    })
    .await;
}

async fn push(host: &Host, load: &Load, type_id: &str) {
    let version = load.begun(type_id);
    let bytes = if REAL.contains(&type_id) {
        let original = std::fs::read(places::component(type_id)).unwrap();
        renumbered(&original, 100 + version)
    } else {
        load::telling(type_id, version)
    };
    load.begins(type_id);
    let pushed = host.push_bytes(bytes).await.expect(201);
    load.is_active(type_id, &pushed["digest"]);
}

/// All pushes, and a share of the broken files after each.
async fn pushes(home: &Home, host: &Host, load: &Load) {
    let mut all = broken::foreign();
    all.extend(broken::truncated());
    all.extend(broken::flipped(SEED));
    let share = all.len().div_ceil(PUSHES);
    let mut shares = all.chunks(share);
    for n in 0..PUSHES {
        let telling = TELLING[n % TELLING.len()].0;
        if n % REAL_EVERY == REAL_EVERY - 1 {
            push(host, load, REAL[n / REAL_EVERY % REAL.len()]).await;
        } else {
            push(host, load, telling).await;
        }
        if n % FOLDER_EVERY == FOLDER_EVERY / 2 {
            let type_id = TELLING[n / FOLDER_EVERY % TELLING.len()].0;
            replace_in_folder(home, host, load, type_id).await;
        }
        if n % BROKEN_FOLDER_EVERY == BROKEN_FOLDER_EVERY / 2 {
            drop_broken(home, host, n).await;
        }
        let mut before = types(host).await;
        for broken in shares.next().unwrap_or_default() {
            push_broken(host, broken, &mut before).await;
        }
    }
    assert!(shares.next().is_none(), "a share for each push");
}

#[tokio::test]
async fn each_task_ends_on_the_version_that_it_began_with() {
    let home = Home::new();
    home.settings("component_cache = \"cache\"\nruns.slots = 256\n");
    let host = Arc::new(home.start().await);
    let load = Arc::new(Load::default());
    for type_id in TELLING.iter().map(|(id, _)| *id).chain(REAL) {
        push(&host, &load, type_id).await;
    }
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let (host, load) = (Arc::clone(&host), Arc::clone(&load));
        lanes.spawn(async move { load.lane(&host, lane).await });
    }
    let endless: Vec<String> = (0..LANES)
        .filter(|lane| lane % 10 < 2)
        .map(|lane| format!("cooperative-{lane}-0"))
        .collect();
    // Some are always between two tasks.
    host.see("all lanes in motion", async || {
        (unfinished(&host).await >= (LANES - LANES / 10) as u64).then_some(())
    })
    .await;
    pushes(&home, &host, &load).await;
    load.is_over();
    for id in &endless {
        host.verb(id, "cancel").await.expect(200);
    }
    let ended: Vec<_> = lanes.join_all().await.into_iter().flatten().collect();
    let log = host.log();
    let failures = load::failures(&log);
    let kept = ended.iter().map(|each| load.judge(each, &failures));
    let kept: Vec<_> = kept.collect();
    let beside = kept.iter().filter(|each| each.ended_beside_newer).count();
    let retried = kept.iter().filter(|each| each.retried_beside_newer).count();
    println!(
        "{} tasks, {beside} ended and {retried} were tried again beside a newer version",
        kept.len()
    );
    assert!(
        beside > endless.len() && retried > 0,
        "{beside} and {retried} of {}",
        kept.len()
    );
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    Arc::into_inner(host).unwrap().stop().await;
}
