//! The pages: the streams, and for each the control of feature identification with its list of
//! features. They are whole without a script; what is written is escaped where it is written.

mod words;
mod view;
mod form;
mod listed;
mod review;
mod control;
mod shell;

use axum::Router;
use axum::body::Body;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri};
use axum::routing::get;
use maud::{Markup, html};
use taskhost_model::ids::{Space, StreamKey};
use taskhost_model::query::Query;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_service::Scheduled;
use taskhost_service::features::{Deed, Stored};
use taskhost_store::streams::Stream;

use self::form::{Form, Reviewed};
use self::view::{LookedAt, RunRange, View};
use super::asked::Asked;
use super::codes::Code;
use super::features::{KIBANAS_SPACE, stream_of};
use super::kibana;
use super::problem::Problem;
use super::request::{PathIds, QueryParams};
use super::state::State;

pub(crate) use self::shell::{finish, is_page};

pub(crate) fn routes() -> Router<State> {
    let mut router = Router::new()
        .route("/", get(streams))
        .route("/spaces/{space}", get(streams))
        .route("/assets/{name}", get(shell::asset));
    for stream in ["/streams/{name}", "/spaces/{space}/streams/{name}"] {
        router = router.route(stream, get(read).post(act)).route(
            &format!("{stream}/features/{{uuid}}"),
            get(feature).post(change),
        );
    }
    router
}

type Answer = Result<Response<Body>, Problem>;

async fn streams(state: Asked, ids: PathIds) -> Answer {
    let space = match ids.text("space") {
        "" => Space::parse(KIBANAS_SPACE).map_err(|error| Problem::invalid_id("space", &error))?,
        _ => ids.id("space")?,
    };
    let streams = state.service().streams.list(state.by(), &space).await?;
    let main = html! {
        h1 { "Streams" }
        @if streams.is_empty() {
            p { "There are none here that you may read. On the embedded store, "
                code { "taskhost ingest STREAM FILE" } " makes one." }
        }
        ul.rows {
            @for stream in &streams {
                li.row {
                    h2 { a href=(path_of(&space, stream.name.as_str())) { (stream.name) } }
                    @if let Some(description) = &stream.settings.description {
                        p { (description) }
                    }
                    (facts(stream))
                }
            }
        }
    };
    Ok(shell::page(StatusCode::OK, "Streams", &main, None))
}

fn path_of(space: &Space, name: &str) -> String {
    match space.as_str() {
        KIBANAS_SPACE => format!("/streams/{name}"),
        space => format!("/spaces/{space}/streams/{name}"),
    }
}

fn facts(stream: &Stream) -> Markup {
    html! {
        p.hint {
            (words::counted(stream.documents, "document"))
            @if let (Some(first), Some(last)) = (stream.first_at, stream.last_at) {
                ", from " (words::time(first)) " to " (words::time(last))
            }
        }
    }
}

/// Everything that the page of a stream shows.
struct Seen {
    path: String,
    key: StreamKey,
    stream: Stream,
    task: taskhost_service::view::TaskView,
    features: Vec<Stored>,
    connectors: Vec<taskhost_model::ids::Label>,
    may_operate: bool,
    looked_at: Option<LookedAt>,
}

impl Seen {
    async fn of(state: &Asked, ids: &PathIds) -> Result<Self, Problem> {
        let key = stream_of(ids)?;
        let (service, by) = (state.service(), state.by());
        let stream = service.streams.get(by, &key).await?;
        let task = service.tasks.get(by, &kibana::task_key(&key)?).await?;
        let features = match service.features.list(by, &key, true).await {
            // No task type has been loaded yet that finds any.
            Err(taskhost_service::error::ServiceError::NotFound { .. }) => Vec::new(),
            listed => listed?,
        };
        let looked_at = looked_at(state, &key, &stream, &task, &features).await?;
        Ok(Self {
            looked_at,
            path: path_of(&key.space, key.name.as_str()),
            may_operate: service.may_operate(by, &key.space).await?,
            connectors: service.connectors(&kibana::type_id()?),
            key,
            stream,
            task,
            features,
        })
    }

    fn view(&self) -> View<'_> {
        View {
            path: &self.path,
            stream: &self.stream,
            task: &self.task,
            features: &self.features,
            connectors: &self.connectors,
            may_operate: self.may_operate,
            looked_at: self.looked_at.as_ref(),
            now: now(),
        }
    }

    fn show(&self, status: StatusCode, problem: Option<&Problem>) -> Response<Body> {
        let view = self.view();
        let (space, name) = (&self.key.space, &self.key.name);
        let main = html! {
            h1 { (self.stream.name) }
            @if let Some(description) = &self.stream.settings.description { p { (description) } }
            (facts(&self.stream))
            p #said role="status" aria-live="polite" {}
            (shell::alert(problem))
            (control::control(view))
            (listed::list(view))
        };
        let task = format!("/v1/spaces/{space}/tasks/{}", self.task.key.id);
        let count = format!("/v1/spaces/{space}/streams/{name}/count");
        let live = shell::Live { task, count };
        shell::page(status, name.as_str(), &main, Some(&live))
    }
}

