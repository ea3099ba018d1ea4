//! Samples (`StreamStore` 3).

use std::collections::BTreeSet;

use serde_json::json;
use taskhost_model::condition::Condition;
use taskhost_model::query::Query;

use super::Subject;
use super::given::{MANY_BYTES, document, query, reader, stream};
use crate::error::StoreError;
use crate::streams::Batch;

async fn sample(s: &Subject, asked: &Query) -> Result<Batch, StoreError> {
    s.stores
        .streams
        .sample(&reader(), &stream("logs"), asked, MANY_BYTES)
        .await
}

async fn numbers_up_to(s: &Subject, count: i64) -> Result<(), StoreError> {
    let each = |number: i64| {
        let (tenth, rare) = (number % 10 == 0, number % 997 == 0);
        let body = json!({"@timestamp": number, "n": number, "tenth": tenth, "rare": rare});
        document(number, &body.to_string())
    };
    s.ingested("logs", (0..count).map(each).collect()).await?;
    Ok(())
}

fn seeded(size: u64, seed: u64) -> Query {
    let mut asked = query(0, 1_000_000);
    asked.size = Some(size);
    asked.seed = Some(seed);
    asked
}

pub(super) async fn a_seed_draws_the_same_again(s: &Subject) -> Result<(), StoreError> {
    numbers_up_to(s, 500).await?;
    let first = sample(s, &seeded(50, 7)).await?.documents;
    assert_eq!(sample(s, &seeded(50, 7)).await?.documents, first);
    assert_ne!(sample(s, &seeded(50, 8)).await?.documents, first);
    assert_eq!(sample(s, &seeded(20, 7)).await?.documents, first[..20]);
    let mut unseeded = seeded(50, 0);
    unseeded.seed = None;
    assert_ne!(
        sample(s, &unseeded).await?.documents,
        sample(s, &unseeded).await?.documents
    );
    // Over the same range it is the same, whatever comes outside of it.
    let mut early = seeded(50, 7);
    early.to = super::given::at(300);
    let before = sample(s, &early).await?.documents;
    s.stores
        .streams
        .ingest(&stream("logs"), vec![document(900, "{\"@timestamp\":900}")])
        .await?;
    assert_eq!(sample(s, &early).await?.documents, before);
    Ok(())
}

pub(super) async fn a_sample_has_no_document_twice(s: &Subject) -> Result<(), StoreError> {
    numbers_up_to(s, 300).await?;
    for size in [0, 1, 299, 300, 301, 10_000] {
        let batch = sample(s, &seeded(size, 3)).await?;
        let different: BTreeSet<_> = batch.documents.iter().collect();
        assert_eq!(
            (batch.documents.len(), different.len()),
            (size.min(300) as usize, size.min(300) as usize)
        );
        assert!(!batch.truncated && batch.next.is_none());
    }
    let whole = sample(s, &seeded(300, 3)).await?.documents;
    assert!(!whole.is_sorted(), "its order is random too");
    Ok(())
}

pub(super) async fn a_sample_keeps_to_range_and_condition(s: &Subject) -> Result<(), StoreError> {
    numbers_up_to(s, 300).await?;
    let mut asked = seeded(10_000, 3);
    asked.from = super::given::at(100);
    asked.to = super::given::at(200);
    asked.condition = Some(Condition::eq("tenth", true));
    let mut documents = sample(s, &asked).await?.documents;
    documents.sort();
    let each = |n: i64| json!({"@timestamp": n, "n": n, "tenth": true, "rare": false}).to_string();
    let expected = (10..20).map(|tens| each(tens * 10));
    assert_eq!(documents, expected.collect::<Vec<_>>());
    asked.condition = Some(Condition::Never);
    assert!(sample(s, &asked).await?.documents.is_empty());
    Ok(())
}

pub(super) async fn a_sample_keeps_to_its_bytes(s: &Subject) -> Result<(), StoreError> {
    numbers_up_to(s, 300).await?;
    let streams = &s.stores.streams;
    let asked = seeded(100, 3);
    let whole = sample(s, &asked).await?.documents;
    let batch = streams
        .sample(&reader(), &stream("logs"), &asked, 1_000)
        .await?;
    assert!(batch.truncated);
    let bytes: usize = batch.documents.iter().map(String::len).sum();
    assert!(bytes <= 1_000);
    assert_eq!(
        batch.documents,
        whole[..batch.documents.len()],
        "the first of the sample"
    );
    let batch = streams
        .sample(&reader(), &stream("logs"), &asked, 1)
        .await?;
    assert_eq!((batch.documents.len(), batch.left_out), (0, 100));
    Ok(())
}

/// Backends may go about many documents in another way than about few.
pub(super) async fn many_documents_are_drawn_as_few_are(s: &Subject) -> Result<(), StoreError> {
    let many = 30_000;
    numbers_up_to(s, many).await?;
    for (condition, expected) in [
        (None, many as usize),
        (Some(Condition::eq("tenth", true)), 3_000),
        (Some(Condition::eq("rare", true)), 31),
    ] {
        for (from, to) in [(0, 1_000_000), (0, many - 2)] {
            let mut asked = seeded(10_000, 5);
            asked.from = super::given::at(from);
            asked.to = super::given::at(to);
            asked.condition.clone_from(&condition);
            let all = sample(s, &asked).await?.documents;
            assert!(all.len() <= expected.min(10_000) && all.len() + 2 >= expected.min(10_000));
            for size in [1, 10, 1_000] {
                asked.size = Some(size);
                let some = sample(s, &asked).await?;
                let size = (size as usize).min(all.len());
                assert_eq!(
                    some.documents,
                    all[..size],
                    "{condition:?} in [{from}, {to})"
                );
            }
        }
    }
    Ok(())
}
