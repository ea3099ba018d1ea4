//! `taskhost backup` and `restore`: under load, broken off, spoiled, and over what is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use taskhost_e2e::home::{Home, program};
use taskhost_e2e::host::{Cli, Host};
use taskhost_e2e::tasks::stream;

/// A manifest that would lead out of its folder.
const PATH: &str =
    r#"{"format":1,"version":"","at":0,"files":[{"name":"../x","bytes":0,"sha256":""}]}"#;

async fn back_up(home: &Home, to: &Path) -> Cli {
    let mut command = program();
    command.arg("backup").arg(to).arg("--data").arg(home.data());
    Cli::of(command).await
}

async fn restore(home: &Home, from: &Path, more: &[&str]) -> Cli {
    let mut command = program();
    command
        .arg("restore")
        .arg(from)
        .arg("--data")
        .arg(home.data());
    Cli::of({
        command.args(more);
        command
    })
    .await
}

/// A home whose data folder holds the backup, and its host.
async fn restored(from: &Path, components: &[&str], more: &[&str]) -> (Home, Host) {
    let home = Home::with(components);
    restore(&home, from, more).await.done();
    let host = home.start().await;
    (home, host)
}

fn to(home: &Home) -> PathBuf {
    home.path().join("backup")
}

#[tokio::test]
async fn what_was_answered_before_a_backup_is_in_it_whatever_is_written_meanwhile() {
    let home = Home::with(&["hello-task"]);
    let host = Arc::new(home.start().await);
    host.fill("logs", [json!({"message": "one"})]).await;
    let (answered, is_over) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let load = tokio::spawn({
        let (host, answered, is_over) = (host.clone(), answered.clone(), is_over.clone());
        async move {
            while !is_over.load(Ordering::SeqCst) {
                let n = answered.load(Ordering::SeqCst);
                host.schedule(&format!("t{n}"), "hello", json!({"name": n.to_string()}))
                    .await;
                answered.store(n + 1, Ordering::SeqCst);
            }
        }
    });
    let some = async || (answered.load(Ordering::SeqCst) >= 50).then_some(());
    host.see("fifty tasks", some).await;
    let before = answered.load(Ordering::SeqCst);
    let said = back_up(&home, &to(&home)).await.done();
    assert!(said.contains("it is on disk"), "{said}");
    is_over.store(true, Ordering::SeqCst);
    load.await.unwrap();

    let (_home, copy) = restored(&to(&home), &["hello-task"], &[]).await;
    assert_eq!(copy.get(&stream("logs")).await.expect(200)["documents"], 1);
    for n in 0..before {
        let id = format!("t{n}");
        let there = copy.task(&id).await;
        let status = there["status"].as_str().unwrap();
        // What had not ended may have done so since, and is not run again.
        assert!(matches!(status, "completed" | "canceled"), "{there}");
        if status == "completed" {
            assert_eq!(there["greeting"], host.task(&id).await["greeting"]);
        }
    }
}

/// Complaint 4: nothing is multiplied by a restore.
#[tokio::test]
async fn what_was_in_flight_is_canceled_with_a_reason_unless_it_is_to_run() {
    let home = Home::with(&["sleeper", "hello-task"]);
    home.settings("runs.slots = 1\n");
    let host = home.start().await;
    host.schedule("running", "sleeper", json!({"ms": 600_000}))
        .await;
    host.until("running", |task| task["run"]["state"] == "running")
        .await;
    host.schedule("waiting", "hello", json!({"name": "x"}))
        .await;
    let schedule = "/v1/spaces/default/schedules/hourly";
    let hourly = json!({"type": "hello", "params": {"name": "x"}, "interval": "1h"});
    host.put(schedule, &hourly).await.expect(201);
    back_up(&home, &to(&home)).await.done();
    host.verb("running", "cancel").await.expect(200);
    host.reaches("waiting", "completed").await;
    host.stop().await;

    let said = restore(&home, &to(&home), &["--replace"]).await.done();
    assert!(said.contains("2 unfinished tasks are canceled"), "{said}");
    assert!(said.contains("1 schedules are paused"), "{said}");
    let host = home.start().await;
    for id in ["running", "waiting"] {
        let task = host.reaches(id, "canceled").await;
        assert_eq!(task["canceled_by"], "restore");
        let reason = task["run"]["cancel_reason"].as_str().unwrap();
        assert!(
            reason.contains("restored from the backup of 20"),
            "{reason}"
        );
    }
    let paused = host.get(schedule).await.expect(200);
    assert_eq!(paused["state"], "paused", "{paused:#}");
    assert_eq!(paused["paused"]["by"], "restore", "{paused:#}");
    host.stop().await;

    restore(&home, &to(&home), &["--replace", "--run-unfinished"])
        .await
        .done();
    let host = home.start().await;
    assert_eq!(host.get(schedule).await.expect(200)["state"], "active");
    host.until("running", |task| task["run"]["state"] == "running")
        .await;
    host.verb("running", "cancel").await.expect(200);
    host.reaches("waiting", "completed").await;
}

