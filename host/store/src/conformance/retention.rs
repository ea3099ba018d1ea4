//! What a stream no longer keeps (`StreamStore` 6).

use serde_json::json;
use taskhost_model::query::Sort;

use super::Subject;
use super::given::{MANY_BYTES, at, document, query, reader, stream};
use crate::error::StoreError;
use crate::streams::StreamSettings;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

fn keeping(retention_days: u32, max_bytes: u64) -> StreamSettings {
    StreamSettings {
        description: None,
        retention_days,
        max_bytes,
    }
}

pub(super) async fn age_counts_from_arrival(s: &Subject) -> Result<(), StoreError> {
    let (streams, first_ms) = (&s.stores.streams, s.now().as_ms());
    // The first to arrive are a year ahead of the clock, the last ones eleven years behind it.
    let (ahead_ms, behind_ms) = (first_ms + 365 * DAY_MS, first_ms - 11 * 365 * DAY_MS);
    let early = (0..1_200).map(|number| document(ahead_ms + number, "{\"early\":1}"));
    let key = s.ingested("logs", early.collect()).await?;
    s.wait_ms(1);
    let late = [
        document(behind_ms, "{}"),
        document(first_ms, "{\"edge\":1}"),
    ];
    streams.ingest(&key, late.to_vec()).await?;
    streams.put(&key, &keeping(2, MANY_BYTES)).await?;
    let kept_until_ms = first_ms + 2 * DAY_MS;
    assert_eq!(
        streams.enforce_retention(at(kept_until_ms)).await?,
        0,
        "a time long past is no age"
    );
    let later = at(kept_until_ms + 1);
    assert_eq!(streams.enforce_retention(later).await?, 1_200);
    assert_eq!(streams.enforce_retention(later).await?, 0);
    let found = streams.get(&reader(), &key).await?.expect("it is there");
    assert_eq!((found.documents, found.bytes), (2, Some(12)));
    assert_eq!(
        (found.first_at, found.last_at),
        (Some(at(behind_ms)), Some(at(first_ms)))
    );
    let count = streams
        .count(&reader(), &key, &query(behind_ms, first_ms + 1))
        .await?;
    assert_eq!(count.value, 2);
    let later = at(kept_until_ms + 2);
    assert_eq!(streams.enforce_retention(later).await?, 2);
    let found = streams.get(&reader(), &key).await?.expect("it is there");
    assert_eq!(
        (found.documents, found.bytes, found.first_at, found.last_at),
        (0, Some(0), None, None)
    );
    Ok(())
}

pub(super) async fn what_is_too_much_goes_in_the_order_of_arrival(
    s: &Subject,
) -> Result<(), StoreError> {
    let (streams, now_ms) = (&s.stores.streams, s.now().as_ms());
    let body = |number: i64| json!({"n": 10_000 + number}).to_string();
    // The newest arrives first.
    let documents = (0..2_000).map(|number| document(now_ms - number, &body(number)));
    let key = s.ingested("logs", documents.collect()).await?;
    let other = s
        .ingested("other", vec![document(now_ms - 9_999, "{}")])
        .await?;
    let each = body(0).len() as u64;
    streams.put(&key, &keeping(30, 50 * each + 1)).await?;
    assert_eq!(streams.enforce_retention(s.now()).await?, 1_950);
    let found = streams.get(&reader(), &key).await?.expect("it is there");
    assert_eq!((found.documents, found.bytes), (50, Some(50 * each)));
    assert_eq!(
        (found.first_at, found.last_at),
        (Some(at(now_ms - 1_999)), Some(at(now_ms - 1_950)))
    );
    let mut asked = query(0, now_ms + 1);
    asked.sort = Some(Sort::Asc);
    let left = streams
        .search(&reader(), &key, &asked, MANY_BYTES)
        .await?
        .documents;
    assert_eq!(left, (1_950..2_000).rev().map(body).collect::<Vec<_>>());
    assert_eq!(
        streams
            .get(&reader(), &other)
            .await?
            .map(|other| other.documents),
        Some(1)
    );
    Ok(())
}

pub(super) async fn a_deleted_stream_leaves_nothing_to_its_successor(
    s: &Subject,
) -> Result<(), StoreError> {
    let streams = &s.stores.streams;
    let many = (0..1_500)
        .map(|number| document(number, "{\"old\":1}"))
        .collect();
    s.ingested("logs", many).await?;
    s.ingested("other", vec![document(0, "{}")]).await?;
    assert!(streams.delete(&stream("logs")).await?);
    let key = s.ingested("logs", vec![document(3, "{\"new\":1}")]).await?;
    let whole = query(0, 10_000);
    for _ in 0..2 {
        assert_eq!(streams.count(&reader(), &key, &whole).await?.value, 1);
        let sample = streams.sample(&reader(), &key, &whole, MANY_BYTES).await?;
        assert_eq!(sample.documents, ["{\"new\":1}"]);
        let search = streams.search(&reader(), &key, &whole, MANY_BYTES).await?;
        assert_eq!(search.documents, ["{\"new\":1}"]);
        let gone = streams.enforce_retention(at(0)).await?;
        assert_eq!(gone, 0, "what was deleted with its stream is not counted");
    }
    let other = streams.count(&reader(), &stream("other"), &whole).await?;
    assert_eq!(other.value, 1);
    Ok(())
}
