//! The routes for collections: documents that tasks have written.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use serde::Serialize;
use serde_json::value::RawValue;
use taskhost_model::ids::{DocumentId, StreamKey};
use taskhost_store::documents::{Document, DocumentPage, Scope};

use super::answer;
use super::asked::Asked;
use super::problem::Problem;
use super::request::{PathIds, QueryParams};
use super::state::State;

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route(
            "/v1/spaces/{space}/streams/{stream}/collections/{label}",
            get(list),
        )
        .route(
            "/v1/spaces/{space}/streams/{stream}/collections/{label}/{id}",
            get(read),
        )
}

type Answer = Result<Response<Body>, Problem>;

/// A document as it is written; its body stands as the task wrote it.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    id: &'a DocumentId,
    version: &'a str,
    body: &'a RawValue,
}

#[derive(Serialize)]
struct Page<'a> {
    documents: Vec<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

/// A document's body, unread.
fn body_of(document: &Document) -> Result<&RawValue, Problem> {
    serde_json::from_str(&document.body).map_err(|error| {
        let reason = format!("the document `{}` is no JSON: {error}", document.id);
        taskhost_service::error::ServiceError::Internal { reason }.into()
    })
}

pub(crate) fn shown(document: &Document) -> Result<Shown<'_>, Problem> {
    let body = body_of(document)?;
    Ok(Shown {
        id: &document.id,
        version: &document.version,
        body,
    })
}

/// The collection that the path names; its stream has to exist.
async fn scope(state: &Asked, ids: &PathIds) -> Result<Scope, Problem> {
    let stream = StreamKey {
        space: ids.id("space")?,
        name: ids.id("stream")?,
    };
    let label = ids.id("label")?;
    state.service().streams.get(state.by(), &stream).await?;
    Ok(Scope {
        space: stream.space,
        stream: Some(stream.name),
        label,
    })
}

async fn list(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let mut query = QueryParams::of(request.uri())?;
    let cursor = query.take("cursor");
    let limit = query.parse("limit")?.unwrap_or(100);
    query.finish()?;
    let scope = scope(&state, &ids).await?;
    let collections = &state.service().collections;
    let found = collections
        .list(state.by(), &scope, None, cursor.as_deref(), limit)
        .await?;
    page(&found)
}

pub(crate) fn page(found: &DocumentPage) -> Answer {
    let documents = found.documents.iter().map(shown);
    let page = Page {
        documents: documents.collect::<Result<_, _>>()?,
        next: found.next.as_deref(),
    };
    Ok(answer::json(StatusCode::OK, &page))
}

async fn read(state: Asked, ids: PathIds) -> Answer {
    let id = ids.id("id")?;
    let scope = scope(&state, &ids).await?;
    let document = state
        .service()
        .collections
        .get(state.by(), &scope, &id)
        .await?;
    let mut response = answer::json(StatusCode::OK, &shown(&document)?);
    answer::set_etag(response.headers_mut(), &document.version);
    Ok(response)
}
