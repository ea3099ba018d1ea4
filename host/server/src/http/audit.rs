//! The audit log, for admins.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use serde::Serialize;
use taskhost_model::audit::Entry;
use taskhost_model::ids::EntryId;
use taskhost_service::audit::cursor;
use taskhost_store::audit::AuditRequest;

use super::answer;
use super::asked::Asked;
use super::problem::Problem;
use super::request::QueryParams;
use super::state::State;

pub(crate) fn routes() -> Router<State> {
    Router::new().route("/v1/audit", get(list))
}

#[derive(Serialize)]
struct Page<'a> {
    entries: &'a [Entry],
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<EntryId>,
}

async fn list(state: Asked, request: Request<Body>) -> Result<Response<Body>, Problem> {
    let mut query = QueryParams::of(request.uri())?;
    let wish = AuditRequest {
        by: query.take("by"),
        space: query.parse("space")?,
        deed: query.take("deed"),
        target: query.take("target"),
        from: query.parse("from")?,
        to: query.parse("to")?,
        cursor: query.take("cursor").map(|text| cursor(&text)).transpose()?,
        limit: query
            .number("limit")?
            .map_or(100, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
    };
    query.finish()?;
    let page = state.service().audit.list(state.by(), &wish).await?;
    let page = Page {
        entries: &page.entries,
        next: page.next,
    };
    Ok(answer::json(StatusCode::OK, &page))
}
