//! The audit log, for admins.

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use taskhost_model::audit::Entry;
use taskhost_model::ids::{EntryId, Space};
use taskhost_model::time::Timestamp;
use taskhost_service::audit::cursor;
use taskhost_store::audit::AuditRequest;

use super::answer;
use super::asked::Asked;
use super::described::{Operation, Routes};
use super::problem::Problem;
use super::request::{PageSize, QueryParams};

pub(crate) fn routes() -> Routes {
    Routes::of("Audit log").get("/v1/audit", list, about_list)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditPage")]
struct Page<'a> {
    /// Newest first.
    entries: &'a [Entry],
    /// The `cursor` of the next page; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<EntryId>,
}

fn about_list(it: Operation) -> Operation {
    it.says("list_audit", "List who has changed what, newest first")
        .details("For admins everywhere.")
        .query::<String>("by", "Of this person.")
        .query::<Space>("space", "In this space.")
        .query::<String>(
            "deed",
            "What was done: `task.cancel`, or `task` for all of tasks.",
        )
        .query::<String>("target", "To which one, to the letter.")
        .query::<Timestamp>("from", "Not before.")
        .query::<Timestamp>("to", "Before.")
        .query::<EntryId>("cursor", "`next` of a former answer.")
        .query::<PageSize>("limit", "Entries on a page; 100 when left out.")
        .answers::<Page<'_>>(StatusCode::OK, "A page.")
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
