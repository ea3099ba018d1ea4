//! Components on Elasticsearch.
//!
//! # How it works
//! One document, the catalog, tells which versions there are, which types are paused and who owns
//! which label: what has to change together changes by one compare-and-set. Descriptors and the
//! components themselves never change, and lie apart, written before the catalog names them.
//!
//! # How a version goes that a run may just be pinned to
//! Whoever deletes it marks it first, waits for [`FRESH_FOR`], and looks for runs then; whoever
//! claims pins the run first, and then either has read the catalog within that time, or looks for
//! the mark, and undoes the claim. So one of the two sees the other, and a busy host hardly ever
//! looks. The times are spans of each host's own clock, which goes on while a process is stopped.

mod catalog;

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use taskhost_model::ids::{Digest, TypeId};
use taskhost_model::time::Timestamp;
use tokio::time::Instant;

use super::Elastic;
use super::checkpoints::decoded;
use super::client::unavailable;
use super::group::{Op, Write, Written};
use super::names::{Index, unique};
use super::texts::wall_clock;
use crate::components::{
    Approval, COMPONENT_BYTES_MAX, ComponentStore, Paused, Version, VersionState,
};
use crate::error::StoreError;
use crate::limits::within;
pub(super) use catalog::Catalog;
use catalog::{Content, FRESH_FOR, GOING_FOR, Kept};

/// A component is stored in pieces of so many bytes: a request to Elasticsearch has at most 100 MB.
const PIECE_BYTES: usize = 6 * 1024 * 1024;

#[derive(Deserialize)]
struct Document {
    content: String,
}

#[async_trait]
impl ComponentStore for Elastic {
    async fn put(&self, version: &Version, bytes: Arc<[u8]>) -> Result<bool, StoreError> {
        within("component", bytes.len(), COMPONENT_BYTES_MAX)?;
        self.is_open()?;
        if self.catalog_now().await?.version(&version.digest).is_some() {
            return Ok(false);
        }
        let upload = unique();
        let pieces: Vec<&[u8]> = bytes.chunks(PIECE_BYTES).collect();
        for (number, piece) in pieces.iter().enumerate() {
            self.put_piece(&piece_id(&upload, number), "piece", STANDARD.encode(piece))
                .await?;
        }
        let descriptor = version.descriptor.clone();
        self.put_piece(&descriptor_id(&upload), "descriptor", descriptor)
            .await?;
        let kept = Kept {
            version: Version {
                descriptor: String::new(),
                ..version.clone()
            },
            upload: upload.clone(),
            pieces: pieces.len(),
            going_until: None,
        };
        self.change_catalog(|content| {
            if let Some(there) = content.version(&version.digest) {
                // It is this very one where the answer to the write was lost.
                return (there.upload == upload, false);
            }
            content.versions.push(kept.clone());
            if version.state == VersionState::Active {
                content.make_room(&kept.version);
            }
            (true, true)
        })
        .await
    }

    async fn get(&self, digest: &Digest) -> Result<Option<Version>, StoreError> {
        self.is_open()?;
        match self.catalog_now().await?.version(digest) {
            Some(kept) => self.whole(kept).await,
            None => Ok(None),
        }
    }

    async fn bytes(&self, digest: &Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.is_open()?;
        let content = self.catalog_now().await?;
        let Some(kept) = content.version(digest) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        for number in 0..kept.pieces {
            let id = piece_id(&kept.upload, number);
            match self.piece_of(&id).await? {
                Some(text) => bytes.extend(decoded(&id, &text)?),
                // It was deleted meanwhile.
                None => return Ok(None),
            }
        }
        Ok(Some(Arc::from(bytes)))
    }

    async fn list(&self) -> Result<Vec<Version>, StoreError> {
        self.is_open()?;
        let content = self.catalog_now().await?;
        let all = content.versions.iter().map(|kept| self.whole(kept));
        let mut versions = Vec::new();
        for version in futures_util::future::join_all(all).await {
            versions.extend(version?);
        }
        versions.sort_by(|a, b| {
            let newest_first = b.uploaded_at.cmp(&a.uploaded_at);
            a.type_id
                .cmp(&b.type_id)
                .then(newest_first)
                .then_with(|| a.digest.cmp(&b.digest))
        });
        Ok(versions)
    }

    async fn activate(
        &self,
        digest: &Digest,
        at: Timestamp,
        approval: Option<&Approval>,
    ) -> Result<(), StoreError> {
        self.change_catalog(|content| {
            let Some(version) = content.version(digest).map(|kept| kept.version.clone()) else {
                return ((), false);
            };
            content.make_room(&version);
            if let Some(kept) = content.version_mut(digest) {
                kept.going_until = None;
                let version = &mut kept.version;
                version.state = VersionState::Active;
                version.activated_at = Some(at);
                version.approval = approval.cloned().or(version.approval.take());
            }
            ((), true)
        })
        .await
    }

    async fn sign(&self, digest: &Digest, signed_by: &str) -> Result<(), StoreError> {
        self.change_catalog(|content| match content.version_mut(digest) {
            Some(kept) => {
                kept.version.signed_by = Some(signed_by.to_owned());
                ((), true)
            }
            None => ((), false),
        })
        .await
    }

