//! Streams, as people see them: settings, documents in, and what a task would read.

use std::sync::Arc;

use schemars::JsonSchema;
use serde_json::Value;
use taskhost_model::audit::Act;
use taskhost_model::exact::{look_through, rounded_integer};
use taskhost_model::ids::{Space, StreamKey};
use taskhost_model::query::Query;
use taskhost_model::requester::Requester;
use taskhost_model::time::Timestamp;
use taskhost_store::streams::{Batch, Count, Stream, StreamDocument, StreamSettings};

use crate::core::Core;
use crate::error::ServiceError;

/// Bytes of documents in one answer to a person.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The longest description of a stream.
const DESCRIPTION_CHARS_MAX: usize = 4_000;
/// Rejected lines that are listed; the rest is only counted.
const REJECTED_MAX: usize = 100;
/// Documents that are read and written at a time: a body of tiny lines is many times its size by
/// then.
const DOCUMENTS_AT_A_TIME: usize = 10_000;

/// Stream data for people. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Streams(pub(crate) Arc<Core>);

/// What became of the lines of an ingest.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, JsonSchema)]
pub struct Ingested {
    /// Lines that are on disk now.
    pub accepted: u64,
    /// Lines that are not; at most the first 100.
    pub rejected: Vec<RejectedLine>,
    /// How many there are beyond those.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_rejected: u64,
}

/// A line that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, JsonSchema)]
pub struct RejectedLine {
    /// Counted from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

impl Streams {
    /// Makes a stream or changes its settings; true, with the stream, when it was made.
    ///
    /// # Errors
    /// What the store says.
    pub async fn put(
        &self,
        by: &Requester,
        key: &StreamKey,
        settings: &StreamSettings,
    ) -> Result<(bool, Stream), ServiceError> {
        if settings.retention_days == 0 {
            return Err(ServiceError::invalid(
                "retention_days",
                "has to be at least 1",
            ));
        }
        let length = settings
            .description
            .as_ref()
            .map_or(0, |text| text.chars().count());
        if length > DESCRIPTION_CHARS_MAX {
            let problem = format!("has {length} characters, at most {DESCRIPTION_CHARS_MAX}");
            return Err(ServiceError::invalid("description", problem));
        }
        self.check_may_change(by, key).await?;
        let act = Act::in_space("stream.put", &key.space, &key.name);
        let put = async { Ok(self.0.streams.put(key, settings).await?) };
        let made = self.0.audit.kept_first(by, act, put).await?;
        if made {
            // A run on a former stream of this name may have written after its deletion.
            self.0.documents.delete_stream(key).await?;
        }
        Ok((made, self.get(by, key).await?))
    }

    /// One stream.
    ///
    /// # Errors
    /// [`ServiceError::UnknownStream`], or what the store says.
    pub async fn get(&self, by: &Requester, key: &StreamKey) -> Result<Stream, ServiceError> {
        self.check_may_read(by, key).await?;
        let found = self.0.streams.get(by, key).await?;
        found.ok_or_else(|| unknown(key))
    }

    /// All streams of a space, by name.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or what the store says.
    pub async fn list(&self, by: &Requester, space: &Space) -> Result<Vec<Stream>, ServiceError> {
        self.0.caller(by).must_read(space).await?;
        Ok(self.0.streams.list(by, space).await?)
    }

    /// Removes a stream with its documents and collections.
    ///
    /// # Errors
    /// [`ServiceError::UnknownStream`], or what the store says.
    pub async fn delete(&self, by: &Requester, key: &StreamKey) -> Result<(), ServiceError> {
        self.check_may_change(by, key).await?;
        let act = Act::in_space("stream.delete", &key.space, &key.name);
        let (core, gone) = (Arc::clone(&self.0), key.clone());
        let whole = async {
            // Carried out whole, also when whoever asks hangs up. Collections go even when the
            // stream is gone already: a crash may have come between the two.
            let whole = tokio::spawn(async move {
                let existed = core.streams.delete(&gone).await?;
                core.documents.delete_stream(&gone).await?;
                Ok::<_, ServiceError>(existed)
            });
            match whole.await.map_err(|error| internal(&error))?? {
                true => Ok(()),
                false => Err(unknown(key)),
            }
        };
        self.0.audit.kept_first(by, act, whole).await
    }

