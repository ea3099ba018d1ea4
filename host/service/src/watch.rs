//! Changes of one task, for somebody who may see some of them.
//!
//! A task under the same id may be another one later, on another stream. Whoever does not see that
//! one hears that theirs is gone, and nothing else of it.

use std::sync::Arc;

use taskhost_model::ids::TaskKey;
use taskhost_model::requester::Requester;
use taskhost_model::task::Task;

use crate::changes::{Change, ChangeKind, Feed, Lagged};
use crate::core::{Core, Tasks};
use crate::error::ServiceError;

/// A feed of changes. Changes made before it was opened are not in it.
#[derive(Debug)]
pub struct Watch {
    core: Arc<Core>,
    by: Requester,
    feed: Feed,
    /// The task as it was last seen, where not everybody sees everything.
    seen: Option<Task>,
}

impl Tasks {
    /// Changes of one task, from now on.
    ///
    /// # Errors
    /// What the store says.
    pub async fn watch(&self, by: &Requester, key: &TaskKey) -> Result<Watch, ServiceError> {
        let core = Arc::clone(&self.0);
        // Watched before it is read: no change falls between the two.
        let feed = core.changes.watch(key);
        let caller = core.caller(by);
        let seen = match caller.is_asked() {
            true => core.seen(caller, key).await?,
            false => None,
        };
        Ok(Watch {
            by: by.clone(),
            feed,
            seen,
            core,
        })
    }
}

impl Watch {
    /// The next change. Never ends by itself.
    ///
    /// # Errors
    /// [`Lagged`] when changes were missed, or when nobody could be asked who may see one; later
    /// ones can still be had.
    pub async fn next(&mut self) -> Result<Arc<Change>, Lagged> {
        loop {
            let change = self.feed.next().await?;
            let caller = self.core.caller(&self.by);
            if !caller.is_asked() {
                return Ok(change);
            }
            let sees = match caller.sees(&change.task).await {
                Ok(sees) => sees,
                // It is not accepted any more: nothing is.
                Err(ServiceError::Unauthorized { .. }) => false,
                Err(_) => return Err(Lagged),
            };
            if sees {
                let is_there = change.task.deleted_at.is_none();
                self.seen = is_there.then(|| change.task.clone());
                return Ok(change);
            }
            if let Some(task) = self.seen.take() {
                return Ok(Arc::new(Change {
                    key: change.key.clone(),
                    task,
                    payload: None,
                    kind: ChangeKind::Deleted,
                }));
            }
        }
    }
}
