//! Kibana's routes, in the space `default`: its clients and pages find what they know. What a
//! task is called and how a range of time is said differs; everything else is the task service.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{delete, get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;
use taskhost_model::ids::{Space, StreamKey, StreamName, TaskId, TaskKey, TypeId};
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;
use taskhost_service::view::TaskView;
use taskhost_service::{ScheduleRequest, Scheduled};
use taskhost_store::tasks::ListRequest;

use super::answer::{self, KibanaStatus};
use super::asked::Asked;
use super::features::KIBANAS_SPACE;
use super::problem::Problem;
use super::request::{self, PathIds, QueryParams};
use super::state::State;

const TYPE: &str = "streams_feature_identification";
/// Documents of one page, and pages of one answer.
const PAGE: usize = 1_000;
const PAGES_MAX: usize = 100;

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route(
            "/internal/streams/{name}/features/_identify",
            post(identify),
        )
        .route("/internal/streams/{name}/features/_status", get(status))
        .route("/internal/streams/{name}/features/_task", post(task))
        .route("/internal/streams/_tasks", get(tasks))
        .route("/internal/streams/_tasks/{id}", delete(remove))
}

type Answer = Result<Response<Body>, Problem>;

/// What a caller wants.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Schedule {
        from: Timestamp,
        to: Timestamp,
        connector: Option<String>,
    },
    Cancel,
    Acknowledge,
    Status,
}

/// The body of both routes. A connector names a language model of the host's settings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionBody {
    action: Option<String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    #[serde(rename = "connectorId", alias = "connector_id", alias = "connector")]
    connector: Option<String>,
}

impl ActionBody {
    fn schedule(&self) -> Result<Action, Problem> {
        let missing =
            |field| Problem::invalid(field, "is missing: scheduling needs `from` and `to`");
        let from = self.from.ok_or_else(|| missing("from"))?;
        let to = self.to.ok_or_else(|| missing("to"))?;
        if from >= to {
            return Err(Problem::invalid("from", "has to be before `to`"));
        }
        // A caller without a choice sends an empty one.
        let connector = self.connector.clone().filter(|name| !name.is_empty());
        Ok(Action::Schedule {
            from,
            to,
            connector,
        })
    }
}

/// Reads the flags of `_identify`; none of them is a status.
fn flagged(mut query: QueryParams, body: &ActionBody) -> Result<Action, Problem> {
    let mut flags = Vec::new();
    for flag in ["schedule", "cancel", "acknowledge"] {
        match query.take(flag).as_deref() {
            None | Some("false") => {}
            Some("true" | "") => flags.push(flag),
            Some(_) => return Err(Problem::invalid(flag, "has to be true or false")),
        }
    }
    // Kibana's own client and its proxies send these along.
    for ignored in ["apiVersion", "elasticInternalOrigin"] {
        query.take(ignored);
    }
    query.finish()?;
    match flags[..] {
        [] => Ok(Action::Status),
        ["schedule"] => body.schedule(),
        ["cancel"] => Ok(Action::Cancel),
        ["acknowledge"] => Ok(Action::Acknowledge),
        _ => Err(Problem::invalid(
            "query",
            format!("names {}: one at a time", flags.join(", ")),
        )),
    }
}

/// Reads the action of `_task`.
fn named(body: &ActionBody) -> Result<Action, Problem> {
    match body.action.as_deref() {
        Some("schedule") => body.schedule(),
        Some("cancel") => Ok(Action::Cancel),
        Some("acknowledge") => Ok(Action::Acknowledge),
        _ => Err(Problem::invalid(
            "action",
            "has to be schedule, cancel or acknowledge",
        )),
    }
}

async fn identify(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let query = QueryParams::of(request.uri())?;
    let (_, bytes) = state.json_body(request).await?;
    let body: ActionBody = request::json_or_empty(&bytes)?;
    if body.action.is_some() {
        return Err(Problem::invalid(
            "action",
            "stands in the query here: ?schedule=true",
        ));
    }
    act(&state, &ids, flagged(query, &body)?).await
}

async fn task(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let (_, bytes) = state.json_body(request).await?;
    let body: ActionBody = request::json_or_empty(&bytes)?;
    act(&state, &ids, named(&body)?).await
}

async fn status(state: Asked, ids: PathIds) -> Answer {
    act(&state, &ids, Action::Status).await
}

/// Finds the stream, makes the one call that was asked for, and shows the status.
async fn act(state: &Asked, ids: &PathIds, action: Action) -> Answer {
    let stream = stream(state, ids).await?;
    let key = task_key(&stream)?;
    let (tasks, by) = (&state.service().tasks, state.by());
    let view = match action {
        Action::Status => tasks.get(by, &key).await?,
        Action::Cancel => tasks.cancel(by, &key, None, None).await?,
        Action::Acknowledge => tasks.acknowledge(by, &key, None).await?,
        Action::Schedule {
            from,
            to,
            connector,
        } => {
            let wish = wish(&stream.name, (from, to), connector)?;
            return match tasks.schedule(by, key, wish).await? {
                // What was written: the run may have ended since.
                Scheduled::New(_) => Ok(shown(&KibanaStatus {
                    status: Status::InProgress,
                    error: None,
                    payload: None,
                })),
                Scheduled::AlreadyRunning(running) => Ok(shown_view(&running.view)),
            };
        }
    };
    Ok(shown_view(&view))
}

fn shown_view(view: &TaskView) -> Response<Body> {
    shown(&KibanaStatus::of(view))
}

fn shown(status: &KibanaStatus<'_>) -> Response<Body> {
    answer::json(StatusCode::OK, status)
}

