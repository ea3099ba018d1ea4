//! Streams and what is read from them (`StreamStore` 1, 2, 4 and 5).

use serde_json::json;
use taskhost_model::condition::Condition;
use taskhost_model::query::{Query, Sort};

use super::Subject;
use super::given::{MANY_BYTES, at, document, query, reader, space, stream};
use super::texts::HOSTILE;
use crate::error::StoreError;
use crate::streams::{Count, StreamDocument, StreamSettings};

/// Documents at 0, 10, 20 … with a number each; the fifth ones say so.
fn numbered(count: i64) -> Vec<StreamDocument> {
    let each = |number: i64| {
        let body = json!({"@timestamp": number * 10, "n": number, "fifth": number % 5 == 0});
        document(number * 10, &body.to_string())
    };
    (0..count).map(each).collect()
}

/// A document with a time and no more.
fn timed(at_ms: i64) -> StreamDocument {
    document(at_ms, &json!({"@timestamp": at_ms}).to_string())
}

pub(super) async fn streams_are_made_changed_and_listed(s: &Subject) -> Result<(), StoreError> {
    let streams = &s.stores.streams;
    let mut settings = StreamSettings::default();
    assert!(streams.put(&stream("b"), &settings).await?);
    assert!(streams.put(&stream("a"), &settings).await?);
    s.wait_ms(5);
    settings.description = Some("what ' it \0 is".to_owned());
    settings.retention_days = 3;
    settings.max_bytes = u64::from(u32::MAX) * 4;
    assert!(!streams.put(&stream("b"), &settings).await?);
    let found = streams
        .get(&reader(), &stream("b"))
        .await?
        .expect("it is there");
    assert_eq!(
        (found.settings, found.created_at),
        (settings, Some(at(s.now().as_ms() - 5)))
    );
    assert_eq!(
        (found.documents, found.bytes, found.first_at),
        (0, Some(0), None)
    );
    let names: Vec<_> = streams
        .list(&reader(), &space())
        .await?
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert_eq!(names, [stream("a").name, stream("b").name]);
    assert!(streams.delete(&stream("a")).await?);
    assert!(!streams.delete(&stream("a")).await?);
    assert!(streams.get(&reader(), &stream("a")).await?.is_none());
    Ok(())
}

pub(super) async fn what_was_ingested_is_there(s: &Subject) -> Result<(), StoreError> {
    let streams = &s.stores.streams;
    let key = s.ingested("logs", Vec::new()).await?;
    // More than one transaction's worth of bytes, and of documents out of order.
    let large = json!({"x": "y".repeat(300_000)}).to_string();
    let mut documents: Vec<_> = (0..8)
        .map(|number| document(1_000 - number, &large))
        .collect();
    documents.extend(HOSTILE.map(|text| document(7, text)));
    let bytes: u64 = documents
        .iter()
        .map(|document| document.body.len() as u64)
        .sum();
    streams.ingest(&key, documents.clone()).await?;
    let found = streams.get(&reader(), &key).await?.expect("it is there");
    assert_eq!(
        (found.documents, found.bytes),
        (documents.len() as u64, Some(bytes))
    );
    assert_eq!(
        (found.first_at, found.last_at),
        (Some(at(7)), Some(at(1_000)))
    );
    let mut asked = query(0, 500);
    asked.sort = Some(Sort::Asc);
    let batch = streams.search(&reader(), &key, &asked, MANY_BYTES).await?;
    assert_eq!(batch.documents, HOSTILE, "by arrival, and to the letter");
    let too_large = document(1, &"x".repeat(1024 * 1024 + 1));
    let refused = streams
        .ingest(&key, vec![document(1, "{}"), too_large])
        .await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    let after = streams.get(&reader(), &key).await?.expect("it is there");
    assert_eq!(after, found, "nothing of it was written");
    Ok(())
}

pub(super) async fn ranges_end_before_their_end(s: &Subject) -> Result<(), StoreError> {
    let streams = &s.stores.streams;
    let key = s.ingested("logs", numbered(10)).await?;
    for (from, to, expected) in [
        (0, 91, 10),
        (0, 90, 9),
        (1, 90, 8),
        (90, 91, 1),
        (91, 1_000, 0),
        (-5, 0, 0),
        (i64::MIN, i64::MAX, 10),
        (50, 50, 0),
        (50, 10, 0),
    ] {
        let count = streams.count(&reader(), &key, &query(from, to)).await?;
        assert_eq!(count, Count::exactly(expected), "[{from}, {to})");
    }
    Ok(())
}

