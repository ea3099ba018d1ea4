//! The catalog: one document about all task types, small enough to be read whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use taskhost_model::ids::{Digest, Label, TypeId};
use taskhost_model::time::Timestamp;

use crate::components::{Paused, Version, VersionState};
use crate::elastic::Elastic;
use crate::elastic::group::{Op, Seen, Write, Written};
use crate::elastic::names::Index;
use crate::elastic::texts::wall_clock;
use crate::error::StoreError;

/// The id of the document.
const ID: &str = "catalog";
/// So long a version is going: whoever began to delete it has ended by half of that, or is dead.
pub(super) const GOING_FOR: Duration = Duration::from_secs(60);

/// What the catalog holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::elastic) struct Content {
    pub(super) versions: Vec<Kept>,
    pub(super) paused: BTreeMap<TypeId, Paused>,
    pub(in crate::elastic) labels: BTreeMap<Label, TypeId>,
}

/// A version as it stands in the catalog.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Without its descriptor.
    pub(super) version: Version,
    /// Names what lies apart.
    pub(super) upload: String,
    pub(super) pieces: usize,
    /// Somebody is about to delete it: until then no run is pinned to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) going_until: Option<Timestamp>,
}

/// The catalog as this host has seen it last.
#[derive(Debug, Default)]
pub(in crate::elastic) struct Catalog(Mutex<(Option<Seen>, Arc<Content>)>);

impl Catalog {
    fn last(&self) -> MutexGuard<'_, (Option<Seen>, Arc<Content>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, seen: Option<Seen>, content: &Arc<Content>) {
        let mut last = self.last();
        if last.0 <= seen {
            *last = (seen, Arc::clone(content));
        }
    }
}

impl Elastic {
    /// Whether runs may be pinned to a component, as far as this host has seen.
    pub(in crate::elastic) fn is_known(&self, digest: &Digest) -> bool {
        let (_, content) = &*self.catalog.last();
        let found = content.version(digest);
        found.is_some_and(|kept| kept.going_until.is_none_or(|until| until < wall_clock()))
    }

    /// From now on this host has seen what is there at this moment.
    pub(in crate::elastic) async fn look_at_catalog(&self) -> Result<(), StoreError> {
        let now = self.group.look(Index::Components, ID).await?;
        let is_same = self.catalog.last().0 == now;
        if !is_same {
            self.catalog_now().await?;
        }
        Ok(())
    }

    /// The catalog as it is at this moment.
    pub(in crate::elastic) async fn catalog_now(&self) -> Result<Arc<Content>, StoreError> {
        let (seen, content) = self.read_catalog().await?;
        let content = Arc::new(content);
        self.catalog.put(seen, &content);
        Ok(content)
    }

    /// Changes the catalog, if `change` says that it has; answers what else it says.
    pub(in crate::elastic) async fn change_catalog<T>(
        &self,
        change: impl Fn(&mut Content) -> (T, bool),
    ) -> Result<T, StoreError> {
        self.is_open()?;
        loop {
            let (seen, mut content) = self.read_catalog().await?;
            let (answer, has_changed) = change(&mut content);
            if !has_changed {
                self.catalog.put(seen, &Arc::new(content));
                return Ok(answer);
            }
            let source = json!({ "kind": "catalog", "content": content }).to_string();
            let source = Bytes::from(source);
            let write = Write {
                index: Index::Components,
                id: ID.to_owned(),
                op: match seen {
                    Some(seen) => Op::Replace(seen, source),
                    None => Op::Create(source),
                },
            };
            if let Written::Done(seen) = self.group.write(write).await? {
                self.catalog.put(Some(seen), &Arc::new(content));
                return Ok(answer);
            }
        }
    }

    async fn read_catalog(&self) -> Result<(Option<Seen>, Content), StoreError> {
        #[derive(Deserialize)]
        struct Document {
            content: Content,
        }
        let Some(stored) = self.group.read(Index::Components, ID).await? else {
            return Ok((None, Content::default()));
        };
        let document: Document =
            serde_json::from_slice(&stored.source).map_err(|error| StoreError::Corrupt {
                reason: format!("the catalog of components: {error}"),
            })?;
        Ok((Some(stored.seen), document.content))
    }
}

impl Content {
    pub(super) fn version(&self, digest: &Digest) -> Option<&Kept> {
        let mut all = self.versions.iter();
        all.find(|kept| kept.version.digest == *digest)
    }

    pub(super) fn version_mut(&mut self, digest: &Digest) -> Option<&mut Kept> {
        let mut all = self.versions.iter_mut();
        all.find(|kept| kept.version.digest == *digest)
    }

    /// The active version of the type, if it is another one, becomes draining.
    pub(super) fn make_room(&mut self, active: &Version) {
        for kept in &mut self.versions {
            let version = &mut kept.version;
            let is_other = version.type_id == active.type_id && version.digest != active.digest;
            if is_other && version.state == VersionState::Active {
                version.state = VersionState::Draining;
            }
        }
    }
}
