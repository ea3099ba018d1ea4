//! Random changes of collections and streams: memory and SQLite give the same answers.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use taskhost_model::condition::Condition;
use taskhost_model::query::{Query, Sort};

use super::{memory, quick_folder, sqlite};
use crate::conformance::{Subject, given};
use crate::documents::{Change, Document, Writer};
use crate::streams::{Batch, StreamSettings};

#[derive(Debug, Clone)]
enum Step {
    Change {
        scope: usize,
        id: usize,
        kind: usize,
        number: i64,
    },
    DeleteCollections(usize),
    Put {
        stream: usize,
        days: u32,
        max_bytes: u64,
    },
    Ingest {
        stream: usize,
        from: i64,
        count: i64,
    },
    Delete(usize),
    Wait {
        hours: u64,
    },
    Retain,
}

const STREAMS: [&str; 2] = ["logs", "other"];
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3usize, 0..3usize, 0..4usize, 0..4i64).prop_map(|(scope, id, kind, number)| {
            Step::Change { scope, id, kind, number }
        }),
        1 => (0..2usize).prop_map(Step::DeleteCollections),
        2 => (0..2usize, 0..3u32, 0..500u64).prop_map(|(stream, days, max_bytes)| {
            Step::Put { stream, days, max_bytes }
        }),
        4 => (0..2usize, 0..5i64, 0..8i64).prop_map(|(stream, from, count)| {
            Step::Ingest { stream, from, count }
        }),
        1 => (0..2usize).prop_map(Step::Delete),
        2 => (1..60u64).prop_map(|hours| Step::Wait { hours }),
        2 => Just(Step::Retain),
    ]
}

/// What a store answers to a step, as text.
async fn run(s: &Subject, step: &Step) -> String {
    let (streams, documents) = (&s.stores.streams, &s.stores.documents);
    match *step {
        Step::Change {
            scope,
            id,
            kind,
            number,
        } => {
            let (scope, changes) = (&scopes()[scope], vec![change(id, kind, number)]);
            let answers = documents.apply(scope, &person(), changes).await;
            format!("{answers:?}")
        }
        Step::DeleteCollections(stream) => {
            let gone = documents
                .delete_stream(&given::stream(STREAMS[stream]))
                .await;
            format!("{gone:?}")
        }
        Step::Put {
            stream,
            days,
            max_bytes,
        } => {
            let settings = StreamSettings {
                description: None,
                retention_days: days,
                max_bytes,
            };
            let made = streams
                .put(&given::stream(STREAMS[stream]), &settings)
                .await;
            format!("{made:?}")
        }
        Step::Ingest {
            stream,
            from,
            count,
        } => {
            let each = |number: i64| {
                let body = format!("{{\"n\":{number},\"of\":{from}}}");
                given::document(s.now().as_ms() - number * DAY_MS / 3, &body)
            };
            let documents = (from..from + count).map(each).collect();
            let done = streams
                .ingest(&given::stream(STREAMS[stream]), documents)
                .await;
            format!("{done:?}")
        }
        Step::Delete(stream) => {
            let gone = streams.delete(&given::stream(STREAMS[stream])).await;
            format!("{gone:?}")
        }
        // Both stores are on one clock, which the caller moves.
        Step::Wait { .. } => String::new(),
        Step::Retain => format!("{:?}", streams.enforce_retention(s.now()).await),
    }
}

fn person() -> Writer {
    Writer::Person("somebody".to_owned())
}

fn scopes() -> [crate::documents::Scope; 3] {
    [
        given::scope("logs", "features"),
        given::scope("other", "features"),
        given::space_scope("features"),
    ]
}

fn change(id: usize, kind: usize, number: i64) -> Change {
    let id = given::document_id(["a", "B", "c"][id]);
    let body = Arc::from(format!("{{\"n\":{number}}}"));
    let if_version = (number > 0).then(|| number.to_string());
    match kind {
        0 => Change::Create { id, body },
        1 => Change::Put {
            id,
            body,
            if_version: None,
        },
        2 => Change::Put {
            id,
            body,
            if_version,
        },
        _ => Change::Delete { id, if_version },
    }
}

/// Everything that can be read, as text.
async fn everything(s: &Subject) -> Vec<String> {
    let mut all = Vec::new();
    let condition = Condition::eq("n", 2);
    for scope in scopes() {
        for condition in [None, Some(&condition)] {
            let page = s
                .stores
                .documents
                .query(&scope, condition, None, 2)
                .await
                .unwrap();
            all.push(format!("{:?}", page.documents));
            if let Some(next) = page.next {
                let rest: Vec<Document> = s
                    .stores
                    .documents
                    .query(&scope, condition, Some(&next), 2)
                    .await
                    .unwrap()
                    .documents;
                all.push(format!("{rest:?}"));
            }
        }
    }
    let (streams, reader) = (&s.stores.streams, given::reader());
    all.push(format!(
        "{:?}",
        streams
            .list(&given::reader(), &given::space())
            .await
            .unwrap()
    ));
    for name in STREAMS {
        let key = given::stream(name);
        all.push(format!(
            "{:?}",
            streams.get(&given::reader(), &key).await.unwrap()
        ));
        for query in queries(s) {
            let count = streams.count(&reader, &key, &query).await;
            all.push(format!("{:?}", count));
            // How many match is told where it is known, which each store decides for itself.
            let sample = streams.sample(&reader, &key, &query, 60).await;
            all.push(format!(
                "{:?}",
                sample.map(|found| Batch {
                    matched: None,
                    ..found
                })
            ));
            let stats = streams.field_stats(&reader, &key, &query).await;
            all.push(format!("{stats:?}"));
            let mut query = query;
            for _ in 0..3 {
                let found = streams.search(&reader, &key, &query, 60).await;
                let next = found.as_ref().ok().and_then(|found| found.next.clone());
                all.push(format!("{:?}", found));
                query.cursor = next;
            }
        }
    }
    all
}

fn queries(s: &Subject) -> Vec<Query> {
    let now_ms = s.now().as_ms();
    let mut whole = given::query(0, now_ms + 1);
    whole.seed = Some(7);
    whole.size = Some(3);
    let mut part = given::query(now_ms - DAY_MS, now_ms);
    part.seed = Some(8);
    part.sort = Some(Sort::Asc);
    part.condition = Some(Condition::not(Condition::eq("n", 1)));
    vec![whole, part]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn memory_and_sqlite_agree_on_data(steps in vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = quick_folder();
        let clock = given::clock();
        runtime.block_on(async {
            let (ours, theirs) = (memory(&clock), sqlite(folder.path(), &clock));
            for step in steps {
                if let Step::Wait { hours } = step {
                    ours.wait_ms(hours * 60 * 60 * 1_000);
                }
                assert_eq!(run(&ours, &step).await, run(&theirs, &step).await, "{step:?}");
                assert_eq!(everything(&ours).await, everything(&theirs).await, "{step:?}");
            }
            theirs.stores.close().await;
        });
    }
}
