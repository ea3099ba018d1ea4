//! What can be a stream, and how it is read: aliases, several shards, odd times, many pages.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::elastic::query::Bound;
use crate::elastic::streams_count;
use crate::elastic::streams_reader::Reader;
use crate::error::StoreError;
use crate::streams::{Count, Relation, StreamSettings};

fn shards(number: u32) -> Value {
    json!({
        "settings": {"number_of_shards": number, "number_of_replicas": 0},
        "mappings": {"properties": {"@timestamp": {"type": "date"}}},
    })
}

fn numbered(count: i64) -> Vec<String> {
    let each = |number: i64| json!({"@timestamp": number / 40, "n": number}).to_string();
    (0..count).map(each).collect()
}

#[tokio::test]
async fn pages_of_several_indices_and_shards_are_complete() {
    let Some(server) = Server::find() else {
        return;
    };
    let streams = server.streams();
    let (one, two) = (
        server.index("one", &shards(3)).await,
        server.index("two", &shards(2)).await,
    );
    let bodies = numbered(400);
    server.write(&one, &bodies[..200]).await;
    server.write(&two, &bodies[200..]).await;
    // The same times again, so that numbers of documents meet as well.
    server.write(&two, &bodies[..200]).await;
    let both = server.stream("both");
    let actions = [&one, &two].map(|key| json!({"add": {"index": key.name, "alias": both.name}}));
    server
        .asked(Request::post("_aliases").json(&json!({"actions": actions})))
        .await;
    for (sort, condition) in [
        (Sort::Asc, None),
        (Sort::Desc, Some(Condition::exists("n", true))),
    ] {
        let mut query = asking(condition);
        (query.sort, query.size) = (Some(sort), Some(7));
        let mut all = Vec::new();
        loop {
            let by = given::reader();
            let batch = streams
                .search(&by, &both, &query, given::MANY_BYTES)
                .await
                .unwrap();
            all.extend(batch.documents);
            query.cursor = batch.next;
            if query.cursor.is_none() {
                break;
            }
        }
        assert_eq!(all.len(), 600);
        let different: BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), 400);
    }
    let mut query = asking(None);
    (query.size, query.seed) = (Some(50), Some(3));
    let by = given::reader();
    let draw = || streams.sample(&by, &both, &query, given::MANY_BYTES);
    let (first, again) = (draw().await.unwrap(), draw().await.unwrap());
    assert_eq!(first.documents, again.documents);
    assert_eq!((first.documents.len(), first.matched), (50, Some(600)));
    let listed = streams.list(&by, &given::space()).await.unwrap();
    let documents = |key: &StreamKey| {
        let found = listed.iter().find(|stream| stream.name == key.name);
        found.map(|stream| stream.documents)
    };
    assert_eq!(
        [&one, &two, &both].map(documents),
        [Some(200), Some(400), Some(600)]
    );
    server.remove(&one).await;
    server.remove(&two).await;
}

