//! The audit log in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use taskhost_model::audit::{Entry, Shelf};
use taskhost_model::ids::EntryId;
use taskhost_model::time::Timestamp;

use super::Memory;
use crate::audit::{AuditPage, AuditRequest, AuditStore, Paging};
use crate::error::StoreError;

/// The entries, by id.
pub(super) type Entries = BTreeMap<EntryId, Entry>;

#[async_trait]
impl AuditStore for Memory {
    fn note(&self, entry: Entry) {
        if let Ok(mut content) = self.content() {
            content.audit.insert(entry.id, entry);
        }
    }

    async fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn list(&self, request: &AuditRequest) -> Result<AuditPage, StoreError> {
        let content = self.content()?;
        let mut paging = Paging::new(request);
        let is_later = |entry: &&Entry| request.cursor.is_none_or(|cursor| entry.id < cursor);
        let entries = content.audit.values().rev().filter(is_later);
        for entry in entries {
            if !paging.take(entry.clone()) {
                break;
            }
        }
        Ok(paging.finish())
    }

    async fn trim(&self, before: Timestamp, entries_max: u64) -> Result<u64, StoreError> {
        let mut content = self.content()?;
        let count = content.audit.len();
        content.audit.retain(|_, entry| entry.at >= before);
        for shelf in Shelf::ALL {
            let of_shelf = content.audit.values().filter(|it| it.shelf() == shelf);
            let ids: Vec<EntryId> = of_shelf.map(|it| it.id).collect();
            let kept = usize::try_from(entries_max).unwrap_or(usize::MAX);
            for id in &ids[..ids.len().saturating_sub(kept)] {
                content.audit.remove(id);
            }
        }
        Ok((count - content.audit.len()) as u64)
    }
}
