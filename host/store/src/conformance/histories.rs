//! Former runs, what goes by itself, and many tasks at a time (`TaskHistory`, `ManyTasks`).

use std::sync::Arc;

use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::ids::RunId;
use taskhost_model::receipt::Receipt;
use taskhost_model::status::Status;
use taskhost_model::task::{Fence, Usage};

use super::Subject;
use super::given::{at, cancel, delete, key, no_report, space, type_id};
use crate::checkpoints::{Checkpoint, RunOfTask};
use crate::error::StoreError;
use crate::event::{Event, Outcome, RunEvent, RunReport, WriteCondition};
use crate::tasks::ListRequest;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn failed(log: &str) -> RunEvent {
    RunEvent::Failed {
        error: TaskError::of(ErrorKind::Trap, "unreachable"),
        retry_at: None,
        end: RunReport {
            log: Some(Arc::from(log)),
            usage: Some(Usage {
                attempt: 1,
                cpu_ms: 7,
                ..Usage::default()
            }),
            ..RunReport::default()
        },
    }
}

/// Runs the task once more, to a failure with this log.
async fn run_once(s: &Subject, id: &str, log: &str) -> Result<RunId, StoreError> {
    let fence = s.running(id).await?;
    let applied = s.says(id, fence, failed(log)).await?;
    assert_eq!(applied.outcome, Outcome::Changed);
    s.wait_ms(1);
    Ok(fence.run)
}

pub(super) async fn a_run_that_another_one_follows_is_kept_with_its_log(
    s: &Subject,
) -> Result<(), StoreError> {
    let tasks = &s.stores.tasks;
    let long = format!("{}\n", "x".repeat(100_000));
    let first = run_once(s, "t", &long).await?;
    assert!(tasks.former_runs(&key("t")).await?.is_empty());
    let second = run_once(s, "t", "second\n").await?;
    let third = run_once(s, "t", "third\n").await?;
    let former = tasks.former_runs(&key("t")).await?;
    let ids: Vec<RunId> = former.iter().map(|run| run.id).collect();
    assert_eq!(ids, [second, first], "newest first, without the latest");
    assert_eq!(former[0].status, Status::Failed);
    assert_eq!(former[0].usage.map(|usage| usage.cpu_ms), Some(7));
    let error = former[0].error.as_ref().map(|error| error.kind);
    assert_eq!(error, Some(ErrorKind::Trap));
    assert!(former[0].ended_at > former[1].ended_at);
    for (run, log) in [
        (first, Some(long.as_str())),
        (second, Some("second\n")),
        (third, None),
    ] {
        let found = tasks.former_log(&key("t"), run).await?;
        assert_eq!(found.as_deref(), log);
    }
    let latest = tasks.log(&key("t"), third).await?;
    assert_eq!(latest.as_deref(), Some("third\n"));
    Ok(())
}

pub(super) async fn so_many_runs_are_kept_and_the_oldest_go(s: &Subject) -> Result<(), StoreError> {
    let tasks = &s.stores.tasks;
    let mut runs = Vec::new();
    for number in 0..13 {
        runs.push(run_once(s, "t", &format!("{number}\n")).await?);
    }
    let former = tasks.former_runs(&key("t")).await?;
    let ids: Vec<RunId> = former.iter().map(|run| run.id).collect();
    let expected: Vec<RunId> = runs[3..12].iter().rev().copied().collect();
    assert_eq!(ids, expected, "nine beside the latest");
    assert_eq!(tasks.former_log(&key("t"), runs[2]).await?, None);
    let oldest = tasks.former_log(&key("t"), runs[3]).await?;
    assert_eq!(oldest.as_deref(), Some("3\n"));
    s.apply("t", delete()).await?;
    assert!(tasks.former_runs(&key("t")).await?.is_empty());
    assert_eq!(tasks.former_log(&key("t"), runs[3]).await?, None);
    // Another task of the same id has none of them.
    run_once(s, "t", "new\n").await?;
    assert!(tasks.former_runs(&key("t")).await?.is_empty());
    Ok(())
}

