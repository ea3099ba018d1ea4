//! The routes for task types.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use serde::Serialize;
use taskhost_model::time::Timestamp;
use taskhost_service::types::{Rejected, TypeView};
use taskhost_store::components::COMPONENT_BYTES_MAX;

use super::answer;
use super::problem::Problem;
use super::request::PathIds;
use super::state::{State, WASM};

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/v1/task-types", get(list).post(push))
        .route("/v1/task-types/{type}", get(read))
}

type Answer = Result<Response<Body>, Problem>;

#[derive(Serialize)]
struct List {
    task_types: Vec<TypeView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<RejectedFile>,
}

/// A file of the watched folder that was refused.
#[derive(Serialize)]
struct RejectedFile {
    file: String,
    reason: String,
    at: Timestamp,
}

impl From<Rejected> for RejectedFile {
    fn from(Rejected { file, reason, at }: Rejected) -> Self {
        Self { file, reason, at }
    }
}

async fn list(extract::State(state): extract::State<State>) -> Answer {
    let types = &state.service().types;
    let task_types = types.list().await?;
    let rejected = types
        .rejected()
        .into_iter()
        .map(RejectedFile::from)
        .collect();
    Ok(answer::json(
        StatusCode::OK,
        &List {
            task_types,
            rejected,
        },
    ))
}

async fn read(extract::State(state): extract::State<State>, ids: PathIds) -> Answer {
    let view = state.service().types.get(&ids.id("type")?).await?;
    Ok(answer::json(StatusCode::OK, &view))
}

async fn push(extract::State(state): extract::State<State>, request: Request<Body>) -> Answer {
    let types = &state.service().types;
    let push = |bytes: axum::body::Bytes| async move {
        let component = Arc::from(bytes.as_ref());
        // Once in memory is enough while it is compiled.
        drop(bytes);
        Ok(types.push(component).await?)
    };
    let pushed = state
        .upload(request, &[WASM], COMPONENT_BYTES_MAX, push)
        .await?;
    let status = if pushed.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(answer::json(status, &pushed))
}
