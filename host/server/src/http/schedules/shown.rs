//! A schedule as it is shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use taskhost_model::ids::{ScheduleId, Space, StreamName, TaskId, TypeId};
use taskhost_model::schedule::{CatchUp, Counts, Overlap, PastOutcome, Pause, Rule};
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;
use taskhost_service::schedules::{FireView, ScheduleView};

/// Which due times are made up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "CatchUp")]
pub(super) enum CatchUpWord {
    /// None.
    None,
    /// The latest alone.
    Latest,
    /// Each of them.
    All,
}

/// A schedule. What people have written stands there as they wrote it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Schedule")]
pub(super) struct ScheduleAnswer<'a> {
    /// Its id.
    id: &'a ScheduleId,
    /// Its space.
    space: &'a Space,
    /// `active`, `paused` or `ended`.
    state: &'static str,
    /// The type of its tasks.
    r#type: &'a TypeId,
    /// The stream that they work on.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a StreamName>,
    /// Further streams that they read, which the params name.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    also_reads: &'a [StreamName],
    /// Their params.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    params: Option<&'a RawValue>,
    /// Their priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    /// Shortens their type's limit for one attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(flatten)]
    rule: &'a Rule,
    /// The rule in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_words: Option<&'a str>,
    /// A name of the IANA database.
    time_zone: &'a str,
    /// Nothing is due before.
    starts_at: Timestamp,
    /// Nothing is due after.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Timestamp>,
    /// Each fire comes later than it is due, by less than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter: Option<String>,
    /// What becomes of a fire while an older one has not ended.
    overlap: Overlap,
    /// Which due times are made up for that have passed while nobody could fire.
    catch_up: CatchUpWord,
    /// How many at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    catch_up_max: Option<u32>,
    /// The next three times.
    next_fires: &'a [Timestamp],
    /// Why it fires nothing for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<&'a Pause>,
    /// In whose name its tasks are.
    author: &'a str,
    /// When the key of its tasks ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_expires_at: Option<Timestamp>,
    /// When it was made.
    created_at: Timestamp,
    /// When somebody has changed it last.
    updated_at: Timestamp,
    /// Tasks that have not ended, as far as the schedule has looked.
    active: Vec<&'a TaskId>,
    /// Fires that wait for these.
    waiting: usize,
    /// What has become of all its due times.
    counts: Counts,
    /// What became of the latest due time.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<FireAnswer<'a>>,
    /// What became of the latest ones, the newest first.
    fires: Vec<FireAnswer<'a>>,
    /// The `ETag` without its quotes.
    version: String,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Fire")]
struct FireAnswer<'a> {
    /// When it was due.
    due_at: Timestamp,
    /// When it was decided.
    at: Timestamp,
    /// What became of it.
    outcome: PastOutcome,
    /// Its task.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a TaskId>,
    /// The status of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    /// Why there is none, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Who has fired it by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted_by: Option<&'a str>,
}

impl<'a> FireAnswer<'a> {
    fn of(fire: &'a FireView) -> Self {
        Self {
            due_at: fire.due_at,
            at: fire.at,
            outcome: fire.outcome,
            task: fire.task.as_ref(),
            status: fire.status,
            reason: fire.reason.as_deref(),
            wanted_by: fire.wanted_by.as_deref(),
        }
    }
}

impl<'a> ScheduleAnswer<'a> {
    pub(super) fn of(view: &'a ScheduleView) -> Self {
        let schedule = &view.schedule;
        let (timing, task) = (&schedule.timing, &schedule.task);
        let (catch_up, catch_up_max) = match schedule.catch_up {
            CatchUp::None => (CatchUpWord::None, None),
            CatchUp::Latest => (CatchUpWord::Latest, None),
            CatchUp::All(max) => (CatchUpWord::All, Some(max)),
        };
        Self {
            id: &schedule.id,
            space: &schedule.space,
            state: view.state.as_str(),
            r#type: &task.type_id,
            stream: task.stream.as_ref(),
            also_reads: &task.also_reads,
            params: serde_json::from_str(&task.params).ok(),
            priority: task.priority,
            timeout_ms: task.timeout_ms,
            rule: &timing.rule,
            in_words: view.words.as_deref(),
            time_zone: &timing.time_zone,
            starts_at: timing.starts_at,
            ends_at: timing.ends_at,
            jitter: Some(timing.jitter_ms)
                .filter(|jitter_ms| *jitter_ms > 0)
                .map(|jitter_ms| format!("{}s", jitter_ms / 1_000)),
            overlap: schedule.overlap,
            catch_up,
            catch_up_max,
            next_fires: &view.next_fires,
            paused: schedule.paused.as_ref(),
            author: &schedule.author,
            key_expires_at: schedule.key_expires_at,
            created_at: schedule.created_at,
            updated_at: schedule.updated_at,
            active: schedule.active.iter().map(|fire| &fire.task).collect(),
            waiting: schedule.waiting.len(),
            counts: schedule.counts,
            last: view.fires.first().map(FireAnswer::of),
            fires: view.fires.iter().map(FireAnswer::of).collect(),
            version: schedule.version.to_string(),
        }
    }
}
