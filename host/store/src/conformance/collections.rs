//! Collections (`DocumentStore` 1 to 5).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use taskhost_model::condition::Condition;
use taskhost_model::ids::Label;
use taskhost_model::task::Fence;

use super::Subject;
use super::given::{
    cancel, delete, document_id, key, no_report, put, scope, space_scope, stream, type_id,
};
use super::texts::HOSTILE;
use crate::documents::{BODY_BYTES_MAX, Change, ChangeRefused, PAGE_BYTES_MAX, Scope, Writer};
use crate::error::StoreError;
use crate::event::{Event, RunEvent};
use crate::look::{DOCUMENT_BYTES_MIN, LOOK_BYTES_MAX};

fn person() -> Writer {
    Writer::Person("somebody".to_owned())
}

fn run(id: &str, fence: Fence) -> Writer {
    Writer::Run {
        task: key(id),
        fence,
    }
}

pub(super) async fn a_label_belongs_to_its_first_owner(s: &Subject) -> Result<(), StoreError> {
    let documents = &s.stores.documents;
    let label = Label::parse("features").expect("it is valid");
    let (first, second) = (type_id("first"), type_id("second"));
    assert_eq!(documents.label_owner(&label).await?, None);
    assert_eq!(documents.take_label(&label, &first).await?, first);
    assert_eq!(documents.take_label(&label, &second).await?, first);
    assert_eq!(documents.take_label(&label, &first).await?, first);
    assert_eq!(documents.label_owner(&label).await?, Some(first));
    Ok(())
}

pub(super) async fn only_a_live_fence_writes(s: &Subject) -> Result<(), StoreError> {
    let (documents, scope) = (&s.stores.documents, scope("logs", "features"));
    let write = async |writer: Writer, id: &str| {
        documents.apply(&scope, &writer, vec![put(id, "{}")]).await
    };
    let fence = s.running("t").await?;
    assert!(write(run("t", fence), "running").await?[0].is_ok());
    s.apply("t", cancel()).await?;
    assert!(
        write(run("t", fence), "grace").await?[0].is_ok(),
        "saving works during the grace"
    );
    let other = Fence {
        lease_number: fence.lease_number + 1,
        ..fence
    };
    for late in [run("t", other), run("absent", fence)] {
        let refused = write(late, "late").await;
        assert!(matches!(refused, Err(StoreError::Fenced)));
    }
    s.says("t", fence, RunEvent::Stopped { end: no_report() })
        .await?;
    let refused = write(run("t", fence), "late").await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "it has ended");
    let fence = s.running("u").await?;
    s.apply("u", delete()).await?;
    let refused = write(run("u", fence), "late").await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "it was deleted");
    let fence = s.running("v").await?;
    s.apply(
        "v",
        Event::HostLost {
            fence,
            crashes_max: 5,
        },
    )
    .await?;
    let refused = write(run("v", fence), "late").await;
    assert!(
        matches!(refused, Err(StoreError::Fenced)),
        "its host was declared lost"
    );
    let page = documents.query(&scope, None, None, 10).await?;
    let ids: Vec<_> = page
        .documents
        .iter()
        .map(|document| document.id.as_str())
        .collect();
    assert_eq!(ids, ["grace", "running"]);
    Ok(())
}

fn create(id: &str, body: &str) -> Change {
    Change::Create {
        id: document_id(id),
        body: Arc::from(body),
    }
}

fn delete_version(id: &str, if_version: Option<&str>) -> Change {
    Change::Delete {
        id: document_id(id),
        if_version: if_version.map(str::to_owned),
    }
}

