//! The routes for schedules.

mod shown;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use taskhost_model::ids::{ScheduleId, ScheduleKey, StreamName, TaskId, TypeId};
use taskhost_model::schedule::{CatchUp, FiredTask, Overlap, Rule, parse_span};
use taskhost_model::time::Timestamp;
use taskhost_service::schedules::{ScheduleView, ScheduleWish, TimingWish};

use self::shown::{CatchUpWord, ScheduleAnswer};
use super::answer;
use super::asked::Asked;
use super::codes::Code;
use super::described::{Anything, Operation, Routes};
use super::problem::Problem;
use super::request::{self, PageSize, PathIds, QueryParams};
use super::tasks::NoBody;

/// How many missed times are made up for, where `catch_up` is `all` and says no more.
const CATCH_UP_USUAL: u32 = 100;
const CATCH_UP_MAX: u32 = 1_000;

pub(crate) fn routes() -> Routes {
    let all = "/v1/spaces/{space}/schedules";
    let one = &format!("{all}/{{id}}");
    Routes::of("Schedules")
        .get(all, list, about_list)
        .get(one, read, about_read)
        .put(one, write, about_write)
        .delete(one, delete, about_delete)
        .post(&format!("{one}/pause"), pause, about_pause)
        .post(&format!("{one}/resume"), resume, about_resume)
        .post(&format!("{one}/run"), run, about_run)
}

/// What is said of each route for one schedule.
fn about_one(it: Operation) -> Operation {
    it.path::<ScheduleId>("id", "The schedule's id.")
}

type Answer = Result<Response<Body>, Problem>;

/// What is to be run, and when: by `interval`, `cron` or `rrule`, one of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ScheduleWish")]
struct ScheduleBody {
    /// The task type.
    r#type: TypeId,
    /// The stream that its tasks work on, where their type works on one.
    stream: Option<StreamName>,
    /// As the type's `params_schema` wants them.
    #[serde(default = "no_params", deserialize_with = "request::text")]
    #[schemars(with = "Value", extend("default" = json!({})))]
    params: Arc<str>,
    /// Higher goes first; 0 when left out. One more is worth a minute of waiting.
    #[schemars(range(min = -100, max = 100))]
    priority: Option<i32>,
    /// Shortens the type's limit for one attempt.
    #[schemars(range(min = 1))]
    timeout_ms: Option<u64>,
    /// Again and again after so long, as `90s` or `1h30m`, counted from `starts_at`.
    interval: Option<String>,
    /// An expression of five to seven fields.
    cron: Option<String>,
    /// A recurrence rule of RFC 5545.
    rrule: Option<String>,
    /// A name of the IANA database; UTC when left out.
    time_zone: Option<String>,
    /// Nothing is due before; now, when left out.
    starts_at: Option<Timestamp>,
    /// Nothing is due after.
    ends_at: Option<Timestamp>,
    /// Each fire comes later than it is due, by less than this, as `30s`.
    jitter: Option<String>,
    /// What becomes of a fire while an older one has not ended; `skip` when left out.
    overlap: Option<Overlap>,
    /// Which due times are made up for that have passed while nobody could fire; `latest` when
    /// left out.
    catch_up: Option<CatchUpWord>,
    /// With `all`: how many at most; 100 when left out.
    #[schemars(range(min = 1, max = 1_000))]
    catch_up_max: Option<u32>,
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

fn about_write(it: Operation) -> Operation {
    about_one(it.says("put_schedule", "Make a schedule, or give it another form"))
        .details(
            "For admins of the space, in whose name its tasks are. What it has fired goes on, and \
             what waits.",
        )
        .if_match()
        .header::<Anything>(
            "If-None-Match",
            "`*`: only if there is no schedule of this id.",
        )
        .takes::<ScheduleBody>()
        .answers::<ScheduleAnswer<'_>>(StatusCode::CREATED, "It is made.")
        .answers::<ScheduleAnswer<'_>>(StatusCode::OK, "It was there, and is so now.")
        .with_etag()
        .refuses(&[
            Code::UnknownTaskType,
            Code::UnknownStream,
            Code::UnfitStream,
            Code::IdNotAvailable,
            Code::Stopping,
        ])
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

fn about_read(it: Operation) -> Operation {
    about_one(it.says("get_schedule", "Get a schedule"))
        .answers::<ScheduleAnswer<'_>>(StatusCode::OK, "The schedule.")
        .with_etag()
}

async fn read(state: Asked, ids: PathIds) -> Answer {
    let view = state
        .service()
        .schedules
        .get(state.by(), &key(&ids)?)
        .await?;
    Ok(one(StatusCode::OK, &view))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ScheduleList")]
struct Page<'a> {
    /// By id.
    schedules: Vec<ScheduleAnswer<'a>>,
    /// The `cursor` of the next page; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a ScheduleId>,
}

fn about_list(it: Operation) -> Operation {
    it.says("list_schedules", "List the schedules of a space")
        .query::<ScheduleId>("cursor", "The `next` of the page before.")
        .query::<PageSize>("limit", "How many on a page; 100 when left out.")
        .answers::<Page<'_>>(StatusCode::OK, "A page of schedules.")
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

fn about_delete(it: Operation) -> Operation {
    about_one(it.says("delete_schedule", "Delete a schedule"))
        .details("The tasks that it has fired go on.")
        .if_match()
        .answers_nothing(StatusCode::NO_CONTENT, "It is gone.")
}

async fn delete(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let version = request::if_version(request.headers())?;
    let schedules = &state.service().schedules;
    schedules.delete(state.by(), &key(&ids)?, version).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

/// The body of a pause, of a schedule or a task type; it may be left out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseBody {
    /// For people.
    pub(super) reason: Option<String>,
}

fn about_pause(it: Operation) -> Operation {
    about_one(it.says(
        "pause_schedule",
        "Let a schedule fire nothing until it is resumed",
    ))
    .if_match()
    .may_take::<PauseBody>()
    .answers::<ScheduleAnswer<'_>>(StatusCode::OK, "The schedule as it is then.")
    .with_etag()
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

fn about_resume(it: Operation) -> Operation {
    about_one(it.says("resume_schedule", "Let a schedule go on"))
        .details("With the first time that is due from now on.")
        .if_match()
        .may_take::<NoBody>()
        .answers::<ScheduleAnswer<'_>>(StatusCode::OK, "The schedule as it is then.")
        .with_etag()
}

async fn resume(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = key(&ids)?;
    let (headers, bytes) = state.json_body(request).await?;
    let NoBody {} = request::json_or_empty(&bytes)?;
    let version = request::if_version(&headers)?;
    let view = state.service().schedules.resume(state.by(), &key, version);
    Ok(one(StatusCode::OK, &view.await?))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ScheduleRun")]
struct RunAnswer<'a> {
    /// The task that is fired, or will be.
    task: &'a TaskId,
    /// `fired`, or `waiting` for the task of an older fire to end.
    outcome: &'static str,
    /// The schedule as it is then.
    schedule: ScheduleAnswer<'a>,
}

fn about_run(it: Operation) -> Operation {
    about_one(it.says("run_schedule", "Fire a schedule now, whatever is due"))
        .details("Also while it is paused.")
        .if_match()
        .may_take::<NoBody>()
        .answers::<RunAnswer<'_>>(StatusCode::ACCEPTED, "It fires.")
        .refuses(&[Code::AlreadyRunning, Code::NotFired, Code::Stopping])
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
