//! Lists of tasks (`TaskStore` 3 and 4).

use std::collections::BTreeSet;

use taskhost_model::ids::{Space, TaskId, TaskKey};
use taskhost_model::status::Status;

use super::Subject;
use super::given::{cancel, delete, key, space, stream, type_id};
use crate::error::StoreError;
use crate::event::{Event, Outcome};
use crate::tasks::ListRequest;

async fn listed(s: &Subject, request: &ListRequest) -> Result<Vec<String>, StoreError> {
    s.settle().await?;
    let page = s.stores.tasks.list(request).await?;
    assert_eq!(page.next, None);
    Ok(page.tasks.iter().map(|task| task.id.to_string()).collect())
}

async fn four_different(s: &Subject) -> Result<(), StoreError> {
    for (id, type_name, on, by) in [
        ("a-1", "hello", None, "ann"),
        ("A-2", "hello", Some("logs"), "bob"),
        ("b-1", "other", Some("logs"), "ann"),
        ("b-2", "other", Some("logs.x"), "bob"),
    ] {
        let mut run = s.run(type_name);
        run.stream = on.map(|name| stream(name).name);
        run.requested_by = by.to_owned();
        s.schedule(id, run).await?;
        s.wait_ms(1);
    }
    let elsewhere = TaskKey {
        space: Space::parse("elsewhere").expect("it is valid"),
        id: TaskId::parse("a-1").expect("it is valid"),
    };
    s.stores
        .tasks
        .apply(&elsewhere, Event::Schedule(Box::new(s.run("hello"))))
        .await?;
    s.apply("a-1", cancel()).await?;
    Ok(())
}

pub(super) async fn lists_are_newest_first(s: &Subject) -> Result<(), StoreError> {
    let all = ListRequest::all(space());
    assert!(listed(s, &all).await?.is_empty());
    for id in ["b", "a", "c"] {
        s.scheduled(id).await?;
        s.wait_ms(1);
    }
    assert_eq!(listed(s, &all).await?, ["c", "a", "b"]);
    // The latest scheduling counts.
    s.apply("b", cancel()).await?;
    s.scheduled("b").await?;
    assert_eq!(listed(s, &all).await?, ["b", "c", "a"]);
    let task = s.stores.tasks.list(&all).await?.tasks.remove(0);
    assert_eq!(task, s.task("b").await?);
    Ok(())
}

