//! The process dies at each named point of the store: what was answered is there afterwards,
//! and what was not is there whole or not at all.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use taskhost_model::status::Status;

use super::{opened, sqlite};
use crate::checkpoints::{Checkpoint, RunOfTask};
use crate::components::{Version, VersionState};
use crate::conformance::along::Listener;
use crate::conformance::{Subject, given};
use crate::crash;
use crate::documents::Writer;
use crate::error::StoreError;
use crate::event::{Event, RunEvent};

/// Tells the child, which is this very test program, where to work and where to die.
const CHILD: &str = "TASKHOST_STORE_TEST_CHILD";

#[test]
fn nothing_answered_is_lost_at_any_point() {
    for point in crash::POINTS {
        let folder = tempfile::tempdir().unwrap();
        let answered = answered_by("the_child", point, folder.path());
        let answered: Vec<&str> = answered.iter().map(String::as_str).collect();
        block_on(check(folder.path(), point, &answered));
    }
}

/// Schedule and claim are in one commit: both are there, or neither.
#[test]
fn a_task_that_is_claimed_along_is_stored_with_its_claim() {
    let points = crash::POINTS.iter().filter(|point| {
        let dying = |step: &str| point.ends_with(&format!("_{step}_commit"));
        dying("schedule") || dying("claim")
    });
    for point in points {
        let folder = tempfile::tempdir().unwrap();
        let answered = answered_by("the_child_that_claims_along", point, folder.path());
        assert!(answered.is_empty(), "{point}: {answered:?}");
        block_on(async {
            let stores = opened(folder.path(), &given::clock());
            let task = stores.tasks.get(&given::key("t")).await.unwrap();
            let lease_number = task.map(|task| task.run.lease_number);
            let expected = point.starts_with("after_").then_some(1);
            assert_eq!(lease_number, expected, "{point}");
            stores.close().await;
        });
    }
}

