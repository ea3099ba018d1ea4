//! What a supervisor asks: `/livez`, `/readyz`, `/metrics`; and what a client may know: `/v1/info`.

use axum::Router;
use axum::body::Body;
use axum::extract;
use axum::http::{Response, StatusCode};
use axum::routing::get;
use serde::Serialize;
use taskhost_model::time::Timestamp;

use super::answer;
use super::asked::Asked;
use super::codes::Code;
use super::problem::Problem;
use super::state::State;
use crate::metrics;

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(numbers))
        .route("/v1/info", get(info))
}

type Answer = Result<Response<Body>, Problem>;

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

async fn livez() -> Answer {
    Ok(answer::json(StatusCode::OK, &Health { status: "live" }))
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

async fn numbers(state: Asked) -> Answer {
    state.service().may_know_all(state.by()).await?;
    let text = metrics::written(state.service().health().running);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(answer::bytes_of(kind, StatusCode::OK, text))
}

#[derive(Serialize)]
struct Info<'a> {
    name: &'static str,
    version: &'static str,
    host: &'a str,
    mode: &'static str,
    store: &'static str,
    started_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<usize>,
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
