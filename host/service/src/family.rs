//! What the end of a run means for its children, and for the parent that may wait for it.
//!
//! # Guarantees
//! 1. When a run has ended for good, was deleted or replaced, its children that have not ended are
//!    canceled, at once or by the sweeper; one whose parent has ended is never begun.
//! 2. A suspended parent is due as soon as one of its children has ended. Where that is lost, in a
//!    crash, the time that was stored with it makes it due.

use std::pin::Pin;

use taskhost_model::ids::RunId;
use taskhost_model::status::Phase;
use taskhost_model::task::Task;
use taskhost_store::error::StoreError;
use taskhost_store::event::{Applied, Event, Outcome};

use crate::core::{Core, is_end};
use crate::error::ServiceError;

type BoxFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Who cancels children whose parent has ended.
const CANCELED_BY: &str = "taskhost";

impl Core {
    /// Does what an end demands of children and parent. Harmless when it is done again, or when the
    /// task has not ended. Children may have children of their own, hence the box.
    pub(crate) fn after_end<'a>(&'a self, applied: &'a Applied) -> BoxFuture<'a> {
        let is_written = matches!(applied.outcome, Outcome::Changed | Outcome::Repeated);
        let ended = |task: &&Task| is_written && is_end(task.phase());
        let ended = applied.task.as_ref().filter(ended);
        Box::pin(async move {
            let Some(task) = ended else { return };
            let done = async {
                self.resume_parent(task).await?;
                self.cancel_children(task.run.id).await
            };
            if let Err(error) = done.await {
                tracing::warn!(%error, task = %task.id, "its family is left to the sweeper");
            }
        })
    }

    /// Cancels what a run has spawned and has not ended.
    pub(crate) async fn cancel_children(&self, run: RunId) -> Result<u64, StoreError> {
        let mut canceled = 0;
        for key in self.tasks.children(run).await?.living {
            let applied = self.apply(&key, cancel()).await?;
            canceled += u64::from(applied.outcome == Outcome::Changed);
            self.follow_up(&applied);
            self.after_end(&applied).await;
        }
        Ok(canceled)
    }

    /// Cancels the children of parents that have ended without a word to them.
    pub(crate) async fn cancel_orphans(&self) -> Result<u64, StoreError> {
        let mut canceled = 0;
        for (key, run) in self.tasks.parents().await? {
            let parent = self.tasks.get(&key).await?;
            if !is_alive(parent.as_ref(), run) {
                canceled += self.cancel_children(run).await?;
            }
        }
        Ok(canceled)
    }

    /// Cancels a task whose parent has ended; whether it did.
    pub(crate) async fn ends_as_orphan(&self, task: &Task) -> Result<bool, ServiceError> {
        let Some((key, run)) = task.parent_run() else {
            return Ok(false);
        };
        let parent = self.tasks.get(&key).await?;
        if is_alive(parent.as_ref(), run) {
            return Ok(false);
        }
        self.apply(&task.key(), cancel()).await?;
        Ok(true)
    }

    async fn resume_parent(&self, child: &Task) -> Result<(), StoreError> {
        let Some((key, run)) = child.parent_run() else {
            return Ok(());
        };
        let parent = self.tasks.get(&key).await?;
        // One that is about to be suspended looks at its children again afterwards.
        let waits = |parent: &Task| parent.run.id == run && parent.phase() == Phase::Suspended;
        if parent.as_ref().is_some_and(waits) {
            self.apply(&key, Event::Resume { run }).await?;
        }
        Ok(())
    }
}

fn cancel() -> Event {
    Event::Cancel {
        by: CANCELED_BY.to_owned(),
        reason: Some("its parent has ended".to_owned()),
        if_version: None,
    }
}

fn is_alive(parent: Option<&Task>, run: RunId) -> bool {
    parent.is_some_and(|task| task.run.id == run && !task.phase().status().is_terminal())
}
