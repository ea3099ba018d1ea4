//! The routes for collections: documents that tasks have written.

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use taskhost_model::ids::{DocumentId, StreamKey};
use taskhost_store::documents::{Document, DocumentPage, Scope};

use super::answer;
use super::asked::Asked;
use super::codes::Code;
use super::described::{Operation, Routes};
use super::problem::Problem;
use super::request::{PageSize, PathIds, QueryParams};

pub(crate) fn routes() -> Routes {
    let all = "/v1/spaces/{space}/streams/{stream}/collections/{label}";
    Routes::of("Collections").get(all, list, about_list).get(
        &format!("{all}/{{id}}"),
        read,
        about_read,
    )
}

type Answer = Result<Response<Body>, Problem>;

/// A document as it is written; its body stands as the task wrote it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Document")]
pub(crate) struct Shown<'a> {
    /// Its id in the collection.
    id: &'a DocumentId,
    /// Changes with every write.
    version: &'a str,
    /// What was written.
    #[schemars(with = "serde_json::Value")]
    body: &'a RawValue,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DocumentList")]
pub(crate) struct Page<'a> {
    /// By id.
    documents: Vec<Shown<'a>>,
    /// The `cursor` of the next page; none at the end.
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

fn about_list(it: Operation) -> Operation {
    it.says(
        "list_documents",
        "List the documents that tasks have written of a stream",
    )
    .query::<String>("cursor", "The `next` of the page before.")
    .query::<PageSize>("limit", "How many on a page; 100 when left out.")
    .answers::<Page<'_>>(StatusCode::OK, "A page of documents.")
    .refuses(&[Code::UnknownStream])
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

fn about_read(it: Operation) -> Operation {
    it.says(
        "get_document",
        "Get a document that a task has written of a stream",
    )
    .path::<DocumentId>("id", "The document's id.")
    .answers::<Shown<'_>>(StatusCode::OK, "The document.")
    .with_etag()
    .refuses(&[Code::UnknownStream])
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
