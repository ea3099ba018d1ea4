//! The store in memory, for tests: the same traits, the same guarantees but durability, and a
//! second opinion that the embedded store is compared with.

mod audit;
mod checkpoints;
mod components;
mod documents;
mod hosts;
mod many;
pub mod people;
mod recordings;
mod run_keys;
mod schedules;
mod streams;
mod tasks;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use taskhost_model::former::FormerRun;
use taskhost_model::ids::{DocumentId, Label, ScheduleKey, StreamKey, TaskKey, TypeId};
use taskhost_model::schedule::Schedule;
use taskhost_model::task::Task;
use taskhost_model::time::Clock;

use crate::checkpoints::Checkpoint;
use crate::components::{Paused, Version};
use crate::documents::Scope;
use crate::error::StoreError;
use crate::hosts::Hosts;
use crate::limits::Limits;
use crate::place::Place;
use crate::queue::Claimer;
use crate::streams::Stream;
use people::Declared;

/// A store that is gone with the process.
#[derive(Debug)]
pub struct Memory {
    clock: Clock,
    limits: Limits,
    content: Arc<Mutex<Content>>,
    claimer: Mutex<Option<Arc<dyn Claimer>>>,
    people: Option<Arc<Declared>>,
}

#[derive(Debug, Default)]
struct Content {
    tasks: BTreeMap<TaskKey, Entry>,
    /// Grows with every new task; breaks ties in lists.
    last_task: i64,
    /// Grows with every write of a task.
    last_write: u64,
    last_recording: i64,
    labels: BTreeMap<Label, TypeId>,
    paused_types: BTreeMap<TypeId, Paused>,
    documents: BTreeMap<ScopeKey, BTreeMap<DocumentId, (u64, Arc<str>)>>,
    last_version: u64,
    streams: BTreeMap<StreamKey, StreamEntry>,
    components: Vec<(Version, Arc<[u8]>)>,
    hosts: Hosts,
    keys: run_keys::Keys,
    audit: audit::Entries,
    schedules: BTreeMap<ScheduleKey, Schedule>,
}

/// `Scope` as a key that sorts.
type ScopeKey = (String, Option<String>, String);

#[derive(Debug)]
struct Entry {
    number: i64,
    /// Of its last write.
    write: u64,
    place: Place,
    task: Task,
    params: Option<Arc<str>>,
    payload: Option<Arc<str>>,
    log: String,
    checkpoints: BTreeMap<String, Checkpoint>,
    recordings: Vec<recordings::Recording>,
    /// Former runs with their logs, newest first.
    former: Vec<(FormerRun, String)>,
}

#[derive(Debug)]
struct StreamEntry {
    stream: Stream,
    bytes: u64,
    last_number: u64,
    /// By time in milliseconds, then by arrival.
    documents: BTreeMap<(i64, u64), Arc<str>>,
    /// When each arrived, in milliseconds, and its place, in the order of arrival.
    arrivals: VecDeque<(i64, (i64, u64))>,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new(limits: Limits, clock: Clock) -> Self {
        Self {
            clock,
            limits,
            content: Arc::default(),
            claimer: Mutex::default(),
            people: None,
        }
    }

    /// The same store for these people: whoever comes with a credential of their own reads what
    /// they may.
    #[must_use]
    pub fn for_people(self, people: &Arc<Declared>) -> Self {
        Self {
            people: Some(Arc::clone(people)),
            ..self
        }
    }

    /// The same store for another host: whoever claims along there does not claim here.
    #[must_use]
    pub fn of_another_host(&self) -> Self {
        Self {
            clock: self.clock.clone(),
            limits: self.limits,
            content: Arc::clone(&self.content),
            claimer: Mutex::default(),
            people: self.people.clone(),
        }
    }

    fn content(&self) -> Result<MutexGuard<'_, Content>, StoreError> {
        self.content.lock().map_err(|_| StoreError::Unavailable {
            reason: "an earlier call has panicked".to_owned(),
        })
    }
}

fn scope_key(scope: &Scope) -> ScopeKey {
    (
        scope.space.to_string(),
        scope.stream.as_ref().map(ToString::to_string),
        scope.label.to_string(),
    )
}
