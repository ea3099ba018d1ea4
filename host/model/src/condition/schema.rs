//! Describes a condition's JSON as a schema, for people and for tools.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{Condition, FIELD_BYTES_MAX};

impl JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let condition = generator.subschema_for::<Self>();
        let scalar = json!({"type": ["string", "number", "boolean"]});
        let bound = json!({"type": ["string", "number"]});
        let text = json!({"type": "string"});
        let range = json!({
            "type": "object",
            "properties": {"gt": bound, "gte": bound, "lt": bound, "lte": bound},
            "minProperties": 1,
            "additionalProperties": false,
        });
        let list = json!({"type": "array", "items": condition});
        let empty = json!({"type": "object", "maxProperties": 0});
        let tests = [
            ("eq", &scalar),
            ("neq", &scalar),
            ("lt", &bound),
            ("lte", &bound),
            ("gt", &bound),
            ("gte", &bound),
            ("contains", &text),
            ("startsWith", &text),
            ("endsWith", &text),
            ("range", &range),
            ("exists", &json!({"type": "boolean"})),
        ];
        let tests = tests.map(|(operator, operand)| test(operator, operand));
        let condition = json!(condition);
        let others = [
            ("and", &list),
            ("or", &list),
            ("not", &condition),
            ("always", &empty),
            ("never", &empty),
        ];
        let others = others.map(|(key, inner)| of_one_key(key, inner));
        let forms: Vec<Value> = tests.into_iter().chain(others).collect();
        json_schema!({
            "description": "Which documents: one operator a test, and tests joined by `and`, `or` \
                            and `not`. A dotted field is the literal key first, then the nested \
                            path. A missing field satisfies `neq` and `exists: false` only.",
            "oneOf": forms,
        })
    }
}

fn test(operator: &str, operand: &Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            "field": {"type": "string", "minLength": 1, "maxLength": FIELD_BYTES_MAX},
            operator: operand,
        },
        "required": ["field", operator],
        "additionalProperties": false,
    })
}

fn of_one_key(key: &str, inner: &Value) -> Value {
    json!({
        "type": "object",
        "properties": {key: inner},
        "required": [key],
        "additionalProperties": false,
    })
}
