//! The routes for schedules.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use taskhost_model::ids::{ScheduleId, ScheduleKey, StreamName, TaskId, TypeId};
use taskhost_model::schedule::{
    CatchUp, Counts, FiredTask, Overlap, PastOutcome, Pause, Rule, parse_span,
};
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;
use taskhost_service::schedules::{FireView, ScheduleView, ScheduleWish, TimingWish};

use super::answer;
use super::asked::Asked;
use super::problem::Problem;
use super::request::{self, PathIds, QueryParams};
use super::state::State;

/// How many missed times are made up for, where `catch_up` is `all` and says no more.
const CATCH_UP_USUAL: u32 = 100;
const CATCH_UP_MAX: u32 = 1_000;

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/v1/spaces/{space}/schedules", get(list))
        .route(
            "/v1/spaces/{space}/schedules/{id}",
            get(read).put(write).delete(delete),
        )
        .route("/v1/spaces/{space}/schedules/{id}/pause", post(pause))
        .route("/v1/spaces/{space}/schedules/{id}/resume", post(resume))
        .route("/v1/spaces/{space}/schedules/{id}/run", post(run))
}

type Answer = Result<Response<Body>, Problem>;

/// What people write.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScheduleBody {
    r#type: TypeId,
    stream: Option<StreamName>,
    #[serde(default = "no_params", deserialize_with = "request::text")]
    params: Arc<str>,
    priority: Option<i32>,
    timeout_ms: Option<u64>,
    interval: Option<String>,
    cron: Option<String>,
    rrule: Option<String>,
    time_zone: Option<String>,
    starts_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
    jitter: Option<String>,
    overlap: Option<Overlap>,
    catch_up: Option<CatchUpWord>,
    catch_up_max: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CatchUpWord {
    None,
    Latest,
    All,
}

fn no_params() -> Arc<str> {
    Arc::from("{}")
}

impl ScheduleBody {
    fn rule(&mut self) -> Result<Rule, Problem> {
        let given = [
            self.interval.take().map(Rule::Interval),
            self.cron.take().map(Rule::Cron),
            self.rrule.take().map(Rule::Rrule),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(rule), None) => Ok(rule),
            _ => {
                let problem = "has to be there, or `interval`, or `rrule`: exactly one of them";
                Err(Problem::invalid("cron", problem))
            }
        }
    }

    fn catch_up(&self) -> Result<CatchUp, Problem> {
        let max = self.catch_up_max.unwrap_or(CATCH_UP_USUAL);
        let invalid = |problem: String| Err(Problem::invalid("catch_up_max", problem));
        match self.catch_up.unwrap_or(CatchUpWord::Latest) {
            CatchUpWord::All if !(1..=CATCH_UP_MAX).contains(&max) => {
                invalid(format!("has to be between 1 and {CATCH_UP_MAX}"))
            }
            CatchUpWord::All => Ok(CatchUp::All(max)),
            _ if self.catch_up_max.is_some() => {
                invalid("is for `\"catch_up\": \"all\"` alone".to_owned())
            }
            CatchUpWord::Latest => Ok(CatchUp::Latest),
            CatchUpWord::None => Ok(CatchUp::None),
        }
    }

    fn jitter(&self) -> Result<Duration, Problem> {
        let jitter = self.jitter.as_deref().map(parse_span).transpose();
        let jitter = jitter.map_err(|problem| Problem::invalid("jitter", problem))?;
        Ok(jitter.unwrap_or_default())
    }
}

async fn write(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = key(&ids)?;
    let (headers, bytes) = state.json_body(request).await?;
    let mut body: ScheduleBody = request::json(&bytes)?;
    drop(bytes);
    let wish = ScheduleWish {
        timing: TimingWish {
            rule: body.rule()?,
            time_zone: body.time_zone.take(),
            starts_at: body.starts_at,
            ends_at: body.ends_at,
            jitter: body.jitter()?,
        },
        overlap: body.overlap.unwrap_or(Overlap::Skip),
        catch_up: body.catch_up()?,
        task: FiredTask {
            type_id: body.r#type,
            stream: body.stream,
            // The params name them.
            also_reads: Vec::new(),
            params: body.params,
            priority: body.priority,
            timeout_ms: body.timeout_ms,
        },
        condition: request::write_condition(&headers)?,
    };
    let put = state
        .service()
        .schedules
        .put(state.by(), &key, wish)
        .await?;
    let status = match put.is_new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    Ok(one(status, &put.view))
}

