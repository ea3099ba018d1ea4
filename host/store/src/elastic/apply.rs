//! Applies an event to a task: what is known of its document → the pure decision → a write that
//! names the version which was decided on; where somebody else was quicker, again.
//!
//! # When nobody knows whether a write was done
//! Each document carries a name of its write. A write whose answer was lost is looked for by that
//! name before anything is decided again.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use taskhost_model::ids::TaskKey;
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;
use tokio::time::Instant;

use super::Elastic;
use super::along::Along;
use super::client::unavailable;
use super::group::{self, Op, Written};
use super::hot::{Current, Hot, Texts, lane_of};
use super::names::{Index, task_id, unique};
use super::texts::PutApart;
use crate::apply::{Decision, Write, decide};
use crate::error::StoreError;
use crate::event::{Applied, Event, Outcome};
use crate::queue::StoredTask;

/// So long others may be quicker.
const APPLY_FOR: Duration = Duration::from_secs(15);

/// An event on its way into a document.
pub(super) struct Applying<'a> {
    key: &'a TaskKey,
    event: &'a Event,
    /// The name of its write, over all tries.
    written: String,
    /// What was sent and not answered: maybe it is there.
    sent: Option<Sent>,
    put_apart: PutApart,
    along: Along,
}

/// What a write makes of a document.
#[derive(Debug, Clone)]
struct Sent {
    /// What the event makes of it.
    task: Task,
    /// What is stored: the same, or claimed already.
    hot: Arc<Hot>,
    texts: Texts,
}

