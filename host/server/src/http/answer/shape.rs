//! Describes status answers as schemas: they are written key by key, and a task's own keys are
//! those of its document.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use taskhost_model::status::Status;
use taskhost_model::task::Task;

use super::{KibanaStatus, ShownRun, StatusAnswer};

/// Keys of a document that no answer has.
const INNER: [&str; 3] = ["deleted_at", "previous", "receipt"];

impl JsonSchema for StatusAnswer<'_> {
    fn schema_name() -> Cow<'static, str> {
        "TaskStatus".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut keys = Task::json_schema(generator)
            .as_object()
            .and_then(|task| task.get("properties"))
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        keys.retain(|key, _| !INNER.contains(&key.as_str()));
        let own = [
            (
                "version",
                json!({"type": "string", "description": "The `ETag` without its quotes."}),
            ),
            ("run", json!(generator.subschema_for::<ShownRun<'_>>())),
            (
                "payload",
                json!({"description": "With `completed` and `acknowledged`: the result. Its keys \
                                       also stand beside the others, unless they clash."}),
            ),
            (
                "outcome",
                json!({
                    "const": "already_running",
                    "description": "The answer to a schedule that has changed nothing.",
                }),
            ),
            (
                "params",
                json!({"description": "With `outcome`: those of the run that is live."}),
            ),
        ];
        keys.extend(own.map(|(key, schema)| (key.to_owned(), schema)));
        json_schema!({
            "type": "object",
            "description": "A task. Of an id that is not known there is its `status` alone.",
            "properties": keys,
            "required": ["status"],
        })
    }
}

impl JsonSchema for KibanaStatus<'_> {
    fn schema_name() -> Cow<'static, str> {
        "KibanaStatus".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "A status; the keys of a result stand beside it.",
            "properties": {
                "status": generator.subschema_for::<Status>(),
                "error": {"type": "string"},
            },
            "required": ["status"],
        })
    }
}
