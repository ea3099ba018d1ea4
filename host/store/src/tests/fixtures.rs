//! Files that former versions wrote are read by this one. `examples/make_store_fixture.rs` made
//! them and says what they hold.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use taskhost_model::audit::Outcome;
use taskhost_model::error::ErrorKind;
use taskhost_model::ids::{Label, RunId};
use taskhost_model::requester::Authorization;
use taskhost_model::schedule::Rule;
use taskhost_model::status::{RunState, Status};

use super::{opened, settings};
use crate::audit::AuditRequest;
use crate::checkpoints::{Checkpoint, RunOfTask};
use crate::components::VersionState;
use crate::conformance::given;
use crate::open::{Stores, open_with_people};
use crate::queue::StoredTask;
use crate::tasks::ListRequest;

fn copy_of(version: &str) -> tempfile::TempDir {
    let fixture: PathBuf = [
        env!("CARGO_MANIFEST_DIR"),
        "../../tests/fixtures/store",
        version,
    ]
    .iter()
    .collect();
    let folder = tempfile::tempdir().unwrap();
    for file in ["tasks.sqlite", "streams.sqlite"] {
        std::fs::copy(Path::new(&fixture).join(file), folder.path().join(file)).unwrap();
    }
    folder
}

async fn read(stores: &Stores, id: &str) -> StoredTask {
    stores.tasks.read(&given::key(id)).await.unwrap().unwrap()
}

#[tokio::test]
async fn version_1_is_read_and_written() {
    let folder = copy_of("v1");
    let stores = opened(folder.path(), &given::clock());
    tasks_of_version_1(&stores).await;
    others_of_version_1(&stores).await;
    // And the work goes on.
    stores.writable().await.unwrap();
    let claimed = stores
        .tasks
        .claim(&given::claim_request(&["hello"], 10))
        .await
        .unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(
        (claimed[0].task.id.as_str(), &*claimed[0].params),
        ("queued", "{\"n\":1}")
    );
    stores.close().await;
}

#[tokio::test]
async fn version_2_has_checkpoints_and_version_1_gets_them() {
    for (version, kept) in [("v1", None), ("v2", Some(&b"\0\xff7"[..]))] {
        let folder = copy_of(version);
        let stores = opened(folder.path(), &given::clock());
        tasks_of_version_1(&stores).await;
        others_of_version_1(&stores).await;
        let run = RunOfTask {
            task: given::key("running"),
            fence: read(&stores, "running").await.task.fence(),
        };
        let found = stores.checkpoints.load(&run, "cursor").await.unwrap();
        let found = found.map(|found| (found.value.to_vec(), found.schema_version));
        assert_eq!(found, kept.map(|value| (value.to_vec(), 2)));
        let checkpoint = Checkpoint {
            value: Arc::from(&b"18"[..]),
            schema_version: 3,
        };
        let saved = stores.checkpoints.save(&run, "cursor", checkpoint.clone());
        saved.await.unwrap();
        stores.close().await;
        // Opened again, nothing is done twice.
        drop(stores);
        let stores = opened(folder.path(), &given::clock());
        let found = stores.checkpoints.load(&run, "cursor").await.unwrap();
        assert_eq!(found, Some(checkpoint));
        stores.close().await;
    }
}

#[tokio::test]
async fn version_2_has_what_was_decided_of_task_types_and_version_1_nothing_of_it() {
    let folder = copy_of("v1");
    let stores = opened(folder.path(), &given::clock());
    for version in stores.components.list().await.unwrap() {
        assert_eq!((version.approval, version.signed_by), (None, None));
    }
    assert_eq!(stores.components.paused().await.unwrap(), []);
    stores.close().await;
    let folder = copy_of("v2");
    let stores = opened(folder.path(), &given::clock());
    let version = async |digit| {
        let found = stores.components.get(&given::digest(digit)).await;
        found.unwrap().unwrap()
    };
    let waiting = version('c').await;
    assert_eq!(waiting.state, VersionState::PendingApproval);
    assert_eq!((waiting.approval, waiting.activated_at), (None, None));
    let approved = version('d').await;
    assert_eq!(approved.state, VersionState::Active);
    assert_eq!(approved.signed_by.as_deref(), Some("a public key"));
    let approval = approved.approval.unwrap();
    assert_eq!((approval.by.as_str(), approval.at), ("bob", given::at(4)));
    assert_eq!(approval.allowed.words(), ["secret api-key"]);
    let paused = stores.components.paused().await.unwrap();
    let (type_id, paused) = &paused[0];
    assert_eq!(*type_id, given::type_id("wanting"));
    assert_eq!(paused.reason.as_deref(), Some("it floods the other side"));
    stores.close().await;
}

