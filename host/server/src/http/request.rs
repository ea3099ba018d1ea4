//! Reads requests: ids in the path, the query, preconditions, bodies. Whatever is wrong becomes
//! a problem document that names the field.

mod query;

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use taskhost_model::exact::{look_through, rounded_integer};
use taskhost_model::ids::{InvalidId, TaskKey};
use taskhost_service::error::ServiceError;
use taskhost_store::event::WriteCondition;

pub(crate) use self::query::{PageSize, QueryParams, Span};
use super::codes::Code;
use super::problem::Problem;

/// How much of a body that is too large is read on.
const DISCARDED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Of what a parser says of a body, the beginning and the end.
const SHOWN_BYTES: [usize; 2] = [200, 200];

/// The ids in a path, by the route's names.
#[derive(Debug)]
pub(crate) struct PathIds(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for PathIds {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|error| Problem::invalid("path", error.body_text()))?;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Ok(Self(params.iter().map(owned).collect()))
    }
}

impl PathIds {
    /// The id that the route calls `name`.
    pub(crate) fn id<T: FromStr<Err = InvalidId>>(&self, name: &str) -> Result<T, Problem> {
        let text = self.text(name);
        text.parse()
            .map_err(|error| Problem::invalid_id(name, &error))
    }

    /// The part of the path that the route calls `name`.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(of, _)| of == name)
            .map_or("", |(_, value)| value)
    }

    /// The task that the path names.
    pub(crate) fn task(&self) -> Result<TaskKey, Problem> {
        Ok(TaskKey {
            space: self.id("space")?,
            id: self.id("id")?,
        })
    }
}

/// `If-Match` of a change to what exists: the version that the caller has read.
pub(crate) fn if_version(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let parsed = if_text(headers)?.map(|text| text.parse()).transpose();
    // A text that no answer of ours carried matches nothing.
    parsed.map_err(|_| ServiceError::VersionMismatch.into())
}

/// The same, where a version is no number.
pub(crate) fn if_text(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let given = version(headers, &IF_MATCH)?;
    let wanted = "takes the ETag of a former answer";
    if given == Some("*") {
        return Err(Problem::invalid("If-Match", wanted));
    }
    Ok(given.map(str::to_owned))
}

/// `If-Match` or `If-None-Match: *` of a schedule.
pub(crate) fn write_condition(headers: &HeaderMap) -> Result<Option<WriteCondition>, Problem> {
    let version_given = if_version(headers)?;
    match (version_given, version(headers, &IF_NONE_MATCH)?) {
        (None, None) => Ok(None),
        (Some(version), None) => Ok(Some(WriteCondition::Version(version))),
        (None, Some("*")) => Ok(Some(WriteCondition::Absent)),
        (None, Some(_)) => Err(Problem::invalid("If-None-Match", "takes `*` alone")),
        (Some(_), Some(_)) => {
            let problem = "cannot be given together with If-Match";
            Err(Problem::invalid("If-None-Match", problem))
        }
    }
}

fn version<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match inner {
        _ if text == "*" => Ok(Some("*")),
        Some(inner) if !inner.contains('"') => Ok(Some(inner)),
        _ => Err(Problem::invalid(
            name.as_str(),
            "takes one ETag in quotes, such as \"3\"",
        )),
    }
}

