//! What a supervisor asks: `/livez`, `/readyz`, `/metrics`; and what a client may know: `/v1/info`.

use axum::body::Body;
use axum::extract;
use axum::http::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use taskhost_model::time::Timestamp;

use super::answer;
use super::asked::Asked;
use super::codes::Code;
use super::described::{Operation, Routes};
use super::problem::Problem;
use super::state::State;
use crate::metrics;

pub(crate) fn routes() -> Routes {
    Routes::of("This host")
        .get("/livez", livez, about_livez)
        .get("/readyz", readyz, about_readyz)
        .get("/metrics", numbers, about_numbers)
        .get("/v1/info", info, about_info)
}

/// The content type of metrics.
const NUMBERS: &str = "text/plain; version=0.0.4; charset=utf-8";

type Answer = Result<Response<Body>, Problem>;

#[derive(Serialize, JsonSchema)]
struct Health {
    /// `live` or `ready`.
    status: &'static str,
}

fn about_livez(it: Operation) -> Operation {
    it.says("is_live", "Whether the process runs")
        .open()
        .answers::<Health>(StatusCode::OK, "Yes.")
}

async fn livez() -> Answer {
    Ok(answer::json(StatusCode::OK, &Health { status: "live" }))
}

fn about_readyz(it: Operation) -> Operation {
    it.says("is_ready", "Whether requests can be served")
        .details("The store is writable, runs are claimed, the watched folder is judged.")
        .open()
        .answers::<Health>(StatusCode::OK, "Yes.")
        .refuses(&[Code::NotReady])
}

async fn readyz(extract::State(state): extract::State<State>) -> Answer {
    let not_ready = |why: &str| Err(Problem::new(Code::NotReady, why));
    if state.stopping().is_cancelled() {
        return not_ready("the host is stopping");
    }
    if !state.is_folder_judged() {
        return not_ready("the watched folder is still being looked through");
    }
    if !state.service().health().claiming {
        return not_ready("the loop that claims runs has ended: restart the host");
    }
    if let Err(error) = state.is_writable().await {
        // What the cluster says is not for whoever comes by.
        if state.has_people() {
            tracing::debug!(%error, "not ready");
            return not_ready("the store cannot be written now");
        }
        return not_ready(&error.to_string());
    }
    Ok(answer::json(StatusCode::OK, &Health { status: "ready" }))
}

fn about_numbers(it: Operation) -> Operation {
    it.says("get_metrics", "Get what is counted, as Prometheus reads it")
        .answers_other(StatusCode::OK, NUMBERS, "The numbers of this host.")
}

async fn numbers(state: Asked) -> Answer {
    state.service().may_know_all(state.by()).await?;
    state.service().tasks.measure().await;
    let text = metrics::written(state.service().health().running, state.watchers());
    Ok(answer::bytes_of(NUMBERS, StatusCode::OK, text))
}

#[derive(Serialize, JsonSchema)]
struct Info<'a> {
    /// `taskhost`.
    name: &'static str,
    /// The program's version.
    version: &'static str,
    /// The host's name.
    host: &'a str,
    /// `single-user`, or `people` where everybody who asks is somebody.
    mode: &'static str,
    /// Which store it uses.
    store: &'static str,
    /// When it started.
    started_at: Timestamp,
    /// Runs at work, where whoever asks may know.
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<usize>,
}

fn about_info(it: Operation) -> Operation {
    it.says("get_info", "Get what this host is")
        .answers::<Info<'_>>(StatusCode::OK, "The host.")
}

async fn info(state: Asked) -> Answer {
    let (about, has_people) = (state.about(), state.has_people());
    let info = Info {
        name: "taskhost",
        version: env!("CARGO_PKG_VERSION"),
        host: &about.host,
        mode: if has_people { "people" } else { "single-user" },
        store: about.store,
        started_at: about.started_at,
        // They may be those of others.
        runs: (!has_people).then(|| state.service().health().running),
    };
    Ok(answer::json(StatusCode::OK, &info))
}
