//! The routes for a space's own collections: documents that people keep and task types read.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use axum::routing::get;
use serde::Serialize;
use serde_json::value::RawValue;
use taskhost_model::ids::{DocumentId, Label, Space};

use super::answer;
use super::asked::Asked;
use super::collections::{page, shown};
use super::problem::Problem;
use super::request::{self, PathIds, QueryParams};
use super::state::State;

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/v1/spaces/{space}/collections/{label}", get(list))
        .route(
            "/v1/spaces/{space}/collections/{label}/{id}",
            get(read).put(write).delete(delete),
        )
}

type Answer = Result<Response<Body>, Problem>;

fn place(ids: &PathIds) -> Result<(Space, Label), Problem> {
    Ok((ids.id("space")?, ids.id("label")?))
}

async fn list(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let mut query = QueryParams::of(request.uri())?;
    let cursor = query.take("cursor");
    let limit = query.parse("limit")?.unwrap_or(100);
    query.finish()?;
    let (space, label) = place(&ids)?;
    let collections = &state.service().collections;
    let found = collections
        .list_of_space(state.by(), (&space, &label), cursor.as_deref(), limit)
        .await?;
    page(&found)
}

async fn read(state: Asked, ids: PathIds) -> Answer {
    let ((space, label), id) = (place(&ids)?, ids.id("id")?);
    let collections = &state.service().collections;
    let document = collections
        .get_of_space(state.by(), (&space, &label), &id)
        .await?;
    let mut response = answer::json(StatusCode::OK, &shown(&document)?);
    answer::set_etag(response.headers_mut(), &document.version);
    Ok(response)
}

#[derive(Serialize)]
struct Kept<'a> {
    id: &'a DocumentId,
    version: &'a str,
}

async fn write(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let ((space, label), id) = (place(&ids)?, ids.id("id")?);
    let (headers, bytes) = state.json_body(request).await?;
    let body: Box<RawValue> = request::json(&bytes)?;
    let if_version = request::if_text(&headers)?;
    let collections = &state.service().collections;
    let version = collections
        .put_of_space(state.by(), (&space, &label), &id, body.get(), if_version)
        .await?;
    let kept = Kept {
        id: &id,
        version: &version,
    };
    Ok(answer::json(StatusCode::OK, &kept))
}

async fn delete(state: Asked, ids: PathIds, headers: HeaderMap) -> Answer {
    let ((space, label), id) = (place(&ids)?, ids.id("id")?);
    let if_version = request::if_text(&headers)?;
    let collections = &state.service().collections;
    collections
        .delete_of_space(state.by(), (&space, &label), &id, if_version)
        .await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}
