//! Makes the files in `tests/fixtures/store/`: one of everything that is stored, so that later
//! versions can be held to reading it. Run it once when a format is new, never over an old one.
//!
//! `cargo run -p taskhost-store --example make_store_fixture --features conformance FOLDER`

use std::sync::Arc;

use taskhost_model::audit::{Act, Entry, Outcome};
use taskhost_model::capabilities::Capabilities;
use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::ids::{Label, ScheduleId};
use taskhost_model::rights::{Rights, Role};
use taskhost_model::schedule::{CatchUp, Counts, FiredTask, Overlap, Rule, Schedule, Timing};
use taskhost_model::task::Usage;
use taskhost_store::checkpoints::{Checkpoint, RunOfTask};
use taskhost_store::components::{Approval, Paused, Version, VersionState};
use taskhost_store::conformance::{Subject, given};
use taskhost_store::documents::Writer;
use taskhost_store::event::{Event, RunEvent, RunReport};
use taskhost_store::limits::Limits;
use taskhost_store::open::{Settings, open_with_people};
use taskhost_store::streams::StreamSettings;
use taskhost_store::tokens::NewToken;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let folder = std::env::args().nth(1).ok_or("which folder?")?.into();
    let limits = Limits::default();
    let clock = given::clock();
    let stores = open_with_people(&Settings { folder, limits }, clock.clone())?;
    let subject = Subject { stores, clock };
    others(&subject).await?;
    tasks(&subject).await?;
    of_version_3(&subject).await?;
    subject.stores.close().await;
    Ok(())
}

async fn tasks(s: &Subject) -> Result<(), Failure> {
    let fence = s.running("acknowledged").await?;
    let logged = |line: &str| RunReport {
        log: Some(Arc::from(line)),
        ..RunReport::default()
    };
    s.says("acknowledged", fence, RunEvent::Progress(logged("one\n")))
        .await?;
    let end = RunReport {
        usage: Some(Usage {
            cpu_ms: 12,
            ..Usage::default()
        }),
        ..logged("two\n")
    };
    let payload = Arc::from("{\"greeting\":\"hello\"}");
    s.says("acknowledged", fence, RunEvent::Completed { payload, end })
        .await?;
    let by = "bob".to_owned();
    let if_version = None;
    s.apply("acknowledged", Event::Acknowledge { by, if_version })
        .await?;
    failures(s).await?;

    s.scheduled("canceled").await?;
    s.apply("canceled", given::cancel()).await?;
    s.running("gone").await?;
    s.apply("gone", given::delete()).await?;

    running(s).await?;
    let mut run = s.run("hello");
    run.params = Arc::from("{\"n\":1}");
    run.concurrency_key = Some("one".to_owned());
    s.schedule("queued", run).await?;
    Ok(())
}

/// One that has failed for good, in two runs, and one that is tried again.
async fn failures(s: &Subject) -> Result<(), Failure> {
    let fence = s.running("failed").await?;
    let former = RunEvent::Failed {
        error: TaskError::of(ErrorKind::Task, "the first time"),
        retry_at: None,
        end: RunReport {
            log: Some(Arc::from("first\n")),
            ..RunReport::default()
        },
    };
    s.says("failed", fence, former).await?;
    let fence = s.running("failed").await?;
    let mut error = TaskError::of(ErrorKind::Trap, "it ' stopped \u{0}");
    error.details = Some(serde_json::json!({"at": 7}));
    let end = RunReport::default();
    s.says(
        "failed",
        fence,
        RunEvent::Failed {
            error,
            retry_at: None,
            end,
        },
    )
    .await?;

    let fence = s.running("waiting").await?;
    let error = TaskError::of(ErrorKind::Task, "later");
    let retry_at = Some(given::at(s.now().as_ms() + 60_000));
    let end = RunReport::default();
    s.says(
        "waiting",
        fence,
        RunEvent::Failed {
            error,
            retry_at,
            end,
        },
    )
    .await?;
    Ok(())
}

/// One that runs, and has progress, a concurrency key and a checkpoint.
async fn running(s: &Subject) -> Result<(), Failure> {
    let mut run = s.run("hello");
    run.stream = Some(given::stream("logs").name);
    run.concurrency_key = Some("one".to_owned());
    s.schedule("running", run).await?;
    let fence = s.claim(1).await?[0].task.fence();
    s.says("running", fence, RunEvent::Progress(given::progress(3)))
        .await?;
    let run = RunOfTask {
        task: given::key("running"),
        fence,
    };
    let checkpoint = Checkpoint {
        value: Arc::from(&b"\0\xff7"[..]),
        schema_version: 2,
    };
    s.stores
        .checkpoints
        .save(&run, "cursor", checkpoint)
        .await?;
    Ok(())
}

