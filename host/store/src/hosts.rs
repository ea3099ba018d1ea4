//! The hosts that share a store: who is alive, and what those hold who are not.
//!
//! # How a host is found to be dead
//! It writes a number, its beat, every few seconds. Nobody compares clocks: whoever has seen the
//! same beat for a whole lease, by a clock of his own, declares it lost. That is a compare-and-set
//! on the beat, so a host that beats in that moment is not lost. From then on its beats are
//! answered [`Beat::Lost`], and what it held may be taken over.

use std::collections::BTreeMap;
use std::fmt::Debug;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use taskhost_model::ids::{Incarnation, Space, TypeId};
use taskhost_model::status::Phase;
use taskhost_model::task::Task;

use crate::error::StoreError;

/// The hosts of a store. A store that only one process can use has none.
///
/// # Guarantees
/// 1. A life that was declared lost, or that was removed, never beats again.
/// 2. `declare_lost` and a beat exclude each other: one of the two sees what the other wrote.
/// 3. `find` sees every write that was answered before. The others may miss the last second's.
#[async_trait]
pub trait HostStore: Send + Sync + Debug {
    /// Writes a life's document. The first beat, 1, makes it; a later one replaces it.
    async fn beat(&self, host: &Host) -> Result<Beat, StoreError>;

    /// All lives, in the order of their names, and how often [`Self::types_changed`] was called.
    async fn list(&self) -> Result<Hosts, StoreError>;

    /// One life.
    async fn find(&self, incarnation: Incarnation) -> Result<Option<Host>, StoreError>;

    /// Declares a life lost, if its beat is still the one that was seen; whether it is lost now.
    async fn declare_lost(
        &self,
        incarnation: Incarnation,
        seen_beat: u64,
    ) -> Result<bool, StoreError>;

    /// Removes a life that holds nothing any more. What it holds all the same is lost.
    async fn remove(&self, incarnation: Incarnation) -> Result<(), StoreError>;

    /// Every life under which a document is held: by the lease of its run, or of a `previous` one.
    async fn holders(&self) -> Result<Vec<Incarnation>, StoreError>;

    /// Documents, tombstones included, that a life holds. At most `limit`; with fewer these are
    /// all that can be read.
    async fn held_by(
        &self,
        incarnation: Incarnation,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError>;

    /// Of these the documents whose run is to stop: it is being canceled, or was replaced or
    /// deleted.
    async fn to_stop(
        &self,
        incarnation: Incarnation,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError>;

    /// Documents of these spaces, tombstones included, that were written after a write of this
    /// number, oldest first, each as it is when it is found; a few that were written before may be
    /// among them. Without a number none, and the number of the latest write.
    async fn changed(
        &self,
        spaces: &[Space],
        after: Option<u64>,
        limit: usize,
    ) -> Result<Changed, StoreError>;

    /// Tells all hosts that task types have changed, by [`Hosts::types_version`].
    async fn types_changed(&self) -> Result<(), StoreError>;
}

/// One life of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The host's name, which no other host has: it belongs to the data folder.
    pub host: String,
    /// The life.
    pub incarnation: Incarnation,
    /// Grows with each beat.
    pub beat: u64,
    /// Where others reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Runs at once.
    pub slots: u64,
    /// Runs at work when it last beat.
    pub running: u64,
    /// It stops: its runs end, and it claims no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// Why it claims nothing now, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_claiming: Option<String>,
    /// Bytes that it has in memory, where its system says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// The program's version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The task types that it claims, with the active versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<TypeId, String>,
    /// Somebody has declared it lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_lost: bool,
}

/// What was written.
#[derive(Debug, Clone, Default)]
pub struct Changed {
    /// The documents.
    pub tasks: Vec<Task>,
    /// The number to ask with next.
    pub last: u64,
}

/// All hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    /// Each life.
    pub lives: Vec<Host>,
    /// Another number than before: task types have changed.
    pub types_version: u64,
}

/// What a beat was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// It is written.
    Written,
    /// Somebody has declared this life lost; nothing was written, and never will be.
    Lost,
}

/// Under whose leases a document is held.
pub(crate) fn holders_of(task: &Task) -> impl Iterator<Item = Incarnation> {
    let leases = task.lease().into_iter().chain(task.previous.clone());
    leases.map(|lease| lease.incarnation)
}

/// Whether a run under one of its leases is to stop.
pub(crate) fn is_to_stop(task: &Task) -> bool {
    task.phase() == Phase::BeingCanceled || !task.previous.is_empty()
}
