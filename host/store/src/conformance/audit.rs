//! The audit log (`AuditStore` 3 to 6).

use taskhost_model::audit::{Act, Entry, Outcome};
use taskhost_model::requester::Requester;
use taskhost_model::time::Timestamp;

use super::Subject;
use super::given::{at, space};
use crate::audit::AuditRequest;
use crate::error::StoreError;

fn noted(s: &Subject, deed: &'static str, target: &str, at_ms: i64) -> Entry {
    let act = Act::in_space(deed, &space(), target);
    let entry = Entry::begun(&Requester::single_user(), act, at(at_ms));
    s.stores.audit.note(entry.clone());
    entry
}

fn ended(s: &Subject, entry: &Entry, outcome: Outcome) -> Entry {
    let entry = Entry {
        outcome: Some(outcome),
        ..entry.clone()
    };
    s.stores.audit.note(entry.clone());
    entry
}

fn all() -> AuditRequest {
    AuditRequest {
        limit: 1_000,
        ..AuditRequest::default()
    }
}

async fn listed(s: &Subject, request: &AuditRequest) -> Result<Vec<Entry>, StoreError> {
    s.stores.audit.flush().await?;
    let page = s.stores.audit.list(request).await?;
    assert_eq!(page.next, None, "{request:?}");
    Ok(page.entries)
}

pub(super) async fn entries_are_kept_with_what_became_of_them(
    s: &Subject,
) -> Result<(), StoreError> {
    let audit = &s.stores.audit;
    assert_eq!(listed(s, &all()).await?, []);
    let first = noted(s, "task.schedule", "a", 1);
    audit.flush().await?;
    // Known late, known at once, and never.
    let first = ended(s, &first, Outcome::Done);
    let second = noted(s, "type.push", "b", 2);
    let second = ended(s, &second, Outcome::Refused);
    let third = noted(s, "task.cancel", "a", 3);
    assert_eq!(listed(s, &all()).await?, [third, second, first]);
    audit.flush().await?;
    assert_eq!(listed(s, &all()).await?.len(), 3, "nothing stands twice");
    Ok(())
}

pub(super) async fn entries_are_found_by_what_they_say(s: &Subject) -> Result<(), StoreError> {
    let mut of_nobody = Entry::begun(
        &Requester::host(),
        Act::everywhere("type.push", "digest"),
        at(4),
    );
    of_nobody.outcome = Some(Outcome::Done);
    let task = noted(s, "task.schedule", "a", 1);
    let feature = noted(s, "feature.put", "a/b", 2);
    let tasks = noted(s, "tasks.other", "a", 3);
    s.stores.audit.note(of_nobody.clone());
    let text = |text: &str| Some(text.to_owned());
    for (request, found) in [
        (
            AuditRequest {
                by: text("host"),
                ..all()
            },
            vec![&of_nobody],
        ),
        (
            AuditRequest {
                deed: text("task"),
                ..all()
            },
            vec![&task],
        ),
        (
            AuditRequest {
                deed: text("task.schedule"),
                ..all()
            },
            vec![&task],
        ),
        (
            AuditRequest {
                deed: text("task.sched"),
                ..all()
            },
            vec![],
        ),
        (
            AuditRequest {
                target: text("a"),
                ..all()
            },
            vec![&tasks, &task],
        ),
        (
            AuditRequest {
                space: Some(space()),
                ..all()
            },
            vec![&tasks, &feature, &task],
        ),
        (
            AuditRequest {
                from: Some(at(2)),
                to: Some(at(4)),
                ..all()
            },
            vec![&tasks, &feature],
        ),
    ] {
        let listed = listed(s, &request).await?;
        assert_eq!(listed.iter().collect::<Vec<_>>(), found, "{request:?}");
    }
    Ok(())
}

pub(super) async fn pages_are_complete(s: &Subject) -> Result<(), StoreError> {
    let mut expected = Vec::new();
    for number in 0..25 {
        let deed = if number % 3 == 0 {
            "type.pause"
        } else {
            "task.cancel"
        };
        expected.push(noted(s, deed, &number.to_string(), number));
    }
    expected.reverse();
    s.stores.audit.flush().await?;
    let mut request = AuditRequest { limit: 4, ..all() };
    let mut found = Vec::new();
    loop {
        let page = s.stores.audit.list(&request).await?;
        found.extend(page.entries);
        // What comes meanwhile is on no later page.
        noted(s, "task.cancel", "late", 99);
        match page.next {
            Some(cursor) => request.cursor = Some(cursor),
            None => break,
        }
    }
    assert_eq!(found, expected);
    Ok(())
}

/// On a cluster a host trims seldom: there it is tried apart.
pub(super) async fn what_is_done_often_pushes_out_nothing_rare(
    s: &Subject,
) -> Result<(), StoreError> {
    let audit = &s.stores.audit;
    let rare = noted(s, "token.create", "ann", 5);
    let mut often = Vec::new();
    for number in 0..30 {
        often.push(noted(s, "task.cancel", "a", number));
    }
    audit.flush().await?;
    assert_eq!(audit.trim(at(0), 40).await?, 0);
    assert_eq!(audit.trim(at(0), 10).await?, 20);
    let kept =
        |often: &[Entry]| -> Vec<Entry> { often.iter().rev().chain([&rare]).cloned().collect() };
    assert_eq!(listed(s, &all()).await?, kept(&often[20..]));
    // By their age go those of both.
    assert_eq!(audit.trim(at(25), 40).await?, 6);
    let left = listed(s, &all()).await?;
    assert_eq!(left.len(), 5);
    assert!(left.iter().all(|entry| entry.at >= at(25)));
    assert_eq!(audit.trim(Timestamp::from_ms(i64::MAX), 40).await?, 5);
    assert_eq!(listed(s, &all()).await?, []);
    noted(s, "task.cancel", "again", 31);
    audit.flush().await?;
    assert_eq!(audit.trim(at(0), 1).await?, 0, "it counts what there is");
    Ok(())
}