fn put_over(id: &str, version: &str) -> Change {
    Change::Put {
        id: document_id(id),
        body: Arc::from(r#"{"put":1}"#),
        if_version: Some(version.to_owned()),
    }
}

pub(super) async fn changes_stand_alone_and_in_order(s: &Subject) -> Result<(), StoreError> {
    let (documents, scope) = (&s.stores.documents, scope("logs", "features"));
    let too_large = "x".repeat(usize::try_from(BODY_BYTES_MAX).unwrap_or(0) + 1);
    let changes = vec![
        create("a", r#"{"n":1}"#),
        create("a", r#"{"n":2}"#),
        put("b", &too_large),
        put_over("c", "1"),
        delete_version("c", None),
        put("b", "{}"),
        delete_version("b", Some("no such version")),
        delete_version("b", None),
        put_over("a", "no such version"),
    ];
    let answers = documents.apply(&scope, &person(), changes).await?;
    let bytes = BODY_BYTES_MAX + 1;
    let refused: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().err().cloned())
        .collect();
    let expected = [
        None,
        Some(ChangeRefused::Conflict),
        Some(ChangeRefused::TooLarge { bytes }),
        Some(ChangeRefused::NotFound),
        Some(ChangeRefused::NotFound),
        None,
        Some(ChangeRefused::Conflict),
        None,
        Some(ChangeRefused::Conflict),
    ];
    assert_eq!(refused, expected);
    assert_eq!(answers[7].as_deref(), Ok(""), "a deletion has no version");
    assert!(documents.get(&scope, &document_id("b")).await?.is_none());
    let stored = documents
        .get(&scope, &document_id("a"))
        .await?
        .expect("it is there");
    assert_eq!(
        (Ok(&stored.version), &*stored.body),
        (answers[0].as_ref(), r#"{"n":1}"#)
    );
    let over = documents
        .apply(&scope, &person(), vec![put_over("a", &stored.version)])
        .await?;
    let stored = documents
        .get(&scope, &document_id("a"))
        .await?
        .expect("it is there");
    assert_eq!(
        (Ok(&stored.version), &*stored.body),
        (over[0].as_ref(), r#"{"put":1}"#)
    );
    let gone = documents
        .apply(
            &scope,
            &person(),
            vec![delete_version("a", Some(&stored.version))],
        )
        .await?;
    assert!(gone[0].is_ok());
    Ok(())
}

pub(super) async fn a_version_never_comes_back(s: &Subject) -> Result<(), StoreError> {
    let (documents, scope) = (&s.stores.documents, scope("logs", "features"));
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        let changes = vec![put("a", "{}"), put("a", "{}"), delete_version("a", None)];
        let answers = documents.apply(&scope, &person(), changes).await?;
        for version in answers
            .into_iter()
            .flatten()
            .filter(|version| !version.is_empty())
        {
            assert!(seen.insert(version));
        }
    }
    assert_eq!(seen.len(), 40);
    Ok(())
}

pub(super) async fn queries_go_by_id_over_a_cursor(s: &Subject) -> Result<(), StoreError> {
    let (documents, scope) = (&s.stores.documents, scope("logs", "features"));
    let changes = (0..25).map(|n| {
        put(
            &format!("d{n}"),
            &json!({"n": n, "odd": n % 2 == 1}).to_string(),
        )
    });
    documents
        .apply(&scope, &person(), changes.collect())
        .await?;
    let odd = Condition::eq("odd", true);
    for (condition, expected) in [(None, 25), (Some(&odd), 12), (Some(&Condition::Never), 0)] {
        let (mut cursor, mut ids) = (None::<String>, Vec::new());
        loop {
            let page = documents
                .query(&scope, condition, cursor.as_deref(), 4)
                .await?;
            assert!(page.documents.len() <= 4);
            ids.extend(page.documents.into_iter().map(|document| document.id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert_eq!(ids.len(), expected);
    }
    for bad in ["", "not an id", "\0", "../x"] {
        let answer = documents.query(&scope, None, Some(bad), 4).await;
        assert!(matches!(answer, Err(StoreError::InvalidCursor)), "{bad:?}");
    }
    Ok(())
}

pub(super) async fn a_page_keeps_to_its_bytes(s: &Subject) -> Result<(), StoreError> {
    let (documents, scope) = (&s.stores.documents, scope("logs", "features"));
    let body = json!({"x": "y".repeat(900_000)}).to_string();
    let changes = (0..6).map(|n| put(&format!("d{n}"), &body)).collect();
    documents.apply(&scope, &person(), changes).await?;
    let first = documents.query(&scope, None, None, 1_000).await?;
    assert_eq!(
        first.documents.len() as u64,
        PAGE_BYTES_MAX / body.len() as u64
    );
    let next = first.next.expect("there is more");
    let second = documents.query(&scope, None, Some(&next), 1_000).await?;
    assert_eq!(
        (first.documents.len() + second.documents.len(), second.next),
        (6, None)
    );
    Ok(())
}

/// The pages of a query, and which of all of them the one document was on that it found.
async fn looked_for(
    s: &Subject,
    scope: &Scope,
    condition: &Condition,
) -> Result<(usize, Option<usize>), StoreError> {
    let (mut pages, mut found, mut cursor) = (0, None, None::<String>);
    loop {
        let query = s
            .stores
            .documents
            .query(scope, Some(condition), cursor.as_deref(), 1_000);
        let page = query.await?;
        pages += 1;
        if !page.documents.is_empty() {
            assert_eq!((page.documents.len(), found.replace(pages)), (1, None));
        }
        match page.next {
            Some(next) => {
                assert!(cursor.as_ref() < Some(&next), "it goes on");
                cursor = Some(next);
            }
            None => return Ok((pages, found)),
        }
    }
}

pub(super) async fn a_query_looks_at_a_bounded_amount_and_goes_on(
    s: &Subject,
) -> Result<(), StoreError> {
    let (documents, scope) = (&s.stores.documents, scope("logs", "features"));
    let body = json!({"x": "y".repeat(500_000)}).to_string();
    let mut changes: Vec<_> = (0..20).map(|n| put(&format!("d{n:02}"), &body)).collect();
    changes.push(put("last", r#"{"is":"it"}"#));
    documents.apply(&scope, &person(), changes).await?;
    let it = Condition::eq("is", "it");
    let per_page = LOOK_BYTES_MAX / body.len() as u64;
    let pages = 20_u64.div_ceil(per_page) as usize;
    assert_eq!(looked_for(s, &scope, &it).await?, (pages, Some(pages)));
    // Each further test is as much work again: it is one document a page.
    let many = Condition::or(vec![it; 40]);
    assert_eq!(looked_for(s, &scope, &many).await?, (21, Some(21)));
    // Small ones count as well.
    let small = space_scope("features");
    let count = LOOK_BYTES_MAX / DOCUMENT_BYTES_MIN;
    for first in (0..=count).step_by(1_000) {
        let those = first..(first + 1_000).min(count);
        let mut changes: Vec<_> = those.map(|n| put(&format!("d{n:05}"), "{}")).collect();
        changes.push(put("last", r#"{"is":"it"}"#));
        documents.apply(&small, &person(), changes).await?;
    }
    let it = Condition::eq("is", "it");
    assert_eq!(looked_for(s, &small, &it).await?, (2, Some(2)));
    Ok(())
}

pub(super) async fn scopes_are_apart_and_go_with_their_stream(
    s: &Subject,
) -> Result<(), StoreError> {
    let documents = &s.stores.documents;
    let scopes = [
        scope("logs", "features"),
        scope("logs", "other"),
        scope("logs.x", "features"),
        space_scope("features"),
    ];
    for (number, scope) in scopes.iter().enumerate() {
        let body = json!({ "scope": number }).to_string();
        documents
            .apply(scope, &person(), vec![put("same", &body)])
            .await?;
    }
    for (number, scope) in scopes.iter().enumerate() {
        let stored = documents
            .get(scope, &document_id("same"))
            .await?
            .expect("it is there");
        assert_eq!(*stored.body, json!({ "scope": number }).to_string());
        assert_eq!(
            documents.query(scope, None, None, 10).await?.documents,
            [stored]
        );
    }
    assert_eq!(documents.delete_stream(&stream("logs")).await?, 2);
    assert_eq!(documents.delete_stream(&stream("logs")).await?, 0);
    for (scope, left) in scopes.iter().zip([false, false, true, true]) {
        let found = documents.get(scope, &document_id("same")).await?;
        assert_eq!(found.is_some(), left);
    }
    Ok(())
}

pub(super) async fn bodies_are_stored_exactly(s: &Subject) -> Result<(), StoreError> {
    let (documents, scope) = (&s.stores.documents, space_scope("features"));
    for text in HOSTILE {
        documents
            .apply(&scope, &person(), vec![put("a", text)])
            .await?;
        let stored = documents
            .get(&scope, &document_id("a"))
            .await?
            .expect("it is there");
        assert_eq!(&*stored.body, text);
    }
    Ok(())
}
