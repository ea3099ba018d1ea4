//! Calls every function of the contract once, and says what each answered. Built once, it stands
//! for the contract of its day (`wit/released`).

use serde_json::{Map, Value, json};
use taskhost_guests::raw::taskhost::task::documents::{Change, Collection, Create, Delete, Put};
use taskhost_guests::raw::taskhost::task::types::Error;
use taskhost_guests::raw::taskhost::task::{
    children, context, http, inference, log, progress, secrets, state, streams,
};

const STREAM: &str = "logs.test";
const EVER: &str = r#"{"from":0,"to":4102444800000}"#;

fn describe() -> String {
    json!({
        "id": "whole-contract",
        "version": "1.0.0",
        "title": "Calls every function of the contract",
        "stream": "optional",
        "collections": ["whole"],
        "capabilities": {
            "http": [{"origin": "https://taskhost.invalid"}],
            "models": ["small"],
            "secrets": ["key"],
            "children": ["whole-contract"],
        },
    })
    .to_string()
}

/// What each function answered, by its name.
#[derive(Default)]
struct Said(Map<String, Value>);

impl Said {
    fn of<T>(&mut self, function: &str, answer: Result<T, Error>) {
        let said = answer.map_or_else(|error| error.code, |_| "ok".to_owned());
        self.0.insert(function.to_owned(), said.into());
    }

    /// For a function that cannot fail.
    fn told<T>(&mut self, function: &str, _: T) {
        self.0.insert(function.to_owned(), "ok".into());
    }
}

fn run(_: String) -> Result<String, Error> {
    let mut said = Said::default();
    talk(&mut said);
    read_streams(&mut said);
    keep_documents(&mut said);
    reach_out(&mut said);
    keep_state(&mut said);
    have_children(&mut said);
    Ok(Value::Object(said.0).to_string())
}

fn talk(said: &mut Said) {
    said.told("context.task-id", context::task_id());
    said.told("context.task-type", context::task_type());
    said.told("context.run-id", context::run_id());
    said.told("context.attempt", context::attempt());
    said.told("context.space", context::space());
    said.told("context.stream", context::stream());
    said.told("context.requested-by", context::requested_by());
    said.told("context.scheduled-at-ms", context::scheduled_at_ms());
    said.told("context.remaining-ms", context::remaining_ms());
    said.told("context.cancel-requested", context::cancel_requested());
    said.told("context.cancel-reason", context::cancel_reason());
    // tidy: sleep allowed because it is a host call like any other
    said.of("context.sleep", context::sleep(1));
    said.of("progress.report", progress::report(1, Some(2), "half"));
    said.of("progress.phase", progress::phase("calling"));
    said.of("progress.heartbeat", progress::heartbeat());
    for level in [
        log::Level::Trace,
        log::Level::Debug,
        log::Level::Info,
        log::Level::Warn,
        log::Level::Error,
    ] {
        log::log(level, "a line", Some(r#"{"a":1}"#));
    }
    said.told("log.log", ());
}

fn read_streams(said: &mut Said) {
    said.of("streams.describe", streams::describe(STREAM));
    said.of("streams.count", streams::count(STREAM, EVER));
    said.of("streams.sample", streams::sample(STREAM, EVER));
    let many = streams::sample_many(STREAM, &[EVER.to_owned()]);
    said.of("streams.sample-many", many);
    said.of("streams.field-stats", streams::field_stats(STREAM, EVER));
    said.of("streams.search", streams::search(STREAM, EVER));
}

fn keep_documents(said: &mut Said) {
    let opened = Collection::open("whole", Some("{}"));
    let Ok(collection) = opened else {
        said.of("collection.open", opened);
        return;
    };
    let create = Change::Create(Create {
        id: "a".to_owned(),
        body: "{}".to_owned(),
    });
    let put = Change::Put(Put {
        id: "b".to_owned(),
        body: "{}".to_owned(),
        if_version: None,
    });
    let delete = Change::Delete(Delete {
        id: "a".to_owned(),
        if_version: None,
    });
    let changes = collection.apply(&[create, put, delete], Some("{}"));
    said.of("collection.apply", changes);
    said.of("collection.get", collection.get("b"));
    let filter = r#"{"field":"n","exists":true}"#;
    let page = collection.query(Some(filter), None, 10, Some("{}"));
    said.of("collection.query", page);
    said.told("collection.open", collection);
}

fn reach_out(said: &mut Said) {
    let chat = r#"{"messages":[{"role":"user","text":"hello"}]}"#;
    said.of("inference.complete", inference::complete(chat));
    let many = inference::complete_many(&[chat.to_owned()]);
    said.of("inference.complete-many", many);
    let vectors = inference::embed(r#"{"texts":["hello"]}"#);
    said.of("inference.embed", vectors);
    let left = inference::budget_remaining(Some("small"));
    said.told("inference.budget-remaining", left);
    let request = http::Request {
        method: "GET".to_owned(),
        url: "https://taskhost.invalid/".to_owned(),
        headers: vec![("accept".to_owned(), "text/plain".to_owned())],
        body: None,
        timeout_ms: Some(1000),
        options: Some("{}".to_owned()),
    };
    said.of("http.send", http::send(&request));
    said.of("http.send-many", http::send_many(&[request]));
    said.of("secrets.placeholder", secrets::placeholder("key"));
}

fn keep_state(said: &mut Said) {
    said.of("state.save", state::save("here", b"bytes", 1));
    said.of("state.load", state::load("here"));
    said.of("state.delete", state::delete("here"));
}

fn have_children(said: &mut Said) {
    let spawned = children::spawn("one", "whole-contract", "{}", Some("{}"));
    let child = spawned.clone().unwrap_or_else(|_| "nobody".to_owned());
    said.of("children.spawn", spawned);
    said.of("children.status", children::status(&child));
    let waited = children::wait_any(std::slice::from_ref(&child), 1);
    said.of("children.wait-any", waited);
    said.of("children.cancel", children::cancel(&child));
}

taskhost_guests::raw_guest!(describe, run);
