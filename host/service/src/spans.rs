//! What went on from one moment to another, for whoever collects traces. Where nobody does, there
//! is no sink, and nothing is made of it.
//!
//! # Guarantees
//! 1. A span has names, numbers and ids of what went on; never params, results, messages of task
//!    types, or secrets.
//! 2. Handing one over holds nobody up.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use taskhost_clients::calls::CallTrace;
use taskhost_model::task::Task;
use taskhost_model::trace::TraceParent;
use taskhost_store::event::RunEvent;

/// Calls of one attempt that get a span each; of the rest it is told how many there were.
const CALLS_MAX: u32 = 200;

/// Something that went on.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its own place.
    pub place: TraceParent,
    /// What it went on in.
    pub parent: Option<TraceParent>,
    /// Of few words.
    pub name: String,
    /// Whether it is the answer to a request from outside.
    pub is_answer: bool,
    /// Nanoseconds since 1970.
    pub begun_ns: u128,
    /// The same.
    pub ended_ns: u128,
    /// What went wrong, in a word.
    pub failure: Option<String>,
    /// More about it.
    pub attributes: Vec<(&'static str, Value)>,
}

/// What is told of a span.
#[derive(Debug, Clone)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
}

/// Takes spans, and is never waited for.
pub trait SpanSink: Debug + Send + Sync {
    /// Takes one; it may be left out.
    fn take(&self, span: Span);
}

/// When something began, by a clock that people know, which may be set meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    at_ns: u128,
    since: Instant,
}

impl Begun {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let at = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            at_ns: at.unwrap_or_default().as_nanos(),
            since: Instant::now(),
        }
    }

    /// From then until now, in nanoseconds since 1970.
    #[must_use]
    pub fn until_now(self) -> (u128, u128) {
        (self.at_ns, self.at_ns + self.since.elapsed().as_nanos())
    }
}

/// The span of one attempt of a run, while it goes on.
#[derive(Debug)]
pub(crate) struct RunSpan {
    sink: Arc<dyn SpanSink>,
    parent: Option<TraceParent>,
    place: TraceParent,
    begun: Begun,
    calls: AtomicU32,
}

impl RunSpan {
    /// None where nobody collects, or whoever began the trace does not want it.
    pub(crate) fn begin(sink: Option<&Arc<dyn SpanSink>>, task: &Task) -> Option<Arc<Self>> {
        let parent = task.run.trace;
        if parent.is_some_and(|parent| !parent.is_sampled()) {
            return None;
        }
        Some(Arc::new(Self {
            sink: Arc::clone(sink?),
            parent,
            place: parent.map_or_else(TraceParent::root, TraceParent::child),
            begun: Begun::now(),
            calls: AtomicU32::new(0),
        }))
    }

    /// It is over; `event` is what is written of it.
    pub(crate) fn end(&self, task: &Task, event: Option<&RunEvent>) {
        let (outcome, failure) = match event {
            None => ("fenced", None),
            Some(RunEvent::Completed { .. }) => ("completed", None),
            Some(RunEvent::Failed { error, .. }) => ("failed", Some(error.kind)),
            Some(RunEvent::Stopped { .. }) => ("canceled", None),
            Some(RunEvent::Suspended { .. }) => ("suspended", None),
            Some(RunEvent::Paused { .. }) => ("paused", None),
            Some(RunEvent::HandedBack { .. }) => ("handed_back", None),
            Some(RunEvent::Progress(_)) => ("running", None),
        };
        let text = |text: &dyn ToString| Value::Text(text.to_string());
        let mut attributes = vec![
            ("taskhost.space", text(&task.space)),
            ("taskhost.task.id", text(&task.id)),
            ("taskhost.task.type", text(&task.type_id)),
            ("taskhost.run.id", text(&task.run.id)),
            (
                "taskhost.run.attempt",
                Value::Number(task.run.attempt.into()),
            ),
            ("taskhost.run.outcome", text(&outcome)),
        ];
        let left_out = self.calls.load(Ordering::Relaxed).saturating_sub(CALLS_MAX);
        if left_out > 0 {
            attributes.push((
                "taskhost.run.calls_left_out",
                Value::Number(left_out.into()),
            ));
        }
        let (begun_ns, ended_ns) = self.begun.until_now();
        self.sink.take(Span {
            place: self.place,
            parent: self.parent,
            name: format!("run {}", task.type_id),
            is_answer: false,
            begun_ns,
            ended_ns,
            failure: failure.map(|kind| kind.as_str().to_owned()),
            attributes,
        });
    }
}

impl CallTrace for RunSpan {
    fn called(&self, call: &'static str, took: Duration) {
        if self.calls.fetch_add(1, Ordering::Relaxed) >= CALLS_MAX {
            return;
        }
        let (_, ended_ns) = self.begun.until_now();
        self.sink.take(Span {
            place: self.place.child(),
            parent: Some(self.place),
            name: call.to_owned(),
            is_answer: false,
            begun_ns: ended_ns.saturating_sub(took.as_nanos()),
            ended_ns,
            failure: None,
            attributes: Vec::new(),
        });
    }
}
