//! The one writer of a file: a thread that drains what waits into one durable commit and then
//! answers every caller.
//!
//! # Guarantees
//! 1. A caller hears of success after its write is on disk.
//! 2. Operations happen in the order of their submission, each on its own: one that fails
//!    leaves nothing behind and harms no other.
//! 3. A companion is in the same commit as the operations that it was made for, or is not run;
//!    it is answered before them.
//! 4. A panic in an operation ends the thread; whoever waits and whoever comes later is told
//!    that the store is not available.
//! 5. What goes along with every change ([`Beside`]) is in the same commit, or the change is not
//!    there; where nothing changes, nothing goes along.
//! 6. Of bulk work at most [`BULK_BYTES_MAX`] bytes are written before an operation that waits,
//!    and as much in the same commit, however many callers bring more; or one component, which
//!    is one piece however large it is.
//!
//! # How it works
//! A failed operation has usually written nothing, and then the others go on. Where it has, or
//! where the commit fails, everything is rolled back and each operation runs again in a
//! transaction of its own, without a companion. Savepoints would do the same at a price that
//! every write pays.
//!
//! Bulk work waits outside of the queue, in the order of its arrival, until what was let in has
//! been answered. So it is never far in front of anybody, and never left behind either: once it
//! is in the queue it is an operation as every other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::crash::{self, Step};
use crate::error::StoreError;
use crate::telemetry;

/// So many operations share a commit at most.
pub(super) const OPERATIONS_MAX: usize = 256;
/// When a commit has gathered for so long, the rest waits for the next one.
const GATHERING_MAX: Duration = Duration::from_millis(5);
/// So many operations may wait; then callers do.
const QUEUE_LENGTH: usize = 1_024;
/// So many bytes of bulk work are in the queue or being written at a time …
pub(super) const BULK_BYTES_MAX: u32 = 1024 * 1024;
/// … and so many operations of it, since small ones cost something too.
const BULK_OPERATIONS_MAX: u32 = 16;

/// A handle of the writer.
#[derive(Debug)]
pub(super) struct Writer {
    submitted: AtomicU64,
    queue: mpsc::Sender<Message>,
    /// Bytes of bulk work that may enter the queue now.
    bulk: Arc<Semaphore>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

/// Makes one more operation for every commit with one in it that wants company. It is asked on
/// the writer's thread, at the end of the commit.
pub(super) type Companion = Box<dyn Fn() -> Option<Box<dyn Operation>> + Send>;

/// What joins operations in their commits.
#[derive(Default)]
pub(super) struct Company {
    pub(super) companion: Option<Companion>,
    pub(super) beside: Option<Box<dyn Beside>>,
}

/// What is written with every transaction that changes something.
pub(super) trait Beside: Send {
    /// Writes what there is.
    fn write(&mut self, connection: &Connection) -> Result<(), StoreError>;
    /// Whether that is on disk now; otherwise it goes along with the next one.
    fn ended(&mut self, is_written: bool);
}

enum Message {
    Write(Box<dyn Operation>),
    Stop,
}

/// Something to write. It may run more than once; what counts is its last run.
pub(super) trait Operation: Send {
    fn step(&self) -> Step;
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;
    fn wants_company(&self) -> bool;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Submitted<T, F> {
    step: Step,
    work: F,
    value: Option<T>,
    wants_company: fn(&T) -> bool,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl Writer {
    /// Starts the thread. `guard` lives as long as the thread may write.
    pub(super) fn start(
        name: &str,
        connection: Connection,
        company: Company,
        guard: impl Send + 'static,
    ) -> Result<Self, StoreError> {
        let (queue, waiting) = mpsc::channel(QUEUE_LENGTH);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                write_until_stopped(&connection, company, waiting);
                // The file is closed before anybody else may open it.
                drop(connection);
                drop(guard);
            })
            .map_err(|error| StoreError::Unavailable {
                reason: format!("the writer's thread did not start: {error}"),
            })?;
        let thread = std::sync::Mutex::new(Some(thread));
        Ok(Self {
            submitted: AtomicU64::new(0),
            queue,
            bulk: Arc::new(Semaphore::new(BULK_BYTES_MAX as usize)),
            thread,
        })
    }

    /// Runs `work` in a transaction and answers after its commit. `work` must write nothing
    /// when it fails, as far as it can. It runs to its end even if the caller goes away.
    pub(super) async fn write<T, F>(&self, step: Step, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.write_in_company(step, work, |_| false).await
    }

