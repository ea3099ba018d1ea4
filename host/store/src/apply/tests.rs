//! Every phase with every event, and what holds over any history.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::ids::{Digest, Incarnation, RunId, Space, TaskId, TaskKey, TypeId};
use taskhost_model::status::{Phase, Status};
use taskhost_model::task::{Fence, Suspension, Task};
use taskhost_model::time::Timestamp;

use super::{Decision, TextChange, decide};
use crate::event::{Claim, Event, NewRun, Outcome, RunEvent, RunReport};

fn key() -> TaskKey {
    TaskKey {
        space: Space::parse("default").unwrap(),
        id: TaskId::parse("t").unwrap(),
    }
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn schedule() -> Event {
    Event::Schedule(Box::new(NewRun {
        id: RunId::new(),
        type_id: TypeId::parse("hello").unwrap(),
        stream: None,
        also_reads: Vec::new(),
        params: Arc::from("{}"),
        parent: None,
        concurrency_key: None,
        record: false,
        trace: None,
        requested_by: "somebody".to_owned(),
        key: None,
        priority: 0,
        due_at: at(0),
        timeout_ms: None,
        max_attempts: 3,
        condition: None,
        keeps_checkpoints: false,
        receipt: None,
    }))
}

fn claim() -> Event {
    Event::Claim(Claim {
        host: "host-1".to_owned(),
        incarnation: Incarnation::new(),
        digest: Digest::parse(&"a".repeat(64)).unwrap(),
        wall_ms: 1_000,
    })
}

fn cancel() -> Event {
    let (by, reason) = ("somebody".to_owned(), None);
    Event::Cancel {
        by,
        reason,
        if_version: None,
    }
}

fn acknowledge() -> Event {
    let by = "somebody".to_owned();
    Event::Acknowledge {
        by,
        if_version: None,
    }
}

fn delete() -> Event {
    Event::Delete { if_version: None }
}

fn suspension() -> Suspension {
    Suspension {
        wait: "for all".to_owned(),
        until: at(0),
        times: 1,
        ids: Vec::new(),
    }
}

/// What a run may say, in the order of the table's columns.
fn run_events() -> [RunEvent; 8] {
    let end = RunReport::default;
    let failed = |retry_at| RunEvent::Failed {
        error: TaskError::of(ErrorKind::Task, "no luck"),
        retry_at,
        end: end(),
    };
    [
        RunEvent::Progress(end()),
        RunEvent::Completed {
            payload: Arc::from("{}"),
            end: end(),
        },
        failed(None),
        failed(Some(at(0))),
        RunEvent::Paused {
            error: TaskError::of(ErrorKind::Task, "later"),
            until: at(0),
            end: end(),
        },
        RunEvent::HandedBack { end: end() },
        RunEvent::Stopped { end: end() },
        RunEvent::Suspended {
            suspension: suspension(),
            until: at(0),
            end: end(),
        },
    ]
}

/// All events with a fence, in the order of the table's columns.
fn events(fence: Fence) -> Vec<Event> {
    let mut events = vec![schedule(), claim(), cancel(), acknowledge(), delete()];
    let says = |event| Event::Run { fence, event };
    events.extend(run_events().map(says));
    events.extend([5, 1].map(|crashes_max| Event::HostLost { fence, crashes_max }));
    events.push(Event::PreviousEnded { fence });
    events.push(Event::Resume { run: fence.run });
    events.push(Event::Overdue {
        due_before: at(1_000),
        limit: "1 s".to_owned(),
    });
    events.push(Event::Expire {
        unmarked_before: at(1_000),
    });
    events
}

/// Applies an event; the stored document stays where nothing is written.
fn apply(stored: &mut Option<Task>, event: &Event, now_ms: i64) -> Outcome {
    match decide(&key(), stored.as_ref(), event, at(now_ms)) {
        Decision::Write(write) => {
            *stored = Some(write.task);
            Outcome::Changed
        }
        Decision::Nothing(outcome) => outcome,
    }
}

fn fence_of(stored: Option<&Task>) -> Fence {
    stored.map_or_else(
        || Fence {
            run: RunId::new(),
            lease_number: 1,
        },
        Task::fence,
    )
}

fn in_phase(phase: Phase) -> Option<Task> {
    let mut stored = None;
    let says = |stored: &mut Option<Task>, index: usize| {
        let fence = fence_of(stored.as_ref());
        let [.., event] = &run_events()[..=index] else {
            return Outcome::Unchanged;
        };
        let event = event.clone();
        apply(stored, &Event::Run { fence, event }, 10)
    };
    let path: &[fn() -> Event] = match phase {
        Phase::Absent => &[],
        Phase::Queued => &[schedule],
        Phase::Canceled => &[schedule, cancel],
        Phase::BeingCanceled => &[schedule, claim, cancel],
        Phase::Running
        | Phase::WaitingRetry
        | Phase::Suspended
        | Phase::Failed
        | Phase::Completed
        | Phase::Acknowledged => &[schedule, claim],
    };
    for event in path {
        assert_eq!(apply(&mut stored, &event(), 10), Outcome::Changed);
    }
    match phase {
        Phase::WaitingRetry => assert_eq!(says(&mut stored, 3), Outcome::Changed),
        Phase::Suspended => assert_eq!(says(&mut stored, 7), Outcome::Changed),
        Phase::Failed => assert_eq!(says(&mut stored, 2), Outcome::Changed),
        Phase::Completed => assert_eq!(says(&mut stored, 1), Outcome::Changed),
        Phase::Acknowledged => {
            says(&mut stored, 1);
            assert_eq!(apply(&mut stored, &acknowledge(), 10), Outcome::Changed);
        }
        _ => {}
    }
    assert_eq!(stored.as_ref().map_or(Phase::Absent, Task::phase), phase);
    stored
}

/// One row a phase, one column an event, in the order of `events`. A letter is the phase that
/// follows, `p` the same phase with a document that was written, `.` unchanged, `r` repeated,
/// `x` refused, `f` fenced.
const TABLE: [(Phase, &str); 10] = [
    (Phase::Absent, "Qx.xxffffffffff...."),
    (Phase::Queued, ".RCx-rrrrrrrrrr..F."),
    (Phase::Running, ".xBx-pDFWWQFSQF...."),
    (Phase::WaitingRetry, ".RCx-rrrrrrrrrr...."),
    (Phase::Suspended, ".RCx-rrrrrrrrrr...."),
    (Phase::BeingCanceled, "xx.x-pCCCCCCCCC...."),
    (Phase::Canceled, "Qx.x-rrrrrrrrrr...-"),
    (Phase::Failed, "Qx.x-rrrrrrrrrr...-"),
    (Phase::Completed, "Qx.A-rrrrrrrrrr...-"),
    (Phase::Acknowledged, "Qx.x-rrrrrrrrrr...-"),
];

fn letter(before: Phase, outcome: Outcome, after: Option<&Task>) -> char {
    match outcome {
        Outcome::Unchanged => '.',
        Outcome::Repeated => 'r',
        Outcome::Refused(_) => 'x',
        Outcome::Fenced => 'f',
        Outcome::VersionMismatch => 'v',
        Outcome::Changed => match after.map_or(Phase::Absent, Task::phase) {
            same if same == before => 'p',
            Phase::Absent => '-',
            Phase::Queued => 'Q',
            Phase::Running => 'R',
            Phase::WaitingRetry => 'W',
            Phase::Suspended => 'S',
            Phase::BeingCanceled => 'B',
            Phase::Canceled => 'C',
            Phase::Failed => 'F',
            Phase::Completed => 'D',
            Phase::Acknowledged => 'A',
        },
    }
}

#[test]
fn every_phase_with_every_event() {
    for (phase, row) in TABLE {
        let fence = fence_of(in_phase(phase).as_ref());
        let count = events(fence).len();
        assert_eq!(row.len(), count);
        for (number, expected) in row.chars().enumerate() {
            let mut stored = in_phase(phase);
            let event = events(fence_of(stored.as_ref())).swap_remove(number);
            let outcome = apply(&mut stored, &event, 20);
            let got = letter(phase, outcome, stored.as_ref());
            assert_eq!(got, expected, "{phase:?} on {event:?}");
        }
    }
}

#[test]
fn another_run_or_lease_is_fenced_in_every_phase() {
    for (phase, _) in TABLE {
        let stored = in_phase(phase);
        let own = fence_of(stored.as_ref());
        let older = Fence {
            lease_number: own.lease_number.wrapping_sub(1),
            ..own
        };
        let other = Fence {
            run: RunId::new(),
            ..own
        };
        for fence in [older, other] {
            for event in run_events() {
                let mut after = stored.clone();
                let outcome = apply(&mut after, &Event::Run { fence, event }, 20);
                assert_eq!((outcome, &after), (Outcome::Fenced, &stored), "{phase:?}");
            }
            for crashes_max in [1, 5] {
                let mut after = stored.clone();
                let outcome = apply(&mut after, &Event::HostLost { fence, crashes_max }, 20);
                assert_ne!(outcome, Outcome::Changed, "{phase:?}");
            }
        }
    }
}

#[test]
fn texts_change_with_schedule_result_and_deletion_only() {
    for (phase, _) in TABLE {
        let stored = in_phase(phase);
        for event in events(fence_of(stored.as_ref())) {
            let Decision::Write(write) = decide(&key(), stored.as_ref(), &event, at(20)) else {
                continue;
            };
            let expected = match (&event, write.task.status) {
                (Event::Schedule(run), _) => {
                    (TextChange::Set(Arc::clone(&run.params)), TextChange::Clear)
                }
                (Event::Delete { .. } | Event::Expire { .. }, _) => {
                    (TextChange::Clear, TextChange::Clear)
                }
                (
                    Event::Run {
                        event: RunEvent::Completed { .. },
                        ..
                    },
                    Status::Completed,
                ) => (TextChange::Keep, TextChange::Set(Arc::from("{}"))),
                _ => (TextChange::Keep, TextChange::Keep),
            };
            assert_eq!(
                (write.params, write.payload),
                expected,
                "{phase:?} on {event:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn any_history_keeps_the_rules(picks in vec((0..19usize, 0..4usize), 0..60)) {
        let (mut stored, mut fences, mut now_ms) = (None, Vec::new(), 0);
        for (pick, fence) in picks {
            now_ms += 1;
            let latest = fence_of(stored.as_ref());
            let back = fences.len().checked_sub(fence);
            let fence = back.and_then(|index| fences.get(index)).copied().unwrap_or(latest);
            let event = events(fence).swap_remove(pick);
            let before: Option<Task> = stored.clone();
            let outcome = apply(&mut stored, &event, now_ms);
            check_step(before.as_ref(), &event, outcome, stored.as_ref())?;
            // The same event once more is never a second change, but for progress.
            let is_progress = matches!(&event, Event::Run { event: RunEvent::Progress(_), .. });
            if outcome == Outcome::Changed && !is_progress {
                let again = apply(&mut stored.clone(), &event, now_ms);
                prop_assert_ne!(again, Outcome::Changed, "{:?}", event);
            }
            fences.extend(stored.as_ref().and_then(Task::lease).map(|lease| lease.fence));
            fences.dedup();
        }
    }
}

fn check_step(
    before: Option<&Task>,
    event: &Event,
    outcome: Outcome,
    after: Option<&Task>,
) -> Result<(), TestCaseError> {
    if outcome != Outcome::Changed {
        prop_assert_eq!(before, after);
        return Ok(());
    }
    let Some(after) = after else {
        return Err(TestCaseError::fail("a change leaves a document"));
    };
    if let Some(before) = before {
        prop_assert!(after.version >= before.version && after.revision >= before.revision);
        prop_assert!(after.run.lease_number >= before.run.lease_number);
        prop_assert!(before.status == after.status || after.version > before.version);
        if let Event::Claim(_) = event {
            prop_assert!(before.previous.is_empty(), "a former guest may be alive");
            prop_assert_eq!(after.run.lease_number, before.run.lease_number + 1);
        }
        // A guest that may be alive is never forgotten but by its own end or its host's.
        if let Some(lease) = before.lease() {
            let kept = after.lease() == Some(lease) || after.previous.contains(&lease);
            let ended = matches!(event, Event::Run { .. } | Event::HostLost { .. });
            prop_assert!(kept || ended, "{:?}", event);
        }
    }
    let running = after.run.state.is_some();
    prop_assert_eq!(
        running,
        after.status == Status::InProgress && after.deleted_at.is_none()
    );
    let failed = after.status == Status::Failed && after.deleted_at.is_none();
    prop_assert!(!failed || after.error.is_some());
    Ok(())
}
