//! The store on Elasticsearch, for any number of hosts.
//!
//! # How it works
//! Elasticsearch has no transactions over several documents. So what has to change together is one
//! document, which is replaced only in the version that was decided on; what is read for a decision
//! is read by its id, which sees every write that was answered. Searches, which may be a second
//! late, only tell where to look. Long texts are written apart, before the document that names
//! them.
//!
//! # Why no scripts
//! They would hold a second copy of the rules of [`crate::apply`], and cannot be had everywhere.

mod along;
mod apply;
mod audit;
mod checkpoints;
mod claim;
pub(crate) mod client;
mod components;
mod documents;
mod family;
mod garbage;
mod group;
mod history;
mod hosts;
mod hot;
mod lanes;
mod list;
mod many;
mod names;
mod recent;
mod recordings;
mod run_keys;
mod schedules;
mod schema;
mod search;
mod shared;
mod tasks;
mod texts;
mod whole;
mod query_fields;
pub(crate) mod query;
pub(crate) mod streams_reader;
mod streams_scan;
mod streams_turns;
pub(crate) mod streams_count;
mod streams_about;
pub(crate) mod streams;
pub(crate) mod people;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use taskhost_model::ids::{Incarnation, TaskKey};
use taskhost_model::time::Clock;

use crate::audit::Noted;
use crate::error::StoreError;
use crate::limits::Limits;
use crate::queue::{Claimer, Reservation};
use claim::Searched;
use client::{Client, unavailable};
use components::Catalog;
use group::Group;
use lanes::Blocked;
use names::Names;
use recent::Recent;

/// The version of all mappings together.
#[cfg(test)]
pub(crate) use schema::VERSION as SCHEMA_VERSION;

/// The store.
#[derive(Debug)]
pub(crate) struct Elastic {
    client: Client,
    names: Names,
    group: Group,
    limits: Limits,
    clock: Clock,
    recent: Recent,
    blocked: Blocked,
    catalog: Catalog,
    claimer: Mutex<Option<Arc<dyn Claimer>>>,
    /// Held by the claim that is under way.
    claiming: tokio::sync::Mutex<()>,
    /// Room for runs that waits for its turn to claim.
    waiting_along: Mutex<Vec<Box<dyn Reservation>>>,
    /// Claims of which nobody knows whether they were written: the task, and the write's name.
    unsure: Mutex<Vec<(TaskKey, String)>>,
    /// What the last search of a claim has shown.
    searched: Searched,
    last_claim_ms: AtomicI64,
    /// How often this host has written into collections, and how much of that searches show.
    documents_written: AtomicU64,
    documents_shown: AtomicU64,
    /// When this host sweeps next.
    sweep_at: Mutex<Option<tokio::time::Instant>>,
    /// Pieces of components that no version had at the last sweep, and since when.
    nameless: Mutex<HashMap<String, tokio::time::Instant>>,
    /// Entries of the audit log that are not written yet, and when this host trims the log next.
    noted: Noted,
    trim_at: Mutex<Option<tokio::time::Instant>>,
    /// The lives that were not lost when the hosts were last listed.
    alive: Mutex<Vec<Incarnation>>,
    /// This host's life, as it has last written it.
    last_beat: Mutex<Option<(Incarnation, group::Seen)>>,
    is_closed: AtomicBool,
}

impl Elastic {
    /// Opens the store whose indices begin with `prefix`, and makes them where there are none.
    pub(crate) async fn open(
        settings: &client::Settings,
        prefix: &str,
        limits: Limits,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let client = Client::new(settings)?;
        let names = Names::new(prefix);
        schema::prepare(&client, &names).await?;
        let group = Group::new(&client, &names);
        Ok(Self {
            client,
            names,
            group,
            limits,
            clock,
            recent: Recent::default(),
            blocked: Blocked::default(),
            catalog: Catalog::default(),
            claimer: Mutex::default(),
            claiming: tokio::sync::Mutex::default(),
            waiting_along: Mutex::default(),
            unsure: Mutex::default(),
            searched: Searched::default(),
            last_claim_ms: AtomicI64::new(i64::MIN),
            documents_written: AtomicU64::new(0),
            documents_shown: AtomicU64::new(0),
            sweep_at: Mutex::default(),
            nameless: Mutex::default(),
            noted: Noted::default(),
            trim_at: Mutex::default(),
            alive: Mutex::default(),
            last_beat: Mutex::default(),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Every later call answers [`StoreError::Unavailable`].
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    fn is_open(&self) -> Result<(), StoreError> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(unavailable("it is closed"));
        }
        Ok(())
    }

    /// How many requests of each kind this host has sent for what is its own.
    pub(crate) fn requests(&self) -> client::Sent {
        self.client.sent()
    }

    /// Whether a write would succeed now.
    pub(crate) async fn writable(&self) -> Result<(), StoreError> {
        self.is_open()?;
        // Whoever changes nothing writes nothing: so this is a read of what every write begins
        // with, and a look whether the cluster has a place for writes.
        let health = client::Request::get(format!(
            "_cluster/health/{}",
            self.names.alias(names::Index::Tasks)
        ))
        .with("timeout", "1s")
        .retried_for(std::time::Duration::ZERO);
        let answer = self.client.expect(&health, &[200, 408]).await?;
        let health: serde_json::Value = answer.json()?;
        match health["status"].as_str() {
            Some("green" | "yellow") => Ok(()),
            _ => Err(unavailable("the shard with the tasks has no node")),
        }
    }

    /// From now on searches show everything that was written: for tests that look at lists.
    #[cfg(any(test, feature = "conformance"))]
    pub(crate) async fn settle(&self) -> Result<(), StoreError> {
        for index in names::Index::ALL {
            self.refresh(index).await?;
        }
        Ok(())
    }
}