pub(super) async fn lists_are_filtered(s: &Subject) -> Result<(), StoreError> {
    let start = s.now();
    four_different(s).await?;
    let all = || ListRequest::all(space());
    let with = |change: fn(&mut ListRequest)| {
        let mut request = all();
        change(&mut request);
        request
    };
    let cases: [(ListRequest, &[&str]); 14] = [
        (all(), &["b-2", "b-1", "A-2", "a-1"]),
        (with(|r| r.statuses = vec![Status::Canceled]), &["a-1"]),
        (with(|r| r.statuses = vec![Status::Completed]), &[]),
        (
            with(|r| r.statuses = vec![Status::Canceled, Status::InProgress, Status::Canceled]),
            &["b-2", "b-1", "A-2", "a-1"],
        ),
        (
            with(|r| r.type_id = Some(type_id("other"))),
            &["b-2", "b-1"],
        ),
        (
            with(|r| r.type_id = Some(type_id("hello"))),
            &["A-2", "a-1"],
        ),
        (
            with(|r| {
                r.type_id = Some(type_id("hello"));
                r.statuses = vec![Status::Canceled];
            }),
            &["a-1"],
        ),
        (
            with(|r| r.stream = Some(stream("logs").name)),
            &["b-1", "A-2"],
        ),
        (
            with(|r| r.requested_by = Some("ann".to_owned())),
            &["b-1", "a-1"],
        ),
        (
            with(|r| r.id_contains = Some("a-".to_owned())),
            &["A-2", "a-1"],
        ),
        (with(|r| r.id_contains = Some("%".to_owned())), &[]),
        (with(|r| r.id_contains = Some("A-1\0".to_owned())), &[]),
        (
            with(|r| {
                r.stream = Some(stream("logs").name);
                r.type_id = Some(type_id("hello"));
                r.statuses = vec![Status::InProgress];
                r.requested_by = Some("bob".to_owned());
            }),
            &["A-2"],
        ),
        (
            with(|r| r.space = Space::parse("elsewhere").expect("it is valid")),
            &["a-1"],
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(listed(s, &request).await?, expected, "{request:?}");
    }
    let mut newer = all();
    newer.created_after = Some(start.plus(std::time::Duration::from_millis(1)));
    assert_eq!(listed(s, &newer).await?, ["b-2", "b-1"], "exclusive");
    Ok(())
}

pub(super) async fn lists_are_complete_over_a_cursor(s: &Subject) -> Result<(), StoreError> {
    for number in 0..50 {
        s.scheduled(&format!("t{number}")).await?;
        // Five of each time, so that pages end between equals.
        if number % 5 == 4 {
            s.wait_ms(1);
        }
    }
    let wishes = [
        (vec![], None),
        (vec![Status::InProgress], None),
        (vec![Status::InProgress, Status::Canceled], None),
        (vec![], Some("hello")),
    ];
    for (wish, (statuses, type_name)) in wishes.into_iter().enumerate() {
        let mut request = ListRequest::all(space());
        request.statuses = statuses;
        request.type_id = type_name.map(type_id);
        request.limit = 7;
        let (mut seen, mut pages) = (Vec::new(), 0);
        loop {
            s.settle().await?;
            let page = s.stores.tasks.list(&request).await?;
            assert!(page.tasks.len() <= 7);
            seen.extend(page.tasks);
            // What comes meanwhile does not disturb.
            s.scheduled(&format!("new-{wish}-{pages}")).await?;
            pages += 1;
            request.cursor = page.next;
            if request.cursor.is_none() {
                break;
            }
        }
        let in_order = seen.is_sorted_by(|a, b| a.created_at >= b.created_at);
        assert!(in_order);
        let old = seen.iter().filter(|task| task.id.as_str().starts_with('t'));
        let old: Vec<_> = old.map(|task| task.id.as_str()).collect();
        assert_eq!(
            (old.len(), old.iter().collect::<BTreeSet<_>>().len()),
            (50, 50)
        );
    }
    Ok(())
}

pub(super) async fn a_foreign_cursor_is_refused(s: &Subject) -> Result<(), StoreError> {
    for cursor in ["", "x", "tasks", "tasks.1", "tasks.1.z", "tasks.1.-1", "\0"] {
        let mut request = ListRequest::all(space());
        request.cursor = Some(cursor.to_owned());
        let answer = s.stores.tasks.list(&request).await;
        assert!(
            matches!(answer, Err(StoreError::InvalidCursor)),
            "{cursor:?}"
        );
    }
    Ok(())
}

pub(super) async fn no_tombstone_is_shown_and_none_stays(s: &Subject) -> Result<(), StoreError> {
    let ids: Vec<String> = (0..300).map(|number| format!("t{number}")).collect();
    s.scheduled_at_once(&ids).await?;
    let mut deleting = tokio::task::JoinSet::new();
    for id in ids {
        let s = s.clone();
        deleting.spawn(async move { s.apply(&id, delete()).await });
    }
    for deleted in deleting.join_all().await {
        assert_eq!(deleted?.outcome, Outcome::Changed);
    }
    s.running("held").await?;
    s.apply("held", delete()).await?;
    s.scheduled("kept").await?;
    let all = ListRequest::all(space());
    assert_eq!(listed(s, &all).await?, ["kept"]);
    let mut by_status = all.clone();
    by_status.statuses = vec![Status::InProgress];
    assert_eq!(listed(s, &by_status).await?, ["kept"]);
    assert_eq!(s.stores.tasks.remove_tombstones().await?, 300);
    assert_eq!(s.stores.tasks.remove_tombstones().await?, 0);
    assert_eq!(s.stores.tasks.held(10).await?.len(), 1);
    assert!(s.stores.tasks.get(&key("held")).await?.is_none());
    assert_eq!(listed(s, &all).await?, ["kept"]);
    Ok(())
}
