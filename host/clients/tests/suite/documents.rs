//! Collections: what is granted, what is stored, and what a run without its lease can do.

use std::sync::Arc;
use std::time::Duration;

use taskhost_clients::documents::{Change, Collection};
use taskhost_clients::error::ErrorCode;
use taskhost_clients::stop::StopReason;
use taskhost_model::ids::{DocumentId, Label};
use taskhost_store::documents as store;
use taskhost_store::documents::{Scope, Writer};
use taskhost_store::event::Event;

use crate::bench::{Bench, MIB, code};

fn put(id: &str, body: &str) -> Change {
    Change::Put {
        id: id.to_owned(),
        body: body.to_owned(),
        if_version: None,
    }
}

async fn apply_one(collection: &Collection, change: Change) -> Result<String, ErrorCode> {
    let answers = collection.apply(vec![change], None).await.unwrap();
    answers
        .into_iter()
        .next()
        .unwrap()
        .map_err(|error| error.code)
}

#[tokio::test]
async fn only_declared_labels_open() {
    let bench = Bench::new().await;
    let documents = &bench.clients.documents;
    for label in [
        "",
        "Features",
        "feature",
        "features\0",
        "../features",
        &"x".repeat(MIB as usize),
    ] {
        let error = documents.open(label, None).unwrap_err();
        assert_eq!(error.code, ErrorCode::Denied);
        assert!(error.message.len() < 300, "{}", error.message);
    }
    for options in [
        "",
        "[]",
        "null",
        r#"{"stream":"other"}"#,
        &"[".repeat(99_999),
        &" ".repeat(99_999),
    ] {
        assert_eq!(
            code(documents.open("features", Some(options))),
            ErrorCode::Invalid
        );
    }
    assert!(documents.open("features", Some(" {} ")).is_ok());
}

