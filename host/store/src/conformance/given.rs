//! What the cases begin with: keys, runs and documents, and the usual first steps.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taskhost_model::ids::{
    Digest, DocumentId, Incarnation, Label, RunId, RunKeyId, Space, StreamKey, StreamName, TaskId,
    TaskKey, TypeId,
};
use taskhost_model::query::Query;
use taskhost_model::requester::{Authorization, Requester};
use taskhost_model::task::{Fence, Progress, Task};
use taskhost_model::time::{Clock, Timestamp};

use super::Subject;
use crate::components::{Version, VersionState};
use crate::documents::{Change, Scope};
use crate::error::StoreError;
use crate::event::{Applied, Event, NewRun, Outcome, RunEvent, RunReport};
use crate::queue::{ClaimRequest, ClaimableType, StoredTask};
use crate::run_keys::RunKey;
use crate::streams::{StreamDocument, StreamSettings};

/// More than any answer has.
pub const MANY_BYTES: u64 = 1 << 30;

/// Far more than the second that an answer may be late.
const LOOKS_MAX: usize = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Where a manual clock of the cases begins.
#[must_use]
pub fn clock() -> Clock {
    Clock::manual(at(1_795_000_000_000))
}

/// A time.
#[must_use]
pub fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

/// The space of the cases.
#[must_use]
pub fn space() -> Space {
    Space::parse("default").expect("it is valid")
}

/// A task's key in that space.
#[must_use]
pub fn key(id: &str) -> TaskKey {
    TaskKey {
        space: space(),
        id: TaskId::parse(id).expect("ids of the cases are valid"),
    }
}

/// A type's id.
#[must_use]
pub fn type_id(id: &str) -> TypeId {
    TypeId::parse(id).expect("types of the cases are valid")
}

/// A stream's key in that space.
#[must_use]
pub fn stream(name: &str) -> StreamKey {
    StreamKey {
        space: space(),
        name: StreamName::parse(name).expect("streams of the cases are valid"),
    }
}

/// A digest that is this digit, repeated.
#[must_use]
pub fn digest(digit: char) -> Digest {
    Digest::parse(&digit.to_string().repeat(64)).expect("the digit is hexadecimal")
}

/// A collection of a stream.
#[must_use]
pub fn scope(stream_name: &str, label: &str) -> Scope {
    Scope {
        stream: Some(stream(stream_name).name),
        ..space_scope(label)
    }
}

/// A collection of the space itself.
#[must_use]
pub fn space_scope(label: &str) -> Scope {
    Scope {
        space: space(),
        stream: None,
        label: Label::parse(label).expect("labels of the cases are valid"),
    }
}

/// A document's id.
#[must_use]
pub fn document_id(id: &str) -> DocumentId {
    DocumentId::parse(id).expect("ids of the cases are valid")
}

/// A change that puts a document.
#[must_use]
pub fn put(id: &str, body: &str) -> Change {
    Change::Put {
        id: document_id(id),
        body: Arc::from(body),
        if_version: None,
    }
}

/// A document of a stream.
#[must_use]
pub fn document(at_ms: i64, body: &str) -> StreamDocument {
    StreamDocument {
        at: at(at_ms),
        body: Arc::from(body),
    }
}

/// A query over `[from, to)`.
#[must_use]
pub fn query(from_ms: i64, to_ms: i64) -> Query {
    Query::range(at(from_ms), at(to_ms))
}

/// Who reads in the cases.
#[must_use]
pub fn reader() -> Requester {
    Requester::single_user()
}

/// A key of runs, of somebody.
#[must_use]
pub fn run_key(person: &str) -> RunKey {
    RunKey {
        id: RunKeyId::new(),
        granted: Some(format!("granted to {person}")),
        person: person.to_owned(),
        shared_by: Incarnation::new(),
        shared_until: at(1_000),
        expires_at: at(2_000),
        sealed: (0..=255).collect(),
    }
}

/// What somebody with a password comes with.
#[must_use]
pub fn basic(name: &str, password: &str) -> Authorization {
    let encoded = STANDARD.encode(format!("{name}:{password}"));
    Authorization::parse(&format!("Basic {encoded}")).expect("names of the cases are short")
}

/// Asks until the answer is this one.
///
/// # Panics
/// When it is not for a long time, or an error.
pub async fn until<T, Asked>(ask: impl Fn() -> Asked, is_it: impl Fn(&T) -> bool) -> T
where
    T: std::fmt::Debug,
    Asked: Future<Output = Result<T, StoreError>>,
{
    let mut pause = tokio::time::interval(BETWEEN_LOOKS);
    let mut looks = 0;
    loop {
        pause.tick().await;
        looks += 1;
        let answer = ask().await.expect("the store answers");
        let is_it = is_it(&answer);
        assert!(is_it || looks < LOOKS_MAX, "at last it is {answer:#?}");
        if is_it {
            return answer;
        }
    }
}

/// A report that says nothing.
#[must_use]
pub fn no_report() -> RunReport {
    RunReport::default()
}

/// A report with progress.
#[must_use]
pub fn progress(done: u64) -> RunReport {
    RunReport {
        progress: Some(Progress {
            done,
            message: "on the way".to_owned(),
            ..Progress::default()
        }),
        ..RunReport::default()
    }
}

/// A request to claim up to `limit` runs of these types.
#[must_use]
pub fn claim_request(types: &[&str], limit: usize) -> ClaimRequest {
    let claimable = |id: &&str| ClaimableType {
        type_id: type_id(id),
        digest: digest('a'),
        wall_ms: 60_000,
        runs_per_key: None,
    };
    ClaimRequest {
        host: "host-1".to_owned(),
        incarnation: Incarnation::new(),
        types: types.iter().map(claimable).collect(),
        limit,
    }
}