async fn kept(s: &Subject, fence: Fence) -> Result<Option<Checkpoint>, StoreError> {
    let run = RunOfTask {
        task: key("t"),
        fence,
    };
    s.stores.checkpoints.load(&run, "cursor").await
}

async fn scheduled_again(s: &Subject, keeps_checkpoints: bool) -> Result<Fence, StoreError> {
    let run = crate::event::NewRun {
        keeps_checkpoints,
        ..s.run("hello")
    };
    s.schedule("t", run).await?;
    Ok(s.claim(1).await?[0].task.fence())
}

pub(super) async fn a_run_goes_on_with_what_the_former_one_has_kept_where_it_is_wanted(
    s: &Subject,
) -> Result<(), StoreError> {
    let value = Checkpoint {
        value: Arc::from(&b"17"[..]),
        schema_version: 3,
    };
    let first = s.running("t").await?;
    let run = RunOfTask {
        task: key("t"),
        fence: first,
    };
    let checkpoints = &s.stores.checkpoints;
    checkpoints.save(&run, "cursor", value.clone()).await?;
    s.says("t", first, failed("")).await?;
    let second = scheduled_again(s, true).await?;
    assert_eq!(kept(s, second).await?, Some(value.clone()));
    assert!(matches!(kept(s, first).await, Err(StoreError::Fenced)));
    // And so does the next one, with what this one has added.
    let run = RunOfTask {
        task: key("t"),
        fence: second,
    };
    checkpoints.save(&run, "more", value.clone()).await?;
    s.says("t", second, failed("")).await?;
    let third = scheduled_again(s, true).await?;
    let run = RunOfTask {
        task: key("t"),
        fence: third,
    };
    assert_eq!(checkpoints.load(&run, "more").await?, Some(value.clone()));
    assert_eq!(kept(s, third).await?, Some(value.clone()));
    s.says("t", third, failed("")).await?;
    let fresh = scheduled_again(s, false).await?;
    assert_eq!(kept(s, fresh).await?, None);
    let run = RunOfTask {
        task: key("t"),
        fence: fresh,
    };
    checkpoints.save(&run, "cursor", value).await?;
    // A result ends them.
    s.completed("t", fresh, "{}").await?;
    let last = scheduled_again(s, true).await?;
    assert_eq!(kept(s, last).await?, None);
    Ok(())
}

pub(super) async fn what_has_ended_goes_when_its_time_is_up(s: &Subject) -> Result<(), StoreError> {
    let tasks = &s.stores.tasks;
    run_once(s, "ended", "").await?;
    s.scheduled("canceled").await?;
    s.apply("canceled", cancel()).await?;
    s.scheduled("waiting").await?;
    let ended = s.task("ended").await?;
    let week_ms = i64::try_from(7 * DAY_MS).unwrap_or(i64::MAX);
    let expires_at = ended.last_failed_at.map(|at| at.as_ms() + week_ms);
    assert_eq!(ended.expires_at.map(|at| at.as_ms()), expires_at);
    assert_eq!(s.task("waiting").await?.expires_at, None);
    let expire = || Event::Expire {
        unmarked_before: at(0),
    };
    s.wait_ms(7 * DAY_MS - 10);
    s.settle().await?;
    assert!(tasks.expired(at(0), 10).await?.is_empty());
    let applied = s.apply("ended", expire()).await?;
    assert_eq!(applied.outcome, Outcome::Unchanged);
    s.wait_ms(20);
    let mut expired = tasks.expired(at(0), 10).await?;
    expired.sort();
    assert_eq!(expired, [key("canceled"), key("ended")]);
    assert_eq!(tasks.expired(at(0), 1).await?.len(), 1);
    for id in ["ended", "canceled"] {
        assert_eq!(s.apply(id, expire()).await?.outcome, Outcome::Changed);
        assert_eq!(tasks.get(&key(id)).await?, None);
    }
    assert_eq!(
        s.apply("waiting", expire()).await?.outcome,
        Outcome::Unchanged
    );
    // One that runs again has all its time before it.
    s.settle().await?;
    assert!(tasks.expired(at(0), 10).await?.is_empty());
    assert_eq!(tasks.remove_tombstones().await?, 2);
    Ok(())
}