#[tokio::test]
async fn what_others_keep_is_read_and_not_written() {
    let bench = Bench::new().await;
    for (label, stream) in [("prompts", None), ("queries", bench.info.stream.clone())] {
        let opened = bench.clients.documents.open(label, None).unwrap();
        assert_eq!(opened.get("a").await.unwrap(), None);
        let place = Scope {
            space: bench.info.task.space.clone(),
            stream,
            label: Label::parse(label).unwrap(),
        };
        let kept = store::Change::Put {
            id: DocumentId::parse("a").unwrap(),
            body: Arc::from(r#"{"text":"t"}"#),
            if_version: None,
        };
        let writer = Writer::Person("ann".to_owned());
        let store = &bench.stores.documents;
        let answers = store.apply(&place, &writer, vec![kept]).await.unwrap();
        answers.into_iter().for_each(|it| drop(it.unwrap()));
        let found = opened.get("a").await.unwrap().unwrap();
        assert_eq!(found.body, r#"{"text":"t"}"#);
        for change in [put("a", "{}"), put("b", "{}")] {
            let refused = opened.apply(vec![change], None).await;
            assert_eq!(code(refused), ErrorCode::Denied);
        }
    }
}

#[tokio::test]
async fn so_many_are_open_at_once() {
    let bench = Bench::new().await;
    let open = || bench.clients.documents.open("features", None);
    let mut opened: Vec<_> = (0..64).map(|_| open().unwrap()).collect();
    assert_eq!(code(open()), ErrorCode::TooLarge);
    assert_eq!(code(open()), ErrorCode::TooLarge);
    opened.pop();
    assert!(open().is_ok());
}

#[tokio::test]
async fn each_change_stands_alone() {
    let bench = Bench::new().await;
    let collection = bench.clients.documents.open("features", None).unwrap();
    let first = apply_one(&collection, put("a", r#"{"n":1}"#))
        .await
        .unwrap();
    let changes = vec![
        Change::Create {
            id: "a".to_owned(),
            body: "{}".to_owned(),
        },
        put("bad id", "{}"),
        put("b", "[]"),
        put("c", r#"{"n":3}"#),
        Change::Put {
            id: "a".into(),
            body: r#"{"n":2}"#.into(),
            if_version: Some(first.clone()),
        },
        Change::Put {
            id: "a".into(),
            body: "{}".into(),
            if_version: Some(first),
        },
        Change::Delete {
            id: "none".to_owned(),
            if_version: None,
        },
        Change::Delete {
            id: "c".to_owned(),
            if_version: None,
        },
    ];
    let answers = collection.apply(changes, None).await.unwrap();
    let codes: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().map_err(|error| error.code).err())
        .collect();
    let (conflict, invalid) = (Some(ErrorCode::Conflict), Some(ErrorCode::Invalid));
    let not_found = Some(ErrorCode::NotFound);
    assert_eq!(
        codes,
        [
            conflict, invalid, invalid, None, None, conflict, not_found, None
        ]
    );
    assert_eq!(answers[7].as_deref().unwrap(), "");
    assert_eq!(
        collection.get("a").await.unwrap().unwrap().body,
        r#"{"n":2}"#
    );
    assert_eq!(collection.get("c").await.unwrap(), None);
}

#[tokio::test]
async fn hostile_documents_are_refused_and_odd_ones_kept_exactly() {
    let bench = Bench::new().await;
    let collection = bench.clients.documents.open("features", None).unwrap();
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(MIB as usize));
    for (body, expected) in [
        ("", ErrorCode::Invalid),
        ("1", ErrorCode::Invalid),
        (r#"{"a":1e400}"#, ErrorCode::Invalid),
        (r#"{"a":18446744073709551616}"#, ErrorCode::Invalid),
        (r#"{"a":1,"a":2}"#, ErrorCode::Invalid),
        (r#"{"a":"\ud800"}"#, ErrorCode::Invalid),
        ("{\"a\":\"\0\"}", ErrorCode::Invalid),
        (&deep, ErrorCode::Invalid),
        (&large, ErrorCode::TooLarge),
    ] {
        assert_eq!(apply_one(&collection, put("a", body)).await, Err(expected));
    }
    assert_eq!(
        collection.get("a").await.unwrap(),
        None,
        "nothing was written"
    );
    let odd = r#" {"a":"\u0000","b":9007199254740993,"c":1.0,"é":"🦀","d":18446744073709551615} "#;
    apply_one(&collection, put("odd", odd)).await.unwrap();
    assert_eq!(collection.get("odd").await.unwrap().unwrap().body, odd);
    for id in ["", " ", "a/b", "a\0", &"x".repeat(256)] {
        assert_eq!(code(collection.get(id).await), ErrorCode::Invalid);
    }
}

#[tokio::test]
async fn calls_are_limited() {
    let bench = Bench::new().await;
    let collection = bench.clients.documents.open("features", None).unwrap();
    let many = |count: usize, body: &str| (0..count).map(|n| put(&format!("d{n}"), body)).collect();
    assert_eq!(
        code(collection.apply(many(1001, "{}"), None).await),
        ErrorCode::TooLarge
    );
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(900_000));
    assert_eq!(
        code(collection.apply(many(20, &large), None).await),
        ErrorCode::TooLarge
    );
    let versions = (0..20).map(|n| Change::Delete {
        id: format!("d{n}"),
        if_version: Some(large.clone()),
    });
    assert_eq!(
        code(collection.apply(versions.collect(), None).await),
        ErrorCode::TooLarge
    );
    assert_eq!(
        collection.get("d0").await.unwrap(),
        None,
        "nothing was written"
    );
    for limit in [0, 1001, u32::MAX] {
        assert_eq!(
            code(collection.query(None, None, limit, None).await),
            ErrorCode::Invalid
        );
    }
    assert_eq!(
        code(collection.query(Some("{"), None, 1, None).await),
        ErrorCode::Invalid
    );
    let long = " ".repeat(65 * 1024);
    assert_eq!(
        code(collection.query(Some(&long), None, 1, None).await),
        ErrorCode::TooLarge
    );
    assert_eq!(
        code(collection.query(None, Some("made up"), 1, None).await),
        ErrorCode::Invalid
    );
    for options in ["[]", "{", r#"{"fresh":true}"#, &long] {
        let page = collection.query(None, None, 1, Some(options)).await;
        assert_eq!(code(page), ErrorCode::Invalid, "{options:.20}");
        let applied = collection.apply(Vec::new(), Some(options)).await;
        assert_eq!(code(applied), ErrorCode::Invalid, "{options:.20}");
    }
    assert!(collection.apply(Vec::new(), None).await.unwrap().is_empty());
}

#[tokio::test]
async fn pages_are_complete_and_fit_the_memory() {
    let bench = Bench::with_memory(MIB).await;
    let collection = bench.clients.documents.open("features", None).unwrap();
    let body = |n: usize| format!(r#"{{"n":{n},"a":"{}"}}"#, "x".repeat(50_000));
    let changes = (0..30)
        .map(|n| put(&format!("d{n:02}"), &body(n)))
        .collect();
    collection.apply(changes, None).await.unwrap();
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = collection
            .query(None, cursor.as_deref(), 1000, None)
            .await
            .unwrap();
        let bytes: usize = page
            .documents
            .iter()
            .map(|document| document.body.len())
            .sum();
        assert!(bytes as u64 <= MIB / 4, "{bytes}");
        seen.extend(page.documents.into_iter().map(|document| document.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let all: Vec<_> = (0..30).map(|n| format!("d{n:02}")).collect();
    assert_eq!(seen, all);
    let filter = r#"{"field":"n","gte":28}"#;
    let page = collection
        .query(Some(filter), None, 1000, None)
        .await
        .unwrap();
    assert_eq!((page.documents.len(), page.next), (2, None));
}

#[tokio::test]
async fn asked_to_stop_it_can_still_save() {
    let bench = Bench::new().await;
    bench.stop.ask(StopReason::Deadline);
    let collection = bench.clients.documents.open("features", None).unwrap();
    apply_one(&collection, put("a", "{}")).await.unwrap();
    assert!(collection.get("a").await.unwrap().is_some());
    assert!(!bench.stop.told());
    assert_eq!(
        code(collection.query(None, None, 1, None).await),
        ErrorCode::Deadline
    );
    assert!(bench.stop.told());
}

#[tokio::test]
async fn without_its_lease_it_writes_nothing_and_stops() {
    let bench = Bench::new().await;
    let collection = bench.clients.documents.open("features", None).unwrap();
    bench.clock.advance(Duration::from_secs(1));
    let lost = Event::HostLost {
        fence: bench.info.fence,
        crashes_max: 5,
    };
    bench
        .stores
        .tasks
        .apply(&bench.info.task, lost)
        .await
        .unwrap();
    assert_eq!(
        code(collection.apply(vec![put("a", "{}")], None).await),
        ErrorCode::Canceled
    );
    assert_eq!(bench.stop.asked(), Some(StopReason::Fenced));
    assert_eq!(collection.get("a").await.unwrap(), None);
}