impl Elastic {
    pub(super) async fn apply_event(
        &self,
        key: &TaskKey,
        event: &Event,
    ) -> Result<Applied, StoreError> {
        let mut applying = Applying {
            key,
            event,
            written: unique(),
            sent: None,
            put_apart: PutApart::default(),
            along: Along::default(),
        };
        let until = Instant::now() + APPLY_FOR;
        let remembered = self.recent.get(key);
        // A new task is the usual one: whether there is an older one the write itself will tell.
        let is_new = matches!(event, Event::Schedule(_));
        let (mut current, mut is_read) = match remembered {
            Some(current) => (Some(current), false),
            None if is_new => (None, false),
            None => (self.current(key).await?, true),
        };
        loop {
            match self.attempt(&mut applying, current.as_ref(), is_read).await {
                Ok(Some(applied)) => return Ok(applied),
                Ok(None) => {}
                Err(StoreError::Unavailable { .. })
                    if applying.sent.is_some() && Instant::now() < until => {}
                Err(error) => return Err(self.unanswered(&applying, error)),
            }
            if Instant::now() >= until {
                let error = unavailable("others keep writing to the same task");
                return Err(self.unanswered(&applying, error));
            }
            if is_read {
                let ms = rand::rng().random_range(1..10);
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            current = match self.current(key).await {
                Ok(current) => current,
                Err(error) => return Err(self.unanswered(&applying, error)),
            };
            is_read = true;
        }
    }

    /// What came of it, unless it has to be decided anew on the document as it is then.
    async fn attempt(
        &self,
        applying: &mut Applying<'_>,
        current: Option<&Current>,
        is_read: bool,
    ) -> Result<Option<Applied>, StoreError> {
        let hot = current.map(|current| &*current.hot);
        if let (Some(current), Some(mut sent)) = (current, applying.sent.take())
            && current.hot.written == applying.written
        {
            if current.hot.task.lease() != sent.hot.task.lease() {
                // Of several tries, which differ in whether the run is claimed with them, it is an
                // earlier one that is there.
                let given = self.given_as_stored(current).await;
                let given =
                    given.inspect_err(|_| self.remember_unsure(applying.key, &applying.written))?;
                applying.along.give(given);
                sent.hot = Arc::clone(&current.hot);
            }
            return self
                .is_written(applying, sent, current.seen)
                .await
                .map(Some);
        }
        let now = self.clock.now();
        match decide(applying.key, hot.map(|hot| &hot.task), applying.event, now) {
            Decision::Nothing(outcome) => Ok(is_read.then(|| Applied {
                outcome,
                task: hot.map(|hot| hot.task.clone()),
            })),
            Decision::Write(write) => self.send(applying, current, *write, now).await,
        }
    }

    /// The run, if it is stored as claimed.
    async fn given_as_stored(&self, current: &Current) -> Result<Option<StoredTask>, StoreError> {
        match current.hot.task.lease() {
            Some(_) => self.with_texts(&current.hot).await,
            None => Ok(None),
        }
    }

    async fn send(
        &self,
        applying: &mut Applying<'_>,
        current: Option<&Current>,
        write: Write,
        now: Timestamp,
    ) -> Result<Option<Applied>, StoreError> {
        let (key, former) = (applying.key, current.map(|current| &*current.hot));
        let written = &applying.written;
        let put_apart = &mut applying.put_apart;
        let texts = self
            .texts_after(key, former, &write, written, put_apart)
            .await?;
        let mut task = write.task;
        task.expires_at = self.limits.expires_at(&task);
        self.before_writing(key, current, &task).await?;
        let along = &mut applying.along;
        let claimed = self
            .claimed_along(along, applying.event, &task, &texts, now)
            .await?;
        let stored = claimed.unwrap_or_else(|| task.clone());
        let hot = Arc::new(Hot::new(stored, texts.clone(), now, &applying.written));
        applying.sent = Some(Sent {
            task,
            hot: Arc::clone(&hot),
            texts,
        });
        let answer = self.group.write(to_write(current, &hot)?).await?;
        match answer {
            Written::Done(seen) => {
                if let Some(lane) = former.and_then(Hot::lane) {
                    self.blocked.look_again(&lane);
                }
                let Some(sent) = applying.sent.take() else {
                    return Ok(None);
                };
                self.is_written(applying, sent, seen).await.map(Some)
            }
            Written::Conflict { .. } | Written::Absent | Written::Busy => {
                if let Some(current) = current {
                    self.recent.forget(key, current.seen);
                }
                Ok(None)
            }
        }
    }

    /// What has to be known of the task before its document tells.
    async fn before_writing(
        &self,
        key: &TaskKey,
        current: Option<&Current>,
        next: &Task,
    ) -> Result<(), StoreError> {
        let former = current.map(|current| &current.hot.task);
        if let Some((parent, run)) = next.parent_run()
            && former.and_then(Task::parent_run).map(|(_, run)| run) != Some(run)
        {
            self.enter_family(key, &parent, run).await?;
        }
        let held = former.filter(|task| task.holds_key()).and_then(lane_of);
        match lane_of(next).filter(|_| next.holds_key()) {
            Some(lane) if held.as_ref() != Some(&lane) => {
                let seen = current.map(|current| current.seen);
                self.enter_lane(&lane, key, seen).await
            }
            _ => Ok(()),
        }
    }

    async fn is_written(
        &self,
        applying: &mut Applying<'_>,
        sent: Sent,
        seen: group::Seen,
    ) -> Result<Applied, StoreError> {
        self.is_stored(applying.key, seen, &sent.hot);
        let queued = Hot {
            task: sent.task.clone(),
            texts: sent.texts,
            ..(*sent.hot).clone()
        };
        let current = Current {
            seen,
            hot: sent.hot,
        };
        self.start_along(std::mem::take(&mut applying.along), current, queued)
            .await;
        Ok(Applied {
            outcome: Outcome::Changed,
            task: Some(sent.task),
        })
    }

    /// The caller is told nothing. If the run was claimed with the write that may be there, a later
    /// claim has to find it.
    fn unanswered(&self, applying: &Applying<'_>, error: StoreError) -> StoreError {
        if applying.sent.is_some() && applying.along.is_in_the_write() {
            self.remember_unsure(applying.key, &applying.written);
        }
        error
    }

    /// Remembers what this host has written.
    pub(super) fn is_stored(&self, key: &TaskKey, seen: group::Seen, hot: &Arc<Hot>) {
        self.recent.put(key, seen, hot);
        if let Some(lane) = hot.lane() {
            self.blocked.look_again(&lane);
        }
    }

    /// The document as it is at this moment.
    pub(super) async fn current(&self, key: &TaskKey) -> Result<Option<Current>, StoreError> {
        let Some(stored) = self.group.read(Index::Tasks, &task_id(key)).await? else {
            return Ok(None);
        };
        let current = Current {
            seen: stored.seen,
            hot: Arc::new(Hot::from_json(&stored.source)?),
        };
        Ok(Some(current))
    }
}

/// The write of a document over the version that is known.
pub(super) fn to_write(current: Option<&Current>, hot: &Hot) -> Result<group::Write, StoreError> {
    let source = hot.to_json()?;
    Ok(group::Write {
        index: Index::Tasks,
        id: task_id(&hot.key()),
        op: match current {
            Some(current) => Op::Replace(current.seen, source),
            None => Op::Create(source),
        },
    })
}
