//! The changes of a space's tasks, for somebody who may see some of them.

use std::sync::{Arc, LazyLock};

use taskhost_model::ids::Incarnation;
use taskhost_model::requester::Requester;
use taskhost_store::tasks::ListRequest;

use crate::changes::{Lagged, Numbered, SpaceFeed};
use crate::core::{Core, Tasks};
use crate::error::ServiceError;

/// Of this process.
static LIFE: LazyLock<Incarnation> = LazyLock::new(Incarnation::new);

/// A feed of a space's changes.
#[derive(Debug)]
pub struct Follow {
    core: Arc<Core>,
    by: Requester,
    filter: ListRequest,
    feed: SpaceFeed,
    begins_after: u64,
}

impl Tasks {
    /// Changes of those tasks of a space that fit the filters, from the one after this number on;
    /// without a number, or where that is too long ago, from now on.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or what the store says.
    pub async fn follow(
        &self,
        by: &Requester,
        filter: ListRequest,
        after: Option<u64>,
    ) -> Result<Follow, ServiceError> {
        let core = &self.0;
        core.caller(by).must_read(&filter.space).await?;
        let (feed, begins_after) = core.changes.follow(&filter.space, after);
        Ok(Follow {
            core: Arc::clone(core),
            by: by.clone(),
            filter,
            feed,
            begins_after,
        })
    }

    /// A name of this host's life: numbers of changes count in it alone.
    #[must_use]
    pub fn life(&self) -> String {
        LIFE.to_string()
    }
}

impl Follow {
    /// The number of the change after which it begins.
    #[must_use]
    pub fn begins_after(&self) -> u64 {
        self.begins_after
    }

    /// The next change. Never ends by itself.
    ///
    /// # Errors
    /// [`Lagged`] when changes were missed, or when nobody could be asked who may see one; later
    /// ones can still be had.
    pub async fn next(&mut self) -> Result<Arc<Numbered>, Lagged> {
        loop {
            let change = self.feed.next().await?;
            if self.is_for_them(&change).await? {
                return Ok(change);
            }
        }
    }

    /// The next change, if there is one already.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn next_at_once(&mut self) -> Result<Option<Arc<Numbered>>, Lagged> {
        while let Some(change) = self.feed.next_at_once() {
            let change = change?;
            if self.is_for_them(&change).await? {
                return Ok(Some(change));
            }
        }
        Ok(None)
    }

    async fn is_for_them(&self, change: &Numbered) -> Result<bool, Lagged> {
        let task = &change.change.task;
        if !self.filter.fits(task) {
            return Ok(false);
        }
        let caller = self.core.caller(&self.by);
        match caller.sees(task).await {
            Ok(sees) => Ok(sees),
            // It is not accepted any more: nothing is.
            Err(ServiceError::Unauthorized { .. }) => Ok(false),
            Err(_) => Err(Lagged),
        }
    }
}