    async fn retire(&self, digest: &Digest) -> Result<(), StoreError> {
        self.change_catalog(|content| match content.version_mut(digest) {
            Some(kept) if kept.version.state == VersionState::Draining => {
                kept.version.state = VersionState::Retired;
                ((), true)
            }
            _ => ((), false),
        })
        .await
    }

    async fn delete(&self, digest: &Digest) -> Result<bool, StoreError> {
        let begun = Instant::now();
        let going_until = wall_clock().plus(GOING_FOR);
        let marked = self
            .change_catalog(|content| match content.version_mut(digest) {
                Some(kept) => {
                    kept.going_until = Some(going_until);
                    (Some(kept.clone()), true)
                }
                None => (None, false),
            })
            .await?;
        let Some(marked) = marked else {
            return Ok(false);
        };
        tokio::time::sleep(FRESH_FOR + FRESH_FOR / 10).await;
        let has_to_stay = self.is_needed(&marked).await? || begun.elapsed() > GOING_FOR / 2;
        let is_gone = self
            .change_catalog(|content| {
                let Some(kept) = content.version_mut(digest) else {
                    // Gone, by this very write if its answer was lost.
                    return (true, false);
                };
                let is_as_marked = kept.going_until == Some(going_until);
                if has_to_stay || !is_as_marked {
                    kept.going_until = kept.going_until.filter(|_| !is_as_marked);
                    return (false, true);
                }
                content.remove(digest);
                (true, true)
            })
            .await?;
        if is_gone {
            self.remove_pieces_of(&marked).await?;
        }
        Ok(is_gone)
    }

    async fn set_paused(
        &self,
        type_id: &TypeId,
        paused: Option<&Paused>,
    ) -> Result<(), StoreError> {
        self.change_catalog(|content| {
            match paused {
                Some(paused) => content.paused.insert(type_id.clone(), paused.clone()),
                None => content.paused.remove(type_id),
            };
            ((), true)
        })
        .await
    }

    async fn paused(&self) -> Result<Vec<(TypeId, Paused)>, StoreError> {
        self.is_open()?;
        let content = self.catalog_now().await?;
        let all = content.paused.iter();
        Ok(all
            .map(|(id, paused)| (id.clone(), paused.clone()))
            .collect())
    }
}

impl Elastic {
    /// Whether an unfinished run is pinned to it, or waits for it.
    async fn is_needed(&self, kept: &Kept) -> Result<bool, StoreError> {
        let version = &kept.version;
        let pinned = json!({ "term": { "run.digest": version.digest } });
        let of_type = json!({ "term": { "type": version.type_id } });
        let either = if version.state == VersionState::Active {
            json!({ "bool": { "should": [pinned, of_type] } })
        } else {
            pinned
        };
        self.is_any_unfinished(either).await
    }

    async fn whole(&self, kept: &Kept) -> Result<Option<Version>, StoreError> {
        let descriptor = self.piece_of(&descriptor_id(&kept.upload)).await?;
        Ok(descriptor.map(|descriptor| Version {
            descriptor,
            ..kept.version.clone()
        }))
    }

    async fn put_piece(&self, id: &str, kind: &str, content: String) -> Result<(), StoreError> {
        let source = json!({ "kind": kind, "content": content }).to_string();
        let write = Write {
            index: Index::Components,
            id: id.to_owned(),
            op: Op::Put(Bytes::from(source)),
        };
        match self.group.write(write).await? {
            Written::Done(_) => Ok(()),
            _ => Err(unavailable("a piece of a component was not taken")),
        }
    }

    async fn piece_of(&self, id: &str) -> Result<Option<String>, StoreError> {
        let Some(stored) = self.group.read(Index::Components, id).await? else {
            return Ok(None);
        };
        let document: Document =
            serde_json::from_slice(&stored.source).map_err(|error| StoreError::Corrupt {
                reason: format!("{id}: {error}"),
            })?;
        Ok(Some(document.content))
    }

    async fn remove_pieces_of(&self, kept: &Kept) -> Result<(), StoreError> {
        let pieces = (0..kept.pieces).map(|number| piece_id(&kept.upload, number));
        let ids = pieces.chain([descriptor_id(&kept.upload)]);
        let writes = ids.map(|id| Write {
            index: Index::Components,
            id,
            op: Op::Remove,
        });
        for answer in self.group.write_all(writes.collect()).await {
            answer?;
        }
        Ok(())
    }
}

fn piece_id(upload: &str, number: usize) -> String {
    format!("piece/{upload}/{number}")
}

fn descriptor_id(upload: &str) -> String {
    format!("descriptor/{upload}")
}

impl Content {
    /// Whether one of the versions has the piece or descriptor of this id.
    pub(super) fn names(&self, id: &str) -> bool {
        let upload = id.split('/').nth(1);
        self.versions
            .iter()
            .any(|kept| Some(kept.upload.as_str()) == upload)
    }

    /// Removes a version, and with the last one of its type what else is known of that.
    fn remove(&mut self, digest: &Digest) {
        let Some(gone) = self
            .version(digest)
            .map(|kept| kept.version.type_id.clone())
        else {
            return;
        };
        self.versions.retain(|kept| kept.version.digest != *digest);
        if self
            .versions
            .iter()
            .all(|kept| kept.version.type_id != gone)
        {
            self.labels.retain(|_, owner| *owner != gone);
            self.paused.remove(&gone);
        }
    }
}
