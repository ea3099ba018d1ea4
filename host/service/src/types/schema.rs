//! JSON Schemas of task types, and the mistakes that they find.
//!
//! A schema comes from a component, so it is hostile: no references outside itself, patterns
//! run on an engine without backtracking.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

use crate::error::FieldError;

/// Mistakes that are reported of one value; more would help nobody.
const ERRORS_MAX: usize = 20;

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema(Validator);

impl Schema {
    /// Compiles a schema. The error says what is wrong with it.
    pub(crate) fn compile(schema: &Value) -> Result<Self, String> {
        jsonschema::options()
            .with_pattern_options(PatternOptions::regex())
            .offline()
            .build(schema)
            .map(Self)
            .map_err(|error| shortened(&error.to_string()))
    }

    /// Every mistake of `value`, with paths that begin with `root`.
    pub(crate) fn mistakes(&self, root: &str, value: &Value) -> Vec<FieldError> {
        if self.0.is_valid(value) {
            return Vec::new();
        }
        let each = self
            .0
            .iter_errors(value)
            .take(ERRORS_MAX)
            .map(|error| FieldError {
                field: field(root, &error),
                problem: shortened(&error.to_string()),
            });
        each.collect()
    }
}

/// Where the mistake is. What is missing, or is there without leave, is named itself and not the
/// object around it.
fn field(root: &str, error: &ValidationError<'_>) -> String {
    let around = dotted(root, error.instance_path().as_str());
    let name = match error.kind() {
        ValidationErrorKind::Required { property } => property.as_str(),
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            unexpected.first().map(String::as_str)
        }
        _ => None,
    };
    name.map_or_else(|| around.clone(), |name| format!("{around}.{name}"))
}

/// `/a/0/b` below `params` is `params.a.0.b`.
fn dotted(root: &str, pointer: &str) -> String {
    format!(
        "{root}{}",
        pointer
            .replace('/', ".")
            .replace("~1", "/")
            .replace("~0", "~")
    )
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mistakes_name_their_field() {
        let schema = json!({
            "type": "object",
            "properties": {"a": {"type": "array", "items": {"type": "integer"}}},
            "required": ["b"],
        });
        let schema = Schema::compile(&schema).unwrap();
        assert!(
            schema
                .mistakes("params", &json!({"a": [1], "b": 0}))
                .is_empty()
        );
        let mistakes = schema.mistakes("params", &json!({"a": [1, "x"]}));
        let fields: Vec<_> = mistakes.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields.len(), 2);
        assert!(
            fields.contains(&"params.a.1") && fields.contains(&"params.b"),
            "{fields:?}"
        );
    }

    #[test]
    fn a_schema_cannot_reach_outside_or_loop() {
        for schema in [
            json!({"$ref": "http://127.0.0.1:1/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"type": "no-such-type"}),
            json!({"pattern": "(?=x)"}),
        ] {
            assert!(Schema::compile(&schema).is_err(), "{schema}");
        }
        let slow = Schema::compile(&json!({"pattern": "^(a+)+$"})).unwrap();
        assert!(
            !slow
                .mistakes("x", &json!(format!("{}!", "a".repeat(50_000))))
                .is_empty()
        );
    }
}