impl Subject {
    /// The time on the clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the clock.
    pub fn wait_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    /// A run of a type, due now.
    #[must_use]
    pub fn run(&self, type_name: &str) -> NewRun {
        NewRun {
            id: RunId::new(),
            type_id: type_id(type_name),
            stream: None,
            also_reads: Vec::new(),
            params: Arc::from("{}"),
            parent: None,
            concurrency_key: None,
            record: false,
            trace: None,
            requested_by: "somebody".to_owned(),
            key: None,
            priority: 0,
            due_at: self.now(),
            timeout_ms: None,
            max_attempts: 3,
            condition: None,
            keeps_checkpoints: false,
            receipt: None,
        }
    }

    /// Applies an event.
    ///
    /// # Errors
    /// The store's.
    pub async fn apply(&self, id: &str, event: Event) -> Result<Applied, StoreError> {
        self.stores.tasks.apply(&key(id), event).await
    }

    /// Schedules a run of type `hello`, which has to be accepted.
    ///
    /// # Errors
    /// The store's.
    pub async fn scheduled(&self, id: &str) -> Result<Task, StoreError> {
        self.schedule(id, self.run("hello")).await
    }

    /// Sees to it that there is a component with this digest: nothing is claimed for others.
    ///
    /// # Errors
    /// The store's.
    pub async fn has_component(&self, digit: char) -> Result<(), StoreError> {
        let components = &self.stores.components;
        if components.get(&digest(digit)).await?.is_none() {
            let version = Version {
                digest: digest(digit),
                type_id: type_id("hello"),
                descriptor: "{}".to_owned(),
                state: VersionState::Active,
                bytes: 0,
                uploaded_at: self.now(),
                activated_at: Some(self.now()),
                approval: None,
                signed_by: None,
            };
            components.put(&version, Arc::from([])).await?;
        }
        Ok(())
    }

    /// Schedules a run, which has to be accepted; what [`claim_request`] names is there then.
    ///
    /// # Errors
    /// The store's.
    pub async fn schedule(&self, id: &str, run: NewRun) -> Result<Task, StoreError> {
        self.has_component('a').await?;
        let applied = self.apply(id, Event::Schedule(Box::new(run))).await?;
        assert_eq!(applied.outcome, Outcome::Changed, "scheduling {id}");
        Ok(applied.task.expect("a changed task is answered"))
    }

    /// Schedules runs of type `hello` with these ids, all at once.
    ///
    /// # Errors
    /// The store's.
    pub async fn scheduled_at_once(&self, ids: &[String]) -> Result<(), StoreError> {
        let mut waiting = tokio::task::JoinSet::new();
        for id in ids {
            let (subject, id) = (self.clone(), id.clone());
            waiting.spawn(async move { subject.scheduled(&id).await });
        }
        for task in waiting.join_all().await {
            task?;
        }
        Ok(())
    }

    /// Claims up to `limit` runs of type `hello`.
    ///
    /// # Errors
    /// The store's.
    pub async fn claim(&self, limit: usize) -> Result<Vec<StoredTask>, StoreError> {
        self.stores
            .tasks
            .claim(&claim_request(&["hello"], limit))
            .await
    }

    /// A scheduled and claimed run of type `hello`; no other may be due.
    ///
    /// # Errors
    /// The store's.
    pub async fn running(&self, id: &str) -> Result<Fence, StoreError> {
        self.scheduled(id).await?;
        let claimed = self.claim(2).await?;
        assert_eq!(claimed.len(), 1, "{id} is the only run that is due");
        assert_eq!(claimed[0].task.key(), key(id));
        Ok(claimed[0].task.fence())
    }

    /// Lets a run say something.
    ///
    /// # Errors
    /// The store's.
    pub async fn says(
        &self,
        id: &str,
        fence: Fence,
        event: RunEvent,
    ) -> Result<Applied, StoreError> {
        self.apply(id, Event::Run { fence, event }).await
    }

    /// Lets a run end with this result, which has to be accepted.
    ///
    /// # Errors
    /// The store's.
    pub async fn completed(
        &self,
        id: &str,
        fence: Fence,
        payload: &str,
    ) -> Result<Task, StoreError> {
        let event = RunEvent::Completed {
            payload: Arc::from(payload),
            end: no_report(),
        };
        let applied = self.says(id, fence, event).await?;
        assert_eq!(applied.outcome, Outcome::Changed, "completing {id}");
        Ok(applied.task.expect("a changed task is answered"))
    }

    /// The document, which has to be there.
    ///
    /// # Errors
    /// The store's.
    pub async fn task(&self, id: &str) -> Result<Task, StoreError> {
        let found = self.stores.tasks.get(&key(id)).await?;
        Ok(found.expect("the task is there"))
    }

    /// Makes a stream with these documents.
    ///
    /// # Errors
    /// The store's.
    pub async fn ingested(
        &self,
        name: &str,
        documents: Vec<StreamDocument>,
    ) -> Result<StreamKey, StoreError> {
        let key = stream(name);
        self.stores
            .streams
            .put(&key, &StreamSettings::default())
            .await?;
        self.stores.streams.ingest(&key, documents).await?;
        Ok(key)
    }
}

/// A cancel by somebody.
#[must_use]
pub fn cancel() -> Event {
    Event::Cancel {
        by: "somebody".to_owned(),
        reason: Some("no longer needed".to_owned()),
        if_version: None,
    }
}

/// An acknowledgment by somebody.
#[must_use]
pub fn acknowledge() -> Event {
    Event::Acknowledge {
        by: "somebody".to_owned(),
        if_version: None,
    }
}

/// A deletion.
#[must_use]
pub fn delete() -> Event {
    Event::Delete { if_version: None }
}
