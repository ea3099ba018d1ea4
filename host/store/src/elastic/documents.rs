//! Collections on Elasticsearch. A document's version is the number of its write, which its shard
//! never gives twice.
//!
//! # What cannot be had without transactions
//! A run's lease is looked at before its writes are sent; one that is on its way while the lease
//! ends may land after it. Each document says which run and lease have written it.

mod change;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_model::condition::Condition;
use taskhost_model::ids::{DocumentId, Label, StreamKey, TypeId};

use super::Elastic;
use super::client::unavailable;
use super::group::{Op, Seen, Stored, Write, Written};
use super::names::{Index, document_id, scope_id};
use super::search::PAGE;
use crate::checkpoints::RunOfTask;
use crate::documents::{
    Change, ChangeRefused, Document, DocumentPage, DocumentStore, Scope, Writer,
};
use crate::error::StoreError;
use crate::look::Look;

/// Bodies of about so many bytes are read at once.
const READ_BYTES: u64 = 2 * 1024 * 1024;

/// What is stored of a document, as far as it is read.
#[derive(Deserialize)]
struct Body {
    id: DocumentId,
    body: Arc<str>,
}

#[async_trait]
impl DocumentStore for Elastic {
    async fn take_label(&self, label: &Label, owner: &TypeId) -> Result<TypeId, StoreError> {
        self.change_catalog(|content| match content.labels.get(label) {
            Some(owner) => (owner.clone(), false),
            None => {
                content.labels.insert(label.clone(), owner.clone());
                (owner.clone(), true)
            }
        })
        .await
    }

    async fn label_owner(&self, label: &Label) -> Result<Option<TypeId>, StoreError> {
        self.is_open()?;
        Ok(self.catalog_now().await?.labels.get(label).cloned())
    }

    async fn get(&self, scope: &Scope, id: &DocumentId) -> Result<Option<Document>, StoreError> {
        self.is_open()?;
        let stored = self
            .group
            .read(Index::Documents, &document_id(scope, id))
            .await?;
        stored.map(|stored| document(&stored)).transpose()
    }