    /// Adds documents, one JSON object a line; each line stands alone.
    ///
    /// # Errors
    /// [`ServiceError::UnknownStream`], or what the store says.
    pub async fn ingest(
        &self,
        by: &Requester,
        key: &StreamKey,
        body: impl AsRef<[u8]> + Send + 'static,
    ) -> Result<Ingested, ServiceError> {
        self.check_may_change(by, key).await?;
        let act = Act::in_space("stream.ingest", &key.space, &key.name);
        let ingested = self.0.audit.kept(by, act, self.taken_in(key, body)).await?;
        if ingested.accepted == 0 {
            self.get(by, key).await?;
        }
        Ok(ingested)
    }

    async fn taken_in(
        &self,
        key: &StreamKey,
        body: impl AsRef<[u8]> + Send + 'static,
    ) -> Result<Ingested, ServiceError> {
        let (now, bytes_max) = (self.0.clock.now(), self.0.settings.document_bytes_max);
        let (mut body, mut reading) = (body, Reading::default());
        loop {
            let work = move || {
                let documents = reading.next(body.as_ref(), now, bytes_max);
                (documents, reading, body)
            };
            // Many megabytes may have to be read: that is not for the threads that serve.
            let read = tokio::task::spawn_blocking(work);
            let documents;
            (documents, reading, body) = read.await.map_err(|error| internal(&error))?;
            if documents.is_empty() {
                break;
            }
            reading.ingested.accepted += documents.len() as u64;
            self.0.streams.ingest(key, documents).await?;
        }
        Ok(reading.ingested)
    }

    /// How many documents match.
    ///
    /// # Errors
    /// [`ServiceError::UnknownStream`], [`ServiceError::Invalid`], or what the store says.
    pub async fn count(
        &self,
        by: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<Count, ServiceError> {
        check(query)?;
        self.check_may_read(by, key).await?;
        Ok(self.0.streams.count(by, key, query).await?)
    }

    /// A random sample of what matches.
    ///
    /// # Errors
    /// [`ServiceError::UnknownStream`], [`ServiceError::Invalid`], or what the store says.
    pub async fn sample(
        &self,
        by: &Requester,
        key: &StreamKey,
        query: &Query,
    ) -> Result<Batch, ServiceError> {
        check(query)?;
        self.check_may_read(by, key).await?;
        let bytes_max = query
            .max_bytes
            .unwrap_or(ANSWER_BYTES_MAX)
            .min(ANSWER_BYTES_MAX);
        Ok(self.0.streams.sample(by, key, query, bytes_max).await?)
    }
}

impl Streams {
    /// Whoever may not read a stream is answered as if there were none.
    async fn check_may_read(&self, by: &Requester, key: &StreamKey) -> Result<(), ServiceError> {
        let caller = self.0.caller(by);
        match caller.may_read(&key.space, Some(&key.name)).await? {
            true => Ok(()),
            false => Err(unknown(key)),
        }
    }