/// What the features of the last run were counted in, where there are such.
async fn looked_at(
    state: &Asked,
    key: &StreamKey,
    stream: &Stream,
    view: &taskhost_service::view::TaskView,
    features: &[Stored],
) -> Result<Option<LookedAt>, Problem> {
    let run = view.task.as_ref().map(|task| task.run.id.to_string());
    let range = view
        .params
        .as_deref()
        .and_then(|params| serde_json::from_str::<RunRange>(params).ok());
    let Some((run, range)) = run.zip(range) else {
        return Ok(None);
    };
    let is_its = |one: &Stored| {
        let is_counted = one.feature.number("count_of").is_some();
        !is_counted && one.feature.text("run_id") == run
    };
    if !features.iter().any(is_its) {
        return Ok(None);
    }
    let (from, to) = (
        Timestamp::from_ms(range.start),
        Timestamp::from_ms(range.end),
    );
    let whole = stream.first_at.zip(stream.last_at);
    let documents = match whole {
        Some((first, last)) if from <= first && last < to => stream.documents,
        _ => {
            let query = Query::range(from, to);
            let streams = &state.service().streams;
            streams.count(state.by(), key, &query).await?.value
        }
    };
    Ok(Some(LookedAt { run, documents }))
}

fn now() -> Timestamp {
    Clock::System.now()
}

async fn read(state: Asked, ids: PathIds) -> Answer {
    Ok(Seen::of(&state, &ids).await?.show(StatusCode::OK, None))
}

/// Does what a form of the page says, and shows the page again: with what went wrong, or as it is
/// from then on.
async fn act(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let form = Form::read(&state, request).await?;
    let seen = Seen::of(&state, &ids).await?;
    let done = match form.get("action") {
        "schedule" => schedule(&state, &seen, &form).await,
        "cancel" => {
            let cancel = state
                .service()
                .tasks
                .cancel(state.by(), &seen.task.key, None, None);
            cancel.await.map(drop).map_err(Problem::from)
        }
        "acknowledge" => acknowledge(&state, &seen).await,
        "save" => save(&state, &seen, &form).await,
        _ => Err(unknown_action()),
    };
    match done {
        Ok(()) => Ok(see(&seen.path)),
        Err(problem) if problem.code() == Code::Unauthorized => Err(problem),
        // What is there now may be why.
        Err(problem) => Ok(Seen::of(&state, &ids)
            .await?
            .show(problem.status(), Some(&problem))),
    }
}

fn unknown_action() -> Problem {
    Problem::invalid("action", "is none that this page knows: load it again")
}

/// Sends the browser on, so that loading again does nothing twice.
fn see(path: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(path) = HeaderValue::try_from(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}

async fn schedule(state: &Asked, seen: &Seen, form: &Form) -> Result<(), Problem> {
    let range = form.range(&seen.stream, now())?;
    let connector = Some(form.get("connector")).filter(|name| !name.is_empty());
    let wish = kibana::wish(&seen.key.name, range, connector.map(str::to_owned))?;
    let key = seen.task.key.clone();
    match state
        .service()
        .tasks
        .schedule(state.by(), key, wish)
        .await?
    {
        // Somebody else was quicker: the page shows who.
        Scheduled::New(_) | Scheduled::AlreadyRunning(_) => Ok(()),
    }
}

async fn acknowledge(state: &Asked, seen: &Seen) -> Result<(), Problem> {
    let tasks = &state.service().tasks;
    tasks.acknowledge(state.by(), &seen.task.key, None).await?;
    Ok(())
}

/// Does what somebody decided of each feature, and acknowledges the run when all of it was done.
async fn save(state: &Asked, seen: &Seen, form: &Form) -> Result<(), Problem> {
    let features = &state.service().features;
    // Before anything is computed for somebody who may not do it.
    features.check_may_change(state.by(), &seen.key).await?;
    let reviewed = Reviewed::read(form, &seen.features)?;
    for (id, name, wanted) in reviewed.0 {
        match features
            .change(state.by(), &seen.key, &id, &wanted)
            .await
            .map_err(Problem::from)
        {
            Ok(_) => {}
            Err(problem)
                if matches!(wanted.deed, Deed::Delete) && problem.code() == Code::NotFound => {}
            Err(problem) => return Err(problem.about(&name)),
        }
    }
    acknowledge(state, seen).await
}

/// One feature: a page of its own, or the part of it that the script asks for.
async fn feature(state: Asked, ids: PathIds, uri: Uri) -> Answer {
    let mut query = QueryParams::of(&uri)?;
    let asked = query.take("part");
    query.finish()?;
    let id = ids.id("uuid")?;
    let seen = Seen::of(&state, &ids).await?;
    let features = &state.service().features;
    let stored = features.get(state.by(), &seen.key, &id).await?;
    let part = listed::part(seen.view(), &stored, asked.as_deref() != Some("why"));
    if asked.is_some() {
        return Ok(shell::bare(&part));
    }
    let name = stored.feature.text("name");
    let main = html! {
        p { a href=(seen.path) { (seen.stream.name) } }
        h1 { (name) }
        (part)
    };
    Ok(shell::page(StatusCode::OK, name, &main, None))
}

async fn change(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let form = Form::read(&state, request).await?;
    let id = ids.id("uuid")?;
    let seen = Seen::of(&state, &ids).await?;
    let deed = match form.get("action") {
        "edit" => form.edit(),
        "exclude" => Ok(Deed::Exclude),
        "restore" => Ok(Deed::Restore),
        "delete" => Ok(Deed::Delete),
        _ => Err(unknown_action()),
    };
    let features = &state.service().features;
    let done = match deed.map(|deed| form.read_as_it_was(deed, "version")) {
        Ok(wanted) => features
            .change(state.by(), &seen.key, &id, &wanted)
            .await
            .map(drop)
            .map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    match done {
        Ok(()) => Ok(see(&seen.path)),
        Err(problem) if problem.code() == Code::Unauthorized => Err(problem),
        Err(problem) => Ok(seen.show(problem.status(), Some(&problem))),
    }
}