    /// The same for about so many `bytes` out of a larger work, which others must not feel.
    /// `work` keeps to [`BULK_BYTES_MAX`] itself, and a caller that has more comes again; what
    /// cannot be cut has the whole share, and is alone.
    pub(super) async fn write_bulk<T, F>(
        &self,
        step: Step,
        bytes: u64,
        work: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.write_bulk_in_company(step, bytes, work, |_| false)
            .await
    }

    /// As `write_bulk`; a value that wants it gets the companion into its commit.
    pub(super) async fn write_bulk_in_company<T, F>(
        &self,
        step: Step,
        bytes: u64,
        mut work: F,
        wants_company: fn(&T) -> bool,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let share = u32::try_from(bytes).unwrap_or(u32::MAX);
        let share = share.clamp(BULK_BYTES_MAX / BULK_OPERATIONS_MAX, BULK_BYTES_MAX);
        let room = Arc::clone(&self.bulk).acquire_many_owned(share).await;
        let room = room.map_err(|_| stopped())?;
        let work = move |connection: &Connection| {
            // It belongs to the operation, and is free when that is answered: the caller may
            // have gone long before.
            let _room = &room;
            work(connection)
        };
        self.write_in_company(step, work, wants_company).await
    }

    /// As `write`; a value that wants it gets the companion into its commit.
    pub(super) async fn write_in_company<T, F>(
        &self,
        step: Step,
        work: F,
        wants_company: fn(&T) -> bool,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.submitted.fetch_add(1, Ordering::Relaxed);
        let (caller, answer) = oneshot::channel();
        let submitted = Box::new(Submitted {
            step,
            work,
            value: None,
            wants_company,
            caller,
        });
        let written = async {
            let sent = self.queue.send(Message::Write(submitted)).await;
            sent.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        };
        telemetry::measured(step.name(), written).await
    }

    /// How many operations were ever submitted.
    pub(super) fn submitted(&self) -> u64 {
        self.submitted.load(Ordering::Relaxed)
    }

    /// Writes what waits and ends the thread.
    pub(super) async fn close(&self) {
        // An error means that the thread has ended already.
        let _ = self.queue.send(Message::Stop).await;
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl<T, F> Operation for Submitted<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> Result<T, StoreError> + Send,
{
    fn step(&self) -> Step {
        self.step
    }

    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.value = Some((self.work)(connection)?);
        Ok(())
    }

    fn wants_company(&self) -> bool {
        self.value.as_ref().is_some_and(self.wants_company)
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (committed, self.value) {
            (Ok(()), Some(value)) => Ok(value),
            (Ok(()), None) => Err(stopped()),
            (Err(error), _) => Err(error),
        };
        // The caller may be gone; what it wanted is written all the same.
        let _ = self.caller.send(answer);
    }
}

fn write_until_stopped(
    connection: &Connection,
    mut company: Company,
    mut waiting: mpsc::Receiver<Message>,
) {
    let mut batch = Vec::with_capacity(OPERATIONS_MAX);
    while let Some(Message::Write(first)) = waiting.blocking_recv() {
        let stop = write_batch(connection, &mut company, first, &mut waiting, &mut batch);
        if stop {
            break;
        }
    }
}

type Written = (Box<dyn Operation>, Result<(), StoreError>);
type Batch = Vec<Written>;

/// Writes one batch and answers it; true when the thread has been asked to stop.
fn write_batch(
    connection: &Connection,
    company: &mut Company,
    first: Box<dyn Operation>,
    waiting: &mut mpsc::Receiver<Message>,
    batch: &mut Batch,
) -> bool {
    if let Err(error) = execute(connection, "BEGIN IMMEDIATE") {
        return refuse_all(&error, first, waiting);
    }
    let before = connection.total_changes();
    let (mut whole, stop) = gather(connection, first, waiting, batch);
    let mut joined = None;
    if whole
        && batch.iter().any(wants_company)
        && let Some(operation) = company.companion.as_ref().and_then(|make| make())
    {
        let (written, is_whole) = run(connection, operation);
        (joined, whole) = (Some(written), is_whole);
    }
    whole = whole && company.go_along(connection, before).is_ok();
    let all = || batch.iter().chain(&joined);
    if whole {
        pass_points(all(), crash::before_commit);
        whole = execute(connection, "COMMIT").is_ok();
    }
    company.ended(whole);
    if whole {
        pass_points(all(), crash::after_commit);
        // What it starts is known by the time that the others are answered.
        for (operation, result) in joined.into_iter().chain(batch.drain(..)) {
            operation.answer(result);
        }
    } else {
        roll_back(connection);
        if let Some((operation, _)) = joined {
            operation.answer(Err(undone()));
        }
        write_one_by_one(connection, company, batch);
    }
    stop
}

impl Company {
    /// Writes what goes along with a change, where there was one.
    fn go_along(&mut self, connection: &Connection, before: u64) -> Result<(), StoreError> {
        match &mut self.beside {
            Some(beside) if connection.total_changes() != before => beside.write(connection),
            _ => Ok(()),
        }
    }

