//! What people are told of a version when it comes: what is new in it, and what in it says nothing
//! to this host, or less than its author thinks.

use serde_json::Value;
use taskhost_model::concurrency::Concurrency;
use taskhost_model::descriptor::{Descriptor, Limits};

use super::said::told;

/// The keys that this host knows of a descriptor, and of the objects in it.
const KNOWN: [(&str, &[&str]); 5] = [
    (
        "",
        &[
            "id",
            "version",
            "title",
            "description",
            "params_schema",
            "result_schema",
            "checkpoint_schema",
            "min_host",
            "stream",
            "limits",
            "collections",
            "space_collections",
            "any_model",
            "capabilities",
            "retry",
            "concurrency",
            "grace_ms",
            "stale_after_s",
            "streams_from",
        ],
    ),
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
    (
        "capabilities",
        &["http", "secrets", "models", "children", "collections"],
    ),
];

const ANY_MODEL: &str = "newly wants: the models that you allow it, if any";

/// A key that differs by so many letters at most may have been meant.
const EDITS_MAX: usize = 3;

/// What in a descriptor says nothing to this host, or less than its author thinks, as sentences.
pub(super) fn warnings(text: &str, descriptor: &Descriptor) -> Vec<String> {
    let raw: Value = serde_json::from_str(text).unwrap_or_default();
    let mut warnings = Vec::new();
    for (part, known) in KNOWN {
        let object = match part {
            "" => Some(&raw),
            part => raw.get(part),
        };
        let keys = object.and_then(Value::as_object).into_iter().flatten();
        let unknown = keys.filter(|(key, _)| !known.contains(&key.as_str()));
        warnings.extend(unknown.map(|(key, _)| told(&ignored(&full(part, key)))));
    }
    warnings.extend(key_without_property(descriptor).map(|it| told(&it)));
    warnings
}

fn full(part: &str, key: &str) -> String {
    match part {
        "" => key.to_owned(),
        part => format!("{part}.{key}"),
    }
}

fn ignored(key: &str) -> String {
    let known = KNOWN
        .iter()
        .flat_map(|(part, keys)| keys.iter().map(|known| full(part, known)));
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    // One in the wrong place has the right name.
    let edits = |known: &String| match last(known) == last(key) {
        true => 0,
        false => strsim::levenshtein(known, key),
    };
    let nearest = known.min_by_key(edits).filter(|it| edits(it) <= EDITS_MAX);
    let meant = nearest.map_or_else(String::new, |it| format!(": did you mean `{it}`?"));
    format!("this host does not know `{key}` and ignores it{meant}")
}

/// A concurrency key that no params may have: all runs without it would wait for each other.
fn key_without_property(descriptor: &Descriptor) -> Option<String> {
    let pointer = descriptor.concurrency.as_ref()?.key.as_deref()?;
    let mut schema = descriptor.params_schema.as_ref()?;
    for step in pointer.strip_prefix('/')?.split('/') {
        let step = step.replace("~1", "/").replace("~0", "~");
        // Where it refers to others, or names none, nothing is known.
        let properties = schema.get("properties")?.as_object()?;
        let Some(property) = properties.get(&step) else {
            let named: Vec<String> = properties.keys().map(|key| format!("`{key}`")).collect();
            return Some(format!(
                "`concurrency.key` is `{pointer}`, and `params_schema` has no `{step}` there, only \
                 {}: tasks without it all have the same key, and wait for each other",
                named.join(", ")
            ));
        };
        schema = property;
    }
    None
}

/// What a new version changes for an operator, as sentences.
pub(super) fn changes_between(before: Option<&Descriptor>, after: &Descriptor) -> Vec<String> {
    let Some(before) = before else {
        let mut changes = vec![format!("new task type `{}`", after.id)];
        changes.extend(newly_wanted(&after.capabilities.words()));
        changes.extend(after.any_model.then(|| ANY_MODEL.to_owned()));
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
    if after.any_model && !before.any_model {
        changes.push(ANY_MODEL.to_owned());
    }
    if after.streams_from.is_some() && before.streams_from.is_none() {
        changes.push("newly reads: the streams that its params name".to_owned());
    }
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

    /// Known here are the keys of the contract's schema, and those that hosts know beyond it: of
    /// these `wit/README.md` says what they are until the schema has them.
    #[test]
    fn keys_of_the_contract_are_known() {
        let beyond = include_str!("../../../../wit/README.md");
        let is_beyond = |part: &str, key: &str| {
            let whole = [part, key].join(".");
            beyond.contains(&format!("| `{}` |", whole.trim_start_matches('.')))
        };
        let schema = include_str!("../../../../wit/v1/schemas/descriptor.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        for (part, known) in KNOWN {
            let of_part = match part {
                "" => &schema,
                part => &schema["properties"][part],
            };
            let keys = of_part["properties"].as_object().unwrap();
            let mut keys: Vec<&str> = keys.keys().map(String::as_str).collect();
            let mut known = known.to_vec();
            known.retain(|key| keys.contains(key) || !is_beyond(part, key));
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
        assert!(!warnings[0].contains("did you mean"), "{warnings:?}");
    }

    #[test]
    fn a_key_that_was_meant_is_offered() {
        for (key, meant) in [
            ("colections", "collections"),
            ("memory_mib", "limits.memory_mib"),
            ("limits.cpu", "limits.cpu_ms"),
            ("retry.atempts", "retry.attempts"),
        ] {
            let said = ignored(key);
            let words = format!("`{key}` and ignores it: did you mean `{meant}`?");
            assert!(said.ends_with(&words), "{said}");
        }
        assert!(ignored("wallpaper").ends_with("ignores it"));
    }

    #[test]
    fn a_concurrency_key_that_no_params_have_is_told() {
        let with = |key: &str, schema: &str| {
            let text = format!(
                r#"{{"id":"a","version":"1","title":"A","concurrency":{{"key":"{key}"}},
                    "params_schema":{schema}}}"#
            );
            let descriptor = Descriptor::parse(&text, &Bounds::default()).unwrap();
            warnings(&text, &descriptor)
        };
        let schema = r#"{"properties":{"url":{},"in":{"properties":{"a/b":{"type":"string"}}}}}"#;
        for fine in ["/url", "/in/a~1b", "/url/0", "/in/a~1b/c"] {
            assert_eq!(with(fine, schema), [""; 0], "{fine}");
        }
        assert_eq!(with("/any", r##"{"$ref":"#/$defs/a"}"##), [""; 0]);
        let said = with("/ulr", schema);
        assert!(
            said[0].contains("no `ulr` there, only `in`, `url`"),
            "{said:?}"
        );
        let said = with("/in/c", schema);
        assert!(said[0].contains("no `c` there, only `a/b`"), "{said:?}");
    }
}
