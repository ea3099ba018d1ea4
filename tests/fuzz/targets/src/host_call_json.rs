//! Every text that a component hands to the host, through the clients of a run: a query, a filter,
//! documents, log fields, progress, options, chats, and what it returns. Refusals are typed and
//! short, and what is accepted reads back as it was written.
//!
//! Each line of an input is a call: a letter, then its arguments with tabs between them.

mod bench;
mod models;

use std::collections::HashMap;

use serde_json::Value;
use taskhost_clients::caps::{LOG_LINE_BYTES_MAX, MESSAGE_BYTES_MAX, PHASE_BYTES_MAX};
use taskhost_clients::documents::{Change, Collection, Document};
use taskhost_clients::error::{ClientError, ErrorCode};
use taskhost_clients::json;
use taskhost_clients::streams::Batch;
use taskhost_model::descriptor::JSON_DEPTH_MAX;
use taskhost_model::task::LogLevel;

use crate::exactness::{depth, is_exact};
use crate::{contract, host};
use bench::{Bench, STREAM};

const CALLS_MAX: usize = 64;
/// Bytes of what a refusal says.
const MESSAGE_BYTES: usize = 2_048;
/// Pages of one search: more than its documents, if each page has one.
const PAGES_MAX: usize = 12;

/// Makes the calls.
pub fn run(data: &[u8]) {
    // What comes from a guest is UTF-8, or is refused by the engine.
    let text = String::from_utf8_lossy(data);
    host::block_on(async {
        let mut run = Run::new().await;
        for line in text.split('\n').take(CALLS_MAX) {
            run.call(line).await;
        }
        run.reads_back().await;
    });
}

/// A run, and what it has written.
struct Run {
    bench: Bench,
    collection: Collection,
    documents: HashMap<String, (String, String)>,
}

type Refused<T> = Result<T, ClientError>;

