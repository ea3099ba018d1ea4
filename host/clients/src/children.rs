//! Runs of other task types, which end with the run that has spawned them.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use taskhost_model::capabilities::Capabilities;
use taskhost_model::ids::{TaskId, TypeId};
use taskhost_model::task::Progress;

use crate::caps::{
    CHILD_OPTIONS_BYTES_MAX, CHILDREN_WAITED_FOR_MAX, SLEEP_MS_MAX, batch_bytes_max,
};
use crate::denied::{Denial, Denials};
use crate::error::{ClientError, ErrorCode};
use crate::scope::Scope;
use crate::{json, request};

/// The longest key of a child.
const KEY_BYTES_MAX: usize = 64;
/// Priorities go from −100 to 100.
const PRIORITY_MAX: i32 = 100;

/// The children of one run, kept by whoever runs tasks.
///
/// # Guarantees
/// 1. One key is one child over all attempts of the run, and spawning it again changes nothing.
/// 2. `wait_any` may be dropped at any time.
#[async_trait]
pub trait ChildRuns: Debug + Send + Sync {
    /// Schedules a child, or finds it; its id.
    async fn spawn(&self, wish: ChildWish) -> Result<TaskId, ClientError>;

    /// How a child stands.
    async fn status(&self, id: &TaskId) -> Result<ChildState, ClientError>;

    /// The first of these that has ended, as soon as there is one; none when the time is up.
    async fn wait_any(
        &self,
        ids: &[TaskId],
        timeout: Duration,
    ) -> Result<Option<ChildState>, ClientError>;

    /// Asks a child to stop.
    async fn cancel(&self, id: &TaskId) -> Result<(), ClientError>;
}

/// A child that is to be.
#[derive(Debug, Clone)]
pub struct ChildWish {
    /// What the run calls it.
    pub key: String,
    /// Its type.
    pub type_id: TypeId,
    /// JSON text.
    pub params: Arc<str>,
    /// −100 to 100; its parent's by default.
    pub priority: Option<i32>,
    /// Shortens the type's wall-clock limit.
    pub timeout_ms: Option<u64>,
}

/// How a child stands, as a guest reads it (`schemas/child-status.json`).
#[derive(Debug, Clone, Serialize)]
pub struct ChildState {
    /// Its id.
    pub id: TaskId,
    /// What the run calls it, while it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// A status, or `deleted`.
    pub status: &'static str,
    /// Whether it will not change any more.
    pub ended: bool,
    /// What it last said of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ChildError>,
    /// What came of it: JSON text.
    #[serde(skip)]
    pub result: Option<Arc<str>>,
}

/// Why a child failed.
#[derive(Debug, Clone, Serialize)]
pub struct ChildError {
    /// The cause: `task` for an error that the child returned.
    pub kind: &'static str,
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// More, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

/// `schemas/child-options.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    priority: Option<i32>,
    #[serde(default)]
    timeout_ms: Option<u64>,
}

/// What a guest is answered.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    state: &'a ChildState,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<LeftOut>,
}

/// What is too large to be handed over.
#[derive(Serialize)]
struct LeftOut {
    result_bytes: usize,
}

/// The interface `children`.
#[derive(Debug, Clone)]
pub struct Children {
    scope: Arc<Scope>,
    grant: Option<ChildGrant>,
}

/// Which children a run may have.
#[derive(Debug, Clone)]
pub(crate) struct ChildGrant {
    runs: Option<Arc<dyn ChildRuns>>,
    asked: Vec<TypeId>,
    allowed: Vec<TypeId>,
    denials: Denials,
}

impl Children {
    pub(crate) fn new(scope: Arc<Scope>, grant: Option<ChildGrant>) -> Self {
        Self { scope, grant }
    }

    /// Schedules a child, or finds the one that was scheduled under this key; its id.
    ///
    /// # Errors
    /// `denied` where the type is not asked for or not allowed, and outside of a run; `not-found`
    /// where the host does not have it; `invalid` key, params or options; `too-large` params;
    /// `conflict` where the key stands for another child; `quota-exceeded` above 1,000 children or
    /// 4 levels; `canceled`, `deadline`, `unavailable`.
    pub async fn spawn(
        &self,
        key: &str,
        task_type: &str,
        params: &str,
        options: Option<&str>,
    ) -> Result<String, ClientError> {
        let (runs, grant) = self.granted("children.spawn")?;
        let type_id = TypeId::parse(task_type)
            .map_err(|error| ClientError::invalid("task-type", &error.to_string()))?;
        grant.permit(&type_id)?;
        check_key(key)?;
        json::check(params).map_err(|error| ClientError::invalid("params", &error.to_string()))?;
        let Options {
            priority,
            timeout_ms,
        } = options.map_or_else(|| Ok(Options::default()), read_options)?;
        let wish = ChildWish {
            key: key.to_owned(),
            type_id: self.scope.calls.child_type(type_id),
            params: Arc::from(params),
            priority,
            timeout_ms,
        };
        let id = self.scope.unless_stopped(runs.spawn(wish)).await?;
        Ok(id.to_string())
    }

    /// How a child stands.
    ///
    /// # Errors
    /// `denied` outside of a run; `not-found` where it is no child of this run; `canceled`,
    /// `deadline`, `unavailable`.
    pub async fn status(&self, id: &str) -> Result<String, ClientError> {
        let (runs, _) = self.granted("children.status")?;
        let id = child_id(id)?;
        let state = self.scope.unless_stopped(runs.status(&id)).await?;
        Ok(self.shown(&state))
    }