async fn read(state: Asked, ids: PathIds) -> Answer {
    let view = state
        .service()
        .schedules
        .get(state.by(), &key(&ids)?)
        .await?;
    Ok(one(StatusCode::OK, &view))
}

#[derive(Serialize)]
struct Page<'a> {
    schedules: Vec<ScheduleAnswer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a ScheduleId>,
}

/// A cursor is the id of the last schedule of the page before.
async fn list(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let mut query = QueryParams::of(request.uri())?;
    let after = query.parse::<ScheduleId>("cursor")?;
    let limit = query
        .number("limit")?
        .map_or(100, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    query.finish()?;
    let space = ids.id("space")?;
    let schedules = &state.service().schedules;
    let page = schedules.list(state.by(), &space, after, limit).await?;
    let answer = Page {
        schedules: page.schedules.iter().map(ScheduleAnswer::of).collect(),
        next: page.next.as_ref(),
    };
    Ok(answer::json(StatusCode::OK, &answer))
}

async fn delete(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let version = request::if_version(request.headers())?;
    let schedules = &state.service().schedules;
    schedules.delete(state.by(), &key(&ids)?, version).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    reason: Option<String>,
}

async fn pause(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = key(&ids)?;
    let (headers, bytes) = state.json_body(request).await?;
    let PauseBody { reason } = request::json_or_empty(&bytes)?;
    let version = request::if_version(&headers)?;
    let schedules = &state.service().schedules;
    let view = schedules.pause(state.by(), &key, reason.as_deref(), version);
    Ok(one(StatusCode::OK, &view.await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoBody {}

async fn resume(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = key(&ids)?;
    let (headers, bytes) = state.json_body(request).await?;
    let NoBody {} = request::json_or_empty(&bytes)?;
    let version = request::if_version(&headers)?;
    let view = state.service().schedules.resume(state.by(), &key, version);
    Ok(one(StatusCode::OK, &view.await?))
}

#[derive(Serialize)]
struct RunAnswer<'a> {
    task: &'a TaskId,
    outcome: &'static str,
    schedule: ScheduleAnswer<'a>,
}

async fn run(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = key(&ids)?;
    let (headers, bytes) = state.json_body(request).await?;
    let NoBody {} = request::json_or_empty(&bytes)?;
    let version = request::if_version(&headers)?;
    let schedules = &state.service().schedules;
    let run = schedules.run_now(state.by(), &key, version).await?;
    let answer = RunAnswer {
        task: &run.task,
        outcome: if run.is_waiting { "waiting" } else { "fired" },
        schedule: ScheduleAnswer::of(&run.view),
    };
    Ok(answer::json(StatusCode::ACCEPTED, &answer))
}

fn key(ids: &PathIds) -> Result<ScheduleKey, Problem> {
    Ok(ScheduleKey {
        space: ids.id("space")?,
        id: ids.id("id")?,
    })
}

fn one(status: StatusCode, view: &ScheduleView) -> Response<Body> {
    let mut response = answer::json(status, &ScheduleAnswer::of(view));
    let version = view.schedule.version.to_string();
    answer::set_etag(response.headers_mut(), &version);
    response
}

/// A schedule. What people have written stands there as they wrote it.
#[derive(Serialize)]
struct ScheduleAnswer<'a> {
    id: &'a ScheduleId,
    space: &'a taskhost_model::ids::Space,
    state: &'static str,
    r#type: &'a TypeId,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a StreamName>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    also_reads: &'a [StreamName],
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(flatten)]
    rule: &'a Rule,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_words: Option<&'a str>,
    time_zone: &'a str,
    starts_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter: Option<String>,
    overlap: Overlap,
    catch_up: CatchUpWord,
    #[serde(skip_serializing_if = "Option::is_none")]
    catch_up_max: Option<u32>,
    next_fires: &'a [Timestamp],
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<&'a Pause>,
    author: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_expires_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// Tasks that have not ended, as far as the schedule has looked.
    active: Vec<&'a TaskId>,
    /// Fires that wait for these.
    waiting: usize,
    counts: Counts,
    /// What became of the latest due time.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<FireAnswer<'a>>,
    /// What became of the latest ones, the newest first.
    fires: Vec<FireAnswer<'a>>,
    version: String,
}

#[derive(Serialize)]
struct FireAnswer<'a> {
    due_at: Timestamp,
    at: Timestamp,
    outcome: PastOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
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
    fn of(view: &'a ScheduleView) -> Self {
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
