//! What the kit sends is what the contract's schemas accept, and what the host's model reads.

use std::path::Path;

use serde_json::{Value, json};
use taskhost_model::contract::CONTRACT;
use taskhost_model::descriptor::{Bounds, Descriptor as HostDescriptor};
use taskhost_model::query::Query as HostQuery;
use taskhost_sdk::{
    Chat, Child, ChildOptions, Completion, Condition, Descriptor, Query, Range, Sort, StreamUse,
    Test, Tool,
};

/// File name and content of each.
fn schemas() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/v1/schemas");
    let files = std::fs::read_dir(folder).expect("the schemas stand beside the WIT");
    files
        .map(|entry| {
            let path = entry.expect("a folder can be listed").path();
            let text = std::fs::read(&path).expect("a schema can be read");
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            (
                name,
                serde_json::from_slice(&text).expect("a schema is JSON"),
            )
        })
        .collect()
}

fn validator(name: &str) -> jsonschema::Validator {
    let mut registry = jsonschema::Registry::new();
    for (file, schema) in schemas() {
        let uri = format!("json-schema:///{file}");
        registry = registry
            .add(uri, schema)
            .expect("every schema has a name of its own");
    }
    let registry = registry
        .prepare()
        .expect("references lead to other schemas");
    jsonschema::options()
        .with_registry(&registry)
        .with_base_uri("json-schema:///the-test")
        .build(&json!({"$ref": name}))
        .expect("a schema is one")
}

fn accepts(name: &str, value: &Value) {
    let validator = validator(name);
    let errors: Vec<_> = validator
        .iter_errors(value)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{name} refuses {value}: {errors:?}");
}

fn refuses(name: &str, value: &Value) {
    assert!(!validator(name).is_valid(value), "{name} accepts {value}");
}

#[test]
fn every_schema_is_one() {
    for (name, schema) in schemas() {
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
        validator(&name);
    }
}

/// A descriptor with every key.
fn everything() -> Value {
    Descriptor::new("hello", "1.0.0")
        .title("Hello")
        .description("Says hello.")
        .stream(StreamUse::Optional)
        .memory_mib(128)
        .cpu_ms(60_000)
        .wall_s(600)
        .output_kib(2_048)
        .no_progress_s(30)
        .host_calls(7)
        .tokens(8)
        .collection("features")
        .http("https://api.example.org", &["GET", "POST"], "/v1/")
        .http("http://[::1]:8080", &["GET"], "/")
        .secret("api-key")
        .model("small")
        .child("other")
        .min_host("1.0")
        .checkpoint_schema(json!({"type": "object"}))
        .attempts(2)
        .grace_ms(1_000)
        .stale_after_s(60)
        .set("homepage", "https://example.org")
        .params_schema(json!({"type": "object"}))
        .result_schema(true)
        .to_json()
}

#[test]
fn descriptors() {
    let least = Descriptor::new("hello", "1").to_json();
    let most = everything();
    for descriptor in [&least, &most] {
        accepts("descriptor.json", descriptor);
        HostDescriptor::parse(&descriptor.to_string(), &Bounds::default()).unwrap();
    }
    let read = HostDescriptor::parse(&most.to_string(), &Bounds::default()).unwrap();
    assert_eq!((read.limits.memory_mib, read.limits.cpu_ms), (128, 60_000));
    assert_eq!((read.limits.wall_s, read.limits.output_kib), (600, 2_048));
    assert_eq!(read.limits.no_progress_s, Some(30));
    assert_eq!(
        (read.retry.attempts, read.grace_ms, read.stale_after_s),
        (2, 1_000, 60)
    );
    assert_eq!(
        (read.limits.host_calls, read.limits.tokens),
        (Some(7), Some(8))
    );
    let words = [
        "http origin https://api.example.org (GET, POST, /v1/)",
        "http origin http://[::1]:8080 (GET, /)",
        "secret api-key",
        "model small",
        "child type other",
    ];
    assert_eq!(read.capabilities.words(), words);
    assert_eq!(read.min_host, Some(CONTRACT));
    assert_eq!(read.checkpoint_schema, Some(json!({"type": "object"})));
    assert_eq!(read.unknown.keys().collect::<Vec<_>>(), ["homepage"]);
}