pub(super) async fn a_promise_outlives_its_task_for_a_day(s: &Subject) -> Result<(), StoreError> {
    let tasks = &s.stores.tasks;
    let promised = |body: &str| crate::event::NewRun {
        receipt: Some(body.to_owned()),
        condition: Some(WriteCondition::Absent),
        ..s.run("hello")
    };
    let first = s.schedule("t", promised("a")).await?;
    let receipt = Receipt {
        body: "a".to_owned(),
        run: first.run.id,
        at: s.now(),
    };
    assert_eq!(tasks.receipt(&key("t")).await?, Some(receipt.clone()));
    let again = Event::Schedule(Box::new(promised("a")));
    let applied = s.apply("t", again.clone()).await?;
    assert_eq!(applied.outcome, Outcome::VersionMismatch);
    // It stays when the task is run again, and when it is deleted.
    s.apply("t", cancel()).await?;
    s.wait_ms(1);
    s.scheduled("t").await?;
    assert_eq!(tasks.receipt(&key("t")).await?, Some(receipt.clone()));
    s.apply("t", delete()).await?;
    s.settle().await?;
    tasks.remove_tombstones().await?;
    assert_eq!(tasks.get(&key("t")).await?, None);
    assert_eq!(tasks.receipt(&key("t")).await?, Some(receipt));
    let applied = s.apply("t", again.clone()).await?;
    assert_eq!(applied.outcome, Outcome::VersionMismatch);
    s.wait_ms(DAY_MS);
    s.settle().await?;
    assert_eq!(tasks.expired(at(0), 10).await?, [key("t")]);
    let unmarked_before = at(0);
    s.apply("t", Event::Expire { unmarked_before }).await?;
    s.settle().await?;
    assert_eq!(tasks.remove_tombstones().await?, 1);
    assert_eq!(tasks.receipt(&key("t")).await?, None);
    s.schedule("t", promised("b")).await?;
    Ok(())
}

pub(super) async fn what_waits_for_too_long_is_found_and_ended(
    s: &Subject,
) -> Result<(), StoreError> {
    let tasks = &s.stores.tasks;
    // What is to be tried again stands before it, and is in nobody's way.
    let fence = s.running("again").await?;
    let mut again = failed("");
    if let RunEvent::Failed { retry_at, .. } = &mut again {
        *retry_at = Some(s.now());
    }
    s.says("again", fence, again).await?;
    s.wait_ms(1);
    s.scheduled("old").await?;
    let mut later = s.run("hello");
    later.due_at = at(s.now().as_ms() + 1_000);
    s.schedule("later", later).await?;
    s.schedule("other", s.run("other")).await?;
    s.wait_ms(500);
    let due_before = s.now();
    s.settle().await?;
    for limit in [1, 10] {
        let found = tasks.overdue(&type_id("hello"), due_before, limit).await?;
        assert_eq!(found, [key("old")]);
    }
    assert_eq!(s.apply("again", cancel()).await?.outcome, Outcome::Changed);
    let event = || Event::Overdue {
        due_before,
        limit: "half a second".to_owned(),
    };
    let applied = s.apply("old", event()).await?;
    assert_eq!(applied.outcome, Outcome::Changed);
    let task = s.task("old").await?;
    assert_eq!(task.status, Status::Failed);
    let error = task.error.map(|error| (error.kind, error.retryable));
    assert_eq!(error, Some((ErrorKind::QueueTimeout, false)));
    assert_eq!(s.apply("old", event()).await?.outcome, Outcome::Unchanged);
    assert_eq!(s.apply("later", event()).await?.outcome, Outcome::Unchanged);
    // It counts from the return to the queue, and not while a guest is at work.
    s.wait_ms(600);
    let fence = s.claim(1).await?[0].task.fence();
    assert_eq!(s.apply("later", event()).await?.outcome, Outcome::Unchanged);
    s.says("later", fence, RunEvent::HandedBack { end: no_report() })
        .await?;
    assert_eq!(s.apply("later", event()).await?.outcome, Outcome::Unchanged);
    Ok(())
}