#[tokio::test]
async fn a_restore_brings_back_the_tokens_and_is_in_the_audit_log() {
    let home = Home::with(&["hello-task"]);
    let (mut host, admin) = home.start_for_people().await;
    let wanted = json!({"name": "vera", "roles": {"default": "operator"}});
    let vera = host.holder(&wanted).await;
    host.run("one", "hello", json!({"name": "x"})).await;
    back_up(&home, &to(&home)).await.done();
    let path = format!("/v1/tokens/{}", vera.id);
    let request = host.request(reqwest::Method::DELETE, &path);
    host.send(request).await.expect(200);
    host.get_for(&vera, "/v1/info")
        .await
        .problem(401, "unauthorized");
    host.stop().await;

    let said = restore(&home, &to(&home), &["--replace"]).await.done();
    assert!(
        said.contains("what was revoked since is accepted again"),
        "{said}"
    );
    host = home.start().await;
    host.http = admin.client();
    host.get_for(&vera, "/v1/info").await.expect(200);
    assert_eq!(host.task("one").await["status"], "completed");
    let log = host.get("/v1/audit?deed=store").await.expect(200);
    let entry = &log["entries"][0];
    assert_eq!(entry["deed"], "store.restore", "{log:#}");
    assert_eq!(entry["outcome"], "done", "{log:#}");
    assert_eq!(
        entry["detail"], "0 unfinished tasks are canceled",
        "{log:#}"
    );
    host.stop().await;
}

#[tokio::test]
async fn nothing_is_written_over_a_living_host_an_old_store_or_a_folder_in_use() {
    let home = Home::with(&["hello-task"]);
    let host = home.start().await;
    host.run("one", "hello", json!({"name": "x"})).await;
    back_up(&home, &to(&home)).await.done();
    let again = back_up(&home, &to(&home)).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.err.contains("not empty"), "{again:?}");
    let alive = restore(&home, &to(&home), &["--replace"]).await;
    assert_eq!(alive.code, Some(1), "{alive:?}");
    assert!(
        alive.err.contains("in use by another taskhost"),
        "{alive:?}"
    );
    host.stop().await;
    let occupied = restore(&home, &to(&home), &[]).await;
    assert_eq!(occupied.code, Some(1), "{occupied:?}");
    assert!(occupied.err.contains("--replace"), "{occupied:?}");
    let host = home.start().await;
    host.reaches("one", "completed").await;
}

#[tokio::test]
async fn a_backup_that_was_cut_or_changed_is_not_restored() {
    let home = Home::with(&["hello-task"]);
    let host = home.start().await;
    host.run("one", "hello", json!({"name": "x"})).await;
    let whole = to(&home);
    back_up(&home, &whole).await.done();
    let spoiled = |name: &str, spoil: &dyn Fn(&Path)| {
        let folder = home.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        for file in std::fs::read_dir(&whole).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
        spoil(&folder);
        folder
    };
    let manifest =
        |text: &'static str| move |it: &Path| std::fs::write(it.join("backup.json"), text).unwrap();
    let elsewhere = Home::with(&[]);
    for (name, spoil) in [
        (
            "killed",
            &(|it: &Path| std::fs::remove_file(it.join("backup.json")).unwrap()) as &dyn Fn(&Path),
        ),
        ("cut", &|it: &Path| {
            let file = std::fs::File::options()
                .write(true)
                .open(it.join("tasks.sqlite"))
                .unwrap();
            file.set_len(4096).unwrap();
        }),
        ("changed", &|it: &Path| {
            let path = it.join("streams.sqlite");
            let mut bytes = std::fs::read(&path).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }),
        ("none", &manifest("{}")),
        ("nonsense", &manifest("\u{1b}[2J")),
        (
            "other",
            &manifest(r#"{"format":9,"version":"x","at":0,"files":[]}"#),
        ),
        ("path", &manifest(PATH)),
    ] {
        let folder = spoiled(name, spoil);
        let refused = restore(&elsewhere, &folder, &[]).await;
        assert_eq!(refused.code, Some(1), "{name}: {refused:?}");
        assert!(
            refused.err.contains("no whole backup"),
            "{name}: {refused:?}"
        );
        assert!(!refused.err.contains('\u{1b}'), "{name}: {refused:?}");
        assert!(!elsewhere.data().join("tasks.sqlite").exists(), "{name}");
    }
    // What was restored in part does not open, and does when it is done again.
    std::fs::create_dir_all(elsewhere.data()).unwrap();
    std::fs::write(elsewhere.data().join("restore-unfinished"), "").unwrap();
    let refused = elsewhere.refused().await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("taskhost restore"), "{said}");
    restore(&elsewhere, &whole, &["--replace"]).await.done();
    elsewhere.start().await.stop().await;
}

#[tokio::test]
async fn a_backup_that_is_killed_is_whole_or_refused() {
    let home = Home::with(&["hello-task"]);
    let host = home.start().await;
    let documents = (0..20_000).map(|n| json!({"message": format!("line {n}")}));
    host.fill("logs", documents).await;
    for n in 0..10 {
        let folder = home.path().join(format!("killed-{n}"));
        let mut command = program();
        command
            .arg("backup")
            .arg(&folder)
            .arg("--data")
            .arg(home.data());
        let mut child = command.spawn().unwrap();
        // At a moment of its own, from the first to one at which it is mostly done.
        let moment = std::time::Duration::from_millis(10 * n);
        let _ = tokio::time::timeout(moment, child.wait()).await;
        let _ = child.start_kill();
        child.wait().await.unwrap();
        let elsewhere = Home::with(&[]);
        let done = restore(&elsewhere, &folder, &[]).await;
        if folder.join("backup.json").exists() && done.code == Some(0) {
            let copy = elsewhere.start().await;
            let found: Value = copy.get(&stream("logs")).await.expect(200);
            assert_eq!(found["documents"], 20_000);
        } else {
            assert!(done.err.contains("no whole backup"), "{done:?}");
        }
    }
}