/// What a child says that it was answered before it died at the point.
fn answered_by(child: &str, point: &str, folder: &Path) -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("tests::crashes::{child}"),
            "--nocapture",
        ])
        .env(CHILD, format!("{point} {}", folder.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert!(
        !output.status.success(),
        "{point}: the child went on to its end"
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    let answered = lines
        .lines()
        .filter_map(|line| line.strip_prefix("answered "));
    answered.map(str::to_owned).collect()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(work)
}

/// The store of a child, which will die; nothing in another process.
fn to_die() -> Option<Subject> {
    let order = std::env::var(CHILD).ok()?;
    let (point, folder) = order.split_once(' ').unwrap();
    crash::arm(point, 1).unwrap();
    Some(sqlite(folder.as_ref(), &given::clock()))
}

/// Does one write of each kind after another, and says so after each.
#[test]
fn the_child() {
    if let Some(s) = to_die() {
        block_on(work(&s)).unwrap();
    }
}

#[test]
fn the_child_that_claims_along() {
    if let Some(s) = to_die() {
        let (listener, mut heard) = Listener::new(1);
        s.stores.tasks.claim_along(listener);
        block_on(s.scheduled("t")).unwrap();
        println!("answered schedule");
        if heard.try_recv().is_ok() {
            println!("answered claim");
        }
    }
}

async fn work(s: &Subject) -> Result<(), StoreError> {
    let version = Version {
        digest: given::digest('a'),
        type_id: given::type_id("hello"),
        descriptor: "{}".to_owned(),
        state: VersionState::Draining,
        bytes: 1,
        uploaded_at: given::at(1),
        activated_at: None,
        approval: None,
        signed_by: None,
    };
    s.stores
        .components
        .put(&version, Arc::from(&b"x"[..]))
        .await?;
    println!("answered component_put");
    s.stores
        .components
        .activate(&version.digest, given::at(2), None)
        .await?;
    println!("answered component_activate");
    s.ingested("logs", vec![given::document(1, "{}")]).await?;
    println!("answered ingest");
    s.scheduled("t").await?;
    println!("answered schedule");
    let fence = s.claim(1).await?[0].task.fence();
    println!("answered claim");
    s.says("t", fence, RunEvent::Progress(given::progress(5)))
        .await?;
    println!("answered progress");
    let run = Writer::Run {
        task: given::key("t"),
        fence,
    };
    let scope = given::space_scope("features");
    let changes = vec![given::put("a", "{}"), given::put("b", "{}")];
    s.stores.documents.apply(&scope, &run, changes).await?;
    println!("answered documents");
    let run = RunOfTask {
        task: given::key("t"),
        fence,
    };
    let checkpoint = Checkpoint {
        value: Arc::from(&b"17"[..]),
        schema_version: 1,
    };
    s.stores.checkpoints.save(&run, "k", checkpoint).await?;
    println!("answered checkpoint");
    s.completed("t", fence, "{}").await?;
    println!("answered end");
    s.apply("t", given::acknowledge()).await?;
    println!("answered acknowledge");
    let fence = s.running("lost").await?;
    s.apply(
        "lost",
        Event::HostLost {
            fence,
            crashes_max: 5,
        },
    )
    .await?;
    println!("answered host_lost");
    s.apply("lost", given::cancel()).await?;
    println!("answered cancel");
    s.apply("lost", given::delete()).await?;
    println!("answered delete");
    Ok(())
}

/// How far the stored data says that the work went.
async fn check(folder: &Path, point: &str, answered: &[&str]) {
    let stores = opened(folder, &given::clock());
    let dying = point
        .split_once('_')
        .unwrap()
        .1
        .strip_suffix("_commit")
        .unwrap();
    let after = point.starts_with("after_");
    assert!(
        !answered.contains(&dying),
        "{point}: it died before the answer"
    );
    let done = |name: &str| answered.contains(&name) || (after && name == dying);
    let version = stores.components.get(&given::digest('a')).await.unwrap();
    let state = version.as_ref().map(|version| version.state);
    assert_eq!(version.is_some(), done("component_put"), "{point}");
    assert_eq!(
        state == Some(VersionState::Active),
        done("component_activate"),
        "{point}"
    );
    let stream = stores
        .streams
        .get(&given::reader(), &given::stream("logs"))
        .await
        .unwrap();
    let documents = stream.map_or(0, |stream| stream.documents);
    assert_eq!(documents, u64::from(done("ingest")), "{point}");
    let task = stores.tasks.get(&given::key("t")).await.unwrap();
    assert_eq!(task.is_some(), done("schedule"), "{point}");
    if let Some(task) = task {
        assert_eq!(task.run.lease_number, u64::from(done("claim")), "{point}");
        assert_eq!(task.progress.is_some(), done("progress"), "{point}");
        let expected = match (done("end"), done("acknowledge")) {
            (_, true) => Status::Acknowledged,
            (true, false) => Status::Completed,
            (false, false) => Status::InProgress,
        };
        assert_eq!(task.status, expected, "{point}");
        let run = RunOfTask {
            task: given::key("t"),
            fence: task.fence(),
        };
        // Where the run has ended, nobody reads them any more.
        if let Ok(kept) = stores.checkpoints.load(&run, "k").await {
            assert_eq!(kept.is_some(), done("checkpoint"), "{point}");
        }
    }
    let scope = given::space_scope("features");
    let page = stores
        .documents
        .query(&scope, None, None, 10)
        .await
        .unwrap();
    let documents = if done("documents") { 2 } else { 0 };
    assert_eq!(page.documents.len(), documents, "{point}: both or none");
    let lost = stores.tasks.get(&given::key("lost")).await.unwrap();
    assert_eq!(
        lost.is_none(),
        !answered.contains(&"acknowledge") || done("delete"),
        "{point}"
    );
    if let Some(lost) = lost {
        assert_eq!(lost.run.crashes, u32::from(done("host_lost")), "{point}");
        assert_eq!(lost.status == Status::Canceled, done("cancel"), "{point}");
    }
    stores.writable().await.unwrap();
    stores.close().await;
}
