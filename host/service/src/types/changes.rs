//! What people are told of a version when it comes: what is new in it, and what in it says
//! nothing to this host.

use serde_json::Value;
use taskhost_model::concurrency::Concurrency;
use taskhost_model::descriptor::{Descriptor, Limits};

use super::said::told;

/// The keys that this host knows of the objects in a descriptor.
const KNOWN: [(&str, &[&str]); 4] = [
    (
        "limits",
        &[
            "memory_mib",
            "cpu_ms",
            "wall_s",
            "output_kib",
            "no_progress_s",
            "host_calls",
            "tokens",
        ],
    ),
    ("retry", &["attempts"]),
    ("concurrency", &["key", "max"]),
    ("capabilities", &["http", "secrets", "models", "children"]),
];

/// Keys of a descriptor that this host does not know, as sentences.
pub(super) fn warnings(text: &str, descriptor: &Descriptor) -> Vec<String> {
    let sentence = |key: &str| told(&format!("this host does not know `{key}` and ignores it"));
    let mut warnings: Vec<String> = descriptor.unknown.keys().map(|key| sentence(key)).collect();
    let raw: Value = serde_json::from_str(text).unwrap_or_default();
    for (part, known) in KNOWN {
        let keys = raw
            .get(part)
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|object| object.keys());
        let unknown = keys.filter(|key| !known.contains(&key.as_str()));
        warnings.extend(unknown.map(|key| sentence(&format!("{part}.{key}"))));
    }
    warnings
}

/// What a new version changes for an operator, as sentences.
pub(super) fn changes_between(before: Option<&Descriptor>, after: &Descriptor) -> Vec<String> {
    let Some(before) = before else {
        let mut changes = vec![format!("new task type `{}`", after.id)];
        changes.extend(newly_wanted(&after.capabilities.words()));
        return changes;
    };
    let mut changes = Vec::new();
    numbers(before, after, &mut changes);
    if before.version != after.version {
        let change = format!("version: {} → {}", before.version, after.version);
        changes.push(told(&change));
    }
    let newly = after
        .collections
        .iter()
        .filter(|label| !before.collections.contains(label));
    changes.extend(newly.map(|label| format!("newly wants: collection `{label}`")));
    let more = after.capabilities.beyond(&before.capabilities);
    changes.extend(newly_wanted(&more.words()));
    let less = before.capabilities.beyond(&after.capabilities).words();
    changes.extend(
        less.iter()
            .map(|it| told(&format!("no longer wants: {it}"))),
    );
    if before.stream != after.stream {
        changes.push("wants a stream otherwise than before".to_owned());
    }
    if before.concurrency != after.concurrency {
        let (before, after) = (concurrency(before), concurrency(after));
        changes.push(told(&format!("runs at once: {before} → {after}")));
    }
    for (what, before, after) in [
        ("params_schema", &before.params_schema, &after.params_schema),
        ("result_schema", &before.result_schema, &after.result_schema),
        (
            "checkpoint_schema",
            &before.checkpoint_schema,
            &after.checkpoint_schema,
        ),
    ] {
        if before != after {
            changes.push(format!("{what} differs"));
        }
    }
    changes
}

/// Sentences of an author's words.
fn newly_wanted(words: &[String]) -> impl Iterator<Item = String> {
    words.iter().map(|it| told(&format!("newly wants: {it}")))
}

fn concurrency(descriptor: &Descriptor) -> String {
    match &descriptor.concurrency {
        None => "any number".to_owned(),
        Some(Concurrency { key: None, max }) => format!("{max}"),
        Some(Concurrency {
            key: Some(key),
            max,
        }) => format!("{max} of the same `{key}`"),
    }
}

fn numbers(before: &Descriptor, after: &Descriptor, changes: &mut Vec<String>) {
    let limits = |limits: &Limits| {
        [
            ("limits.memory_mib", Some(limits.memory_mib)),
            ("limits.cpu_ms", Some(limits.cpu_ms)),
            ("limits.wall_s", Some(limits.wall_s)),
            ("limits.no_progress_s", limits.no_progress_s),
            ("limits.output_kib", Some(limits.output_kib)),
            ("limits.host_calls", limits.host_calls),
            ("limits.tokens", limits.tokens),
        ]
    };
    let others = |descriptor: &Descriptor| {
        [
            ("retry.attempts", Some(descriptor.retry.attempts.into())),
            ("grace_ms", Some(descriptor.grace_ms)),
            ("stale_after_s", Some(descriptor.stale_after_s)),
        ]
    };
    let all = |of: &Descriptor| [&limits(&of.limits)[..], &others(of)[..]].concat();
    let shown = |number: Option<u64>| number.map_or("none".to_owned(), |number| number.to_string());
    for ((what, before), (_, after)) in all(before).into_iter().zip(all(after)) {
        if before != after {
            changes.push(format!("{what}: {} → {}", shown(before), shown(after)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use taskhost_model::descriptor::Bounds;

    use super::*;

    fn descriptor(more: &Value) -> Descriptor {
        let mut all = json!({"id": "a", "version": "1", "title": "A"});
        let more = more.as_object().cloned().unwrap_or_default();
        all.as_object_mut().unwrap().extend(more);
        Descriptor::parse(&all.to_string(), &Bounds::default()).unwrap()
    }

    #[test]
    fn whatever_differs_is_said_in_words() {
        let before = descriptor(&json!({"limits": {"tokens": 7}, "capabilities": {
            "http": [{"origin": "https://a.example"}], "secrets": ["old"]}}));
        let after = descriptor(&json!({"version": "2", "limits": {"host_calls": 9},
            "concurrency": {"key": "/url"}, "checkpoint_schema": true, "capabilities": {
                "http": [{"origin": "https://a.example"},
                    {"origin": "https://b.example", "methods": ["POST"], "path_prefix": "/v1"}],
                "models": ["small"]}}));
        let expected = [
            "limits.host_calls: none → 9",
            "limits.tokens: 7 → none",
            "version: 1 → 2",
            "newly wants: http origin https://b.example (POST, /v1)",
            "newly wants: model small",
            "no longer wants: secret old",
            "runs at once: any number → 1 of the same `/url`",
            "checkpoint_schema differs",
        ];
        assert_eq!(changes_between(Some(&before), &after), expected);
        assert_eq!(changes_between(Some(&after), &after), [""; 0]);
        let new = changes_between(None, &before);
        assert_eq!(new[0], "new task type `a`");
        assert_eq!(new[2], "newly wants: secret old");
    }

    /// Every key of the contract's schema is either known here or a warning.
    #[test]
    fn keys_of_the_contract_are_known() {
        let schema = include_str!("../../../../wit/v1/schemas/descriptor.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        for (part, known) in KNOWN {
            let keys = schema["properties"][part]["properties"]
                .as_object()
                .unwrap();
            let mut keys: Vec<&str> = keys.keys().map(String::as_str).collect();
            let mut known = known.to_vec();
            keys.sort_unstable();
            known.sort_unstable();
            assert_eq!(keys, known, "{part}");
        }
        let text = r#"{"id":"a","version":"1","title":"A","color":1,"limits":{"tokens":1,
            "cpu":2},"capabilities":{"http":[],"sockets":[]}}"#;
        let descriptor = Descriptor::parse(text, &Bounds::default()).unwrap();
        let warnings = warnings(text, &descriptor);
        for (warning, key) in warnings
            .iter()
            .zip(["color", "limits.cpu", "capabilities.sockets"])
        {
            assert!(warning.contains(&format!("`{key}`")), "{warnings:?}");
        }
        assert_eq!(warnings.len(), 3, "{warnings:?}");
    }
}
