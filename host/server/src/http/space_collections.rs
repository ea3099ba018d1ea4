//! The routes for a space's own collections: documents that people keep and task types read.

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use taskhost_model::ids::{DocumentId, Label, Space};

use super::answer;
use super::asked::Asked;
use super::collections::{Page, Shown, page, shown};
use super::described::{Operation, Routes};
use super::problem::Problem;
use super::request::{self, PageSize, PathIds, QueryParams};

pub(crate) fn routes() -> Routes {
    let all = "/v1/spaces/{space}/collections/{label}";
    let one = &format!("{all}/{{id}}");
    Routes::of("Collections")
        .get(all, list, about_list)
        .get(one, read, about_read)
        .put(one, write, about_write)
        .delete(one, delete, about_delete)
}

type Answer = Result<Response<Body>, Problem>;

fn place(ids: &PathIds) -> Result<(Space, Label), Problem> {
    Ok((ids.id("space")?, ids.id("label")?))
}

fn about_list(it: Operation) -> Operation {
    it.says(
        "list_documents_of_space",
        "List the documents that people keep for task types",
    )
    .query::<String>("cursor", "The `next` of the page before.")
    .query::<PageSize>("limit", "How many on a page; 100 when left out.")
    .answers::<Page<'_>>(StatusCode::OK, "A page of documents.")
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

fn about_read(it: Operation) -> Operation {
    it.says(
        "get_document_of_space",
        "Get a document that people keep for task types",
    )
    .path::<DocumentId>("id", "The document's id.")
    .answers::<Shown<'_>>(StatusCode::OK, "The document.")
    .with_etag()
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

#[derive(Serialize, JsonSchema)]
struct Kept<'a> {
    /// The document.
    id: &'a DocumentId,
    /// Its version from now on.
    version: &'a str,
}

fn about_write(it: Operation) -> Operation {
    it.says("put_document_of_space", "Keep a document for task types")
        .path::<DocumentId>("id", "The document's id.")
        .takes::<serde_json::Map<String, serde_json::Value>>()
        .if_match()
        .answers::<Kept<'_>>(StatusCode::OK, "It is kept.")
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

fn about_delete(it: Operation) -> Operation {
    it.says(
        "delete_document_of_space",
        "Delete a document that people keep for task types",
    )
    .path::<DocumentId>("id", "The document's id.")
    .if_match()
    .answers_nothing(StatusCode::NO_CONTENT, "It is gone.")
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