pub(super) async fn conditions_mean_what_the_model_says(s: &Subject) -> Result<(), StoreError> {
    let streams = &s.stores.streams;
    let key = s.ingested("logs", numbered(40)).await?;
    let fifth = Condition::eq("fifth", true);
    for (condition, from, to, expected) in [
        (fifth.clone(), 0, 1_000, 8),
        (fifth.clone(), 1, 250, 4),
        (Condition::not(fifth), 0, 1_000, 32),
        (Condition::Always, 0, 100, 10),
        (Condition::Never, 0, 1_000, 0),
        (Condition::exists("none", true), 0, 1_000, 0),
    ] {
        let mut asked = query(from, to);
        asked.condition = Some(condition.clone());
        let count = streams.count(&reader(), &key, &asked).await?;
        assert_eq!(
            count,
            Count::exactly(expected),
            "{condition:?} in [{from}, {to})"
        );
    }
    Ok(())
}

async fn all_pages(
    s: &Subject,
    mut asked: Query,
    bytes_max: u64,
) -> Result<Vec<String>, StoreError> {
    let mut all = Vec::new();
    loop {
        let key = stream("logs");
        let batch = s
            .stores
            .streams
            .search(&reader(), &key, &asked, bytes_max)
            .await?;
        assert!(batch.documents.len() as u64 <= asked.size.unwrap_or(100));
        all.extend(batch.documents);
        // What comes meanwhile at the other end does not disturb.
        let far = if asked.sort == Some(Sort::Asc) {
            -10
        } else {
            10_000
        };
        s.stores.streams.ingest(&key, vec![timed(far)]).await?;
        asked.cursor = batch.next;
        if asked.cursor.is_none() {
            return Ok(all);
        }
    }
}

pub(super) async fn a_search_is_complete_over_a_cursor(s: &Subject) -> Result<(), StoreError> {
    // Four of each time, so that pages end between equals.
    let each = |number: i64| {
        let body = json!({"@timestamp": number / 4, "n": number});
        document(number / 4, &body.to_string())
    };
    let documents: Vec<_> = (0..50).map(each).collect();
    let bodies: Vec<_> = documents
        .iter()
        .map(|document| document.body.to_string())
        .collect();
    s.ingested("logs", documents).await?;
    let mut asked = query(0, 100);
    asked.size = Some(7);
    let mut found = all_pages(s, asked.clone(), MANY_BYTES).await?;
    found.reverse();
    assert_eq!(
        found, bodies,
        "newest first, within one time the last to arrive first"
    );
    asked.sort = Some(Sort::Asc);
    assert_eq!(all_pages(s, asked.clone(), MANY_BYTES).await?, bodies);
    assert_eq!(
        all_pages(s, asked.clone(), 60).await?,
        bodies,
        "also where bytes cut pages"
    );
    asked.size = Some(25);
    let first = s
        .stores
        .streams
        .search(&reader(), &stream("logs"), &asked, MANY_BYTES)
        .await?;
    asked.cursor = first.next;
    let last = s
        .stores
        .streams
        .search(&reader(), &stream("logs"), &asked, MANY_BYTES)
        .await?;
    assert_eq!(
        (last.documents.len(), last.next),
        (25, None),
        "a full last page is the last"
    );
    asked.sort = Some(Sort::Desc);
    for foreign in [
        asked.cursor.clone(),
        Some("x".to_owned()),
        Some(String::new()),
    ] {
        asked.cursor = foreign;
        let answer = s
            .stores
            .streams
            .search(&reader(), &stream("logs"), &asked, 1)
            .await;
        assert!(matches!(answer, Err(StoreError::InvalidCursor)));
    }
    Ok(())
}