    async fn query(
        &self,
        scope: &Scope,
        condition: Option<&Condition>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<DocumentPage, StoreError> {
        self.is_open()?;
        if let Some(cursor) = cursor {
            DocumentId::parse(cursor).map_err(|_| StoreError::InvalidCursor)?;
        }
        self.see_own_documents().await?;
        let mut look = Look::new(condition, limit);
        let mut body = json!({
            "query": { "bool": { "filter": [{ "term": { "scope": scope_id(scope) } }] } },
            "size": PAGE, "sort": [{ "id": "asc" }], "_source": ["bytes"],
            "track_total_hits": false,
        });
        if let Some(cursor) = cursor {
            body["search_after"] = json!([cursor]);
        }
        loop {
            let hits = self.search(Index::Documents, &body).await?;
            let is_last = hits.len() < PAGE;
            if let Some(last) = hits.last() {
                body["search_after"] = Value::Array(last.sort.clone());
            }
            let (mut ids, mut bytes) = (Vec::new(), 0);
            for (number, hit) in hits.iter().enumerate() {
                bytes += bytes_of(&hit.source);
                ids.push(hit.id.clone());
                if bytes < READ_BYTES && number + 1 < hits.len() {
                    continue;
                }
                bytes = 0;
                let ids = std::mem::take(&mut ids);
                for stored in self.group.read_all(Index::Documents, &ids).await? {
                    // None: it was deleted since.
                    let Some(stored) = stored else { continue };
                    if !look.takes(document(&stored)?) {
                        return Ok(look.cut_off());
                    }
                }
            }
            if is_last {
                return Ok(look.end());
            }
        }
    }

    async fn apply(
        &self,
        scope: &Scope,
        writer: &Writer,
        changes: Vec<Change>,
    ) -> Result<Vec<Result<String, ChangeRefused>>, StoreError> {
        self.is_open()?;
        let mut answers = Vec::new();
        let mut together = Vec::new();
        let mut ids = BTreeSet::new();
        for change in changes {
            // Changes of one document go one after the other, others together.
            if !ids.insert(change_id(&change).clone()) {
                let batch = std::mem::take(&mut together);
                answers.extend(self.change_all(scope, writer, batch).await?);
                ids = BTreeSet::from([change_id(&change).clone()]);
            }
            together.push(change);
        }
        answers.extend(self.change_all(scope, writer, together).await?);
        Ok(answers)
    }

    async fn delete_stream(&self, key: &StreamKey) -> Result<u64, StoreError> {
        self.is_open()?;
        self.refresh(Index::Documents).await?;
        let query = json!({ "bool": { "filter": [
            { "term": { "space": key.space } }, { "term": { "stream": key.name } },
        ] } });
        let body = json!({
            "query": query, "size": PAGE, "_source": false, "seq_no_primary_term": true,
            "track_total_hits": false,
        });
        let mut gone = 0;
        loop {
            let hits = self.search(Index::Documents, &body).await?;
            let is_last = hits.len() < PAGE;
            let writes = hits.into_iter().map(|hit| Write {
                index: Index::Documents,
                id: hit.id,
                op: Op::Remove,
            });
            for answer in self.group.write_all(writes.collect()).await {
                gone += u64::from(matches!(answer?, Written::Done(_)));
            }
            self.documents_written.fetch_add(1, Ordering::SeqCst);
            if is_last {
                return Ok(gone);
            }
            self.refresh(Index::Documents).await?;
        }
    }
}

impl Elastic {
    /// From now on searches show what this host has written into collections: a run sees its own
    /// writes. What other hosts have written is at most a second late.
    async fn see_own_documents(&self) -> Result<(), StoreError> {
        let written = self.documents_written.load(Ordering::SeqCst);
        if self.documents_shown.load(Ordering::SeqCst) < written {
            self.refresh(Index::Documents).await?;
            self.documents_shown.fetch_max(written, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Makes changes of which no two are of the same document.
    async fn change_all(
        &self,
        scope: &Scope,
        writer: &Writer,
        changes: Vec<Change>,
    ) -> Result<Vec<Result<String, ChangeRefused>>, StoreError> {
        if let Writer::Run { task, fence } = writer {
            let run = RunOfTask {
                task: task.clone(),
                fence: *fence,
            };
            self.check_fence(&run).await?;
        }
        let each = changes
            .into_iter()
            .map(|change| self.change(scope, writer, change));
        let answers = futures_util::future::join_all(each).await;
        self.documents_written.fetch_add(1, Ordering::SeqCst);
        answers.into_iter().collect()
    }
}

fn change_id(change: &Change) -> &DocumentId {
    match change {
        Change::Create { id, .. } | Change::Put { id, .. } | Change::Delete { id, .. } => id,
    }
}

fn bytes_of(source: &[u8]) -> u64 {
    #[derive(Deserialize)]
    struct Size {
        bytes: u64,
    }
    serde_json::from_slice::<Size>(source).map_or(0, |size| size.bytes)
}

fn document(stored: &Stored) -> Result<Document, StoreError> {
    let body: Body =
        serde_json::from_slice(&stored.source).map_err(|error| StoreError::Corrupt {
            reason: format!("a document of a collection: {error}"),
        })?;
    Ok(Document {
        id: body.id,
        version: version(stored.seen),
        body: body.body,
    })
}

fn version(seen: Seen) -> String {
    format!("{}.{}", seen.term, seen.number)
}

/// Reads what [`version`] wrote.
fn seen(version: &str) -> Option<Seen> {
    let (term, number) = version.split_once('.')?;
    let found = Seen {
        term: term.parse().ok()?,
        number: number.parse().ok()?,
    };
    // No other text names the same.
    (self::version(found) == version).then_some(found)
}

/// Elasticsearch has taken something in, or not, that it should not have said of this write.
fn odd(answer: Written) -> StoreError {
    unavailable(&format!(
        "an odd answer to a change of a document: {answer:?}"
    ))
}