impl Run {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let collection = bench.clients.documents.open("features", None).unwrap();
        Self {
            bench,
            collection,
            documents: HashMap::new(),
        }
    }

    async fn call(&mut self, line: &str) {
        let mut letters = line.chars();
        let Some(letter) = letters.next() else {
            return;
        };
        let arguments: Vec<&str> = letters.as_str().split('\t').collect();
        let first = arguments[0];
        let at = |index: usize| arguments.get(index).copied();
        match letter {
            'c' => self.count(first).await,
            's' => self.sample(first).await,
            'm' => self.samples(&arguments).await,
            'f' => self.field_stats(first).await,
            'r' => self.search(first).await,
            'd' => {
                let described = self.bench.clients.streams.describe(first).await;
                let described = answered(described, &[ErrorCode::Denied]);
                described.inspect(|text| meets("stream-description.json", text));
            }
            'o' => {
                let opened = self.bench.clients.documents.open(first, at(1));
                answered(opened, &[ErrorCode::Denied]);
            }
            'g' => self.get(first).await,
            'q' => self.query(first, at(1), at(2)).await,
            'p' | 'n' | 'x' => self.change(letter, first, at(1), at(2)).await,
            'l' => self.log(first, at(1)),
            'h' => self.report(first, at(1), at(2).unwrap_or_default()),
            'b' => self.phase(first),
            'R' => returned(first),
            'a' => {
                let Bench {
                    clients, models, ..
                } = &self.bench;
                let answer = at(1).unwrap_or_default();
                models::ask(&clients.inference, models, first, answer).await;
            }
            _ => {}
        }
    }

    async fn count(&self, query: &str) {
        let count = self.bench.clients.streams.count(STREAM, query).await;
        if let Some(text) = answered(count, &[]) {
            is_query(query);
            meets("count-result.json", &text);
            let count: Value = serde_json::from_str(&text).unwrap();
            assert!(count["value"].as_u64() <= Some(bench::DOCUMENTS), "{text}");
            assert_eq!(count["relation"], "eq");
        }
    }

    async fn sample(&self, request: &str) {
        let sample = self.bench.clients.streams.sample(STREAM, request).await;
        if let Some(batch) = answered(sample, &[]) {
            is_query(request);
            self.is_batch(&batch);
        }
    }

    async fn samples(&self, requests: &[&str]) {
        let requests: Vec<String> = requests.iter().map(|text| (*text).to_owned()).collect();
        let streams = &self.bench.clients.streams;
        let samples = streams.sample_many(STREAM, &requests).await;
        for sample in answered(samples, &[]).into_iter().flatten() {
            answered(sample, &[]).inspect(|batch| self.is_batch(batch));
        }
    }

    async fn field_stats(&self, request: &str) {
        let stats = self.bench.clients.streams.field_stats(STREAM, request);
        if let Some(text) = answered(stats.await, &[]) {
            assert!(text.len() as u64 <= self.bench.answer_bytes_max());
            is_query(request);
            meets("field-stats-result.json", &text);
        }
    }

    /// From the first page to the last.
    async fn search(&self, request: &str) {
        let Ok(Value::Object(mut asked)) = serde_json::from_str(request) else {
            let refused = self.bench.clients.streams.search(STREAM, request).await;
            assert!(answered(refused, &[]).is_none(), "{request}");
            return;
        };
        let size = asked.get("size").and_then(Value::as_u64);
        let mut request = request.to_owned();
        for _ in 0..PAGES_MAX {
            let found = self.bench.clients.streams.search(STREAM, &request).await;
            let Some(batch) = answered(found, &[]) else {
                return;
            };
            is_query(&request);
            self.is_batch(&batch);
            assert!(size.is_none_or(|size| batch.documents.len() as u64 <= size));
            let Some(next) = batch.next else { return };
            asked.insert("cursor".to_owned(), Value::from(next));
            request = Value::Object(asked.clone()).to_string();
        }
        // A page without a row does not move.
        assert_eq!(size, Some(0), "it does not end: {request}");
    }

    fn is_batch(&self, batch: &Batch) {
        let bytes: usize = batch.documents.iter().map(String::len).sum();
        assert!(bytes as u64 <= self.bench.answer_bytes_max());
        assert!(batch.documents.len() as u64 <= bench::DOCUMENTS);
        batch.documents.iter().for_each(|text| is_object(text));
        let details = batch.details.iter();
        details.for_each(|text| meets("batch-details.json", text));
    }

    async fn get(&self, id: &str) {
        let found = answered(self.collection.get(id).await, &[]);
        if let Some(found) = found {
            self.is_written(id, found.as_ref());
        }
    }

    async fn query(&self, limit: &str, filter: Option<&str>, cursor: Option<&str>) {
        let limit = limit.parse().unwrap_or(100);
        let (mut cursor, mut last) = (cursor.map(str::to_owned), None::<String>);
        loop {
            let page = self
                .collection
                .query(filter, cursor.as_deref(), limit, None)
                .await;
            let Some(page) = answered(page, &[]) else {
                return;
            };
            assert!(page.documents.len() <= limit as usize);
            for document in page.documents {
                assert!(last.is_none_or(|last| last < document.id), "not in order");
                self.is_written(&document.id, Some(&document));
                last = Some(document.id);
            }
            cursor = page.next;
            if cursor.is_none() {
                return;
            }
        }
    }

    fn is_written(&self, id: &str, found: Option<&Document>) {
        let found = found.map(|it| (it.version.as_str(), it.body.as_str()));
        let written = self.documents.get(id);
        let written = written.map(|(version, body)| (version.as_str(), body.as_str()));
        assert_eq!(found, written, "{id}");
    }

    async fn change(&mut self, kind: char, id: &str, body: Option<&str>, version: Option<&str>) {
        let (id, body) = (id.to_owned(), body.unwrap_or_default().to_owned());
        // The version that it has, where one is asked for and not given.
        let if_version = version.map(|given| match self.documents.get(&id) {
            Some((version, _)) if given.is_empty() => version.clone(),
            _ => given.to_owned(),
        });
        let change = match kind {
            'n' => Change::Create {
                id: id.clone(),
                body: body.clone(),
            },
            'p' => Change::Put {
                id: id.clone(),
                body: body.clone(),
                if_version,
            },
            _ => Change::Delete {
                id: id.clone(),
                if_version,
            },
        };
        let answers = self.collection.apply(vec![change], None).await;
        let Some(mut answers) = answered(answers, &[]) else {
            return;
        };
        assert_eq!(answers.len(), 1);
        let refusals = [ErrorCode::Conflict, ErrorCode::NotFound];
        match answers.pop().and_then(|answer| answered(answer, &refusals)) {
            None => {}
            Some(_) if kind == 'x' => drop(self.documents.remove(&id)),
            Some(version) => drop(self.documents.insert(id, (version, body))),
        }
    }

    async fn reads_back(&self) {
        for id in self.documents.keys() {
            self.get(id).await;
        }
        self.query("3", None, None).await;
    }

    fn log(&self, message: &str, fields: Option<&str>) {
        self.bench.clients.log.log(LogLevel::Info, message, fields);
        let line = self.bench.said.log.lock().unwrap().pop().unwrap();
        assert!(message.starts_with(&line.message));
        assert!(line.message.len() >= message.len().min(LOG_LINE_BYTES_MAX - 3));
        match (fields, line.fields) {
            (None, kept) => assert_eq!(kept, None),
            (Some(given), Some(Value::String(kept))) => assert!(given.starts_with(&kept)),
            (Some(given), kept) => {
                assert_eq!(kept, serde_json::from_str(given).ok());
                assert!(given.len() <= LOG_LINE_BYTES_MAX);
            }
        }
    }

    fn report(&self, done: &str, total: Option<&str>, message: &str) {
        let done = done.parse().unwrap_or(u64::MAX);
        let total = total.and_then(|total| total.parse().ok());
        let progress = &self.bench.clients.progress;
        assert!(answered(progress.report(done, total, message), &[]).is_some());
        let said = self.bench.said.progress.lock().unwrap().pop().unwrap();
        assert!(said.total.is_none_or(|total| said.done <= total));
        assert_eq!(said.total, total);
        assert!(message.starts_with(&said.message));
        assert!(said.message.len() >= message.len().min(MESSAGE_BYTES_MAX - 3));
    }

    fn phase(&self, name: &str) {
        assert!(answered(self.bench.clients.progress.phase(name), &[]).is_some());
        let said = self.bench.said.progress.lock().unwrap().pop().unwrap();
        let phase = said.phase.unwrap();
        assert!(name.starts_with(&phase) && said.done == 0);
        assert!(phase.len() >= name.len().min(PHASE_BYTES_MAX - 3));
    }
}

