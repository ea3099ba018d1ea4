//! The catalog: one document about all task types, small enough to be read whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
/// Whoever has pinned a run need not look for a mark where it has read the catalog so lately.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(1);

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
pub(in crate::elastic) struct Catalog(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    seen: Option<Seen>,
    content: Arc<Content>,
    /// When the latest look at it began.
    looked_at: Option<Instant>,
}

impl Catalog {
    fn last(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, seen: Option<Seen>, content: &Arc<Content>, looked_at: Instant) {
        let mut last = self.last();
        if last.seen <= seen {
            *last = Last {
                seen,
                content: Arc::clone(content),
                looked_at: last.looked_at.max(Some(looked_at)),
            };
        }
    }
}

impl Elastic {
    /// Whether runs may be pinned to a component, as far as this host has seen.
    pub(in crate::elastic) fn is_known(&self, digest: &Digest) -> bool {
        let last = self.catalog.last();
        let found = last.content.version(digest);
        found.is_some_and(|kept| kept.going_until.is_none_or(|until| until < wall_clock()))
    }

    /// From now on this host has seen what is there at this moment.
    pub(in crate::elastic) async fn look_at_catalog(&self) -> Result<(), StoreError> {
        let begun = Instant::now();
        let now = self.group.look(Index::Components, ID).await?;
        {
            let mut last = self.catalog.last();
            if last.seen == now {
                last.looked_at = last.looked_at.max(Some(begun));
                return Ok(());
            }
        }
        self.catalog_now().await?;
        Ok(())
    }

    /// This host has seen every mark by now for which somebody has waited long enough.
    pub(in crate::elastic) async fn look_for_marks(&self) -> Result<(), StoreError> {
        let looked_at = self.catalog.last().looked_at;
        match looked_at {
            Some(at) if at.elapsed() < FRESH_FOR => Ok(()),
            _ => self.look_at_catalog().await,
        }
    }

    /// The catalog as it is at this moment.
    pub(in crate::elastic) async fn catalog_now(&self) -> Result<Arc<Content>, StoreError> {
        let begun = Instant::now();
        let (seen, content) = self.read_catalog().await?;
        let content = Arc::new(content);
        self.catalog.put(seen, &content, begun);
        Ok(content)
    }

    /// Changes the catalog, if `change` says that it has; answers what else it says.
    pub(in crate::elastic) async fn change_catalog<T>(
        &self,
        change: impl Fn(&mut Content) -> (T, bool),
    ) -> Result<T, StoreError> {
        self.is_open()?;
        loop {
            let begun = Instant::now();
            let (seen, mut content) = self.read_catalog().await?;
            let (answer, has_changed) = change(&mut content);
            if !has_changed {
                self.catalog.put(seen, &Arc::new(content), begun);
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
                self.catalog.put(Some(seen), &Arc::new(content), begun);
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