    /// Waits until one of the children has ended. Meanwhile the clock for standing still rests.
    ///
    /// # Errors
    /// As [`Self::status`]; `invalid` where there are none, or more than 1,000.
    pub async fn wait_any(
        &self,
        ids: &[String],
        timeout_ms: u64,
    ) -> Result<Option<String>, ClientError> {
        let (runs, _) = self.granted("children.wait-any")?;
        if ids.is_empty() {
            return Err(ClientError::invalid(
                "ids",
                "is empty: there is nothing to wait for",
            ));
        }
        if ids.len() > CHILDREN_WAITED_FOR_MAX {
            let problem = format!(
                "has {} ids, at most {CHILDREN_WAITED_FOR_MAX} are accepted",
                ids.len()
            );
            return Err(ClientError::invalid("ids", &problem));
        }
        let ids: Vec<TaskId> = ids
            .iter()
            .map(|id| child_id(id))
            .collect::<Result<_, _>>()?;
        let timeout = Duration::from_millis(timeout_ms.min(SLEEP_MS_MAX));
        let _resting = self.scope.stillness.rest();
        let waited = self
            .scope
            .unless_stopped(runs.wait_any(&ids, timeout))
            .await?;
        Ok(waited.map(|state| self.shown(&state)))
    }

    /// Asks a child to stop. Goes on working when the run itself is asked to.
    ///
    /// # Errors
    /// `denied` outside of a run; `not-found` where it is no child of this run; `unavailable`.
    pub async fn cancel(&self, id: &str) -> Result<(), ClientError> {
        let (runs, _) = self.granted("children.cancel")?;
        runs.cancel(&child_id(id)?).await
    }

    fn granted(
        &self,
        call: &'static str,
    ) -> Result<(&Arc<dyn ChildRuns>, &ChildGrant), ClientError> {
        self.scope.calls.enter(call)?;
        let grant = self.grant.as_ref();
        let runs = grant.and_then(|grant| Some((grant.runs.as_ref()?, grant)));
        runs.ok_or_else(|| ClientError::denied("there are no children outside of a run"))
    }

    fn shown(&self, state: &ChildState) -> String {
        let bytes_max = batch_bytes_max(self.scope.memory_bytes);
        let text = state.result.as_deref().unwrap_or_default();
        let fits = text.len() as u64 <= bytes_max;
        let shown = Shown {
            state,
            // What the store has was checked to be JSON.
            result: Some(text)
                .filter(|_| fits)
                .and_then(|text| serde_json::from_str(text).ok()),
            left_out: (!fits).then_some(LeftOut {
                result_bytes: text.len(),
            }),
        };
        serde_json::to_string(&shown).unwrap_or_default()
    }
}

impl ChildGrant {
    pub(crate) fn new(
        runs: Option<Arc<dyn ChildRuns>>,
        (asked, allowed): (Vec<TypeId>, Vec<TypeId>),
        denials: Denials,
    ) -> Self {
        Self {
            runs,
            asked,
            allowed,
            denials,
        }
    }

    fn permit(&self, type_id: &TypeId) -> Result<(), ClientError> {
        if !self.asked.contains(type_id) {
            let message = format!(
                "the descriptor does not ask for children of the type `{type_id}`: add it to \
                 `capabilities.children`"
            );
            return Err(self.denials.deny(Denial::new(message)));
        }
        if !self.allowed.contains(type_id) {
            let message =
                format!("the operator does not allow this type children of the type `{type_id}`");
            let setting = self.denials.setting(&Capabilities {
                children: vec![type_id.clone()],
                ..Capabilities::default()
            });
            return Err(self.denials.deny(Denial::not_allowed(&message, setting)));
        }
        Ok(())
    }
}

fn check_key(key: &str) -> Result<(), ClientError> {
    let is_first = |c: char| c.is_ascii_alphanumeric();
    let fits = |c: char| is_first(c) || matches!(c, '_' | '.' | '-');
    if key.starts_with(is_first) && key.chars().all(fits) && key.len() <= KEY_BYTES_MAX {
        return Ok(());
    }
    let problem = "has to match [A-Za-z0-9][A-Za-z0-9_.-]{0,63}";
    Err(ClientError::invalid("key", problem))
}

/// What cannot be the id of a task is nobody's child.
fn child_id(id: &str) -> Result<TaskId, ClientError> {
    TaskId::parse(id).map_err(|_| no_child(id))
}

/// No child of the run has this id.
#[must_use]
pub fn no_child(id: &str) -> ClientError {
    let id = crate::error::cut(id, KEY_BYTES_MAX).escape_debug();
    let message =
        format!("`{id}` is no child of this run: `spawn` answers the ids of its children");
    ClientError::new(ErrorCode::NotFound, message)
}

fn read_options(text: &str) -> Result<Options, ClientError> {
    let wrong = |problem: &str| ClientError::invalid("options", problem);
    if text.len() > CHILD_OPTIONS_BYTES_MAX {
        let (what, most) = ("the options", CHILD_OPTIONS_BYTES_MAX as u64);
        return Err(ClientError::too_large(what, text.len(), "bytes", most));
    }
    json::check_object(text).map_err(|error| wrong(&error.to_string()))?;
    let read = |error: serde_json::Error| wrong(&error.to_string());
    let object: Map<String, Value> = serde_json::from_str(text).map_err(read)?;
    request::no_nulls(&object)?;
    let options: Options = serde_json::from_value(object.into()).map_err(read)?;
    let is_within = |priority: &i32| (-PRIORITY_MAX..=PRIORITY_MAX).contains(priority);
    if options
        .priority
        .as_ref()
        .is_some_and(|priority| !is_within(priority))
    {
        return Err(wrong("has a `priority` that is not from -100 to 100"));
    }
    if options.timeout_ms == Some(0) {
        return Err(wrong("has a `timeout_ms` of 0: it has to be at least 1"));
    }
    Ok(options)
}
