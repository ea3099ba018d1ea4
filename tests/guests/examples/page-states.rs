//! Stands in the place of feature identification, so that every state of its page can be reached
//! and held: what it does is in the name of its stream.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_sdk::{Clients, Condition, Error, Query};

const STEP: Duration = Duration::from_millis(100);
/// A year that no stream of a test reaches.
const END_MS: i64 = 4_000_000_000_000;
/// What a stream could hold, whoever writes it.
const HOSTILE: &str = "<img src=x onerror=\"document.title='taken'\"><script>document.title=\
                       'taken'</script>\"'&lt;";

#[derive(Deserialize, JsonSchema)]
struct Params {
    #[serde(rename = "start")]
    _start: i64,
    #[serde(rename = "end")]
    _end: i64,
    connector: Option<String>,
}

fn run(params: Params, clients: &Clients) -> Result<Value, Error> {
    let stream = clients.streams.own()?;
    match stream.name() {
        "failing" => Err(Error::failed(
            "no-model",
            "the model `big` answered 401: its key is not accepted",
        )),
        "nothing" => {
            let old = json!({"uuid": "old", "name": "old", "filter": {"always": {}},
                "expires_at": "2001-01-01T00:00:00.000Z"});
            let features = clients.documents.collection::<Value>("features")?;
            features.put("old", &old)?;
            let payload = json!({"features": [], "documents_sampled": 3, "unmatched": 3,
                "duration_ms": 12});
            Ok(payload)
        }
        "stubborn" => {
            let stopped = until_told(clients);
            // tidy: sleep allowed because somebody is to see that it is still being canceled
            std::thread::sleep(Duration::from_secs(4));
            stopped.and_then(|()| found(clients, &params, "sshd"))
        }
        "hostile" => found(clients, &params, HOSTILE),
        _ => {
            until_told(clients)?;
            found(clients, &params, "sshd")
        }
    }
}

/// Goes on until the stream has a document with the field `go`.
fn until_told(clients: &Clients) -> Result<(), Error> {
    let stream = clients.streams.own()?;
    let told = Query::new(0, END_MS).matching(Condition::exists("go", true));
    clients.progress.phase("sample")?;
    for done in 1.. {
        // tidy: sleep allowed because it is what this guest is for
        clients.context.sleep(STEP)?;
        if done == 10 {
            clients.progress.phase("count over range")?;
        }
        clients.progress.report(done, Some(done.max(600)), "sshd")?;
        if stream.count(&told)?.value > 0 {
            break;
        }
    }
    Ok(())
}

fn found(clients: &Clients, params: &Params, name: &str) -> Result<Value, Error> {
    let feature = json!({"uuid": "f1", "id": "f1", "type": "system", "name": name, "title": name,
        "description": name, "filter": {"field": "message", "contains": "a"}, "confidence": 90,
        "evidence": [name], "precision": 1.0, "recall": 1.0, "count": 2, "tags": [name],
        "properties": {name: name}, "source": "model", "subtype": name, "status": "active",
        "last_seen": "2026-11-28T00:00:00.000Z", "expires_at": "2096-11-28T00:00:00.000Z"});
    clients
        .documents
        .collection::<Value>("features")?
        .put("f1", &feature)?;
    let model = params
        .connector
        .as_ref()
        .map(|connector| json!({"connector": connector, "rounds": 2, "tokens_used": 1234}));
    let mut payload = json!({"features": [feature], "documents_sampled": 3, "unmatched": 1,
        "duration_ms": 12});
    if let Some(model) = model {
        payload["model"] = model;
    }
    Ok(payload)
}

taskhost_guests::guest!("streams_feature_identification", Params, run, |it| it
    .stream_required()
    .collection("features")
    .any_model()
    .stale_after_s(1)
    .grace_ms(20_000));