#[tokio::test]
async fn version_2_has_concurrency_keys_and_version_1_has_none() {
    let (space, hello) = (given::space(), given::type_id("hello"));
    for (version, key, claimed) in [("v1", None, 1), ("v2", Some("one"), 0)] {
        let folder = copy_of(version);
        let stores = opened(folder.path(), &given::clock());
        for id in ["running", "queued"] {
            let found = read(&stores, id).await.task.concurrency_key;
            assert_eq!(found.as_deref(), key, "{version}: {id}");
        }
        let holders = stores.tasks.holders(&space, &hello, "one").await.unwrap();
        assert_eq!(holders.len(), usize::from(key.is_some()));
        let mut request = given::claim_request(&["hello"], 10);
        request.types[0].runs_per_key = Some(1);
        let found = stores.tasks.claim(&request).await.unwrap();
        assert_eq!(found.len(), claimed, "{version}");
        stores.close().await;
    }
}

/// Of a token that nobody has: it is in the fixture alone.
const SECRET: &str = "tkh_70303daa827090ad_\
                      02b10b922da8360d1c22488286d047e29b40496f0623c4cc30778fa3a2e9dfd1";

#[tokio::test]
async fn version_3_has_former_runs_schedules_tokens_and_an_audit_log() {
    let folder = copy_of("v3");
    let stores = open_with_people(&settings(folder.path()), given::clock()).unwrap();
    tasks_of_version_1(&stores).await;
    let failed = given::key("failed");
    let former = stores.tasks.former_runs(&failed).await.unwrap();
    let errors: Vec<_> = former.iter().filter_map(|run| run.error.as_ref()).collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].message, "the first time");
    let log = stores.tasks.former_log(&failed, former[0].id);
    assert_eq!(log.await.unwrap().as_deref(), Some("first\n"));
    let schedules = stores.schedules.list(&given::space(), None, 10).await;
    let schedules = schedules.unwrap();
    assert_eq!(schedules.len(), 1);
    let nightly = &schedules[0];
    assert_eq!(nightly.timing.rule, Rule::Interval("1h".to_owned()));
    assert_eq!(nightly.timing.time_zone, "Europe/Berlin");
    assert_eq!(&*nightly.task.params, "{\"n\":1.0e400}");
    let due = stores
        .schedules
        .due(nightly.act_at.unwrap(), None, 10)
        .await;
    assert_eq!(due.unwrap(), schedules);
    let people = stores.people.as_ref().unwrap();
    let tokens = people.tokens.as_ref().unwrap().list().await.unwrap();
    let names: Vec<&str> = tokens.iter().map(|token| token.name.as_str()).collect();
    assert_eq!(names, ["ann", "vic"]);
    let ann = Authorization::parse(&format!("Bearer {SECRET}")).unwrap();
    assert_eq!(people.authority.person(&ann).await.unwrap().name, "ann");
    let request = AuditRequest {
        limit: 10,
        ..AuditRequest::default()
    };
    let noted = stores.audit.list(&request).await.unwrap().entries;
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].outcome, Some(Outcome::Done));
    stores.close().await;
}

#[tokio::test]
async fn former_versions_have_no_history_and_begin_one() {
    for version in ["v1", "v2"] {
        let (folder, clock) = (copy_of(version), given::clock());
        let stores = open_with_people(&settings(folder.path()), clock.clone()).unwrap();
        let former = stores.tasks.former_runs(&given::key("failed")).await;
        assert_eq!(former.unwrap(), []);
        let schedules = stores.schedules.list(&given::space(), None, 10).await;
        assert_eq!(schedules.unwrap(), []);
        let people = stores.people.as_ref().unwrap();
        assert!(people.tokens.as_ref().unwrap().is_empty().await.unwrap());
        // What had ended before goes in its time.
        let half_a_week = Duration::from_secs(7 * 24 * 60 * 60) / 2;
        for goes in [false, true] {
            clock.advance(half_a_week);
            let expired = stores.tasks.expired(clock.now(), 10).await.unwrap();
            assert_eq!(expired.contains(&given::key("failed")), goes, "{version}");
        }
        stores.close().await;
    }
}

