//! Calls every host function with arguments that no kit would send, and says what each answered.
//! `{"what": "dropped"}` and `"forged"` use a handle that is no more, and one that never was;
//! `"sleep"` sleeps longer than there is time; `{"what": "huge", "call": NAME}` makes that call
//! with more than the host copies.

use serde_json::{Map, Value, json};
use taskhost_guests::raw::taskhost::task::documents::{Change, Collection, Create, Delete, Put};
use taskhost_guests::raw::taskhost::task::types::Error;
use taskhost_guests::raw::taskhost::task::{context, inference, log, progress, streams};

const MIB: usize = 1 << 20;

/// Requests whose numbers are none that a query has.
const NUMBERS: [(&str, &str); 6] = [
    ("huge size", r#"{"from":0,"to":1,"size":1e300}"#),
    ("negative size", r#"{"from":0,"to":1,"size":-1}"#),
    ("infinite seed", r#"{"from":0,"to":1,"seed":1e400}"#),
    (
        "seed beyond 64 bits",
        r#"{"from":0,"to":1,"seed":18446744073709551616}"#,
    ),
    (
        "huge range",
        r#"{"from":-9223372036854775808,"to":9223372036854775807}"#,
    ),
    (
        "huge max_bytes",
        r#"{"from":0,"to":1,"max_bytes":18446744073709551615}"#,
    ),
];

fn describe() -> String {
    json!({
        "id": "hostile-calls",
        "version": "1.0.0",
        "title": "hostile-calls",
        "stream": "optional",
        "collections": ["hostile"],
        "limits": {"memory_mib": 256},
    })
    .to_string()
}

fn run(params: String) -> Result<String, Error> {
    let params: Value = serde_json::from_str(&params).unwrap_or_default();
    match params["what"].as_str() {
        Some("dropped") => use_dropped_handle()?,
        Some("forged") => drop(taskhost_guests::raw::forged_collection().get("a")?),
        // tidy: sleep allowed because it is a host call like any other
        Some("sleep") => context::sleep(u64::MAX)?,
        Some("huge") => huge(params["call"].as_str().unwrap_or_default())?,
        _ => {}
    }
    let mut answers = Map::new();
    tell(&mut answers);
    read(&mut answers);
    open(&mut answers);
    ask(&mut answers);
    store(&mut answers, &Collection::open("hostile", None)?);
    Ok(Value::Object(answers).to_string())
}

fn use_dropped_handle() -> Result<(), Error> {
    let collection = Collection::open("hostile", None)?;
    let same = taskhost_guests::raw::second_owner(&collection);
    drop(collection);
    same.get("a").map(drop)
}

/// One call with more than 24 MiB, counted as the host keeps it.
fn huge(call: &str) -> Result<(), Error> {
    let text = "x".repeat(25 * MIB);
    let open = || Collection::open("hostile", None);
    match call {
        "report" => progress::report(0, None, &text),
        "phase" => progress::phase(&text),
        "describe" => streams::describe(&text).map(drop),
        "count" => streams::count("s", &text).map(drop),
        "sample" => streams::sample("s", &text).map(drop),
        "sample-many" => streams::sample_many("s", &vec![String::new(); 2_000_000]).map(drop),
        "field-stats" => streams::field_stats("s", &text).map(drop),
        "search" => streams::search("s", &text).map(drop),
        "open" => Collection::open(&text, None).map(drop),
        "open-options" => Collection::open("hostile", Some(&text)).map(drop),
        "get" => open()?.get(&text).map(drop),
        "query-filter" => open()?.query(Some(&text), None, 1, None).map(drop),
        "query-cursor" => open()?.query(None, Some(&text), 1, None).map(drop),
        "query-options" => open()?.query(None, None, 1, Some(&text)).map(drop),
        "apply" => open()?.apply(&[put("a", &text)], None).map(drop),
        "apply-options" => open()?.apply(&[], Some(&text)).map(drop),
        "apply-many" => open()?.apply(&vec![put("", ""); 500_000], None).map(drop),
        "log" => {
            log::log(log::Level::Info, &text, None);
            Ok(())
        }
        _ => {
            log::log(log::Level::Info, "", Some(&text));
            Ok(())
        }
    }
}

fn tell(answers: &mut Map<String, Value>) {
    let mut note = |name: &str, answer| note(answers, &format!("progress {name}"), answer);
    note(
        "huge message",
        progress::report(1, None, &"x".repeat(8 * MIB)),
    );
    note(
        "beyond its total",
        progress::report(u64::MAX, Some(0), "\0\u{202e}\u{1b}[2J"),
    );
    note(
        "huge numbers",
        progress::report(u64::MAX, Some(u64::MAX), ""),
    );
    note("huge phase", progress::phase(&"é".repeat(MIB)));
    note("no phase", progress::phase(""));
    log::log(
        log::Level::Info,
        &"x".repeat(8 * MIB),
        Some(&"x".repeat(8 * MIB)),
    );
    log::log(log::Level::Info, "\0\n\u{1b}[2J", Some("{ no JSON"));
    log::log(log::Level::Info, "", Some(&deep(100_000)));
}

fn read(answers: &mut Map<String, Value>) {
    let fine = r#"{"from":0,"to":1}"#;
    let deep_query = format!(r#"{{"from":0,"to":1,"where":{}}}"#, nested_not(50_000));
    let requests = [
        ("no JSON", "{ no JSON"),
        ("no object", "[]"),
        ("no range", "{}"),
        ("backwards", r#"{"from":1,"to":0}"#),
        ("unknown key", r#"{"from":0,"to":1,"limit":1}"#),
        (
            "wrong condition",
            r#"{"from":0,"to":1,"where":{"field":"a","like":"b"}}"#,
        ),
        ("deep condition", &deep_query),
        (
            "huge cursor",
            &format!(r#"{{"from":0,"to":1,"cursor":"{}"}}"#, "x".repeat(MIB)),
        ),
        ("lone surrogate", r#"{"from":0,"to":1,"cursor":"\ud800"}"#),
    ];
    for name in ["", "../../etc/passwd", "an-other", "a\0b", &"x".repeat(MIB)] {
        let shown: String = name
            .chars()
            .take(20)
            .flat_map(char::escape_default)
            .collect();
        note(
            answers,
            &format!("describe stream `{shown}`"),
            streams::describe(name),
        );
        note(
            answers,
            &format!("search stream `{shown}`"),
            streams::search(name, fine),
        );
    }
    let Some(own) = context::stream() else {
        return;
    };
    for (name, request) in requests.into_iter().chain(NUMBERS) {
        note(
            answers,
            &format!("count {name}"),
            streams::count(&own, request),
        );
        note(
            answers,
            &format!("sample {name}"),
            streams::sample(&own, request),
        );
        note(
            answers,
            &format!("field-stats {name}"),
            streams::field_stats(&own, request),
        );
        note(
            answers,
            &format!("search {name}"),
            streams::search(&own, request),
        );
    }
    let many = vec![fine.to_owned(); 10_000];
    note(
        answers,
        "sample-many many",
        streams::sample_many(&own, &many),
    );
}

fn open(answers: &mut Map<String, Value>) {
    for label in ["", "features", "../hostile", "hostile\0", &"x".repeat(MIB)] {
        let shown: String = label
            .chars()
            .take(20)
            .flat_map(char::escape_default)
            .collect();
        note(
            answers,
            &format!("open `{shown}`"),
            Collection::open(label, None),
        );
    }
    for options in [
        "{ no JSON",
        "[]",
        r#"{"stream":"an-other"}"#,
        &deep(100_000),
        &dense(8 * MIB),
    ] {
        let shown: String = options.chars().take(20).collect();
        note(
            answers,
            &format!("open with {shown}"),
            Collection::open("hostile", Some(options)),
        );
    }
    let opened: Vec<_> = (0..10_000)
        .map(|_| Collection::open("hostile", None))
        .collect();
    let refused = opened.into_iter().find_map(Result::err).map_or(Ok(()), Err);
    note(answers, "open ten thousand", refused);
}

/// No model is granted: what is refused is refused before, or for that.
fn ask(answers: &mut Map<String, Value>) {
    let with = |key: &str, value: &str| {
        format!(r#"{{"messages":[{{"role":"user","text":"hi"}}],"{key}":{value}}}"#)
    };
    for (shown, request) in [
        ("nothing", String::new()),
        ("deep", deep(100_000)),
        ("too much", "x".repeat(2 * MIB)),
        ("huge temperature", with("temperature", "1e400")),
        (
            "huge max_tokens",
            with("max_tokens", "18446744073709551616"),
        ),
        ("another model", with("model", "\"../small\"")),
        (
            "schema elsewhere",
            with("schema", r#"{"$ref":"file:///etc/passwd"}"#),
        ),
        ("schema of itself", with("schema", r##"{"$ref":"#"}"##)),
        ("schema that explodes", with("schema", &explosive())),
        ("what is not granted", with("seed", "1")),
    ] {
        note(
            answers,
            &format!("complete {shown}"),
            inference::complete(&request),
        );
        note(
            answers,
            &format!("embed {shown}"),
            inference::embed(&request),
        );
    }
    let many = |count: usize, bytes: usize| vec!["x".repeat(bytes); count];
    note(answers, "complete-many none", inference::complete_many(&[]));
    note(
        answers,
        "complete-many bad",
        inference::complete_many(&many(64, 1)),
    );
    note(
        answers,
        "complete-many many",
        inference::complete_many(&many(65, 1)),
    );
    note(
        answers,
        "complete-many much",
        inference::complete_many(&many(17, MIB)),
    );
    let left = inference::budget_remaining(None);
    answers.insert(
        "budget-remaining".to_owned(),
        json!(left.map_or("none", |_| "ok")),
    );
}

/// Refers to each definition twice from the one before.
fn explosive() -> String {
    let definition = |n: usize| {
        let next = format!(r##"{{"$ref":"#/$defs/d{}"}}"##, n + 1);
        format!(r#""d{n}":{{"allOf":[{next},{next}]}}"#)
    };
    let all: Vec<String> = (0..40).map(definition).collect();
    format!(
        r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d40":{{}}}}}}"##,
        all.join(",")
    )
}

fn store(answers: &mut Map<String, Value>, hostile: &Collection) {
    note(answers, "get without id", hostile.get(""));
    note(answers, "get with a huge id", hostile.get(&"x".repeat(MIB)));
    note(answers, "query none", hostile.query(None, None, 0, None));
    note(
        answers,
        "query all",
        hostile.query(None, None, u32::MAX, None),
    );
    note(
        answers,
        "query with a made-up cursor",
        hostile.query(None, Some("made up"), 1, None),
    );
    note(
        answers,
        "query with no JSON",
        hostile.query(Some("{ no JSON"), None, 1, None),
    );
    note(
        answers,
        "query deep",
        hostile.query(Some(&nested_not(50_000)), None, 1, None),
    );
    let changes = [
        ("without id", put("", "{}")),
        ("with control characters", put("a\0\u{1b}", "{}")),
        ("with a huge id", put(&"x".repeat(MIB), "{}")),
        ("no JSON", put("a", "{ no JSON")),
        ("no object", put("a", "[]")),
        ("infinite", put("a", r#"{"n":1e400}"#)),
        ("lone surrogate", put("a", r#"{"n":"\ud800"}"#)),
        ("deep", put("a", &format!(r#"{{"n":{}}}"#, deep(100_000)))),
        (
            "huge",
            put("a", &format!(r#"{{"n":"{}"}}"#, "x".repeat(2 * MIB))),
        ),
        (
            "new with no JSON",
            Change::Create(Create {
                id: "a".into(),
                body: String::new(),
            }),
        ),
        (
            "delete without id",
            Change::Delete(Delete {
                id: String::new(),
                if_version: None,
            }),
        ),
        (
            "delete a made-up version",
            Change::Delete(Delete {
                id: "a".into(),
                if_version: Some("\0".repeat(MIB)),
            }),
        ),
    ];
    for (name, change) in changes.into_iter().chain(numbers()) {
        let answer = hostile
            .apply(&[change], None)
            .and_then(|mut all| all.pop().unwrap_or_else(silence));
        note(answers, &format!("apply {name}"), answer);
    }
    let many: Vec<_> = (0..100_000).map(|n| put(&format!("m{n}"), "{}")).collect();
    note(answers, "apply many", hostile.apply(&many, None));
    note(answers, "apply nothing", hostile.apply(&[], None));
    note(answers, "apply options", hostile.apply(&[], Some("[]")));
}

fn numbers() -> [(&'static str, Change); 2] {
    [
        (
            "beyond 64 bits",
            put("a", r#"{"n":123456789012345678901234567890}"#),
        ),
        (
            "dense",
            put("a", &format!(r#"{{"n":{}}}"#, dense(MIB - 1024))),
        ),
    ]
}

fn put(id: &str, body: &str) -> Change {
    Change::Put(Put {
        id: id.to_owned(),
        body: body.to_owned(),
        if_version: None,
    })
}

fn silence() -> Result<String, Error> {
    Ok("no answer".to_owned())
}

/// Notes `ok` or the error's code.
fn note<T>(answers: &mut Map<String, Value>, call: &str, answer: Result<T, Error>) {
    let answer = answer.map_or_else(|error| error.code, |_| "ok".to_owned());
    answers.insert(call.to_owned(), answer.into());
}

fn deep(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

/// A list that is many times as large in memory.
fn dense(bytes: usize) -> String {
    format!("[{}0]", "0,".repeat(bytes / 2 - 1))
}

fn nested_not(depth: usize) -> String {
    r#"{"not":"#.repeat(depth) + r#"{"always":{}}"# + &"}".repeat(depth)
}

taskhost_guests::raw_guest!(describe, run);
