//! Requests and answers without a connection.

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use serde_json::Value;

/// More than any answer has.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: axum::body::to_bytes(body, ANSWER_BYTES_MAX).await.unwrap(),
        }
    }

    /// Its body as JSON.
    pub(crate) fn json(&self) -> Value {
        let read = serde_json::from_slice(&self.body);
        read.unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(crate) fn content_type(&self) -> &str {
        let value = self.headers.get(CONTENT_TYPE);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// A POST to this host.
pub(crate) fn post(path: &str, content_type: &str, body: Body) -> Request<Body> {
    let request = Request::post(path)
        .header("host", "localhost")
        .header(CONTENT_TYPE, content_type);
    request.body(body).unwrap()
}

/// A body that arrives in pieces of such lengths, again and again; 0 is the whole rest.
pub(crate) fn in_pieces(bytes: &[u8], lengths: &[u8]) -> Body {
    let mut pieces = Vec::new();
    let (mut rest, mut lengths) = (bytes, lengths.iter().cycle());
    while !rest.is_empty() {
        let length = match lengths.next() {
            None | Some(0) => rest.len(),
            Some(length) => usize::from(*length).min(rest.len()),
        };
        let (piece, after) = rest.split_at(length);
        pieces.push(Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)));
        rest = after;
    }
    Body::from_stream(futures_util::stream::iter(pieces))
}
