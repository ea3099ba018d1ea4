//! The description of the interface as a page: each operation under its subject, and each shape
//! under its name. Whole without a script, which only finds.

use maud::{Markup, html};
use serde_json::{Map, Value};

/// What stands before the name of a shape in a reference.
const SHAPES: &str = "#/components/schemas/";

/// The main part of the page.
pub(super) fn sheet(document: &Value) -> Markup {
    let subjects = list(&document["tags"]).iter().map(|tag| text(&tag["name"]));
    html! {
        h1 { "HTTP interface" }
        p { (words(text(&document["info"]["description"]))) }
        p { "For programs: " a href="/openapi.json" { "OpenAPI 3.1" } "." }
        p #find hidden {
            label { "Find " input type="search" autocomplete="off" placeholder="cancel, 409 …"; }
            " " span role="status" {}
        }
        @for subject in subjects {
            section.operations {
                h2 { (subject) }
                @for (path, method, operation) in operations(document, subject) {
                    (of_operation(path, method, operation))
                }
            }
        }
        section.operations {
            h2 { "Shapes" }
            @for (name, schema) in entries(&document["components"]["schemas"]) {
                details.operation id=(format!("shape-{name}")) {
                    summary { code { (name) } }
                    (of_schema(schema))
                }
            }
        }
    }
}

fn operations<'a>(
    document: &'a Value,
    subject: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
    let paths = entries(&document["paths"]);
    let all = paths.flat_map(|(path, methods)| {
        entries(methods).map(move |(method, operation)| (path, method, operation))
    });
    all.filter(move |(_, _, operation)| operation["tags"][0] == subject)
}

fn of_operation(path: &str, method: &str, operation: &Value) -> Markup {
    let body = &operation["requestBody"];
    html! {
        details.operation id=(text(&operation["operationId"])) {
            summary {
                code { b { (method.to_uppercase()) } " " (path) }
                " " (words(text(&operation["summary"])))
            }
            @if let Some(details) = operation["description"].as_str() { p { (words(details)) } }
            @if !list(&operation["parameters"]).is_empty() {
                table {
                    @for parameter in list(&operation["parameters"]) {
                        tr {
                            th scope="row" { code { (text(&parameter["name"])) } }
                            td { (text(&parameter["in"])) }
                            td { (of_type(&parameter["schema"])) }
                            td { (words(text(&parameter["description"]))) }
                        }
                    }
                }
            }
            @if body.is_object() {
                h3 { "Body" @if body["required"] == false { ", if any" } }
                (of_content(&body["content"], text(&body["description"])))
            }
            h3 { "Answers" }
            table {
                @for (status, answer) in entries(&operation["responses"]) {
                    tr {
                        th scope="row" { (status) }
                        td { (of_content(&answer["content"], text(&answer["description"]))) }
                    }
                }
            }
        }
    }
}

fn of_content(content: &Value, description: &str) -> Markup {
    html! {
        (words(description))
        @for (media_type, inner) in entries(content) {
            @if media_type != "application/problem+json" {
                " " code { (media_type) }
                @if inner["schema"].is_object() { ": " (of_type(&inner["schema"])) }
            }
        }
    }
}

fn of_schema(schema: &Value) -> Markup {
    let required = list(&schema["required"]);
    html! {
        p { (words(text(&schema["description"]))) }
        @if schema["properties"].is_object() {
            table {
                @for (name, inner) in entries(&schema["properties"]) {
                    tr {
                        th scope="row" { code { (name) } }
                        td { @if !required.iter().any(|it| it == name) { "optional" } }
                        td { (of_type(inner)) }
                        td { (words(text(&inner["description"]))) }
                    }
                }
            }
        } @else {
            p { (of_type(schema)) }
        }
    }
}

/// A type in words, with a link to each shape.
fn of_type(schema: &Value) -> Markup {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|it| it.strip_prefix(SHAPES))
    {
        return html! { a href=(format!("#shape-{name}")) { (name) } };
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(all) = schema[key].as_array() {
            return html! {
                @for (number, one) in all.iter().enumerate() {
                    @if number > 0 { " or " }
                    (of_type(one))
                }
            };
        }
    }
    if let Some(value) = schema.get("const") {
        return html! { code { (value) } };
    }
    if let Some(values) = schema["enum"].as_array() {
        return html! {
            @for (number, value) in values.iter().enumerate() {
                @if number > 0 { ", " }
                code { (value) }
            }
        };
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds: Vec<&str> = kinds.iter().map(text).collect();
            kinds.join(" or ")
        }
        _ => "anything".to_owned(),
    };
    html! {
        (kind)
        @if kind == "array" { " of " (of_type(&schema["items"])) }
        @if kind == "object" && schema["properties"].is_object() {
            " {"
            @for (number, (name, inner)) in entries(&schema["properties"]).enumerate() {
                @if number > 0 { ", " }
                code { (name) } ": " (of_type(inner))
            }
            "}"
        }
        @if let Some(pattern) = schema["pattern"].as_str() { " " code { (pattern) } }
        @else if let Some(format) = schema["format"].as_str() { " (" (format) ")" }
        @if let (Some(least), Some(most)) = (schema.get("minimum"), schema.get("maximum")) {
            " " (least) " to " (most)
        }
    }
}

/// Text with what stands between backticks as code.
fn words(text: &str) -> Markup {
    html! {
        @for (number, part) in text.split('`').enumerate() {
            @if number % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let object = value.as_object().into_iter().flat_map(Map::iter);
    object.map(|(key, value)| (key.as_str(), value))
}
