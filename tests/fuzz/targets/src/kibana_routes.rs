//! Kibana's routes and those of tasks, through the whole router with its guard and limits, over a
//! store in memory with two real task types: whatever is sent, the answer is one of the table's.
//!
//! An input is a sequence of requests; between them runs end, and features come into being.

mod answers;
mod requests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arbitrary::Unstructured;
use axum::http::Request;
use sha2::{Digest as _, Sha256};
use taskhost_clients::json;
use taskhost_model::ids::{Digest, DocumentId, Label, TypeId};
use taskhost_model::time::Timestamp;
use taskhost_store::components::{Version, VersionState};
use taskhost_store::documents::{Change, Scope, Writer};
use taskhost_store::open::Stores;
use taskhost_store::streams::StreamSettings;

use crate::host::{self, Host};
use crate::wire::Answer;
use crate::{guest, pick};
use requests::Sent;

const STEPS_MAX: usize = 16;
/// How long a client waits that watches a task; then it hangs up.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long any other answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The streams that exist.
const STREAMS: [&str; 2] = ["logs", "other"];
const LABEL: &str = "features";

const IDENTIFICATION: &str = r#"{"id":"streams_feature_identification","version":"1","title":"F",
"stream":"required","collections":["features"],"grace_ms":0,"limits":{"memory_mib":4},
"params_schema":{"type":"object","required":["start","end"],"additionalProperties":false,
"properties":{"start":{"type":"integer"},"end":{"type":"integer"}}}}"#;
/// Where the first digit of `end` stands in the params that Kibana's routes write.
const IDENTIFICATION_OFFSET: usize = r#"{"end":"#.len();

const ECHO: &str = r#"{"id":"echo","version":"1","title":"E","stream":"optional","grace_ms":0,
"limits":{"memory_mib":4},"result_schema":{"not":{"required":["not"]}}}"#;

/// Sends the requests.
pub fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    host::block_on(async {
        let (stores, clock) = host::empty();
        fill(&stores).await;
        let host = Host::start(stores, clock).await;
        host.service.begin();
        for _ in 0..STEPS_MAX {
            if u.is_empty() {
                break;
            }
            step(&host, &mut u).await;
        }
        host.end().await;
    });
}

async fn step(host: &Host, u: &mut Unstructured<'_>) {
    match pick::below(u, 16) {
        0 => host.clock.advance(Duration::from_millis(5_000)),
        1 | 2 => let_runs_end(host).await,
        3 => feature(host, u).await,
        _ => {
            let (sent, request) = requests::request(u);
            if let Some(request) = request {
                send(host, &sent, request).await;
            }
        }
    }
}

async fn send(host: &Host, sent: &Sent, request: Request<axum::body::Body>) {
    let patience = if sent.watches {
        PATIENCE
    } else {
        ANSWER_WITHIN
    };
    let answer = async { Answer::read(host.answers.answer(request).await).await };
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => answers::check(sent, &answer),
        Err(_) => assert!(sent.watches, "no answer: {sent:?}"),
    }
}

/// Gives runs the time that they need, but those that wait until they are stopped.
async fn let_runs_end(host: &Host) {
    let (by, stream) = (host::somebody(), host::stream(STREAMS[0]));
    let list = taskhost_store::tasks::ListRequest::all(stream.space);
    let tasks = host.service.tasks.list(&by, list).await.unwrap().tasks;
    for task in tasks.iter().filter(|task| !task.status.is_terminal()) {
        let (tasks, revision) = (&host.service.tasks, task.revision);
        let changed = tasks.wait(&by, &task.key(), revision, PATIENCE).await;
        drop(changed.unwrap());
    }
}

/// A document that a run might have written.
async fn feature(host: &Host, u: &mut Unstructured<'_>) {
    let body = pick::object(u, &["uuid", "id", "name", "filter"]).to_string();
    json::check_object(&body).unwrap();
    let stream = host::stream(pick::one(u, &STREAMS));
    let scope = Scope {
        space: stream.space,
        stream: Some(stream.name),
        label: Label::parse(LABEL).unwrap(),
    };
    let id = DocumentId::parse(pick::one(u, &["a", "b", "C"])).unwrap();
    let change = Change::Put {
        id,
        body: Arc::from(body),
        if_version: None,
    };
    let by = Writer::Person("x".to_owned());
    let documents = &host.stores.documents;
    documents.apply(&scope, &by, vec![change]).await.unwrap();
}

/// Streams, and task types that were accepted before.
async fn fill(stores: &Stores) {
    for name in STREAMS {
        let (key, settings) = (host::stream(name), StreamSettings::default());
        stores.streams.put(&key, &settings).await.unwrap();
    }
    for (version, component) in types() {
        let component = Arc::clone(component);
        stores.components.put(version, component).await.unwrap();
    }
}

fn types() -> &'static [(Version, Arc<[u8]>); 2] {
    static TYPES: OnceLock<[(Version, Arc<[u8]>); 2]> = OnceLock::new();
    TYPES.get_or_init(|| {
        let identification = "streams_feature_identification";
        [
            version(identification, IDENTIFICATION, IDENTIFICATION_OFFSET),
            version("echo", ECHO, 0),
        ]
    })
}

fn version(id: &str, descriptor: &str, offset: usize) -> (Version, Arc<[u8]>) {
    let component = guest::ending(descriptor, offset);
    let digest = Sha256::digest(&component);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let at = Timestamp::from_ms(0);
    let version = Version {
        digest: Digest::parse(&digest).unwrap(),
        type_id: TypeId::parse(id).unwrap(),
        descriptor: descriptor.to_owned(),
        state: VersionState::Active,
        bytes: component.len() as u64,
        uploaded_at: at,
        activated_at: Some(at),
        approval: None,
        signed_by: None,
    };
    (version, Arc::from(component))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_types_are_what_an_upload_accepts() {
        host::block_on(async {
            let (stores, clock) = host::empty();
            let host = Host::start(stores, clock).await;
            let by = taskhost_model::requester::Requester::single_user();
            for (version, component) in types() {
                let pushed = host
                    .service
                    .types
                    .push(&by, Arc::clone(component), None)
                    .await;
                let pushed = pushed.unwrap();
                assert_eq!(pushed.digest, version.digest);
                assert_eq!(pushed.type_id, version.type_id);
            }
            host.end().await;
        });
    }
}
