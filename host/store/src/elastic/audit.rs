//! The audit log on Elasticsearch: a document each entry, in an index of their own. They are
//! written behind the changes, since one request has no transaction over two documents, and a
//! request of its own before each change would double what a change costs.

use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_model::audit::{Entry, Shelf};
use taskhost_model::time::Timestamp;
use tokio::time::Instant;

use super::Elastic;
use super::client::Request;
use super::group::{Op, Write, Written};
use super::names::Index;
use super::search::PAGE;
use super::shared::content;
use crate::audit::{AuditPage, AuditRequest, AuditStore};
use crate::error::StoreError;

/// A host trims so long after its start for the first time, and so often from then on.
const FIRST_AFTER: Duration = Duration::from_secs(5 * 60);
const EVERY: Duration = Duration::from_secs(60 * 60);

#[derive(Deserialize)]
struct Count {
    count: u64,
}

#[async_trait]
impl AuditStore for Elastic {
    fn note(&self, entry: Entry) {
        self.noted.note(entry);
    }

    async fn flush(&self) -> Result<(), StoreError> {
        let taken = self.noted.take();
        if taken.is_empty() {
            return Ok(());
        }
        let entries = taken.new.iter().chain(&taken.known);
        let writes = entries.map(|entry| Write {
            index: Index::Audit,
            id: entry.id.to_string(),
            op: Op::Put(source(entry)),
        });
        let mut failure = None;
        for answer in self.group.write_all(writes.collect()).await {
            match answer {
                Ok(Written::Done(_)) => {}
                Ok(_) => {
                    failure = failure.or(Some(super::client::unavailable("it is not written")))
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            None => {
                self.noted.written(&taken);
                Ok(())
            }
            Some(error) => {
                // Those that were written are written again, as they are.
                self.noted.give_back(taken);
                Err(error)
            }
        }
    }

    async fn list(&self, request: &AuditRequest) -> Result<AuditPage, StoreError> {
        self.is_open()?;
        self.flush().await?;
        self.refresh(Index::Audit).await?;
        let mut body = json!({
            "query": { "bool": { "filter": filters(request) } },
            "size": request.limit, "sort": [{ "id": "desc" }],
            "track_total_hits": false, "_source": ["content"],
        });
        if let Some(cursor) = request.cursor {
            body["search_after"] = json!([cursor]);
        }
        let hits = self.search(Index::Audit, &body).await?;
        let mut page = AuditPage::default();
        for hit in &hits {
            page.entries.push(content::<Entry>(&hit.id, &hit.source)?);
        }
        let is_full = page.entries.len() >= request.limit;
        page.next = page.entries.last().filter(|_| is_full).map(|it| it.id);
        Ok(page)
    }

    async fn trim(&self, before: Timestamp, entries_max: u64) -> Result<u64, StoreError> {
        {
            let mut next = self.trim_at.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if now < *next.get_or_insert(now + FIRST_AFTER) {
                return Ok(0);
            }
            *next = Some(now + EVERY);
        }
        self.trim_audit(before, entries_max).await
    }
}

impl Elastic {
    /// Removes what is too old or too much.
    pub(crate) async fn trim_audit(
        &self,
        before: Timestamp,
        entries_max: u64,
    ) -> Result<u64, StoreError> {
        self.is_open()?;
        self.refresh(Index::Audit).await?;
        let old = json!({ "range": { "at": { "lt": before } } });
        let mut gone = self.remove_oldest(&old, u64::MAX).await?;
        for shelf in Shelf::ALL {
            let of_shelf = json!({ "term": { "shelf": shelf_name(shelf) } });
            let path = format!("{}/_count", self.names.alias(Index::Audit));
            let count = Request::post(path).json(&json!({ "query": of_shelf }));
            let count: Count = self.client.expect(&count, &[200]).await?.json()?;
            let surplus = count.count.saturating_sub(entries_max);
            if surplus > 0 {
                gone += self.remove_oldest(&of_shelf, surplus).await?;
            }
        }
        Ok(gone)
    }

    async fn remove_oldest(&self, query: &Value, count: u64) -> Result<u64, StoreError> {
        let mut ids = Vec::new();
        let is_enough = |ids: &Vec<String>| ids.len() as u64 >= count;
        self.search_all(Index::Audit, query, ("id", &[]), |hit| {
            ids.push(hit.id);
            Ok(!is_enough(&ids))
        })
        .await?;
        for ids in ids.chunks(PAGE) {
            let writes = ids.iter().map(|id| Write {
                index: Index::Audit,
                id: id.clone(),
                op: Op::Remove,
            });
            for answer in self.group.write_all(writes.collect()).await {
                answer?;
            }
        }
        Ok(ids.len() as u64)
    }
}

fn filters(request: &AuditRequest) -> Vec<Value> {
    let mut filters = Vec::new();
    let mut is = |field: &str, value: Option<&str>| {
        filters.extend(value.map(|value| json!({ "term": { field: value } })));
    };
    is("by", request.by.as_deref());
    is("space", request.space.as_ref().map(|space| space.as_str()));
    is("target", request.target.as_deref());
    if let Some(deed) = &request.deed {
        filters.push(json!({ "bool": { "should": [
            { "term": { "deed": deed } },
            { "prefix": { "deed": format!("{deed}.") } },
        ] } }));
    }
    if let Some(from) = request.from {
        filters.push(json!({ "range": { "at": { "gte": from } } }));
    }
    if let Some(to) = request.to {
        filters.push(json!({ "range": { "at": { "lt": to } } }));
    }
    filters
}

fn source(entry: &Entry) -> Bytes {
    let source = json!({
        "id": entry.id, "shelf": shelf_name(entry.shelf()), "at": entry.at, "by": entry.by,
        "space": entry.space, "deed": entry.deed, "target": entry.target, "content": entry,
    });
    Bytes::from(source.to_string())
}

fn shelf_name(shelf: Shelf) -> &'static str {
    match shelf {
        Shelf::Rules => "rules",
        Shelf::Work => "work",
    }
}
