//! The hosts on the store: who they are, and what they tell each other.

use axum::body::Body;
use axum::extract;
use axum::http::{Request, Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use taskhost_service::hosts::HostView;
use taskhost_service::nudge::{HINT_BYTES_MAX, NotHeard};

use super::answer;
use super::asked::Asked;
use super::codes::Code;
use super::described::{Operation, Routes};
use super::problem::Problem;
use super::request;
use super::state::{Hearing, State};
use crate::post::{PATH, SEAL};

pub(crate) fn routes() -> Routes {
    Routes::of("Hosts")
        .get("/v1/hosts", list, about_list)
        .post(PATH, hear, about_hear)
}

type Answer = Result<Response<Body>, Problem>;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HostList")]
struct List {
    /// By name.
    hosts: Vec<HostView>,
}

fn about_list(it: Operation) -> Operation {
    it.says("list_hosts", "List the hosts on the store")
        .answers::<List>(StatusCode::OK, "All.")
}

async fn list(state: Asked) -> Answer {
    state.service().may_know_all(state.by()).await?;
    let hosts = state.service().hosts.list();
    Ok(answer::json(StatusCode::OK, &List { hosts }))
}

fn about_hear(it: Operation) -> Operation {
    it.says(
        "hear_hint",
        "Hear what another host on the store has to say",
    )
    .details("For hosts alone, which know each other by their seals.")
    .open()
    .header::<String>(SEAL, "The seal.")
    .takes_other("application/json", "The hint.")
    .answers_nothing(StatusCode::NO_CONTENT, "It was heard.")
    .refuses(&[Code::NotFound, Code::HintNotAllowed])
}

/// Whoever asks is known by the seal alone, so that the guard lets him through.
async fn hear(extract::State(state): extract::State<State>, request: Request<Body>) -> Answer {
    let Some(Hearing { seals, address }) = state.hearing() else {
        return Err(Problem::new(Code::NotFound, "this host hears no hints"));
    };
    let (parts, body) = request.into_parts();
    let seal = parts.headers.get(SEAL).and_then(|seal| seal.to_str().ok());
    let Some(seal) = seal else {
        return Err(not_heard(NotHeard::Forged));
    };
    let bytes_max = HINT_BYTES_MAX as u64;
    let patience = state.body_timeout();
    let body = request::body(&parts.headers, body, bytes_max, patience).await?;
    let hint = seals.open(address, &body, seal).map_err(not_heard)?;
    state.service().tasks.hear(hint);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn not_heard(why: NotHeard) -> Problem {
    tracing::debug!(%why, "a hint is not heard");
    let code = match why {
        NotHeard::TooMany => Code::Busy,
        NotHeard::Forged | NotHeard::Stale | NotHeard::Repeated => Code::HintNotAllowed,
        NotHeard::Unclear => Code::Invalid,
    };
    Problem::new(code, format!("the hint is not heard: {why}"))
}
