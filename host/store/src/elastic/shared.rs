//! Documents that several writers change by compare-and-set, with one content each.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use taskhost_model::ids::{Space, TaskId, TaskKey};

use super::Elastic;
use super::group::{Op, Seen, Write, Written};
use super::names::Index;
use crate::error::StoreError;

#[derive(Deserialize)]
struct Document<T> {
    content: T,
}

impl Elastic {
    /// The content of such a document, with its version; an empty one where there is none.
    pub(super) async fn shared<T: DeserializeOwned + Default>(
        &self,
        name: &str,
    ) -> Result<(Option<Seen>, T), StoreError> {
        match self.group.read(Index::Shared, name).await? {
            Some(stored) => Ok((Some(stored.seen), content(name, &stored.source)?)),
            None => Ok((None, T::default())),
        }
    }

    /// Replaces a content over the version that is known. False: somebody else was quicker.
    pub(super) async fn share<T: Serialize + Sync>(
        &self,
        kind: &str,
        name: &str,
        seen: Option<Seen>,
        content: &T,
    ) -> Result<bool, StoreError> {
        let source = json!({ "kind": kind, "name": name, "content": content });
        let source = Bytes::from(source.to_string());
        let write = Write {
            index: Index::Shared,
            id: name.to_owned(),
            op: match seen {
                Some(seen) => Op::Replace(seen, source),
                None => Op::Create(source),
            },
        };
        Ok(matches!(self.group.write(write).await?, Written::Done(_)))
    }
}

/// The content of the document that was found.
pub(super) fn content<T: DeserializeOwned>(name: &str, source: &[u8]) -> Result<T, StoreError> {
    let document: Document<T> =
        serde_json::from_slice(source).map_err(|error| StoreError::Corrupt {
            reason: format!("{name}: {error}"),
        })?;
    Ok(document.content)
}

/// The key of the task whose document has this id.
pub(super) fn task_key(id: &str) -> Option<TaskKey> {
    let (space, id) = id.split_once('/')?;
    Some(TaskKey {
        space: Space::parse(space).ok()?,
        id: TaskId::parse(id).ok()?,
    })
}
