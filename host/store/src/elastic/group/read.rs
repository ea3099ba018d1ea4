//! Reads of single documents, sent as `_mget`: they see every write that was answered.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::write::again;
use super::{Item, Seen, Stored};
use crate::elastic::client::{Answer, Cause, Client, Request, unavailable};
use crate::elastic::names::{Index, Names};
use crate::error::StoreError;

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
    fn bytes(&self) -> usize {
        // Of what comes back one knows only how much it may be.
        match self.read.index {
            _ if !self.read.with_source => 200,
            Index::Tasks => 8 * 1024,
            Index::Shared => 32 * 1024,
            Index::Keys => 2 * 1024,
            Index::Texts | Index::Documents => 256 * 1024,
            Index::Components => 4 * 1024 * 1024,
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
    let docs = batch.iter().map(|Waiting { read, .. }| {
        json!({ "_index": names.alias(read.index), "_id": read.id, "_source": read.with_source })
    });
    let docs: Vec<_> = docs.collect();
    let request = Request::post("_mget").json(&json!({ "docs": docs }));
    let answer = client.expect(&request, &[200]).await;
    match answer.and_then(|answer| each(&answer, batch.len())) {
        Ok(found) => {
            for (waiting, found) in batch.into_iter().zip(found) {
                // Whoever has gone does not want to know.
                let _ = waiting.tell.send(found);
            }
        }
        Err(error) => {
            for waiting in batch {
                let _ = waiting.tell.send(Err(again(&error)));
            }
        }
    }
}

type Found = Result<Option<Stored>, StoreError>;

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
