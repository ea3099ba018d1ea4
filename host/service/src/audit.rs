//! Keeps who has changed what: the one call that a verb makes where it changes something.
//!
//! # How it works
//! An entry is noted before the change is made and again when it is known what became of it. On the
//! embedded store it goes to disk with the change, in its transaction, so that there is none
//! without its entry whatever happens; on a cluster it is written behind, within a second.
//! Nobody waits for either, and neither costs a commit of its own while others are made.
//!
//! # Why not only afterwards
//! A host that is killed between the change and its entry would leave a change that nobody made.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::audit::{Act, Entry, Outcome};
use taskhost_model::ids::EntryId;
use taskhost_model::requester::Requester;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_store::audit::{AuditPage, AuditRequest, AuditStore};
use taskhost_store::error::StoreError;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::error::ServiceError;
use crate::settings::AuditBounds;

/// So long after it was noted an entry is written that nothing has taken along.
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// The most entries of one page.
const LIMIT_MAX: usize = 1_000;

/// The audit log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn AuditStore>,
    access: Arc<Access>,
    clock: Clock,
    bounds: AuditBounds,
    noted: Notify,
}

/// A change on its way. Dropped before its end, nobody knows what became of it.
#[derive(Debug)]
pub(crate) struct Noted<'a> {
    audit: &'a Audit,
    entry: Entry,
}

impl Audit {
    pub(crate) fn new(
        store: &Arc<dyn AuditStore>,
        access: &Arc<Access>,
        clock: &Clock,
        bounds: AuditBounds,
    ) -> Self {
        Self(Arc::new(Inner {
            store: Arc::clone(store),
            access: Arc::clone(access),
            clock: clock.clone(),
            bounds,
            noted: Notify::new(),
        }))
    }

    /// Makes a change, and keeps who has made it and what became of it. What is checked before
    /// is no change: this is around the call that writes.
    pub(crate) async fn kept<T>(
        &self,
        by: &Requester,
        act: Act,
        change: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<T, ServiceError> {
        self.kept_as(by, act, change, |_| Outcome::Done).await
    }

    /// The same, where what was answered well may have changed nothing.
    pub(crate) async fn kept_as<T>(
        &self,
        by: &Requester,
        act: Act,
        change: impl Future<Output = Result<T, ServiceError>>,
        outcome: impl FnOnce(&T) -> Outcome,
    ) -> Result<T, ServiceError> {
        let noted = self.begun(by, act);
        let changed = change.await;
        noted.ended(match &changed {
            Ok(answer) => outcome(answer),
            Err(error) => outcome_of(error),
        });
        changed
    }

    /// The same for what is not in the file of tasks, and so in no transaction with its entry: that
    /// one is written before. For what is rare.
    pub(crate) async fn kept_first<T>(
        &self,
        by: &Requester,
        act: Act,
        change: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<T, ServiceError> {
        let noted = async {
            self.0.store.flush().await?;
            change.await
        };
        self.kept(by, act, noted).await
    }

    /// A change begins, one of several that are made together.
    pub(crate) fn begun(&self, by: &Requester, act: Act) -> Noted<'_> {
        let entry = Entry::begun(by, act, self.0.clock.now());
        self.note(entry.clone());
        Noted { audit: self, entry }
    }

    fn note(&self, entry: Entry) {
        self.0.store.note(entry);
        self.0.noted.notify_one();
    }

    /// A page of entries, newest first.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for whoever is no admin, [`ServiceError::Invalid`] for a limit
    /// out of bounds, or what the store says.
    pub async fn list(
        &self,
        by: &Requester,
        request: &AuditRequest,
    ) -> Result<AuditPage, ServiceError> {
        self.0.access.caller(by).must_be_admin().await?;
        if !(1..=LIMIT_MAX).contains(&request.limit) {
            let problem = format!("has to be between 1 and {LIMIT_MAX}");
            return Err(ServiceError::invalid("limit", problem));
        }
        Ok(self.0.store.list(request).await?)
    }

    /// Writes what nothing has taken along, soon after it was noted, until it is stopped.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut is_told = false;
        while stop
            .run_until_cancelled(self.flushed_soon(&mut is_told))
            .await
            .is_some()
        {}
        self.flush(&mut is_told).await;
    }

    async fn flushed_soon(&self, is_told: &mut bool) {
        self.0.noted.notified().await;
        tokio::time::sleep(FLUSH_AFTER).await;
        self.flush(is_told).await;
    }

    async fn flush(&self, is_told: &mut bool) {
        match self.0.store.flush().await {
            Ok(()) => *is_told = false,
            Err(error) => {
                if !std::mem::replace(is_told, true) {
                    tracing::warn!(%error, "entries of the audit log wait to be written");
                }
                self.0.noted.notify_one();
            }
        }
    }

    /// Removes what is too old or too much; how many.
    pub(crate) async fn trim(&self) -> Result<u64, StoreError> {
        let AuditBounds { age, entries } = self.0.bounds;
        let before: Timestamp = self.0.clock.now().minus(age);
        self.0.store.trim(before, entries).await
    }
}

impl Noted<'_> {
    /// This became of it.
    pub(crate) fn ended(self, outcome: Outcome) {
        self.audit.note(Entry {
            outcome: Some(outcome),
            ..self.entry
        });
    }
}

/// Reads a cursor that a former answer gave.
///
/// # Errors
/// [`ServiceError::Invalid`].
pub fn cursor(text: &str) -> Result<EntryId, ServiceError> {
    let wrong = |_| ServiceError::invalid("cursor", "is not one that a former answer gave");
    EntryId::parse(text).map_err(wrong)
}

/// What a change that was answered so has come to.
pub(crate) fn outcome_of(error: &ServiceError) -> Outcome {
    match error {
        ServiceError::Unavailable { .. }
        | ServiceError::DiskFull
        | ServiceError::DiskReserved
        | ServiceError::Internal { .. }
        | ServiceError::Stopping => Outcome::Failed,
        _ => Outcome::Refused,
    }
}