/// The least descriptor with that key: neither the schema nor the host accepts it.
fn is_no_descriptor(key: &str, value: Value) {
    let mut descriptor = Descriptor::new("hello", "1").to_json();
    descriptor[key] = value;
    refuses("descriptor.json", &descriptor);
    let read = HostDescriptor::parse(&descriptor.to_string(), &Bounds::default());
    assert!(read.is_err(), "the host accepts {descriptor}");
}

#[test]
fn wrong_descriptors() {
    for (key, value) in [
        ("id", json!("Hello!")),
        ("title", json!("")),
        ("stream", json!("maybe")),
        ("limits", json!({"cpu_ms": 0})),
        ("limits", json!({"no_progress_s": 0})),
        ("limits", json!({"host_calls": 0})),
        ("limits", json!({"tokens": 0})),
        ("concurrency", json!({"max": 0})),
        ("concurrency", json!({"key": "url"})),
        ("collections", json!(["a", "a"])),
        ("min_host", json!("1")),
        ("min_host", json!(1.0)),
        ("capabilities", json!([])),
        ("capabilities", json!({"secrets": ["Key"]})),
        ("capabilities", json!({"models": vec!["m"; 65]})),
        ("capabilities", json!({"children": [7]})),
    ] {
        is_no_descriptor(key, value);
    }
    for rule in [
        json!("https://a.example"),
        json!({"origin": "https://a.example/"}),
        json!({"origin": "https://A.example"}),
        json!({"origin": "https://*.example"}),
        json!({"origin": "https://a.example", "methods": []}),
        json!({"origin": "https://a.example", "methods": ["get"]}),
        json!({"origin": "https://a.example", "path_prefix": "v1"}),
        json!({"origin": "https://a.example", "method": "GET"}),
    ] {
        is_no_descriptor("capabilities", json!({"http": [rule]}));
    }
}

#[test]
fn the_defaults_that_are_documented_are_the_hosts() {
    let (_, schema) = schemas()
        .into_iter()
        .find(|(name, _)| name == "descriptor.json")
        .unwrap();
    let text = Descriptor::new("hello", "1").to_json().to_string();
    let host = HostDescriptor::parse(&text, &Bounds::default()).unwrap();
    let keys = &schema["properties"];
    for (key, default) in [
        ("memory_mib", host.limits.memory_mib),
        ("cpu_ms", host.limits.cpu_ms),
        ("wall_s", host.limits.wall_s),
        ("output_kib", host.limits.output_kib),
    ] {
        assert_eq!(
            keys["limits"]["properties"][key]["default"], default,
            "{key}"
        );
    }
    assert_eq!(
        keys["retry"]["properties"]["attempts"]["default"],
        host.retry.attempts
    );
    assert_eq!(keys["grace_ms"]["default"], host.grace_ms);
    assert_eq!(keys["stale_after_s"]["default"], host.stale_after_s);
}

#[test]
fn queries() {
    let least = Query::new(0, "2026-11-24T00:00:00Z");
    let most = Query::new("2026-11-24T00:00:00+01:00", 1_800_000_000_000)
        .matching(Condition::contains("message", "x"))
        .size(10_000)
        .fields(["@timestamp", "message"])
        .seed(u64::MAX)
        .sort(Sort::Asc)
        .cursor(Some("abc".to_owned()))
        .max_bytes(1)
        .max_values(0);
    for query in [least, most] {
        let query = query.to_json();
        accepts("query.json", &query);
        serde_json::from_value::<HostQuery>(query)
            .unwrap()
            .check()
            .unwrap();
    }
    for (key, value) in [
        ("size", json!(10_001)),
        ("from", json!(1.5)),
        ("sort", json!("up")),
        ("max_values", json!(101)),
        ("limit", json!(1)),
        ("where", json!({"field": "a"})),
        ("fields", json!(vec!["a"; 101])),
    ] {
        let mut query = Query::new(0, 1).to_json();
        query[key] = value;
        refuses("query.json", &query);
        let read = serde_json::from_value::<HostQuery>(query);
        assert!(read.is_err() || read.unwrap().check().is_err(), "{key}");
    }
}

