//! The routes for task types.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Serialize;
use taskhost_model::ids::{Digest, TypeId};
use taskhost_model::time::Timestamp;
use taskhost_service::signatures::SIGNATURE_BYTES_MAX;
use taskhost_service::types::{Pushed, Rejected, TypeView};
use taskhost_store::components::COMPONENT_BYTES_MAX;

use super::answer;
use super::asked::Asked;
use super::codes::Code;
use super::described::{Operation, Routes};
use super::problem::Problem;
use super::request::{self, PathIds};
use super::schedules::PauseBody;
use super::state::WASM;

pub(crate) fn routes() -> Routes {
    let one = "/v1/task-types/{type}";
    let version = &format!("{one}/versions/{{digest}}");
    Routes::of("Task types")
        .get("/v1/task-types", list, about_list)
        .post("/v1/task-types", push, about_push)
        .get(one, read, about_read)
        .post(&format!("{one}/pause"), pause, about_pause)
        .post(&format!("{one}/resume"), resume, about_resume)
        .delete(version, forget, about_forget)
        .get(&format!("{version}/component"), component, about_component)
        .post(&format!("{version}/approve"), approve, about_approve)
        .post(&format!("{version}/activate"), activate, about_activate)
}

/// Carries the text of a component's `.minisig` file, in base64: it has several lines.
pub(crate) const SIGNATURE: &str = "taskhost-signature";

type Answer = Result<Response<Body>, Problem>;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TaskTypeList")]
struct List {
    /// By id.
    task_types: Vec<TypeView>,
    /// Files of the watched folder that are none, for those who manage task types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<RejectedFile>,
}

/// A file of the watched folder that was refused.
#[derive(Serialize, JsonSchema)]
struct RejectedFile {
    /// `rejected`.
    state: &'static str,
    /// Its name.
    file: String,
    /// Why.
    reason: String,
    /// When it was looked at.
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

fn about_list(it: Operation) -> Operation {
    it.says("list_task_types", "List the task types")
        .answers::<List>(StatusCode::OK, "All.")
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

fn about_read(it: Operation) -> Operation {
    it.says("get_task_type", "Get a task type")
        .answers::<TypeView>(StatusCode::OK, "The task type with its versions.")
        .refuses(&[Code::UnknownTaskType])
}

async fn read(state: Asked, ids: PathIds) -> Answer {
    let view = state
        .service()
        .types
        .get(state.by(), &ids.id("type")?)
        .await?;
    Ok(answer::json(StatusCode::OK, &view))
}

fn about_push(it: Operation) -> Operation {
    it.says(
        "push_component",
        "Push a component: a version of a task type",
    )
    .details("It is active at once if it wants nothing that nobody has allowed it.")
    .header::<String>(
        "Taskhost-Signature",
        "The whole `.minisig` file, in base64.",
    )
    .takes_other(WASM, "A WebAssembly component.")
    .answers::<Pushed>(StatusCode::CREATED, "It is accepted.")
    .answers::<Pushed>(StatusCode::OK, "This very component was known already.")
    .refuses(&[Code::InvalidComponent])
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

fn about_component(it: Operation) -> Operation {
    it.says("get_component", "Get the component of a version")
        .answers_other(StatusCode::OK, WASM, "The component.")
        .refuses(&[Code::UnknownTaskType])
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

fn about_approve(it: Operation) -> Operation {
    it.says(
        "approve_version",
        "Allow a version what it wants, and activate it",
    )
    .answers::<Pushed>(StatusCode::OK, "It is approved.")
    .refuses(&[Code::UnknownTaskType])
}

async fn approve(state: Asked, ids: PathIds) -> Answer {
    let (type_id, digest) = version(&ids)?;
    let types = &state.service().types;
    let approved = types.approve(state.by(), &type_id, &digest).await?;
    Ok(answer::json(StatusCode::OK, &approved))
}

fn about_activate(it: Operation) -> Operation {
    it.says("activate_version", "Have new runs use this version")
        .answers::<Pushed>(StatusCode::OK, "It is active.")
        .refuses(&[
            Code::UnknownTaskType,
            Code::NeedsApproval,
            Code::InvalidComponent,
        ])
}

async fn activate(state: Asked, ids: PathIds) -> Answer {
    let (type_id, digest) = version(&ids)?;
    let types = &state.service().types;
    let activated = types.activate(state.by(), &type_id, &digest).await?;
    Ok(answer::json(StatusCode::OK, &activated))
}

fn about_forget(it: Operation) -> Operation {
    it.says("delete_version", "Delete a version that no run needs")
        .answers_nothing(StatusCode::NO_CONTENT, "It is gone.")
        .refuses(&[Code::UnknownTaskType, Code::VersionInUse])
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

fn about_pause(it: Operation) -> Operation {
    it.says(
        "pause_task_type",
        "Have no run of a type begin until it is resumed",
    )
    .may_take::<PauseBody>()
    .answers::<TypeView>(StatusCode::OK, "The task type.")
    .refuses(&[Code::UnknownTaskType])
}

async fn pause(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let type_id = ids.id("type")?;
    let (_, body) = state.json_body(request).await?;
    let PauseBody { reason } = request::json_or_empty(&body)?;
    let types = &state.service().types;
    let view = types.pause(state.by(), &type_id, reason).await?;
    Ok(answer::json(StatusCode::OK, &view))
}

fn about_resume(it: Operation) -> Operation {
    it.says("resume_task_type", "Have runs of a type begin again")
        .answers::<TypeView>(StatusCode::OK, "The task type.")
        .refuses(&[Code::UnknownTaskType])
}

async fn resume(state: Asked, ids: PathIds) -> Answer {
    let view = state
        .service()
        .types
        .resume(state.by(), &ids.id("type")?)
        .await?;
    Ok(answer::json(StatusCode::OK, &view))
}
