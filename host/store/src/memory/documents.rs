//! Collections in memory.

use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::condition::Condition;
use taskhost_model::ids::{DocumentId, Label, StreamKey, TypeId};

use super::{Content, Memory, scope_key};
use crate::documents::{
    BODY_BYTES_MAX, Change, ChangeRefused, Document, DocumentPage, DocumentStore, Scope, Writer,
    may_write,
};
use crate::error::StoreError;
use crate::look::Look;

#[async_trait]
impl DocumentStore for Memory {
    async fn take_label(&self, label: &Label, owner: &TypeId) -> Result<TypeId, StoreError> {
        let mut content = self.content()?;
        let owned = content.labels.entry(label.clone());
        Ok(owned.or_insert_with(|| owner.clone()).clone())
    }

    async fn label_owner(&self, label: &Label) -> Result<Option<TypeId>, StoreError> {
        Ok(self.content()?.labels.get(label).cloned())
    }

    async fn get(&self, scope: &Scope, id: &DocumentId) -> Result<Option<Document>, StoreError> {
        let content = self.content()?;
        let documents = content.documents.get(&scope_key(scope));
        let found = documents.and_then(|documents| documents.get_key_value(id));
        Ok(found.map(|(id, stored)| document(id, stored)))
    }

    async fn query(
        &self,
        scope: &Scope,
        condition: Option<&Condition>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<DocumentPage, StoreError> {
        let after = match cursor {
            Some(cursor) => {
                Bound::Excluded(DocumentId::parse(cursor).map_err(|_| StoreError::InvalidCursor)?)
            }
            None => Bound::Unbounded,
        };
        let mut look = Look::new(condition, limit);
        let content = self.content()?;
        let documents = content.documents.get(&scope_key(scope)).into_iter();
        for (id, stored) in documents.flat_map(|all| all.range((after.clone(), Bound::Unbounded))) {
            if !look.takes(document(id, stored)) {
                return Ok(look.cut_off());
            }
        }
        Ok(look.end())
    }

    async fn apply(
        &self,
        scope: &Scope,
        writer: &Writer,
        changes: Vec<Change>,
    ) -> Result<Vec<Result<String, ChangeRefused>>, StoreError> {
        let mut content = self.content()?;
        if let Writer::Run { task, fence } = writer {
            let stored = content.tasks.get(task).map(|entry| &entry.task);
            if !may_write(stored, *fence) {
                return Err(StoreError::Fenced);
            }
        }
        let each = changes
            .into_iter()
            .map(|change| content.change(scope, change));
        Ok(each.collect())
    }

    async fn delete_stream(&self, key: &StreamKey) -> Result<u64, StoreError> {
        let mut gone = 0;
        self.content()?
            .documents
            .retain(|(space, stream, _), documents| {
                let of_stream =
                    space == key.space.as_str() && stream.as_deref() == Some(key.name.as_str());
                if of_stream {
                    gone += documents.len() as u64;
                }
                !of_stream
            });
        Ok(gone)
    }
}

impl Content {
    fn change(&mut self, scope: &Scope, change: Change) -> Result<String, ChangeRefused> {
        let documents = self.documents.entry(scope_key(scope)).or_default();
        let stored = |id: &DocumentId| documents.get(id).map(|(version, _)| version.to_string());
        let (id, body) = match change {
            Change::Create { id, .. } if stored(&id).is_some() => {
                return Err(ChangeRefused::Conflict);
            }
            Change::Create { id, body } => (id, body),
            Change::Put {
                id,
                body,
                if_version,
            } => {
                expect_version(stored(&id), if_version)?;
                (id, body)
            }
            Change::Delete { id, if_version } => {
                let found = stored(&id);
                let absent = found.is_none();
                expect_version(found, if_version)?;
                if absent {
                    return Err(ChangeRefused::NotFound);
                }
                documents.remove(&id);
                return Ok(String::new());
            }
        };
        let bytes = body.len() as u64;
        if bytes > BODY_BYTES_MAX {
            return Err(ChangeRefused::TooLarge { bytes });
        }
        self.last_version += 1;
        documents.insert(id, (self.last_version, body));
        Ok(self.last_version.to_string())
    }
}

fn expect_version(stored: Option<String>, wanted: Option<String>) -> Result<(), ChangeRefused> {
    match (stored, wanted) {
        (_, None) => Ok(()),
        (None, Some(_)) => Err(ChangeRefused::NotFound),
        (Some(stored), Some(wanted)) if stored == wanted => Ok(()),
        (Some(_), Some(_)) => Err(ChangeRefused::Conflict),
    }
}

fn document(id: &DocumentId, (version, body): &(u64, Arc<str>)) -> Document {
    Document {
        id: id.clone(),
        version: version.to_string(),
        body: Arc::clone(body),
    }
}
