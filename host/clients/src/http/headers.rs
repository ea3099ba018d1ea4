//! Headers of a request: which a task may set, and which go along to another origin.

use hyper::header::{HeaderName, HeaderValue};

use crate::error::ClientError;
use crate::secrets::RunSecrets;

/// Headers of a request.
const HEADERS_MAX: usize = 100;
/// Names and values of a request together.
const HEADERS_BYTES_MAX: usize = 32 * 1024;

/// What belongs to the connection, or is derived from the request: in the task's hands it could
/// make one request look like two.
const OF_THE_HOST: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Many servers take these for the method, the path or the host of a request: with them it would be
/// another one than was judged.
const OF_ANOTHER_REQUEST: [&str; 10] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Nothing else goes to another origin: a task's own header may be a key of the first one.
const FOR_EVERYBODY: [&str; 5] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "content-type",
    "user-agent",
];

/// What describes a body, and goes with it.
const OF_A_BODY: [&str; 4] = [
    "content-encoding",
    "content-language",
    "content-location",
    "content-type",
];

/// A header with its placeholders.
pub(super) type Header = (HeaderName, String);

/// Headers as the task gave them, checked.
pub(super) fn checked(headers: Vec<(String, String)>) -> Result<Vec<Header>, ClientError> {
    if headers.len() > HEADERS_MAX {
        let (count, most) = (headers.len(), HEADERS_MAX as u64);
        return Err(ClientError::too_large(
            "the request",
            count,
            "headers",
            most,
        ));
    }
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > HEADERS_BYTES_MAX {
        let most = HEADERS_BYTES_MAX as u64;
        return Err(ClientError::too_large(
            "the headers together",
            bytes,
            "bytes",
            most,
        ));
    }
    headers
        .into_iter()
        .map(|(name, value)| header(&name, value))
        .collect()
}

fn header(name: &str, value: String) -> Result<Header, ClientError> {
    let field = format!("headers.{}", name.escape_debug());
    let Ok(known) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err(ClientError::invalid(&field, "is no name of a header"));
    };
    if OF_THE_HOST.contains(&known.as_str()) {
        return Err(ClientError::invalid(
            &field,
            "is set by the host: leave it out",
        ));
    }
    if OF_ANOTHER_REQUEST.contains(&known.as_str()) {
        return Err(ClientError::invalid(
            &field,
            "tells many servers another method, path or host than the request has, and than is \
             allowed: leave it out",
        ));
    }
    if HeaderValue::from_bytes(value.as_bytes()).is_err() {
        let problem = "has a value with a control character, such as a line break";
        return Err(ClientError::invalid(&field, problem));
    }
    Ok((known, value))
}

/// Leaves what may go to another origin.
pub(super) fn keep_for_another_origin(headers: &mut Vec<Header>) {
    headers.retain(|(name, value)| {
        FOR_EVERYBODY.contains(&name.as_str()) && !RunSecrets::has_placeholder(value.as_bytes())
    });
}

/// Leaves what makes sense without a body.
pub(super) fn keep_without_body(headers: &mut Vec<Header>) {
    headers.retain(|(name, _)| !OF_A_BODY.contains(&name.as_str()));
}