/// The answer, if there is one. A refusal is one of those of any text, or one of `more`, and short.
fn answered<T>(answer: Refused<T>, more: &[ErrorCode]) -> Option<T> {
    let error = match answer {
        Ok(answer) => return Some(answer),
        Err(error) => error,
    };
    let is_expected = matches!(error.code, ErrorCode::Invalid | ErrorCode::TooLarge);
    assert!(is_expected || more.contains(&error.code), "{error:?}");
    assert!(!error.message.is_empty() && error.message.len() <= MESSAGE_BYTES);
    assert!(!error.retryable && error.retry_after_ms.is_none());
    if let Some(details) = &error.details {
        assert!(details.to_string().len() <= 6 * MESSAGE_BYTES, "{details}");
        contract::check("error-details.json", details);
    }
    None
}

/// What a run returns is kept as text if it reads back as it is written, and only then.
fn returned(text: &str) {
    let checked = json::check(text);
    let depth = json::parse(text).map(|value| depth(&value));
    let is_fine = depth.is_ok_and(|depth| depth <= JSON_DEPTH_MAX) && is_exact(text);
    assert_eq!(checked.is_ok(), is_fine, "{checked:?}: {text}");
    if let Err(error) = checked {
        assert!(error.to_string().len() <= MESSAGE_BYTES, "{error:.200}");
    }
}

/// What was accepted as a query is one by the contract; a key without a value counts as left out.
fn is_query(text: &str) {
    let mut query: Value = serde_json::from_str(text).unwrap();
    if let Some(keys) = query.as_object_mut() {
        keys.retain(|_, value| !value.is_null());
    }
    contract::check("query.json", &query);
}

fn meets(file: &str, text: &str) {
    contract::check(file, &serde_json::from_str(text).unwrap());
}

fn is_object(text: &str) {
    let value: Value = serde_json::from_str(text).unwrap();
    assert!(value.is_object(), "{text}");
}
