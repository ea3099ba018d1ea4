//! The checker of histories accepts what one document can answer, and nothing else.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use taskhost_e2e::linear::{Call, Said, Seen, Wish, explain};
use taskhost_model::ids::RunId;
use taskhost_model::status::{Next, Phase, Trigger};

fn call(begun: u64, ended: u64, wish: Wish, said: Said) -> Call {
    Call {
        begun,
        ended,
        wish,
        said,
    }
}

fn seen(phase: Phase, version: u64, run: RunId) -> Said {
    Said::Seen(Seen {
        phase,
        version,
        run: Some(run),
    })
}

const ABSENT: Said = Said::Seen(Seen {
    phase: Phase::Absent,
    version: 0,
    run: None,
});

#[test]
fn one_after_the_other_is_explained() {
    let (a, b) = (RunId::new(), RunId::new());
    let calls = [
        call(0, 1, Wish::Get, ABSENT),
        call(2, 3, Wish::Schedule, seen(Phase::Queued, 100, a)),
        call(4, 5, Wish::Schedule, Said::AlreadyRunning),
        call(6, 7, Wish::Acknowledge, Said::Refused),
        // It was lost once, and has completed.
        call(8, 9, Wish::Get, seen(Phase::Completed, 102, a)),
        call(10, 11, Wish::Cancel, seen(Phase::Completed, 102, a)),
        call(12, 13, Wish::Acknowledge, seen(Phase::Acknowledged, 103, a)),
        call(14, 15, Wish::Schedule, seen(Phase::Queued, 104, b)),
        call(16, 17, Wish::Cancel, seen(Phase::BeingCanceled, 105, b)),
        call(18, 19, Wish::Schedule, Said::Refused),
        call(20, 21, Wish::Get, seen(Phase::Canceled, 106, b)),
        call(22, 23, Wish::Delete, Said::Done),
        call(24, 25, Wish::Delete, Said::Refused),
        call(26, 27, Wish::Schedule, seen(Phase::Queued, 900, a)),
    ];
    explain(&calls).unwrap();
    // It may have been claimed before the answer, and nothing more; somebody saw it before that.
    for (phase, fits) in [(Phase::Running, true), (Phase::Completed, false)] {
        let mut begun = calls.to_vec();
        begun[1].said = seen(phase, 100, a);
        begun.push(call(2, 3, Wish::Get, seen(Phase::Queued, 100, a)));
        assert_eq!(explain(&begun).is_ok(), fits, "{phase:?}");
    }
    // Whichever answer is another one is refused.
    for n in 0..calls.len() {
        let mut wrong = calls.to_vec();
        wrong[n].said = match wrong[n].said {
            Said::Seen(Seen { version: 0, .. }) => seen(Phase::Queued, 1, a),
            Said::Seen(it) => Said::Seen(Seen {
                phase: match it.phase {
                    Phase::Canceled => Phase::Failed,
                    _ => Phase::Canceled,
                },
                ..it
            }),
            Said::AlreadyRunning | Said::Done => Said::Refused,
            Said::Refused if wrong[n].wish == Wish::Schedule => Said::AlreadyRunning,
            Said::Refused | Said::Unknown => Said::Done,
        };
        let told = explain(&wrong);
        assert!(told.is_err(), "{n}: {:?}", wrong[n]);
    }
}

#[test]
fn what_was_answered_is_not_forgotten() {
    let run = RunId::new();
    let begin = call(0, 1, Wish::Schedule, seen(Phase::Queued, 100, run));
    for (what, later) in [
        (
            "an old read",
            vec![
                call(2, 3, Wish::Get, seen(Phase::Completed, 101, run)),
                call(4, 5, Wish::Get, seen(Phase::Running, 100, run)),
            ],
        ),
        ("a lost schedule", vec![call(2, 3, Wish::Get, ABSENT)]),
        (
            "another run",
            vec![call(
                2,
                3,
                Wish::Get,
                seen(Phase::Queued, 100, RunId::new()),
            )],
        ),
        (
            "canceled, and completed",
            vec![
                call(2, 3, Wish::Cancel, seen(Phase::BeingCanceled, 101, run)),
                call(4, 5, Wish::Get, seen(Phase::Completed, 102, run)),
            ],
        ),
        (
            "acknowledged twice at once",
            vec![
                call(2, 9, Wish::Acknowledge, seen(Phase::Acknowledged, 102, run)),
                call(3, 8, Wish::Acknowledge, seen(Phase::Acknowledged, 102, run)),
            ],
        ),
        (
            "deleted twice at once",
            vec![
                call(2, 9, Wish::Delete, Said::Done),
                call(3, 8, Wish::Delete, Said::Done),
            ],
        ),
        (
            "back after it was deleted",
            vec![
                call(2, 3, Wish::Delete, Said::Done),
                call(4, 5, Wish::Get, seen(Phase::Completed, 101, run)),
            ],
        ),
        (
            "a second end",
            vec![
                call(2, 3, Wish::Get, seen(Phase::Completed, 101, run)),
                call(4, 5, Wish::Get, seen(Phase::Completed, 102, run)),
            ],
        ),
        (
            "a cancel that did nothing",
            vec![call(2, 3, Wish::Cancel, seen(Phase::Running, 100, run))],
        ),
    ] {
        let mut calls = vec![begin];
        calls.extend(later);
        assert!(explain(&calls).is_err(), "{what}");
    }
}