/// Refuses a body of a type that the route does not take, and a compressed one. A body without a
/// type is fine.
pub(crate) fn check_content_type(headers: &HeaderMap, accepted: &[&str]) -> Result<(), Problem> {
    let encoding = headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        let detail = "the body is compressed, as Content-Encoding says: send it as it is";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let Some(given) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let given = given.to_str().unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim();
    if accepted
        .iter()
        .any(|accepted| accepted.eq_ignore_ascii_case(kind))
    {
        return Ok(());
    }
    let given: String = given
        .chars()
        .take(80)
        .flat_map(char::escape_debug)
        .collect();
    let wanted = accepted.first().copied().unwrap_or_default();
    let detail = format!("the body has to be `{wanted}`, and Content-Type says `{given}`");
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

/// A body that comes more slowly is given up: it holds a place that others wait for.
pub(crate) const BODY_BYTES_A_SECOND_MIN: u64 = 16 * 1024;

/// Reads a body of at most `bytes_max` bytes; each next part has to come within `patience`, and
/// all of it at a pace of at least [`BODY_BYTES_A_SECOND_MIN`] after that.
pub(crate) async fn body(
    headers: &HeaderMap,
    body: Body,
    bytes_max: u64,
    patience: Duration,
) -> Result<Bytes, Problem> {
    let too_large = || Problem::too_large("the body", bytes_max);
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let mut parts = body.into_data_stream();
    if announced.is_some_and(|bytes: u64| bytes > bytes_max) {
        discard(&mut parts, patience).await;
        return Err(too_large());
    }
    let begun = Instant::now();
    let mut first: Option<Bytes> = None;
    let mut whole = Vec::new();
    loop {
        let part = tokio::time::timeout(patience, parts.next())
            .await
            .map_err(|_| {
                let detail = format!("no part of the body came for {} s", patience.as_secs());
                Problem::new(Code::RequestTimeout, detail)
            })?;
        let came = first.as_ref().map_or(whole.len(), Bytes::len) as u64;
        if begun.elapsed() > patience + Duration::from_secs(came / BODY_BYTES_A_SECOND_MIN) {
            let detail = format!("the body came more slowly than {BODY_BYTES_A_SECOND_MIN} B/s");
            return Err(Problem::new(Code::RequestTimeout, detail));
        }
        let Some(part) = part else { break };
        let part = part.map_err(|error| Problem::invalid("body", error.to_string()))?;
        let so_far = first.as_ref().map_or(whole.len(), Bytes::len);
        if (so_far + part.len()) as u64 > bytes_max {
            discard(&mut parts, patience).await;
            return Err(too_large());
        }
        match first.take() {
            None if whole.is_empty() => first = Some(part),
            None => whole.extend_from_slice(&part),
            Some(before) => {
                let announced = announced.and_then(|bytes| usize::try_from(bytes).ok());
                whole.reserve(announced.unwrap_or(before.len() + part.len()));
                whole.extend_from_slice(&before);
                whole.extend_from_slice(&part);
            }
        }
    }
    Ok(first.unwrap_or_else(|| Bytes::from(whole)))
}

/// Reads on to the end of a body that is refused, within reason: a client that still sends when
/// the connection closes never sees the answer.
pub(crate) async fn discard(parts: &mut BodyDataStream, patience: Duration) {
    let mut bytes = 0;
    while bytes < DISCARDED_BYTES_MAX {
        match tokio::time::timeout(patience, parts.next()).await {
            Ok(Some(Ok(part))) => bytes += part.len(),
            _ => return,
        }
    }
}

/// Reads JSON; a mistake names the path of its field. A tree takes up to eighty times the memory
/// of its text: what a body has of any shape, and may wait, stays text (see [`text`]).
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::invalid("body", "is not UTF-8"))?;
    // An array would do for the parser, with the fields in their order.
    if text.trim_start().starts_with('[') {
        return Err(Problem::invalid("body", "has to be a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value: T = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| Problem::invalid(field_of(&error), words_of(error.inner())))?;
    deserializer
        .end()
        .map_err(|error| Problem::invalid("body", words_of(&error)))?;
    if let Some(number) = rounded_integer(text) {
        let problem = format!(
            "holds the integer {number}, which does not fit into 64 bits and could not be kept \
             exactly: send it as a text"
        );
        return Err(Problem::invalid("body", problem));
    }
    // What is left as text has only been skimmed so far.
    look_through(text).map_err(|flaw| Problem::invalid("body", flaw.to_string()))?;
    Ok(value)
}

/// Reads a value of any shape as its text.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(Arc::from(raw.get()))
}

/// What the parser says, for people: a place in the text only where the text is what is wrong.
fn words_of(error: &serde_json::Error) -> String {
    let message = shortened(error.to_string());
    if error.is_eof() && error.line() <= 1 && error.column() == 0 {
        return "is empty: a JSON object is wanted".to_owned();
    }
    if !error.is_data() {
        return format!("is no JSON: {message}");
    }
    let said = message.rsplit_once(" at line ");
    let said = said.map_or(message.as_str(), |(said, _)| said);
    if said.starts_with("missing field") {
        "is missing".to_owned()
    } else {
        said.to_owned()
    }
}

/// Without the middle where it is long: the parser repeats what it was given, which may be as long
/// as a body.
fn shortened(text: String) -> String {
    let [begin, end] = SHOWN_BYTES;
    if text.len() <= begin + end {
        return text;
    }
    let begin = text.floor_char_boundary(begin);
    let end = text.ceil_char_boundary(text.len() - end);
    format!("{} … {}", &text[..begin], &text[end..])
}

/// The path of the field that a mistake is about; `body` when it is no field's.
fn field_of(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    if !error.inner().is_data() {
        return "body".to_owned();
    }
    let path = shortened(error.path().to_string());
    let message = error.inner().to_string();
    // The parser knows which field is missing, and names the object that misses it.
    let missing = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next());
    match (path.as_str(), missing) {
        (".", Some(missing)) => missing.to_owned(),
        (path, Some(missing)) => format!("{path}.{missing}"),
        ("." | "?", None) => "body".to_owned(),
        _ => path,
    }
}

