//! One change of one document.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use taskhost_model::ids::DocumentId;

use super::{odd, seen, version};
use crate::documents::{BODY_BYTES_MAX, Change, ChangeRefused, Scope, Writer};
use crate::elastic::Elastic;
use crate::elastic::group::{Op, Seen, Write, Written};
use crate::elastic::names::{Index, document_id, scope_id, unique};
use crate::error::StoreError;

type Answer = Result<Result<String, ChangeRefused>, StoreError>;

/// What is there, for a change that was refused.
enum There {
    Nothing,
    /// This very write, which was sent twice.
    Own(Seen),
    Other,
}

impl Elastic {
    pub(super) async fn change(&self, scope: &Scope, writer: &Writer, change: Change) -> Answer {
        let written = unique();
        let (id, body, if_version, is_new) = match change {
            Change::Create { id, body } => (id, Some(body), None, true),
            Change::Put {
                id,
                body,
                if_version,
            } => (id, Some(body), if_version, false),
            Change::Delete { id, if_version } => (id, None, if_version, false),
        };
        let bytes = body.as_ref().map_or(0, |body| body.len() as u64);
        let if_seen = if_version.as_deref().map(seen);
        let is_too_large = bytes > BODY_BYTES_MAX;
        if is_too_large || if_seen == Some(None) {
            // Nothing can be written; what is said depends on what is there.
            let there = self
                .group
                .look(Index::Documents, &document_id(scope, &id))
                .await?;
            return Ok(Err(match (there, if_seen) {
                (Some(_), _) if is_new => ChangeRefused::Conflict,
                (None, Some(_)) => ChangeRefused::NotFound,
                (there, Some(wanted)) if there != wanted => ChangeRefused::Conflict,
                _ => ChangeRefused::TooLarge { bytes },
            }));
        }
        let source = body.map(|body| source(scope, writer, &id, &body, &written));
        let is_deletion = source.is_none();
        let write = Write {
            index: Index::Documents,
            id: document_id(scope, &id),
            op: match (source, if_seen.flatten()) {
                (Some(source), _) if is_new => Op::Create(source),
                (Some(source), Some(seen)) => Op::Replace(seen, source),
                (Some(source), None) => Op::Put(source),
                (None, Some(seen)) => Op::Delete(seen),
                (None, None) => Op::Remove,
            },
        };
        match self.group.write(write).await? {
            Written::Done(_) if is_deletion => Ok(Ok(String::new())),
            Written::Done(seen) => Ok(Ok(version(seen))),
            Written::Absent => Ok(Err(ChangeRefused::NotFound)),
            Written::Conflict { is_repeated } => {
                let there = self.there(scope, &id, &written).await?;
                Ok(match there {
                    There::Own(seen) => Ok(version(seen)),
                    There::Nothing if is_deletion && is_repeated => Ok(String::new()),
                    There::Nothing if !is_new => Err(ChangeRefused::NotFound),
                    There::Nothing | There::Other => Err(ChangeRefused::Conflict),
                })
            }
            answer @ Written::Busy => Err(odd(answer)),
        }
    }

    async fn there(&self, scope: &Scope, id: &DocumentId, own: &str) -> Result<There, StoreError> {
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        let stored = self
            .group
            .read(Index::Documents, &document_id(scope, id))
            .await?;
        let Some(stored) = stored else {
            return Ok(There::Nothing);
        };
        let found = serde_json::from_slice::<Version>(&stored.source);
        Ok(if found.is_ok_and(|found| found.version == own) {
            There::Own(stored.seen)
        } else {
            There::Other
        })
    }
}

fn source(scope: &Scope, writer: &Writer, id: &DocumentId, body: &str, written: &str) -> Bytes {
    let writer = match writer {
        Writer::Run { task, fence } => json!({
            "task": task.id, "run": fence.run, "lease_number": fence.lease_number,
        }),
        Writer::Person(who) => json!({ "person": who }),
    };
    let mut source = json!({
        "scope": scope_id(scope), "space": scope.space, "label": scope.label, "id": id,
        "bytes": body.len(), "version": written, "writer": writer, "body": body,
    });
    if let Some(stream) = &scope.stream {
        source["stream"] = json!(stream);
    }
    Bytes::from(source.to_string())
}