#[test]
fn what_is_at_once_may_be_in_any_order() {
    let run = RunId::new();
    let mut calls = vec![
        call(0, 9, Wish::Schedule, seen(Phase::Queued, 100, run)),
        call(1, 8, Wish::Get, ABSENT),
        call(2, 7, Wish::Get, seen(Phase::Completed, 101, run)),
        call(3, 6, Wish::Delete, Said::Refused),
    ];
    explain(&calls).unwrap();
    calls.push(call(10, 11, Wish::Delete, Said::Refused));
    assert!(explain(&calls).is_err(), "it is there by then");
}

#[test]
fn what_was_not_answered_was_done_or_not_and_not_before_it_was_asked() {
    let (a, b) = (RunId::new(), RunId::new());
    let first = call(0, 1, Wish::Schedule, seen(Phase::Queued, 100, a));
    let lost = call(5, 6, Wish::Delete, Said::Unknown);
    let there = |at| call(at, at + 1, Wish::Get, seen(Phase::Completed, 101, a));
    let gone = |at| call(at, at + 1, Wish::Get, ABSENT);
    explain(&[first, lost, there(20)]).unwrap();
    explain(&[first, lost, gone(20)]).unwrap();
    // Late, but once.
    explain(&[first, lost, there(20), gone(30)]).unwrap();
    assert!(explain(&[first, lost, gone(20), there(30)]).is_err());
    assert!(explain(&[first, lost, gone(2)]).is_err());
    let again = call(40, 41, Wish::Schedule, seen(Phase::Queued, 300, b));
    let end = call(50, 51, Wish::Get, ABSENT);
    assert!(explain(&[first, lost, gone(20), again, end]).is_err());
    // An unanswered schedule of which a later read tells.
    let lost = call(5, 6, Wish::Schedule, Said::Unknown);
    let new = call(9, 10, Wish::Get, seen(Phase::Running, 102, b));
    explain(&[first, lost, new]).unwrap();
    let early = call(9, 10, Wish::Get, seen(Phase::Running, 101, b));
    assert!(
        explain(&[first, lost, early]).is_err(),
        "the first one had not ended"
    );
}

/// Answers as one document gives them, to clients whose calls overlap.
fn of_one_document(random: &mut StdRng, count: usize) -> Vec<Call> {
    let (mut phase, mut version, mut run) = (Phase::Absent, 0, None);
    let mut calls = Vec::new();
    for n in 0..count {
        for _ in 0..random.random_range(0..3) {
            let (trigger, shows) = [
                (Trigger::Claim, 0),
                (Trigger::Complete, 1),
                (Trigger::HostLost, 1),
            ][random.random_range(0..3)];
            if let Next::To(next) = phase.next(trigger) {
                (phase, version) = (next, version + shows);
            }
        }
        let (wish, trigger) = [
            (Wish::Schedule, Some(Trigger::Schedule)),
            (Wish::Cancel, Some(Trigger::Cancel)),
            (Wish::Acknowledge, Some(Trigger::Acknowledge)),
            (Wish::Delete, Some(Trigger::Delete)),
            (Wish::Get, None),
            (Wish::Get, None),
        ][random.random_range(0..6)];
        let next = trigger.map_or(Next::Same, |trigger| phase.next(trigger));
        if let Next::To(next) = next {
            (phase, version) = (next, version + 1);
            if wish == Wish::Schedule {
                run = Some(RunId::new());
            }
        }
        let shown = match phase {
            Phase::Absent => ABSENT,
            _ => Said::Seen(Seen {
                phase,
                version,
                run,
            }),
        };
        let said = match (wish, next) {
            _ if random.random_ratio(1, 12) => Said::Unknown,
            (_, Next::Refused(_)) => Said::Refused,
            (Wish::Schedule, Next::Same) => Said::AlreadyRunning,
            (Wish::Delete, _) => Said::Done,
            _ => shown,
        };
        let at = n as u64 * 10 + 100;
        let (before, after) = (random.random_range(0..40), random.random_range(0..40));
        calls.push(call(at - before, at + after, wish, said));
    }
    calls
}

#[test]
fn whatever_one_document_answers_is_explained_and_a_wrong_answer_is_not() {
    let mut random = StdRng::seed_from_u64(7);
    let mut refused = 0;
    for _ in 0..50 {
        let mut calls = of_one_document(&mut random, 60);
        explain(&calls).unwrap();
        let n = random.random_range(0..calls.len());
        if let Said::Seen(it) = &mut calls[n].said {
            it.version += 1;
            let told = explain(&calls);
            refused += usize::from(told.is_err_and(|why| why.contains("can be explained")));
        }
    }
    // Another version is nearly always seen by somebody else, too.
    assert!(refused > 10, "{refused}");
}
