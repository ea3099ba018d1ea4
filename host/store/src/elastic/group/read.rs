//! Reads of single documents, sent as `_mget`: they see every write that was answered. Those of
//! one document that go out together are one.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::write::again;
use super::{Item, Seen, Stored};
use crate::elastic::client::{Answer, Cause, Client, Request, unavailable};
use crate::elastic::names::{Index, Names};
use crate::error::StoreError;

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Read {
    pub(super) index: Index,
    pub(super) id: String,
    pub(super) with_source: bool,
}

pub(super) struct Waiting {
    pub(super) read: Read,
    pub(super) tell: oneshot::Sender<Result<Option<Stored>, StoreError>>,
}

impl Item for Waiting {
    fn is_wanted(&self) -> bool {
        !self.tell.is_closed()
    }

    fn bytes(&self) -> usize {
        // Of what comes back one knows only how much it may be.
        match self.read.index {
            _ if !self.read.with_source => 200,
            Index::Tasks => 8 * 1024,
            Index::Shared => 32 * 1024,
            Index::Keys | Index::Audit => 2 * 1024,
            Index::Texts | Index::Documents => 256 * 1024,
            Index::Components => 4 * 1024 * 1024,
            // With its params.
            Index::Schedules => 16 * 1024,
        }
    }
}

#[derive(Deserialize)]
struct Answered<'a> {
    #[serde(borrow)]
    docs: Vec<Doc<'a>>,
}

#[derive(Deserialize)]
struct Doc<'a> {
    #[serde(default)]
    found: bool,
    #[serde(rename = "_seq_no")]
    number: Option<u64>,
    #[serde(rename = "_primary_term")]
    term: Option<u64>,
    #[serde(borrow, rename = "_source")]
    source: Option<&'a RawValue>,
    error: Option<Cause>,
}

pub(super) async fn send(client: Client, names: Names, batch: Vec<Waiting>) {
    let mut docs = Vec::new();
    let mut wanted: Vec<Vec<Teller>> = Vec::new();
    let mut places = HashMap::new();
    for Waiting { read, tell } in batch {
        let place = *places.entry(read.clone()).or_insert(docs.len());
        if place == docs.len() {
            let (index, source) = (names.alias(read.index), read.with_source);
            docs.push(json!({ "_index": index, "_id": read.id, "_source": source }));
            wanted.push(Vec::new());
        }
        wanted[place].push(tell);
    }
    let request = Request::post("_mget").json(&json!({ "docs": docs }));
    let answer = client.expect(&request, &[200]).await;
    match answer.and_then(|answer| each(&answer, wanted.len())) {
        Ok(found) => {
            for (tellers, found) in wanted.into_iter().zip(found) {
                tell_all(tellers, &found);
            }
        }
        Err(error) => {
            let failed = Err(error);
            for tellers in wanted {
                tell_all(tellers, &failed);
            }
        }
    }
}

type Found = Result<Option<Stored>, StoreError>;
type Teller = oneshot::Sender<Found>;

fn tell_all(tellers: Vec<Teller>, found: &Found) {
    for tell in tellers {
        let found = match &found {
            Ok(found) => Ok(found.clone()),
            Err(error) => Err(again(error)),
        };
        // Whoever has gone does not want to know.
        let _ = tell.send(found);
    }
}

fn each(answer: &Answer, count: usize) -> Result<Vec<Found>, StoreError> {
    let answered: Answered<'_> = serde_json::from_slice(&answer.body)
        .map_err(|error| unavailable(&format!("Elasticsearch has answered oddly: {error}")))?;
    if answered.docs.len() != count {
        return Err(unavailable("Elasticsearch has not answered each read"));
    }
    let each = answered.docs.into_iter().map(|doc| {
        if let Some(error) = doc.error {
            return Err(error.error(500));
        }
        Ok(match (doc.found, doc.number, doc.term) {
            (true, Some(number), Some(term)) => Some(Stored {
                seen: Seen { term, number },
                source: doc
                    .source
                    .map(|raw| answer.body.slice_ref(raw.get().as_bytes()))
                    .unwrap_or_default(),
            }),
            _ => None,
        })
    });
    Ok(each.collect())
}
