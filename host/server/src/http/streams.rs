//! The routes for streams and their documents.

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use taskhost_model::ids::StreamKey;
use taskhost_model::query::Query;
use taskhost_service::streams::Ingested;
use taskhost_store::streams::{Batch, Stream, StreamSettings};

use super::answer;
use super::asked::Asked;
use super::codes::Code;
use super::described::{Operation, Routes};
use super::problem::Problem;
use super::request::{self, PathIds};

/// The largest body of documents, in bytes.
const INGEST_BYTES_MAX: u64 = 32 * 1024 * 1024;

pub(crate) const NDJSON: [&str; 3] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
];

pub(crate) fn routes() -> Routes {
    let one = "/v1/spaces/{space}/streams/{stream}";
    Routes::of("Streams")
        .get("/v1/spaces/{space}/streams", list, about_list)
        .get(one, read, about_read)
        .put(one, write, about_write)
        .delete(one, delete, about_delete)
        .post(&format!("{one}/documents"), ingest, about_ingest)
        .post(&format!("{one}/sample"), sample, about_sample)
        .post(&format!("{one}/count"), count, about_count)
}

type Answer = Result<Response<Body>, Problem>;

fn key(ids: &PathIds) -> Result<StreamKey, Problem> {
    Ok(StreamKey {
        space: ids.id("space")?,
        name: ids.id("stream")?,
    })
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StreamList")]
struct List {
    /// By name.
    streams: Vec<Stream>,
}

fn about_list(it: Operation) -> Operation {
    it.says(
        "list_streams",
        "List the streams of a space that you may read",
    )
    .answers::<List>(StatusCode::OK, "All.")
}

async fn list(state: Asked, ids: PathIds) -> Answer {
    let streams = state
        .service()
        .streams
        .list(state.by(), &ids.id("space")?)
        .await?;
    Ok(answer::json(StatusCode::OK, &List { streams }))
}

fn about_read(it: Operation) -> Operation {
    it.says("get_stream", "Get a stream")
        .answers::<Stream>(StatusCode::OK, "The stream.")
        .refuses(&[Code::UnknownStream])
}

async fn read(state: Asked, ids: PathIds) -> Answer {
    let stream = state.service().streams.get(state.by(), &key(&ids)?).await?;
    Ok(answer::json(StatusCode::OK, &stream))
}

fn about_write(it: Operation) -> Operation {
    it.says("put_stream", "Make a stream, or change its settings")
        .may_take::<StreamSettings>()
        .answers::<Stream>(StatusCode::CREATED, "It is made.")
        .answers::<Stream>(StatusCode::OK, "It was there; its settings are these now.")
        .refuses(&[Code::EmbeddedStoreOnly])
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

fn about_delete(it: Operation) -> Operation {
    it.says(
        "delete_stream",
        "Delete a stream with its documents and collections",
    )
    .answers_nothing(StatusCode::NO_CONTENT, "It is gone.")
    .refuses(&[Code::UnknownStream, Code::EmbeddedStoreOnly])
}

async fn delete(state: Asked, ids: PathIds) -> Answer {
    state
        .service()
        .streams
        .delete(state.by(), &key(&ids)?)
        .await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

fn about_ingest(it: Operation) -> Operation {
    it.says("ingest", "Add documents to a stream")
        .takes_other(NDJSON[0], "A JSON object a line, 32 MiB at most.")
        .answers::<Ingested>(StatusCode::OK, "What became of the lines.")
        .refuses(&[Code::UnknownStream, Code::EmbeddedStoreOnly])
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
#[derive(Serialize, JsonSchema)]
struct Sample<'a> {
    /// As they were stored.
    #[schemars(with = "Vec<serde_json::Value>")]
    documents: Vec<&'a RawValue>,
    /// How many match in all, where it was found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<u64>,
    /// Whether some are missing for their size.
    truncated: bool,
    /// How many of those that were drawn were too large to be shown.
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

fn about_sample(it: Operation) -> Operation {
    it.says("sample_stream", "Draw documents of a stream at random")
        .takes::<Query>()
        .answers::<Sample<'_>>(StatusCode::OK, "As a task would read them in your name.")
        .refuses(&[Code::UnknownStream, Code::UnfitStream])
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
#[derive(Serialize, JsonSchema)]
struct Count {
    /// How many.
    value: u64,
    /// How exact that is: `eq`, `gte`, `lte` or `approximate`.
    relation: &'static str,
}

fn about_count(it: Operation) -> Operation {
    it.says("count_stream", "Count documents of a stream")
        .takes::<Query>()
        .answers::<Count>(StatusCode::OK, "How many match.")
        .refuses(&[Code::UnknownStream, Code::UnfitStream])
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
