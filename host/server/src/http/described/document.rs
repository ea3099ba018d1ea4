//! Writes what is said of all routes as one document of OpenAPI 3.1.

use axum::http::StatusCode;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::super::codes::Code;
use super::super::problem::Document as ProblemDocument;
use super::operation::{Answered, Body, Operation, Parameter, Place};

/// Before the first operation, for people.
const INTRODUCTION: &str = "\
    Background tasks over streams of data. Everything is JSON; what is refused is answered with a \
    problem document (RFC 9457) whose `code` says why. Times in answers are RFC 3339, UTC, with \
    milliseconds; requests take epoch milliseconds as well. Fields without a value are left out. \
    Ranges are [from, to).";

/// Makes the schemas of what comes in and of what goes out, which may differ for one type.
struct Schemas {
    of_requests: SchemaGenerator,
    of_answers: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            of_requests: settings().for_deserialize().into_generator(),
            of_answers: settings().for_serialize().into_generator(),
        }
    }

    /// All that were named, by their names.
    fn into_definitions(mut self) -> Map<String, Value> {
        let mut answers = self.of_answers.take_definitions(true);
        answers.values_mut().for_each(without_null);
        let requests = self.of_requests.take_definitions(true);
        for (name, schema) in requests {
            let other = answers.get(&name).is_some_and(|known| *known != schema);
            debug_assert!(
                !other,
                "`{name}` comes in otherwise than it goes out: rename one"
            );
            answers.insert(name, schema);
        }
        answers.values_mut().for_each(finish);
        answers
    }
}

/// The whole document.
pub(crate) fn document(operations: &[Operation]) -> Value {
    let mut schemas = Schemas::new();
    let problem = schemas.of_answers.subschema_for::<ProblemDocument<'_>>();
    let mut paths = Map::new();
    let mut subjects: Vec<&str> = Vec::new();
    for operation in operations {
        if !subjects.contains(&operation.subject) {
            subjects.push(operation.subject);
        }
        let path = paths
            .entry(operation.path.clone())
            .or_insert_with(|| json!({}));
        path[operation.method] = written(operation, &mut schemas, &json!(problem));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "taskhost",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": subjects.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
        // On a host for one user nothing is asked.
        "security": [{}, {"bearer": []}, {"api_key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.into_definitions(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "api_key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`ApiKey KEY`, a key of Elasticsearch as it encodes it",
                },
            },
        },
    })
}

fn written(operation: &Operation, schemas: &mut Schemas, problem: &Value) -> Value {
    let parameters = operation.parameters.iter();
    let parameters: Vec<Value> = parameters
        .map(|parameter| of_parameter(parameter, &mut schemas.of_requests))
        .collect();
    let mut answers = Map::new();
    for (status, answered) in &operation.answers {
        let answer = of_answer(answered, &mut schemas.of_answers);
        answers.insert(status.to_string(), answer);
    }
    for (status, codes) in &operation.refused {
        let mut refusal = of_refusal(codes, problem);
        if operation.is_page {
            refusal["content"] = json!({"text/html": {}});
        }
        answers.insert(status.to_string(), refusal);
    }
    let mut whole = json!({
        "tags": [operation.subject],
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": answers,
    });
    if !operation.details.is_empty() {
        whole["description"] = operation.details.into();
    }
    if !parameters.is_empty() {
        whole["parameters"] = parameters.into();
    }
    if let Some(body) = &operation.body {
        whole["requestBody"] = of_body(body, &mut schemas.of_requests);
    }
    if operation.is_open {
        whole["security"] = json!([]);
    }
    whole
}

fn of_parameter(parameter: &Parameter, generator: &mut SchemaGenerator) -> Value {
    let mut schema = (parameter.shape)(generator).to_value();
    finish(&mut schema);
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    json!({
        "in": place,
        "name": parameter.name,
        "required": parameter.place == Place::Path,
        "description": parameter.description,
        "schema": schema,
    })
}

fn of_body(body: &Body, generator: &mut SchemaGenerator) -> Value {
    let content = match body.shape {
        Some(shape) => json!({"schema": shape(generator)}),
        None => json!({}),
    };
    let mut whole = json!({
        "required": body.is_required,
        "content": {body.media_type: content},
    });
    if !body.description.is_empty() {
        whole["description"] = body.description.into();
    }
    whole
}

fn of_answer(answered: &Answered, generator: &mut SchemaGenerator) -> Value {
    let mut whole = json!({"description": answered.description});
    if let Some(media_type) = answered.media_type {
        let content = answered.shape.map_or_else(
            || json!({}),
            |shape| {
                let mut schema = shape(generator).to_value();
                without_null(&mut schema);
                json!({"schema": schema})
            },
        );
        whole["content"] = json!({media_type: content});
    }
    if answered.is_also_events {
        whole["content"]["text/event-stream"] = json!({});
    }
    if answered.has_etag {
        whole["headers"] = json!({"ETag": {
            "description": "The version, for `If-Match`.",
            "schema": {"type": "string"},
        }});
    }
    whole
}

/// One status, and each code that it may come with.
fn of_refusal(codes: &[Code], problem: &Value) -> Value {
    let rows = codes.iter().map(|code| code.row());
    let words: Vec<String> = rows
        .clone()
        .map(|row| format!("`{}`: {}", row.code, row.title))
        .collect();
    let mut whole = json!({
        "description": words.join("; "),
        "content": {"application/problem+json": {"schema": problem}},
    });
    if rows.clone().any(|row| row.retry_after_s.is_some()) {
        whole["headers"] = json!({"Retry-After": {
            "description": "After how many seconds another try makes sense.",
            "schema": {"type": "integer"},
        }});
    }
    if rows
        .into_iter()
        .any(|row| row.status == StatusCode::UNAUTHORIZED)
    {
        whole["headers"] = json!({"WWW-Authenticate": {"schema": {"type": "string"}}});
    }
    whole
}

/// No field of an answer is null: it is left out.
fn without_null(schema: &mut Value) {
    let is_null = |one: &Value| *one == json!("null") || *one == json!({"type": "null"});
    each(schema, &mut |object| {
        for key in ["type", "anyOf"] {
            let Some(Value::Array(all)) = object.get_mut(key) else {
                continue;
            };
            all.retain(|one| !is_null(one));
            let [only] = &mut all[..] else { continue };
            let only = only.take();
            match (key, only) {
                ("anyOf", Value::Object(only)) => {
                    object.remove(key);
                    object.extend(only);
                }
                (_, only) => {
                    object.insert(key.to_owned(), only);
                }
            }
        }
    });
}

/// What is said of a type says it to whoever reads the code: links to other items become words.
/// And what a number's format means is said in numbers.
fn finish(schema: &mut Value) {
    each(schema, &mut |object| {
        if let Some(Value::String(text)) = object.get_mut("description") {
            *text = text.replace("[`", "`").replace("`]", "`");
        }
        let (least, most) = match object.get("format").and_then(Value::as_str) {
            Some("int32") => (json!(i32::MIN), json!(i32::MAX)),
            Some("int64") => (json!(i64::MIN), json!(i64::MAX)),
            Some("uint32") => (json!(0), json!(u32::MAX)),
            Some("uint64") => (json!(0), json!(u64::MAX)),
            _ => return,
        };
        object.entry("minimum").or_insert(least);
        object.entry("maximum").or_insert(most);
    });
}

/// Every object in a value, from the inside.
fn each(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(|one| each(one, change)),
        Value::Object(object) => {
            object.values_mut().for_each(|one| each(one, change));
            change(object);
        }
        _ => {}
    }
}
