//! Params, results and logs (`TaskStore` 5).

use std::sync::Arc;

use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::task::Progress;

use super::Subject;
use super::given::{key, no_report};
use crate::error::StoreError;
use crate::event::{Event, Outcome, RunEvent, RunReport};

/// Texts that something on the way might change.
pub(super) const HOSTILE: [&str; 9] = [
    "",
    "\0",
    "a\0b\u{0}",
    "'; DROP TABLE tasks; --",
    "\u{202e}\u{1b}[31m\u{feff}",
    "\u{10ffff}é\u{301}\r\n\t",
    r#"{"n":1e400,"big":18446744073709551616,"exact":0.10000000000000000001}"#,
    r#"{"a":1,"a":2,"\u0000":"\ud83d\ude00"}"#,
    "%s?1:x@$",
];

fn logged(text: &str) -> RunReport {
    RunReport {
        log: Some(Arc::from(text)),
        ..RunReport::default()
    }
}

pub(super) async fn texts_are_stored_exactly(s: &Subject) -> Result<(), StoreError> {
    let deep = "[".repeat(5_000) + &"]".repeat(5_000);
    for (number, text) in HOSTILE.into_iter().chain([deep.as_str()]).enumerate() {
        let id = format!("t{number}");
        let mut run = s.run("hello");
        run.params = Arc::from(text);
        run.requested_by = text.to_owned();
        s.schedule(&id, run).await?;
        let claimed = s.claim(1).await?.remove(0);
        assert_eq!(&*claimed.params, text);
        let fence = claimed.task.fence();
        let mut report = logged(text);
        report.progress = Some(Progress {
            message: text.to_owned(),
            phase: Some(text.to_owned()),
            ..Progress::default()
        });
        s.says(&id, fence, RunEvent::Progress(report)).await?;
        s.completed(&id, fence, text).await?;
        let read = s.stores.tasks.read(&key(&id)).await?.expect("it is there");
        assert_eq!((&*read.params, read.payload.as_deref()), (text, Some(text)));
        assert_eq!(read.task.requested_by, text);
        assert_eq!(
            read.task
                .progress
                .map(|progress| progress.message)
                .as_deref(),
            Some(text)
        );
        let log = s.stores.tasks.log(&key(&id), fence.run).await?;
        assert_eq!(log.as_deref(), Some(text));
    }
    let fence = s.running("failing").await?;
    let mut error = TaskError::of(ErrorKind::Task, HOSTILE.concat());
    error.details = Some(serde_json::json!({"\0": 18_446_744_073_709_551_615_u64, "x": 1e300}));
    let failed = RunEvent::Failed {
        error: error.clone(),
        retry_at: None,
        end: no_report(),
    };
    s.says("failing", fence, failed).await?;
    assert_eq!(s.task("failing").await?.error, Some(error));
    Ok(())
}

pub(super) async fn what_is_too_large_is_refused_and_nothing_written(
    s: &Subject,
) -> Result<(), StoreError> {
    let mib = 1024 * 1024;
    let mut run = s.run("hello");
    run.params = Arc::from("x".repeat(mib + 1));
    let refused = s.apply("t", Event::Schedule(Box::new(run.clone()))).await;
    let Err(StoreError::TooLarge {
        what,
        bytes,
        bytes_max,
    }) = refused
    else {
        unreachable!("params above their limit were taken");
    };
    assert_eq!(
        (what, bytes, bytes_max),
        ("params", mib as u64 + 1, mib as u64)
    );
    assert!(s.stores.tasks.get(&key("t")).await?.is_none());
    run.params = Arc::from("x".repeat(mib));
    s.schedule("t", run).await?;
    let claimed = s.claim(1).await?.remove(0);
    assert_eq!(claimed.params.len(), mib);
    let end = |bytes| RunEvent::Completed {
        payload: Arc::from("y".repeat(bytes)),
        end: no_report(),
    };
    let refused = s.says("t", claimed.task.fence(), end(8 * mib + 1)).await;
    assert!(matches!(
        refused,
        Err(StoreError::TooLarge { what: "result", .. })
    ));
    assert_eq!(
        s.task("t").await?,
        claimed.task,
        "the run can still end otherwise"
    );
    let ended = s.says("t", claimed.task.fence(), end(8 * mib)).await?;
    assert_eq!(ended.outcome, Outcome::Changed);
    let read = s.stores.tasks.read(&key("t")).await?.expect("it is there");
    assert_eq!(read.payload.map(|payload| payload.len()), Some(8 * mib));
    Ok(())
}

pub(super) async fn a_log_grows_and_ends_at_its_limit(s: &Subject) -> Result<(), StoreError> {
    let fence = s.running("t").await?;
    let log = async |s: &Subject| s.stores.tasks.log(&key("t"), fence.run).await;
    assert_eq!(log(s).await?.as_deref(), Some(""));
    for line in ["one\n", "two\nthree\n"] {
        s.says("t", fence, RunEvent::Progress(logged(line))).await?;
    }
    assert_eq!(log(s).await?.as_deref(), Some("one\ntwo\nthree\n"));
    s.says(
        "t",
        fence,
        RunEvent::HandedBack {
            end: logged("four\n"),
        },
    )
    .await?;
    let fence = s.claim(1).await?[0].task.fence();
    assert_eq!(log(s).await?.as_deref(), Some("one\ntwo\nthree\nfour\n"));
    // 19 bytes so far; whole lines are kept up to 1 MiB.
    let line = "x".repeat(1023) + "\n";
    let many = line.repeat(1_000);
    s.says("t", fence, RunEvent::Progress(logged(&many)))
        .await?;
    let end = logged(&many);
    s.says("t", fence, RunEvent::Stopped { end }).await?;
    let kept = log(s).await?.expect("it is the latest run's");
    assert_eq!(kept.len(), 19 + 1023 * 1024);
    assert!(kept.ends_with(&line));
    Ok(())
}

pub(super) async fn a_new_run_has_none_of_the_old_texts(s: &Subject) -> Result<(), StoreError> {
    let fence = s.running("t").await?;
    s.says("t", fence, RunEvent::Progress(logged("old\n")))
        .await?;
    s.completed("t", fence, "{}").await?;
    let again = s.scheduled("t").await?;
    assert_eq!(s.stores.tasks.log(&key("t"), fence.run).await?, None);
    assert_eq!(
        s.stores
            .tasks
            .log(&key("t"), again.run.id)
            .await?
            .as_deref(),
        Some("")
    );
    let absent = s.stores.tasks.log(&key("absent"), fence.run).await?;
    assert_eq!(absent, None);
    Ok(())
}