pub(super) async fn a_batch_does_to_each_what_is_done_to_one(
    s: &Subject,
) -> Result<(), StoreError> {
    let tasks = &s.stores.tasks;
    let run = s.running("runs").await?;
    let schedule = |id: &str| (key(id), Event::Schedule(Box::new(s.run("hello"))));
    let mut too_large = s.run("hello");
    too_large.params = Arc::from("x".repeat(2 * 1024 * 1024));
    let mut events: Vec<_> = (0..600).map(|n| schedule(&format!("t-{n}"))).collect();
    events[1] = (key("large"), Event::Schedule(Box::new(too_large)));
    events[2] = schedule("runs");
    events[3] = schedule("t-0");
    events.push((key("t-0"), cancel()));
    events.push(schedule("t-0"));
    let answers = tasks.apply_all(events).await;
    assert_eq!(answers.len(), 602);
    let outcomes: Vec<_> = answers
        .iter()
        .map(|it| it.as_ref().map(|it| it.outcome))
        .collect();
    assert!(matches!(outcomes[1], Err(StoreError::TooLarge { .. })));
    assert_eq!(
        outcomes[2].as_ref().ok(),
        Some(&Outcome::Unchanged),
        "it runs"
    );
    assert_eq!(
        outcomes[3].as_ref().ok(),
        Some(&Outcome::Unchanged),
        "it waits"
    );
    for (number, outcome) in outcomes
        .iter()
        .enumerate()
        .filter(|(n, _)| !(1..=3).contains(n))
    {
        assert_eq!(outcome.as_ref().ok(), Some(&Outcome::Changed), "{number}");
    }
    assert_eq!(s.task("t-0").await?.status, Status::InProgress);
    assert_eq!(tasks.get(&key("large")).await?, None);
    assert_eq!(s.task("runs").await?.run.id, run.run);
    let claimed = s.claim(1_000).await?;
    assert_eq!(claimed.len(), 597);
    Ok(())
}

pub(super) async fn tasks_are_counted_by_status_as_they_are_listed(
    s: &Subject,
) -> Result<(), StoreError> {
    let tasks = &s.stores.tasks;
    for id in ["a", "b"] {
        run_once(s, id, "").await?;
    }
    s.scheduled("c").await?;
    s.schedule("d", s.run("other")).await?;
    s.scheduled("e").await?;
    s.apply("e", delete()).await?;
    s.settle().await?;
    let all = ListRequest::all(space());
    let counted = async |request: &ListRequest| -> Result<_, StoreError> {
        let mut counts = tasks.counts(request).await?;
        counts.sort_by_key(|(status, _)| status.as_str());
        Ok(counts)
    };
    let expected = [(Status::Failed, 2), (Status::InProgress, 2)];
    assert_eq!(counted(&all).await?, expected);
    let mut some = all.clone();
    some.type_id = Some(type_id("hello"));
    some.statuses = vec![Status::Failed];
    let expected = [(Status::Failed, 2), (Status::InProgress, 1)];
    assert_eq!(
        counted(&some).await?,
        expected,
        "whatever statuses are wanted"
    );
    let mut dead = all.clone();
    dead.error_kinds = vec![ErrorKind::Trap, ErrorKind::Deadline];
    let page = tasks.list(&dead).await?;
    assert_eq!(page.tasks.len(), 2);
    assert_eq!(counted(&dead).await?, [(Status::Failed, 2)]);
    dead.error_kinds = vec![ErrorKind::Deadline];
    assert!(tasks.list(&dead).await?.tasks.is_empty());
    let mut older = all;
    older.created_before = Some(s.task("b").await?.created_at);
    let ids = tasks.list(&older).await?.tasks;
    let ids: Vec<&str> = ids.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["a"]);
    Ok(())
}