#[test]
fn conditions() {
    let range = Range {
        gte: Some(1.into()),
        lt: Some("z".into()),
        ..Range::default()
    };
    let fields = [
        Condition::eq("a", 1),
        Condition::eq("a.b", true),
        Condition::field("a", Test::Neq("x".into())),
        Condition::field("a", Test::Lt(1.into())),
        Condition::field("a", Test::Lte(1.into())),
        Condition::field("a", Test::Gt("x".into())),
        Condition::field("a", Test::Gte("x".into())),
        Condition::field("a", Test::Range(range)),
        Condition::starts_with("a", "x"),
        Condition::ends_with("a", "x"),
        Condition::exists("a", false),
        Condition::always(),
        Condition::never(),
    ];
    let all = Condition::and(vec![
        Condition::or(fields.to_vec()),
        Condition::not(Condition::contains("a", "x")),
    ]);
    accepts("condition.json", &all.to_json());
    accepts("collection-filter.json", &all.to_json());
    for wrong in [
        json!({}),
        json!([]),
        json!({"and": {}}),
        json!({"field": "a", "eq": 1, "neq": 2}),
        json!({"field": "", "eq": 1}),
        json!({"field": "a", "range": {}}),
        json!({"field": "a", "contains": 1}),
        json!({"field": "a", "eq": null}),
        json!({"always": true}),
        json!({"or": [{"like": 1}]}),
    ] {
        refuses("condition.json", &wrong);
        assert!(Condition::from_json(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn chats() {
    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "its schema is what is used")]
    struct Named {
        name: String,
        parts: Vec<Part>,
    }
    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "its schema is what is used")]
    struct Part {
        text: Option<String>,
    }
    let answered = json!({
        "text": "", "finish_reason": "tool_calls", "model": "m",
        "tool_calls": [{"id": "c1", "name": "weather", "arguments": {"city": "Ulm"}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "estimated": false},
    });
    accepts("completion.json", &answered);
    let answered: Completion = serde_json::from_value(answered).unwrap();
    let least = Chat::new().user("hi");
    let most = Chat::new()
        .model("small")
        .system("Be brief.")
        .user("Umbrella?")
        .assistant(&answered)
        .tool_result(&answered.tool_calls[0], "rain")
        .tool(
            Tool::new("weather")
                .description("now")
                .parameters(json!({"type": "object"})),
        )
        .tool(Tool::new("time"))
        .must_call("weather")
        .answering::<Named>()
        .strict()
        .temperature(0.5)
        .max_tokens(100)
        .seed(i64::MAX as u64)
        .stop("END");
    for chat in [&least, &most, &least.clone().tool_choice("none")] {
        accepts("completion-request.json", &chat.to_json());
    }
    for (key, value) in [
        ("messages", json!([])),
        ("messages", json!([{"role": "tool", "text": "x"}])),
        ("messages", json!([{"role": "user", "content": "x"}])),
        ("tool_choice", json!("weather")),
        ("temperature", json!(2.5)),
        ("max_tokens", json!(0)),
        ("n", json!(2)),
    ] {
        let mut chat = most.to_json();
        chat[key] = value;
        refuses("completion-request.json", &chat);
    }
    accepts(
        "embedding-request.json",
        &json!({"texts": ["a"], "model": "small", "dimensions": 8}),
    );
    refuses("embedding-request.json", &json!({"texts": []}));
}

#[test]
fn what_children_take_and_answer_is_in_the_contract() {
    let options = ChildOptions::new().priority(100);
    let all = options.timeout(std::time::Duration::from_millis(1));
    for options in [ChildOptions::new(), options, all] {
        let options = serde_json::to_value(options).expect("options are JSON");
        accepts("child-options.json", &options);
    }
    for options in [
        json!({"priority": 101}),
        json!({"timeout_ms": 0}),
        json!({"run_at": 7}),
    ] {
        refuses("child-options.json", &options);
    }
    let completed = json!({
        "id": "child-1", "key": "a", "status": "completed", "ended": true, "result": [1],
    });
    let failed = json!({
        "id": "child-1", "key": "a", "status": "failed", "ended": true,
        "progress": {"done": 1, "message": ""},
        "error": {"kind": "task", "code": "no-luck", "message": "it had none"},
    });
    let deleted = json!({"id": "child-1", "status": "deleted", "ended": true});
    for status in [completed, failed, deleted] {
        accepts("child-status.json", &status);
        serde_json::from_value::<Child>(status).expect("the kit reads it");
    }
    refuses("child-status.json", &json!({"id": "child-1"}));
}