/// Reads JSON where nothing is required: an empty body is an empty object.
pub(crate) fn json_or_empty<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let is_empty = bytes.iter().all(u8::is_ascii_whitespace);
    json(if is_empty { b"{}" } else { bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn nothing() -> Arc<str> {
        Arc::from("null")
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the mistakes matter")]
    struct Wanted {
        name: String,
        #[serde(default)]
        inner: Option<Inner>,
        #[serde(default = "nothing", deserialize_with = "text")]
        any: Arc<str>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the mistakes matter")]
    struct Inner {
        count: u32,
    }

    #[test]
    fn mistakes_in_json_name_their_field() {
        for (text, field) in [
            ("", "body"),
            ("{", "body"),
            ("[]", "body"),
            ("{\"name\":\"x\"} 1", "body"),
            ("{}", "name"),
            ("{\"name\":\"x\",\"inner\":{}}", "inner.count"),
            ("{\"name\":1}", "name"),
            ("{\"name\":\"x\",\"nmae\":1}", "nmae"),
            ("{\"name\":\"x\",\"inner\":{\"count\":-1}}", "inner.count"),
            ("{\"name\":\"x\",\"inner\":{\"cuont\":1}}", "inner.cuont"),
            ("{\"name\":\"\\ud800\"}", "body"),
            ("{\"name\":\"x\",\"any\":1e400}", "body"),
            ("{\"name\":\"x\",\"any\":[\"\\udc00\"]}", "body"),
            ("{\"name\":\"x\",\"any\":[1,]}", "body"),
            ("{\"name\":\"x\",\"any\":[18446744073709551616]}", "body"),
            ("{\"name\":\"x\",\"any\":{\"a\":1,\"a\":1}}", "body"),
        ] {
            let problem = json::<Wanted>(text.as_bytes()).unwrap_err();
            let shown = format!("{problem:?}");
            assert!(
                shown.contains(&format!("field: \"{field}\"")),
                "{text}: {shown}"
            );
        }
        assert!(json::<Wanted>(b"{\"name\":\"\xff\"}").is_err());
        assert!(json::<Wanted>(b"{\"name\":\"\\u0000 9\\\" 99999999999999999999\"}").is_ok());
        let numbers = b"{\"name\":\"x\",\"any\":[-9223372036854775808,18446744073709551615,1e30]}";
        assert!(json::<Wanted>(numbers).is_ok());
        let nested = |depth| [b"[".repeat(depth), b"]".repeat(depth)].concat();
        let deep = |depth| [b"{\"name\":\"x\",\"any\":", &nested(depth)[..], b"}"].concat();
        assert!(json::<Wanted>(&deep(100)).is_ok());
        assert!(json::<Wanted>(&deep(100_000)).is_err());
        let many = [
            b"{\"name\":\"x\",\"any\":[",
            &b"0,".repeat(1_000_000)[..],
            b"0]}",
        ]
        .concat();
        let refused = json::<Wanted>(&many).unwrap_err();
        assert!(format!("{refused:?}").contains("more than 1000000 values"));
    }

    #[test]
    fn a_mistake_does_not_send_back_what_came() {
        let long = "\u{e9}".repeat(10_000);
        for body in [
            format!("{{\"name\":\"x\",\"inner\":{{\"count\":\"{long}\"}}}}"),
            format!("{{\"name\":\"x\",\"{long}\":1}}"),
        ] {
            let problem = json::<Wanted>(body.as_bytes()).unwrap_err();
            let told = problem.as_json().to_string();
            assert!(told.len() < 3_000, "{told}");
            let said = ["expected u32", "expected one of `name`"];
            assert!(said.iter().any(|said| told.contains(said)), "{told}");
        }
    }

    #[test]
    fn preconditions_are_read_from_their_headers() {
        let read = |name: HeaderName, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            write_condition(&headers)
        };
        assert_eq!(
            read(IF_MATCH, "\"3\"").unwrap(),
            Some(WriteCondition::Version(3))
        );
        assert_eq!(
            read(IF_NONE_MATCH, "*").unwrap(),
            Some(WriteCondition::Absent)
        );
        for bad in ["3", "*", "\"3\", \"4\"", "W/\"3\"", "\"x\""] {
            assert!(read(IF_MATCH, bad).is_err(), "{bad}");
        }
        assert!(read(IF_NONE_MATCH, "\"3\"").is_err());
    }

    #[test]
    fn content_types_are_compared_without_parameters() {
        let check = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            check_content_type(&headers, &["application/json"])
        };
        assert!(check("Application/JSON; charset=utf-8").is_ok());
        assert!(check("text/plain").is_err());
        let mut compressed = HeaderMap::new();
        compressed.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(check_content_type(&compressed, &["application/json"]).is_err());
        assert!(check_content_type(&HeaderMap::new(), &["application/json"]).is_ok());
    }

    #[tokio::test]
    async fn bodies_end_at_their_limit() {
        let read = |text: &'static str, bytes_max| {
            let parts = text.as_bytes().chunks(2).map(Ok::<_, std::io::Error>);
            let stream = futures_util::stream::iter(parts);
            let patience = Duration::from_secs(5);
            let headers = HeaderMap::new();
            async move { body(&headers, Body::from_stream(stream), bytes_max, patience).await }
        };
        assert_eq!(read("abcde", 5).await.unwrap(), "abcde");
        assert!(read("abcde", 4).await.is_err());
        assert_eq!(read("", 0).await.unwrap(), "");
    }
}