pub(super) async fn a_search_keeps_to_rows_and_bytes(s: &Subject) -> Result<(), StoreError> {
    let streams = &s.stores.streams;
    let large = json!({"@timestamp": 2, "x": "y".repeat(100)}).to_string();
    let third = json!({"@timestamp": 3, "a": 1}).to_string();
    let documents = vec![timed(1), document(2, &large), document(3, &third)];
    let key = s.ingested("logs", documents).await?;
    let mut asked = query(0, 10);
    asked.sort = Some(Sort::Asc);
    let batch = streams.search(&reader(), &key, &asked, 50).await?;
    assert_eq!(batch.documents, [&*timed(1).body, &third]);
    assert_eq!(
        (batch.left_out, batch.truncated, batch.next),
        (1, false, None)
    );
    asked.max_bytes = Some(third.len() as u64);
    let batch = streams.search(&reader(), &key, &asked, 50).await?;
    assert_eq!(
        (batch.documents.len(), batch.left_out, batch.truncated),
        (1, 1, true)
    );
    asked.cursor = batch.next;
    assert!(asked.cursor.is_some());
    let batch = streams.search(&reader(), &key, &asked, 50).await?;
    assert_eq!(batch.documents, [third]);
    asked.cursor = None;
    asked.size = Some(0);
    let batch = streams.search(&reader(), &key, &asked, 50).await?;
    assert!(batch.documents.is_empty());
    Ok(())
}

pub(super) async fn fields_are_cut_out_to_the_letter(s: &Subject) -> Result<(), StoreError> {
    let streams = &s.stores.streams;
    let body = r#"{"@timestamp":5,"n":1.10,"a":{"b": 1e400},"x\"y":"\u0000"}"#;
    let key = s.ingested("logs", vec![document(5, body)]).await?;
    let mut asked = query(0, 10);
    asked.fields = Some(vec!["x\"y".to_owned(), "a".to_owned(), "a.b".to_owned()]);
    let expected = [r#"{"a":{"b": 1e400},"x\"y":"\u0000"}"#];
    let batch = streams.search(&reader(), &key, &asked, MANY_BYTES).await?;
    assert_eq!(batch.documents, expected);
    let batch = streams.sample(&reader(), &key, &asked, MANY_BYTES).await?;
    assert_eq!(batch.documents, expected);
    Ok(())
}

pub(super) async fn field_statistics_tell_what_is_there(s: &Subject) -> Result<(), StoreError> {
    let streams = &s.stores.streams;
    let key = s.ingested("logs", numbered(40)).await?;
    let stats = streams.field_stats(&reader(), &key, &query(0, 200)).await?;
    assert_eq!(stats.documents, 20);
    let names: Vec<_> = stats
        .fields
        .iter()
        .map(|field| field.field.as_str())
        .collect();
    assert_eq!(names, ["@timestamp", "fifth", "n"]);
    let fifth = &stats.fields[1];
    assert_eq!(
        (fifth.present, fifth.distinct, fifth.distinct_exact),
        (20, 2, true)
    );
    assert_eq!(
        (&fifth.top[0].value, fifth.top[0].count),
        (&json!(false), 16)
    );
    let mut asked = query(0, 200);
    asked.condition = Some(Condition::eq("fifth", true));
    asked.fields = Some(vec!["n".to_owned()]);
    asked.size = Some(3);
    asked.max_values = Some(1);
    let stats = streams.field_stats(&reader(), &key, &asked).await?;
    assert_eq!((stats.documents, stats.fields.len()), (3, 1));
    assert_eq!(
        (stats.fields[0].distinct, stats.fields[0].top.len()),
        (3, 1)
    );
    Ok(())
}

pub(super) async fn a_stream_that_is_not_there_is_named(s: &Subject) -> Result<(), StoreError> {
    let (streams, key, asked) = (&s.stores.streams, stream("none"), query(0, 1));
    let errors = [
        streams.ingest(&key, vec![document(0, "{}")]).await.err(),
        streams.ingest(&key, Vec::new()).await.err(),
        streams.count(&reader(), &key, &asked).await.err(),
        streams.sample(&reader(), &key, &asked, 1).await.err(),
        streams.search(&reader(), &key, &asked, 1).await.err(),
        streams.field_stats(&reader(), &key, &asked).await.err(),
    ];
    for error in errors {
        assert!(matches!(error, Some(StoreError::UnknownStream { name }) if name == "none"));
    }
    assert!(streams.get(&reader(), &key).await?.is_none());
    Ok(())
}