    fn ended(&mut self, is_written: bool) {
        if let Some(beside) = &mut self.beside {
            beside.ended(is_written);
        }
    }
}

/// Runs what waits. Says whether the transaction can be committed, and whether the thread has
/// been asked to stop.
fn gather(
    connection: &Connection,
    first: Box<dyn Operation>,
    waiting: &mut mpsc::Receiver<Message>,
    batch: &mut Batch,
) -> (bool, bool) {
    let since = Instant::now();
    let mut next = first;
    loop {
        let (written, is_whole) = run(connection, next);
        batch.push(written);
        if !is_whole {
            return (false, false);
        }
        if batch.len() >= OPERATIONS_MAX || since.elapsed() >= GATHERING_MAX {
            return (true, false);
        }
        match waiting.try_recv() {
            Ok(Message::Write(operation)) => next = operation,
            Ok(Message::Stop) => return (true, true),
            Err(_) => return (true, false),
        }
    }
}

/// Runs an operation, and says whether the transaction is whole afterwards.
fn run(connection: &Connection, mut operation: Box<dyn Operation>) -> (Written, bool) {
    let before = connection.total_changes();
    let result = operation.run(connection);
    let left_something = result.is_err() && connection.total_changes() != before;
    let is_whole = !left_something && !connection.is_autocommit();
    ((operation, result), is_whole)
}

fn wants_company((operation, result): &Written) -> bool {
    result.is_ok() && operation.wants_company()
}

/// Somebody else keeps the file locked, for longer than we wait: whoever waits here is told, so
/// that nobody waits for all who came before.
fn refuse_all(
    error: &StoreError,
    first: Box<dyn Operation>,
    waiting: &mut mpsc::Receiver<Message>,
) -> bool {
    // Whoever comes after the first answer is not meant: the file may be free by then.
    let waited = waiting.len();
    let refuse = |operation: Box<dyn Operation>| {
        let reason = error.to_string();
        operation.answer(Err(StoreError::Unavailable { reason }));
    };
    refuse(first);
    for _ in 0..waited {
        match waiting.try_recv() {
            Ok(Message::Write(operation)) => refuse(operation),
            Ok(Message::Stop) => return true,
            Err(_) => break,
        }
    }
    false
}

/// What failed together is tried alone, so that each caller hears of its own fate.
fn write_one_by_one(connection: &Connection, company: &mut Company, batch: &mut Batch) {
    for (mut operation, _) in batch.drain(..) {
        let result = write_alone(connection, company, &mut *operation);
        company.ended(result.is_ok());
        roll_back(connection);
        operation.answer(result);
    }
}

fn write_alone(
    connection: &Connection,
    company: &mut Company,
    operation: &mut dyn Operation,
) -> Result<(), StoreError> {
    execute(connection, "BEGIN IMMEDIATE")?;
    let before = connection.total_changes();
    operation.run(connection)?;
    company.go_along(connection, before)?;
    crash::before_commit(operation.step());
    execute(connection, "COMMIT")?;
    crash::after_commit(operation.step());
    Ok(())
}

fn pass_points<'a>(written: impl Iterator<Item = &'a Written>, point: fn(Step)) {
    for (operation, result) in written {
        if result.is_ok() {
            point(operation.step());
        }
    }
}

fn roll_back(connection: &Connection) {
    if !connection.is_autocommit() {
        // It fails only where SQLite has rolled back by itself.
        let _ = execute(connection, "ROLLBACK");
    }
}

fn execute(connection: &Connection, sql: &'static str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn undone() -> StoreError {
    StoreError::Unavailable {
        reason: "what it was to be written with was rolled back".to_owned(),
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable {
        reason: "its writer has ended: look at the log for the cause, and restart the host"
            .to_owned(),
    }
}