async fn tasks_of_version_1(stores: &Stores) {
    let all = ListRequest::all(given::space());
    let listed = stores.tasks.list(&all).await.unwrap().tasks;
    let mut ids: Vec<_> = listed.iter().map(|task| task.id.as_str()).collect();
    ids.sort_unstable();
    let expected = [
        "acknowledged",
        "canceled",
        "failed",
        "queued",
        "running",
        "waiting",
    ];
    assert_eq!(ids, expected);
    let done = read(stores, "acknowledged").await;
    assert_eq!(done.task.status, Status::Acknowledged);
    assert_eq!(done.payload.as_deref(), Some("{\"greeting\":\"hello\"}"));
    assert_eq!(done.task.acknowledged_by.as_deref(), Some("bob"));
    assert_eq!(done.task.usage.map(|usage| usage.cpu_ms), Some(12));
    assert!(done.task.last_completed_at.is_some() && done.task.run.deadline_at.is_some());
    let log = stores
        .tasks
        .log(&done.task.key(), done.task.run.id)
        .await
        .unwrap();
    assert_eq!(log.as_deref(), Some("one\ntwo\n"));
    let failed = read(stores, "failed").await.task;
    let error = failed.error.unwrap();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::Trap, "it ' stopped \u{0}")
    );
    assert_eq!(error.details, Some(serde_json::json!({"at": 7})));
    let canceled = read(stores, "canceled").await.task;
    assert_eq!(
        canceled.run.cancel_reason.as_deref(),
        Some("no longer needed")
    );
    let running = read(stores, "running").await.task;
    assert_eq!(running.run.state, Some(RunState::Running));
    assert_eq!(running.progress.map(|progress| progress.done), Some(3));
    assert_eq!(running.stream, Some(given::stream("logs").name));
    assert!(running.run.id > RunId::parse("00000000-0000-7000-8000-000000000000").unwrap());
    let waiting = read(stores, "waiting").await.task;
    assert_eq!(
        (waiting.run.state, waiting.run.attempt),
        (Some(RunState::WaitingRetry), 2)
    );
    assert_eq!(
        stores.tasks.next_due().await.unwrap(),
        Some(waiting.run.due_at)
    );
    let held = stores.tasks.held(10).await.unwrap();
    assert_eq!(
        held.len(),
        2,
        "`running`, and the run of the deleted `gone`"
    );
    assert!(held.iter().any(|task| task.previous.len() == 1));
}

async fn others_of_version_1(stores: &Stores) {
    let mut versions = stores.components.list().await.unwrap();
    versions.retain(|version| version.type_id == given::type_id("hello"));
    let states: Vec<_> = versions.iter().map(|version| version.state).collect();
    assert_eq!(states, [VersionState::Active, VersionState::Draining]);
    let bytes = stores.components.bytes(&versions[0].digest).await.unwrap();
    assert_eq!(bytes.as_deref(), Some(&b"\0asm second"[..]));
    let label = Label::parse("features").unwrap();
    let owner = stores.documents.label_owner(&label).await.unwrap();
    assert_eq!(owner, Some(given::type_id("hello")));
    for (scope, body) in [
        (given::scope("logs", "features"), "{\"of\":\"stream\"}"),
        (given::space_scope("features"), "{\"of\":\"space\"}"),
    ] {
        let page = stores
            .documents
            .query(&scope, None, None, 10)
            .await
            .unwrap();
        assert_eq!(page.documents.len(), 1);
        assert_eq!(&*page.documents[0].body, body);
    }
    let stream = stores
        .streams
        .get(&given::reader(), &given::stream("logs"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((stream.documents, stream.bytes), (3, Some(45)));
    assert_eq!(
        stream.settings.description.as_deref(),
        Some("what is logged")
    );
    let search = stores
        .streams
        .search(
            &given::reader(),
            &given::stream("logs"),
            &given::query(0, 9),
            1_000,
        )
        .await
        .unwrap();
    let expected = [
        "{\"message\":\"c\"}",
        "{\"message\":\"b\"}",
        "{\"message\":\"a\"}",
    ];
    assert_eq!(search.documents, expected);
    // They arrived when the file was made, whatever time they bear.
    let day_ms = 24 * 60 * 60 * 1_000_i64;
    let after = |days: i64| given::at(given::clock().now().as_ms() + days * day_ms);
    let trimmed = stores.streams.enforce_retention(after(30)).await.unwrap();
    assert_eq!(trimmed, 0);
    let trimmed = stores.streams.enforce_retention(after(31)).await.unwrap();
    assert_eq!(trimmed, 3);
}