/// A run over a range; with a language model where one is named.
pub(crate) fn wish(
    name: &StreamName,
    (from, to): (Timestamp, Timestamp),
    connector: Option<String>,
) -> Result<ScheduleRequest, Problem> {
    let mut params = json!({"start": from.as_ms(), "end": to.as_ms()});
    if let Some(connector) = connector {
        params["connector"] = connector.into();
    }
    Ok(ScheduleRequest {
        type_id: type_id()?,
        stream: Some(name.clone()),
        params: Arc::from(params.to_string()),
        priority: None,
        run_at: None,
        timeout_ms: None,
        record: false,
        condition: None,
    })
}

/// The type that finds features.
pub(crate) fn type_id() -> Result<TypeId, Problem> {
    TypeId::parse(TYPE).map_err(|error| Problem::invalid_id("type", &error))
}

fn space() -> Result<Space, Problem> {
    Space::parse(KIBANAS_SPACE).map_err(|error| Problem::invalid_id("space", &error))
}

async fn stream(state: &Asked, ids: &PathIds) -> Result<StreamKey, Problem> {
    let key = StreamKey {
        space: space()?,
        name: ids.id("name")?,
    };
    state.service().streams.get(state.by(), &key).await?;
    Ok(key)
}

/// The task that looks for the features of a stream.
pub(crate) fn task_key(stream: &StreamKey) -> Result<TaskKey, Problem> {
    let id = TaskId::parse(&format!("{TYPE}_{}", stream.name));
    let id = id.map_err(|error| Problem::invalid_id("name", &error))?;
    Ok(TaskKey {
        space: stream.space.clone(),
        id,
    })
}

#[derive(Serialize)]
struct TaskList {
    tasks: Vec<ListedTask>,
}

#[derive(Serialize)]
struct ListedTask {
    id: TaskId,
    created_at: Timestamp,
}

async fn tasks(state: Asked) -> Answer {
    let mut request = ListRequest {
        limit: PAGE,
        ..ListRequest::all(space()?)
    };
    let mut tasks = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = state
            .service()
            .tasks
            .list(state.by(), request.clone())
            .await?;
        let listed = page.tasks.into_iter();
        tasks.extend(listed.map(|task| ListedTask {
            id: task.id,
            created_at: task.created_at,
        }));
        request.cursor = page.next;
        if request.cursor.is_none() {
            break;
        }
    }
    Ok(answer::json(StatusCode::OK, &TaskList { tasks }))
}

async fn remove(state: Asked, ids: PathIds) -> Answer {
    let key = TaskKey {
        space: space()?,
        id: ids.id("id")?,
    };
    state.service().tasks.delete(state.by(), &key, None).await?;
    Ok(answer::json(StatusCode::OK, &json!({"acknowledged": true})))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Uri;

    fn flags(query: &'static str, body: &str) -> Result<Action, String> {
        let uri: Uri = format!("/x?{query}").parse().unwrap();
        let body: ActionBody = request::json_or_empty(body.as_bytes()).unwrap();
        flagged(QueryParams::of(&uri).unwrap(), &body).map_err(|problem| format!("{problem:?}"))
    }

    const RANGE: &str = r#"{"from":"1970-01-01T00:00:01Z","to":2000,"connectorId":"x"}"#;

    fn scheduled(connector: Option<&str>) -> Action {
        Action::Schedule {
            from: Timestamp::from_ms(1000),
            to: Timestamp::from_ms(2000),
            connector: connector.map(str::to_owned),
        }
    }

    #[test]
    fn one_flag_is_one_action_and_none_is_the_status() {
        assert_eq!(flags("", ""), Ok(Action::Status));
        assert_eq!(
            flags("schedule=false&apiVersion=1", RANGE),
            Ok(Action::Status)
        );
        assert_eq!(flags("schedule=true", RANGE), Ok(scheduled(Some("x"))));
        assert_eq!(flags("cancel=true", ""), Ok(Action::Cancel));
        assert_eq!(flags("acknowledge=true", "{}"), Ok(Action::Acknowledge));
        for bad in [
            "schedule=true&cancel=true",
            "cancel=yes",
            "schedule=true",
            "shedule=true",
        ] {
            assert!(flags(bad, "").is_err(), "{bad}");
        }
    }

    #[test]
    fn actions_are_named_in_the_body() {
        let read = |text: &str| {
            let body: ActionBody = request::json_or_empty(text.as_bytes())?;
            named(&body)
        };
        let body = r#"{"action":"schedule","from":1000,"to":2000}"#;
        assert_eq!(read(body).unwrap(), scheduled(None));
        let unchosen = r#"{"action":"schedule","from":1000,"to":2000,"connectorId":""}"#;
        assert_eq!(read(unchosen).unwrap(), scheduled(None));
        assert_eq!(read(r#"{"action":"cancel"}"#).unwrap(), Action::Cancel);
        for (bad, field) in [
            ("", "action"),
            (r#"{"action":"stop"}"#, "action"),
            (r#"{"action":"schedule","to":1}"#, "from"),
            (r#"{"action":"schedule","from":2,"to":2}"#, "from"),
            (r#"{"action":"cancel","form":2}"#, "form"),
            (r#"{"action":"schedule","from":"noon","to":2}"#, "from"),
        ] {
            let problem = format!("{:?}", read(bad).unwrap_err());
            assert!(
                problem.contains(&format!("field: \"{field}\"")),
                "{bad}: {problem}"
            );
        }
    }

    #[test]
    fn the_longest_stream_name_still_makes_a_task_id() {
        let name = StreamName::parse(&"x".repeat(200)).unwrap();
        let key = task_key(&StreamKey {
            space: space().unwrap(),
            name,
        })
        .unwrap();
        assert!(
            key.id
                .as_str()
                .starts_with("streams_feature_identification_xxx")
        );
    }
}
