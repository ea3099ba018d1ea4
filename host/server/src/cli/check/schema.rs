//! A JSON Schema in short: `{name: string, count?: integer}`.

use serde_json::Value;

/// Of properties within properties.
const DEPTH_MAX: usize = 2;
/// Properties and alternatives of one schema.
const SHOWN_MAX: usize = 12;

/// For people; what is left out is not what matters at a glance.
pub(super) fn in_short(schema: &Value) -> String {
    told(schema, schema, DEPTH_MAX)
}

fn told(schema: &Value, root: &Value, depth: usize) -> String {
    if let Some(path) = schema["$ref"].as_str() {
        let meant = path.strip_prefix('#').and_then(|path| root.pointer(path));
        return match meant {
            Some(meant) if depth > 0 => told(meant, root, depth - 1),
            _ => path.rsplit('/').next().unwrap_or(path).to_owned(),
        };
    }
    if let Some(values) = schema["enum"].as_array() {
        return joined(values, " | ", Value::to_string);
    }
    if !schema["const"].is_null() {
        return schema["const"].to_string();
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(all) = schema[key].as_array().filter(|_| depth > 0) {
            return joined(all, " | ", |one| told(one, root, depth - 1));
        }
    }
    if let Some(properties) = schema["properties"].as_object().filter(|_| depth > 0) {
        let required = schema["required"].as_array();
        let is_required = |key: &String| {
            required.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(key)))
        };
        let properties: Vec<_> = properties.iter().collect();
        let all = joined(&properties, ", ", |(key, of)| {
            let mark = if is_required(key) { "" } else { "?" };
            format!("{key}{mark}: {}", told(of, root, depth - 1))
        });
        return format!("{{{all}}}");
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" && schema["items"].is_object() && depth > 0 => {
            format!("[{}]", told(&schema["items"], root, depth - 1))
        }
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => joined(kinds, " | ", |kind| {
            kind.as_str().unwrap_or_default().to_owned()
        }),
        _ => "any".to_owned(),
    }
}

fn joined<T>(all: &[T], between: &str, tell: impl Fn(&T) -> String) -> String {
    let mut shown: Vec<String> = all.iter().take(SHOWN_MAX).map(tell).collect();
    if all.len() > SHOWN_MAX {
        shown.push("…".to_owned());
    }
    shown.join(between)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schema_is_told_at_a_glance() {
        for (schema, expected) in [
            (json!({}), "any"),
            (json!(true), "any"),
            (json!({"type": ["string", "null"]}), "string | null"),
            (json!({"enum": ["a", 1]}), "\"a\" | 1"),
            (
                json!({"type": "array", "items": {"type": "integer"}}),
                "[integer]",
            ),
            (
                json!({"anyOf": [{"type": "null"}, {"type": "string"}]}),
                "null | string",
            ),
            (
                json!({"type": "object", "required": ["a"], "properties":
                    {"a": {"$ref": "#/$defs/A"}, "b": {"type": "object", "properties": {}}},
                    "$defs": {"A": {"type": "boolean"}}}),
                "{a: boolean, b?: {}}",
            ),
            (json!({"$ref": "#"}), "#"),
            (json!({"$ref": "https://a.example/x"}), "x"),
        ] {
            assert_eq!(in_short(&schema), expected, "{schema}");
        }
        let many: Vec<u64> = (0..99).collect();
        let said = in_short(&json!({"enum": many}));
        assert!(said.ends_with("| 11 | …"), "{said}");
    }
}
