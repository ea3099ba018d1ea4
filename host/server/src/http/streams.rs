//! The routes for streams and their documents.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::value::RawValue;
use taskhost_model::ids::StreamKey;
use taskhost_model::query::Query;
use taskhost_store::streams::{Batch, Stream, StreamSettings};

use super::answer;
use super::asked::Asked;
use super::problem::Problem;
use super::request::{self, PathIds};
use super::state::State;

/// The largest body of documents, in bytes.
const INGEST_BYTES_MAX: u64 = 32 * 1024 * 1024;

pub(crate) const NDJSON: [&str; 3] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
];

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/v1/spaces/{space}/streams", get(list))
        .route(
            "/v1/spaces/{space}/streams/{stream}",
            get(read).put(write).delete(delete),
        )
        .route(
            "/v1/spaces/{space}/streams/{stream}/documents",
            post(ingest),
        )
        .route("/v1/spaces/{space}/streams/{stream}/sample", post(sample))
        .route("/v1/spaces/{space}/streams/{stream}/count", post(count))
}

type Answer = Result<Response<Body>, Problem>;

fn key(ids: &PathIds) -> Result<StreamKey, Problem> {
    Ok(StreamKey {
        space: ids.id("space")?,
        name: ids.id("stream")?,
    })
}

#[derive(Serialize)]
struct List {
    streams: Vec<Stream>,
}

async fn list(state: Asked, ids: PathIds) -> Answer {
    let streams = state
        .service()
        .streams
        .list(state.by(), &ids.id("space")?)
        .await?;
    Ok(answer::json(StatusCode::OK, &List { streams }))
}

async fn read(state: Asked, ids: PathIds) -> Answer {
    let stream = state.service().streams.get(state.by(), &key(&ids)?).await?;
    Ok(answer::json(StatusCode::OK, &stream))
}

async fn write(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = key(&ids)?;
    let (_, bytes) = state.json_body(request).await?;
    let settings: StreamSettings = request::json_or_empty(&bytes)?;
    let put = state.service().streams.put(state.by(), &key, &settings);
    let (made, stream) = put.await?;
    let status = if made {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(answer::json(status, &stream))
}

async fn delete(state: Asked, ids: PathIds) -> Answer {
    state
        .service()
        .streams
        .delete(state.by(), &key(&ids)?)
        .await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

async fn ingest(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = key(&ids)?;
    let (streams, by, key) = (&state.service().streams, state.by(), &key);
    let ingest =
        |bytes: axum::body::Bytes| async move { Ok(streams.ingest(by, key, bytes).await?) };
    let ingested = state
        .upload(request, &NDJSON, INGEST_BYTES_MAX, ingest)
        .await?;
    Ok(answer::json(StatusCode::OK, &ingested))
}

/// A sample as it is written: documents stand as they were stored.
#[derive(Serialize)]
struct Sample<'a> {
    documents: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<u64>,
    truncated: bool,
    #[serde(skip_serializing_if = "is_zero")]
    left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl<'a> From<&'a Batch> for Sample<'a> {
    fn from(batch: &'a Batch) -> Self {
        // What was stored was checked; a text that is no JSON cannot stand in an answer.
        let raw = |text: &'a String| serde_json::from_str::<&RawValue>(text).ok();
        Self {
            documents: batch.documents.iter().filter_map(raw).collect(),
            matched: batch.matched,
            truncated: batch.truncated,
            left_out: batch.left_out,
        }
    }
}

async fn sample(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = key(&ids)?;
    let query = query(&state, request).await?;
    let batch = state
        .service()
        .streams
        .sample(state.by(), &key, &query)
        .await?;
    Ok(answer::json(StatusCode::OK, &Sample::from(&batch)))
}

/// A count as it is written, in the same form as tasks read it.
#[derive(Serialize)]
struct Count {
    value: u64,
    relation: &'static str,
}

async fn count(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = key(&ids)?;
    let query = query(&state, request).await?;
    let count = state
        .service()
        .streams
        .count(state.by(), &key, &query)
        .await?;
    Ok(answer::json(
        StatusCode::OK,
        &Count {
            value: count.value,
            relation: count.relation.as_str(),
        },
    ))
}

async fn query(state: &Asked, request: Request<Body>) -> Result<Query, Problem> {
    let (_, bytes) = state.json_body(request).await?;
    request::json(&bytes)
}
