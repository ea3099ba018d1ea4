//! A store around a store, for tests of the layers above: a [`Policy`] holds calls up, rejects
//! them, or lets them be done and reports a failure all the same.
//!
//! # Guarantees
//! 1. A call is passed on whole and once, or not at all.
//! 2. It is answered as the traits allow. A conflict is a version that does not fit where the
//!    caller named one; anywhere else a backend that lost too often against other writers can
//!    only say that it is not available, and so does this one.

mod tasks;
mod many;
mod documents;
mod checkpoints;
mod recordings;
mod schedules;
mod streams;
mod components;
mod hosts;

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::ids::TaskKey;

use crate::error::StoreError;
use crate::event::{Applied, Event};
use crate::hosts::HostStore;
use crate::open::Stores;
use crate::queue::StoredTask;

/// Decides what becomes of calls, and sees what came of them.
#[async_trait]
pub trait Policy: Send + Sync + Debug {
    /// Before the call reaches the store; it may take its time.
    async fn before(&self, call: Call<'_>) -> Fate;

    /// The store has done it; whoever called does not know yet.
    fn done(&self, _seen: Seen<'_>) {}

    /// Before the answer goes back; it may take its time.
    async fn after(&self, call: Call<'_>);

    /// Whoever called is told that it is done.
    fn told(&self, _seen: Seen<'_>) {}
}

/// A call on its way.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The method, as `tasks.apply`.
    pub name: &'static str,
    /// Whether it writes, and so may lose against another writer.
    pub writes: bool,
    /// Of `tasks.apply`.
    pub event: Option<&'a Event>,
}

/// What is to become of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is done.
    Done,
    /// It is not done, and whoever called is told so.
    Rejected,
    /// It is done, and whoever called is told that it failed.
    DoneButFailed,
    /// Another writer was faster: it is not done.
    Conflict,
}

/// What the store has done.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// An event.
    Applied(&'a TaskKey, &'a Event, &'a Applied),
    /// A claim.
    Claimed(&'a [StoredTask]),
}

/// One trait's store with a policy before it.
#[derive(Debug)]
struct Faulty<S: ?Sized> {
    inner: Arc<S>,
    policy: Arc<dyn Policy>,
}

/// The same stores with a policy before all of them.
#[must_use]
pub fn wrap(stores: &Stores, policy: &Arc<dyn Policy>) -> Stores {
    fn faulty<S: ?Sized>(inner: &Arc<S>, policy: &Arc<dyn Policy>) -> Arc<Faulty<S>> {
        Arc::new(Faulty {
            inner: Arc::clone(inner),
            policy: Arc::clone(policy),
        })
    }
    let hosts = stores
        .hosts
        .as_ref()
        .map(|inner| -> Arc<dyn HostStore> { faulty(inner, policy) });
    let mut wrapped = Stores::of_parts(
        faulty(&stores.tasks, policy),
        faulty(&stores.checkpoints, policy),
        faulty(&stores.recordings, policy),
        faulty(&stores.documents, policy),
        faulty(&stores.streams, policy),
        faulty(&stores.components, policy),
    );
    wrapped.hosts = hosts;
    wrapped.schedules = faulty(&stores.schedules, policy);
    wrapped.people.clone_from(&stores.people);
    // Whoever changes something waits for no answer of it.
    wrapped.audit = Arc::clone(&stores.audit);
    wrapped
}

impl<S: ?Sized> Faulty<S> {
    async fn read<T: Send>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.pass(call(name, false), work).await
    }

    async fn write<T: Send>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.pass(call(name, true), work).await
    }

    async fn pass<T: Send>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let fate = self.policy.before(call).await;
        let answer = match fate {
            Fate::Done | Fate::DoneButFailed => work.await,
            Fate::Rejected | Fate::Conflict => Err(failed(fate)),
        };
        self.policy.after(call).await;
        if fate == Fate::DoneButFailed {
            Err(failed(fate))
        } else {
            answer
        }
    }
}

fn call(name: &'static str, writes: bool) -> Call<'static> {
    Call {
        name,
        writes,
        event: None,
    }
}

fn failed(fate: Fate) -> StoreError {
    let reason = match fate {
        Fate::Conflict => "other writers were faster, again and again",
        Fate::DoneButFailed => "the answer was lost (it was done)",
        Fate::Done | Fate::Rejected => "a test rejects the call",
    };
    StoreError::Unavailable {
        reason: reason.to_owned(),
    }
}
