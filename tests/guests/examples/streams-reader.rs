//! Asks its stream every question with the request that it is given, and answers the answers.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_sdk::bindings::taskhost::task::{streams, types};
use taskhost_sdk::{Clients, Error};

#[derive(Deserialize, JsonSchema)]
struct Params {
    /// Passed on as it is, also where it is wrong.
    request: Value,
    /// Another stream than the run's own.
    stream: Option<String>,
}

fn run(params: Params, clients: &Clients) -> Result<Value, Error> {
    let name = match params.stream {
        Some(name) => name,
        None => clients.streams.own()?.name().to_owned(),
    };
    let request = params.request.to_string();
    let many = streams::sample_many(&name, &[request.clone(), request.clone()]);
    Ok(json!({
        "describe": text(streams::describe(&name)),
        "count": text(streams::count(&name, &request)),
        "sample": batch(streams::sample(&name, &request)),
        "sample_many": match many {
            Ok(batches) => batches.into_iter().map(batch).collect(),
            Err(problem) => error(problem),
        },
        "field_stats": text(streams::field_stats(&name, &request)),
        "search": batch(streams::search(&name, &request)),
    }))
}

fn text(answer: Result<String, types::Error>) -> Value {
    answer.map_or_else(error, |text| {
        serde_json::from_str(&text).unwrap_or(Value::Null)
    })
}

fn batch(answer: Result<streams::Batch, types::Error>) -> Value {
    answer.map_or_else(error, |batch| {
        let documents = batch.documents.into_iter();
        json!({
            "documents": documents.map(|text| self::text(Ok(text))).collect::<Vec<_>>(),
            "matched": batch.matched,
            "truncated": batch.truncated,
            "next": batch.next,
            "details": batch.details.map(|text| self::text(Ok(text))),
        })
    })
}

fn error(error: types::Error) -> Value {
    let details = error.details.map(|text| self::text(Ok(text)));
    json!({"error": {"code": error.code, "message": error.message, "details": details}})
}

taskhost_guests::guest!("streams-reader", Params, run, |it| it
    .stream(taskhost_sdk::StreamUse::Optional)
    .output_kib(8192));
