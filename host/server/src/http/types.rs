//! The routes for task types.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use axum::routing::{delete, get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use taskhost_model::ids::{Digest, TypeId};
use taskhost_model::time::Timestamp;
use taskhost_service::signatures::SIGNATURE_BYTES_MAX;
use taskhost_service::types::{Rejected, TypeView};
use taskhost_store::components::COMPONENT_BYTES_MAX;

use super::answer;
use super::asked::Asked;
use super::problem::Problem;
use super::request::{self, PathIds};
use super::state::{State, WASM};

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/v1/task-types", get(list).post(push))
        .route("/v1/task-types/{type}", get(read))
        .route("/v1/task-types/{type}/pause", post(pause))
        .route("/v1/task-types/{type}/resume", post(resume))
        .route("/v1/task-types/{type}/versions/{digest}", delete(forget))
        .route(
            "/v1/task-types/{type}/versions/{digest}/component",
            get(component),
        )
        .route(
            "/v1/task-types/{type}/versions/{digest}/approve",
            post(approve),
        )
        .route(
            "/v1/task-types/{type}/versions/{digest}/activate",
            post(activate),
        )
}

/// Carries the text of a component's `.minisig` file, in base64: it has several lines.
pub(crate) const SIGNATURE: &str = "taskhost-signature";

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
    state: &'static str,
    file: String,
    reason: String,
    at: Timestamp,
}

impl From<Rejected> for RejectedFile {
    fn from(Rejected { file, reason, at }: Rejected) -> Self {
        Self {
            state: "rejected",
            file,
            reason,
            at,
        }
    }
}

async fn list(state: Asked) -> Answer {
    let types = &state.service().types;
    let task_types = types.list(state.by()).await?;
    let rejected = types
        .rejected_for(state.by())
        .await?
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

async fn read(state: Asked, ids: PathIds) -> Answer {
    let view = state
        .service()
        .types
        .get(state.by(), &ids.id("type")?)
        .await?;
    Ok(answer::json(StatusCode::OK, &view))
}

async fn push(state: Asked, request: Request<Body>) -> Answer {
    let types = &state.service().types;
    let signature = signature(request.headers())?;
    let by = state.by();
    let push = |bytes: axum::body::Bytes| async move {
        let component = Arc::from(bytes.as_ref());
        // Once in memory is enough while it is compiled.
        drop(bytes);
        Ok(types.push(by, component, signature).await?)
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

fn signature(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(SIGNATURE) else {
        return Ok(None);
    };
    let bytes = STANDARD.decode(value.as_bytes()).ok();
    let bytes = bytes.filter(|bytes| bytes.len() <= SIGNATURE_BYTES_MAX);
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| {
        let problem = format!(
            "has to be a whole `.minisig` file in base64, at most {SIGNATURE_BYTES_MAX} bytes: \
             `base64 -w0 FILE.wasm.minisig`"
        );
        Problem::invalid("header Taskhost-Signature", problem)
    })?;
    Ok(Some(text))
}

/// The version that a path names.
fn version(ids: &PathIds) -> Result<(TypeId, Digest), Problem> {
    Ok((ids.id("type")?, ids.id("digest")?))
}

async fn component(state: Asked, ids: PathIds) -> Answer {
    let (type_id, digest) = version(&ids)?;
    let bytes = state
        .service()
        .types
        .bytes(state.by(), &type_id, &digest)
        .await?;
    Ok(answer::bytes_of(WASM, StatusCode::OK, bytes.to_vec()))
}

async fn approve(state: Asked, ids: PathIds) -> Answer {
    let (type_id, digest) = version(&ids)?;
    let types = &state.service().types;
    let approved = types.approve(state.by(), &type_id, &digest).await?;
    Ok(answer::json(StatusCode::OK, &approved))
}

async fn activate(state: Asked, ids: PathIds) -> Answer {
    let (type_id, digest) = version(&ids)?;
    let types = &state.service().types;
    let activated = types.activate(state.by(), &type_id, &digest).await?;
    Ok(answer::json(StatusCode::OK, &activated))
}

async fn forget(state: Asked, ids: PathIds) -> Answer {
    let (type_id, digest) = version(&ids)?;
    state
        .service()
        .types
        .delete(state.by(), &type_id, &digest)
        .await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

/// The body of a pause; it may be left out.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    reason: Option<String>,
}

async fn pause(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let type_id = ids.id("type")?;
    let (_, body) = state.json_body(request).await?;
    let Pause { reason } = request::json_or_empty(&body)?;
    let types = &state.service().types;
    let view = types.pause(state.by(), &type_id, reason).await?;
    Ok(answer::json(StatusCode::OK, &view))
}

async fn resume(state: Asked, ids: PathIds) -> Answer {
    let view = state
        .service()
        .types
        .resume(state.by(), &ids.id("type")?)
        .await?;
    Ok(answer::json(StatusCode::OK, &view))
}