#[tokio::test]
async fn times_of_any_kind_are_ranges() {
    let Some(server) = Server::find() else {
        return;
    };
    let streams = server.streams();
    let by = given::reader();
    let mut about = shards(1);
    about["mappings"]["properties"]["@timestamp"] = json!({"type": "date_nanos"});
    let nanos = server.index("nanos", &about).await;
    about["mappings"]["properties"]["@timestamp"] = json!({"type": "keyword"});
    let words = server.index("words", &about).await;
    let empty = server.index("empty", &json!({})).await;
    let early = r#"{"@timestamp":"1970-01-01T00:00:00.005999999Z"}"#;
    let late = r#"{"@timestamp":"2026-01-01T00:00:00Z"}"#;
    let taken = server
        .write(&nanos, &[early, late, r#"{"x":1}"#].map(str::to_owned))
        .await;
    assert_eq!(taken, [true; 3]);
    assert_eq!(found(&streams, &by, &nanos, None).await, [early, late]);
    let count = |from, to| {
        let query = given::query(from, to);
        let (streams, by, nanos) = (&streams, &by, &nanos);
        async move { streams.count(by, nanos, &query).await.unwrap().value }
    };
    assert_eq!(
        (count(5, 6).await, count(0, 5).await, count(6, 7).await),
        (1, 0, 0)
    );
    assert_eq!(count(i64::MIN, 6).await, 1);
    let refused = streams.count(&by, &words, &asking(None)).await;
    assert!(
        matches!(refused, Err(StoreError::UnfitStream { .. })),
        "{refused:?}"
    );
    assert!(found(&streams, &by, &empty, None).await.is_empty());
    for key in [&nanos, &words, &empty] {
        server.remove(key).await;
    }
}

#[tokio::test]
async fn what_elasticsearch_can_narrow_is_narrowed() {
    let Some(server) = Server::find() else {
        return;
    };
    let key = server.index("logs", &shards(1)).await;
    let body = json!({"@timestamp": 1, "message": "Failed password", "n": 5, "o": {"k": true}});
    server.write(&key, &[body.to_string()]).await;
    let reader = Reader::new(&server.client, &given::reader(), &key.name).unwrap();
    let narrowed = async |condition: Condition| {
        let plan = reader.plan(&asking(Some(condition))).await.unwrap();
        assert!(!plan.exact);
        matches!(plan.bound, Bound::Some(_))
    };
    assert!(narrowed(Condition::contains("message", "password")).await);
    assert!(narrowed(Condition::eq("n", 5)).await);
    assert!(narrowed(Condition::eq("o.k", true)).await);
    assert!(!narrowed(Condition::eq("none", 5)).await);
    assert!(!narrowed(Condition::not(Condition::eq("n", 5))).await);
    server.remove(&key).await;
}

#[tokio::test]
async fn a_condition_that_the_cluster_refuses_is_evaluated_here() {
    let Some(server) = Server::find() else {
        return;
    };
    let key = server.index("logs", &shards(1)).await;
    let bodies = numbered(30);
    server.write(&key, &bodies).await;
    // More deeply nested than a cluster takes.
    let mut condition = Condition::eq("n", 7);
    for _ in 0..15 {
        condition = Condition::or(vec![condition, Condition::eq("n", 8)]);
        condition = Condition::and(vec![condition, Condition::field("n", lt(9))]);
    }
    let found = found(&server.streams(), &given::reader(), &key, Some(condition)).await;
    assert_eq!(found, bodies[7..9]);
    server.remove(&key).await;
}

fn lt(bound: i64) -> taskhost_model::condition::Test {
    taskhost_model::condition::Test::Lt(json!(bound))
}

#[tokio::test]
async fn of_very_many_documents_it_is_said_about_how_many_match() {
    let Some(server) = Server::find() else {
        return;
    };
    let key = server.index("logs", &shards(2)).await;
    server.write(&key, &numbered(20_000)).await;
    let reader = Reader::new(&server.client, &given::reader(), &key.name).unwrap();
    let half = Condition::field("n", lt(10_000));
    let plan = reader.plan(&asking(Some(half))).await.unwrap();
    let exact = streams_count::count(&reader, &plan, 30_000).await.unwrap();
    assert_eq!(exact, Count::exactly(10_000));
    let all = Condition::not(Condition::field("n", lt(10_000)));
    let plan = reader.plan(&asking(Some(all))).await.unwrap();
    let about = streams_count::count(&reader, &plan, 19_999).await.unwrap();
    assert_eq!(about.relation, Relation::Estimate);
    // The standard deviation of a half of 10,000 is 50, and for all of them 100.
    assert!((9_200..10_800).contains(&about.value), "{about:?}");
    server.remove(&key).await;
}

#[tokio::test]
async fn streams_belong_to_the_cluster() {
    let Some(server) = Server::find() else {
        return;
    };
    let streams = server.streams();
    let key = server.stream("logs");
    let document = given::document(1, "{}");
    let errors = [
        streams.put(&key, &StreamSettings::default()).await.err(),
        streams.delete(&key).await.err(),
        streams.ingest(&key, vec![document]).await.err(),
        streams.enforce_retention(given::at(0)).await.err(),
    ];
    for error in errors {
        assert!(
            matches!(error, Some(StoreError::EmbeddedOnly { .. })),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn points_in_time_are_given_back() {
    let Some(server) = Server::find() else {
        return;
    };
    let key = server.index("logs", &shards(1)).await;
    server.write(&key, &numbered(300)).await;
    let streams = Arc::new(server.streams());
    let path = format!("{}/_stats/search", key.name);
    let open = async || {
        let stats = server.asked(Request::get(path.as_str())).await;
        stats["_all"]["primaries"]["search"]["open_contexts"]
            .as_u64()
            .unwrap()
    };
    for _ in 0..5 {
        found(
            &streams,
            &given::reader(),
            &key,
            Some(Condition::eq("n", 7)),
        )
        .await;
        // Whoever reads may go away in the middle.
        let (streams, key) = (Arc::clone(&streams), key.clone());
        let by = given::reader();
        let read = tokio::spawn(async move { found(&streams, &by, &key, None).await });
        tokio::task::yield_now().await;
        read.abort();
    }
    let mut tries = 0;
    while open().await > 0 {
        tries += 1;
        assert!(tries < 500, "points in time stay open");
        tokio::task::yield_now().await;
    }
    server.remove(&key).await;
}