async fn others(s: &Subject) -> Result<(), Failure> {
    for (digit, bytes, at_ms) in [
        ('a', &b"\0asm first"[..], 1),
        ('b', &b"\0asm second"[..], 2),
    ] {
        let version = Version {
            digest: given::digest(digit),
            type_id: given::type_id("hello"),
            descriptor: "{\"id\":\"hello\"}".to_owned(),
            state: VersionState::Active,
            bytes: bytes.len() as u64,
            uploaded_at: given::at(at_ms),
            activated_at: Some(given::at(at_ms)),
            approval: None,
            signed_by: None,
        };
        s.stores.components.put(&version, Arc::from(bytes)).await?;
    }
    decided(s).await?;
    let documents = &s.stores.documents;
    documents
        .take_label(&Label::parse("features")?, &given::type_id("hello"))
        .await?;
    let person = Writer::Person("bob".to_owned());
    for (scope, body) in [
        (given::scope("logs", "features"), "{\"of\":\"stream\"}"),
        (given::space_scope("features"), "{\"of\":\"space\"}"),
    ] {
        documents
            .apply(&scope, &person, vec![given::put("one", body)])
            .await?;
    }
    let messages = ["a", "b", "c"].into_iter().zip(1..);
    let messages = messages
        .map(|(text, at_ms)| given::document(at_ms, &format!("{{\"message\":\"{text}\"}}")));
    let key = s.ingested("logs", messages.collect()).await?;
    let settings = StreamSettings {
        description: Some("what is logged".to_owned()),
        ..StreamSettings::default()
    };
    s.stores.streams.put(&key, &settings).await?;
    Ok(())
}

/// A schedule, two people's tokens, and what is noted of who has changed what.
async fn of_version_3(s: &Subject) -> Result<(), Failure> {
    let now = s.now();
    let schedule = Schedule {
        id: ScheduleId::parse("nightly")?,
        space: given::space(),
        timing: Timing {
            rule: Rule::Interval("1h".to_owned()),
            time_zone: "Europe/Berlin".to_owned(),
            starts_at: now,
            ends_at: None,
            jitter_ms: 7_000,
        },
        overlap: Overlap::Queue,
        catch_up: CatchUp::All(3),
        task: FiredTask {
            type_id: given::type_id("hello"),
            stream: None,
            also_reads: Vec::new(),
            params: Arc::from("{\"n\":1.0e400}"),
            priority: Some(-7),
            timeout_ms: Some(1_000),
        },
        author: "bob".to_owned(),
        key: None,
        key_expires_at: None,
        created_at: now,
        updated_at: now,
        paused: None,
        next: Some(now),
        waiting: Vec::new(),
        active: Vec::new(),
        past: Vec::new(),
        counts: Counts::default(),
        act_at: Some(now),
        version: 1,
    };
    s.stores.schedules.put(&schedule, None).await?;
    let people = s.stores.people.as_ref().ok_or("no people")?;
    let tokens = people.tokens.as_ref().ok_or("no tokens")?;
    for (name, rights) in [
        ("ann", Rights::all()),
        (
            "vic",
            Rights::of(&given::space(), Role::Viewer, &["logs-*"]),
        ),
    ] {
        let new = NewToken {
            name: name.to_owned(),
            rights,
            expires_at: None,
            created_by: "bob".to_owned(),
        };
        let created = tokens.create(new, None).await?;
        if name == "ann" {
            println!("put into the test of the fixture: {}", created.secret);
        }
    }
    let act = Act::in_space("task.schedule", &given::space(), "queued");
    let mut entry = Entry::begun(&given::reader(), act, given::at(6));
    entry.outcome = Some(Outcome::Done);
    s.stores.audit.note(entry);
    s.stores.audit.flush().await?;
    Ok(())
}

/// What an operator has decided of task types.
async fn decided(s: &Subject) -> Result<(), Failure> {
    let components = &s.stores.components;
    let waiting = Version {
        digest: given::digest('c'),
        type_id: given::type_id("wanting"),
        descriptor: "{\"id\":\"wanting\"}".to_owned(),
        state: VersionState::PendingApproval,
        bytes: 1,
        uploaded_at: given::at(3),
        activated_at: None,
        approval: None,
        signed_by: Some("a public key".to_owned()),
    };
    components.put(&waiting, Arc::from(&b"c"[..])).await?;
    let approved = Version {
        digest: given::digest('d'),
        bytes: 1,
        ..waiting
    };
    components.put(&approved, Arc::from(&b"d"[..])).await?;
    let approval = Approval {
        by: "bob".to_owned(),
        at: given::at(4),
        allowed: Capabilities {
            secrets: vec![Label::parse("api-key")?],
            ..Capabilities::default()
        },
    };
    components
        .activate(&approved.digest, approval.at, Some(&approval))
        .await?;
    let paused = Paused {
        by: "bob".to_owned(),
        at: given::at(5),
        reason: Some("it floods the other side".to_owned()),
    };
    components
        .set_paused(&given::type_id("wanting"), Some(&paused))
        .await?;
    Ok(())
}