    async fn check_may_change(&self, by: &Requester, key: &StreamKey) -> Result<(), ServiceError> {
        self.0.caller(by).must_operate(&key.space).await?;
        self.check_may_read(by, key).await
    }
}

fn check(query: &Query) -> Result<(), ServiceError> {
    query
        .check()
        .map_err(|error| ServiceError::invalid(error.field, error.problem))
}

fn unknown(key: &StreamKey) -> ServiceError {
    ServiceError::UnknownStream {
        name: key.name.to_string(),
    }
}

fn internal(error: &tokio::task::JoinError) -> ServiceError {
    ServiceError::Internal {
        reason: error.to_string(),
    }
}

/// How far a body is read, and what became of its lines until there.
#[derive(Debug, Default)]
struct Reading {
    /// Bytes of the body.
    at: usize,
    /// Lines of it.
    lines: u64,
    ingested: Ingested,
}

impl Reading {
    /// The next documents; none at the end.
    fn next(&mut self, body: &[u8], now: Timestamp, bytes_max: u64) -> Vec<StreamDocument> {
        let mut documents = Vec::new();
        while self.at < body.len() && documents.len() < DOCUMENTS_AT_A_TIME {
            let rest = &body[self.at..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let line = &rest[..end.unwrap_or(rest.len())];
            self.at += line.len() + 1;
            self.lines += 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            match document(line, now, bytes_max) {
                Ok(document) => documents.push(document),
                Err(reason) => self.reject(reason),
            }
        }
        documents
    }

    fn reject(&mut self, reason: String) {
        let Ingested {
            rejected,
            more_rejected,
            ..
        } = &mut self.ingested;
        if rejected.len() >= REJECTED_MAX {
            *more_rejected += 1;
            return;
        }
        let line = self.lines;
        rejected.push(RejectedLine { line, reason });
    }
}

/// A document from a line. One without `@timestamp` gets the time of its arrival; a time in
/// another form is written as RFC 3339.
fn document(line: &[u8], now: Timestamp, bytes_max: u64) -> Result<StreamDocument, String> {
    let check = |what: &str, bytes: usize| match bytes as u64 > bytes_max {
        true => Err(format!("{what} {bytes} bytes, at most {bytes_max}")),
        false => Ok(()),
    };
    check("has", line.len())?;
    let text = std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())?;
    if let Some(integer) = rounded_integer(text) {
        return Err(format!(
            "has the integer {integer}, which is beyond 64 bits"
        ));
    }
    look_through(text).map_err(|flaw| flaw.to_string())?;
    let value: Value = serde_json::from_str(text)
        .map_err(|error| format!("is no JSON: {}", within_line(&error)))?;
    let Value::Object(mut object) = value else {
        return Err("is not a JSON object".to_owned());
    };
    let at = match object.get("@timestamp") {
        None | Some(Value::Null) => now,
        Some(value) => serde_json::from_value(value.clone())
            .map_err(|error| format!("`@timestamp`: {error}"))?,
    };
    object.insert("@timestamp".to_owned(), Value::String(at.to_string()));
    let body = Value::Object(object).to_string();
    check("has, with its time,", body.len())?;
    Ok(StreamDocument {
        at,
        body: Arc::from(body),
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What the parser says of a text of one line: whose line it is, the answer says already.
fn within_line(error: &serde_json::Error) -> String {
    error
        .to_string()
        .replace(" at line 1 column ", " at column ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_in_pieces_and_its_lines_are_counted_through() {
        let lines = DOCUMENTS_AT_A_TIME + 2;
        let body = format!("{}[]\n\n{{}}", "{}\n".repeat(lines));
        let (now, mut reading) = (Timestamp::from_ms(5), Reading::default());
        let mut next = || reading.next(body.as_bytes(), now, 1_000).len();
        assert_eq!([next(), next(), next()], [DOCUMENTS_AT_A_TIME, 3, 0]);
        let rejected = &reading.ingested.rejected;
        assert_eq!(rejected.len(), 1);
        assert_eq!(rejected[0].line, lines as u64 + 1);
    }

    #[test]
    fn lines_become_documents_with_a_time() {
        let now = Timestamp::from_ms(5);
        let read = |line: &str| document(line.as_bytes(), now, 1_000);
        let given = read(r#"{"message":"x","@timestamp":1000}"#).unwrap();
        assert_eq!(given.at.as_ms(), 1000);
        assert!(
            given.body.contains("1970-01-01T00:00:01.000Z"),
            "{}",
            given.body
        );
        assert_eq!(read("{}").unwrap().at, now);
        for bad in [
            "",
            "[]",
            "1",
            "{",
            "{\"@timestamp\":\"noon\"}",
            "{\"a\":1e400}",
            "{\"a\":{\"b\":1,\"b\":1}}",
            "\u{0}",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read(r#"{"a":18446744073709551616}"#).is_err());
        assert!(
            document(b"{\"a\":\"\xff\"}", now, 1_000)
                .unwrap_err()
                .contains("UTF-8")
        );
    }
}
