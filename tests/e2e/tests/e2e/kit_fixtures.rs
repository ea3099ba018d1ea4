//! `taskhost test` with fixtures: what answers in the place of models, the network, children and
//! collections, and what is said of a wrong file.

use serde_json::{Value, json};
use taskhost_e2e::home::program;
use taskhost_e2e::host::Cli;
use taskhost_e2e::places;
use tempfile::TempDir;

/// A folder of fixtures.
struct Fixtures(TempDir);

impl Fixtures {
    fn new(files: &[(&str, Value)]) -> Self {
        let fixtures = Self(tempfile::tempdir_in(places::scratch()).unwrap());
        for (name, value) in files {
            fixtures.write(name, &value.to_string());
        }
        fixtures
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.0.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    async fn cli(&self, component: &str, arguments: &[&str]) -> Cli {
        let mut program = program();
        program.arg("test").arg(places::component(component));
        program.arg("--fixtures").arg(self.0.path()).args(arguments);
        Cli::of(program).await
    }

    /// What `--json` prints.
    async fn test(&self, component: &str, arguments: &[&str]) -> Value {
        let said = self
            .cli(component, &[arguments, &["--json"]].concat())
            .await;
        let object = serde_json::from_str(&said.out);
        object.unwrap_or_else(|_| panic!("{said:?}"))
    }

    /// The result of a test that passes.
    async fn passes(&self, component: &str) -> Value {
        let said = self.test(component, &[]).await;
        assert_eq!(said["ok"], true, "{said:#}");
        said["task"]["payload"].clone()
    }

    /// Why a test does not pass.
    async fn fails(&self, component: &str) -> String {
        let said = self.test(component, &[]).await;
        assert_eq!(said["ok"], false, "{said:#}");
        said["verdict"].as_str().unwrap().to_owned()
    }
}

/// Of the text `hi`.
const SHA256: &str = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
const TOKEN: &str = "not-a-real-token";

#[tokio::test]
async fn the_network_answers_and_a_secret_goes_where_it_may() {
    let url = "https://example.org/a?b";
    let fixtures = Fixtures::new(&[
        ("params.json", json!({"url": url, "with_token": true})),
        ("secrets.json", json!({"http-digest-token": TOKEN})),
        (
            "http.json",
            json!([{"request": {"method": "GET", "url": url,
                "headers": {"authorization": format!("Bearer {TOKEN}")}},
                "response": {"status": 203, "body": "hi"}}]),
        ),
        ("result.json", json!({"status": 203, "sha256": SHA256})),
    ]);
    fixtures.passes("http-digest").await;
    // An address of this machine is asked for by the descriptor, and nobody listens there.
    let local = "http://127.0.0.1:18080/x";
    let answer = json!([{"request": {"url": local}, "response": {"status": 203, "body": "hi"}}]);
    fixtures.write("http.json", &answer.to_string());
    fixtures.write("params.json", &json!({"url": local}).to_string());
    fixtures.passes("http-digest").await;
    // The descriptor's list is a real one.
    let params = json!({"url": "https://example.com/"}).to_string();
    let expected = ["--params", &params, "--expect", "failed"];
    let said = fixtures.test("http-digest", &expected).await;
    assert_eq!(said["ok"], true, "{said:#}");
    assert_eq!(said["task"]["error"]["code"], "denied", "{said:#}");
}

#[tokio::test]
async fn a_request_without_an_answer_fails_the_test() {
    let url = "https://example.org/none";
    let fixtures = Fixtures::new(&[("params.json", json!({"url": url}))]);
    let why = fixtures.fails("http-digest").await;
    assert!(
        why.contains("http.json has no answer for GET https://example.org/none"),
        "{why}"
    );
    let error = json!([{"request": {"url": url}, "error": "unavailable"}]);
    fixtures.write("http.json", &error.to_string());
    let said = fixtures.test("http-digest", &["--expect", "failed"]).await;
    assert_eq!(said["ok"], true, "{said:#}");
    assert_eq!(said["task"]["error"]["code"], "unavailable", "{said:#}");
}

#[tokio::test]
async fn a_model_answers_as_the_file_says() {
    let fixtures = Fixtures::new(&[
        ("params.json", json!({"ask": "text"})),
        (
            "inference.json",
            json!([
                {"when": {"contains": "cron"}, "answer": "no"},
                {"error": {"status": 429, "retry_after_s": 0}},
                {"when": {"contains": "sshd[42]"}, "answer": "a server"},
            ]),
        ),
    ]);
    let said = fixtures.test("asks-model", &[]).await;
    assert_eq!(said["task"]["payload"], "a server", "{said:#}");
    assert_eq!(said["task"]["run"]["pauses"], 1, "{said:#}");
    fixtures.write("params.json", r#"{"ask": "typed"}"#);
    let answer = json!([{"answer": {"json": {"name": "sshd", "confidence": 9}}}]);
    fixtures.write("inference.json", &answer.to_string());
    assert_eq!(fixtures.passes("asks-model").await["name"], "sshd");
    fixtures.write("params.json", r#"{"ask": "tool"}"#);
    let call = json!([{"answer": {"tool_calls": [{"name": "weather",
        "arguments": {"city": "Bonn"}}]}}, {"when": {"contains": "rain"}, "answer": "wet"}]);
    fixtures.write("inference.json", &call.to_string());
    let expected = json!({"arguments": {"city": "Bonn"}, "text": "wet"});
    assert_eq!(fixtures.passes("asks-model").await, expected);
    fixtures.write("params.json", r#"{"ask": "embed", "model": "large"}"#);
    fixtures.write(
        "inference.json",
        r#"[{"answer": {"embeddings": [[1.0], [0.5]]}}]"#,
    );
    assert_eq!(fixtures.passes("asks-model").await, json!([[1.0], [0.5]]));
    // The budget is the real one.
    fixtures.write("params.json", r#"{"ask": "budget"}"#);
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 7});
    let answer = json!([{"answer": {"text": "a", "usage": usage}}]);
    fixtures.write("inference.json", &answer.to_string());
    assert_eq!(
        fixtures.passes("asks-model").await,
        json!([100_000, 99_988])
    );
}

#[tokio::test]
async fn a_question_without_an_answer_fails_the_test() {
    let fixtures = Fixtures::new(&[
        ("params.json", json!({"ask": "text"})),
        (
            "inference.json",
            json!([{"when": {"contains": "cron"}, "answer": "no"}]),
        ),
    ]);
    let why = fixtures.fails("asks-model").await;
    for words in [
        "inference.json has no answer for",
        "Name this: sshd[42]",
        "add {\"when\"",
    ] {
        assert!(why.contains(words), "{words} in: {why}");
    }
}

#[tokio::test]
async fn stand_ins_end_as_the_file_says() {
    let spawn = |key: &str, name: &str| {
        let params = json!({"name": name});
        json!({"spawn": {"key": key, "task_type": "hello", "params": params}})
    };
    let wait = |key: &str| json!({"wait": {"ids": [key], "ms": 60_000}});
    let long = "x".repeat(200_000);
    let steps = json!([
        spawn("a", "Ann"),
        wait("a"),
        spawn("b", "Bob"),
        wait("b"),
        spawn("c", &long),
        wait("c")
    ]);
    let fixtures = Fixtures::new(&[
        ("params.json", json!({"steps": steps})),
        (
            "children/hello.json",
            json!([
                {"when": {"name": "Ann"}, "result": {"greeting": "from a file"}},
                {"when": {"name": "Bob"}, "error": {"code": "no-such-bob", "message": "no Bob"}},
                {"result": [long]},
            ]),
        ),
    ]);
    let said = fixtures.test("parent", &[]).await;
    let answers = &said["task"]["payload"]["answers"];
    assert_eq!(answers[1]["result"]["greeting"], "from a file", "{said:#}");
    assert_eq!(answers[3]["failed"], "no-such-bob", "{said:#}");
    assert_eq!(answers[5]["result"][0], long.as_str());
    // What a stand-in calls is none of the author's business.
    assert_eq!(said["calls"].get("http.send"), None, "{said:#}");
    assert_eq!(said["calls"]["children.spawn"], 3);
    fixtures.write(
        "children/hello.json",
        r#"[{"when": {"name": "Eve"}, "result": 1}]"#,
    );
    let why = fixtures.fails("parent").await;
    let words = "children/hello.json has no end for the params {\"name\":\"Ann\"}";
    assert!(why.contains(words), "{why}");
}

#[tokio::test]
async fn fan_out_is_a_parent_of_its_own_kind() {
    let params = json!({"from": 0, "to": 10, "parts": 2});
    let fixtures = Fixtures::new(&[("params.json", params), ("result.json", json!({"sum": 45}))]);
    // Allowed without a setting.
    fixtures.passes("fan-out").await;
    // With a file for its children it is the root alone.
    fixtures.write("children/fan-out.json", r#"{"result": {"sum": 1}}"#);
    fixtures.write("result.json", r#"{"sum": 2}"#);
    let said = fixtures.test("fan-out", &[]).await;
    assert_eq!(said["ok"], true, "{said:#}");
    assert_eq!(said["calls"].get("context.sleep"), None, "{said:#}");
    let fan_out = places::component("fan-out");
    let said = fixtures
        .cli("hello-task", &["--also", fan_out.to_str().unwrap()])
        .await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.err.contains("`fan-out` is given as a component"),
        "{said:?}"
    );
}

#[tokio::test]
async fn collections_are_filled_before_and_compared_afterwards() {
    let fixtures = Fixtures::new(&[]);
    let line = |id: &str, body: Value| json!({"id": id, "body": body}).to_string();
    fixtures.write("documents/roundtrip.ndjson", &line("old", json!({"n": 9})));
    let after: Vec<String> = (0..5)
        .map(|n| line(&format!("b{n}"), json!({"n": n, "even": n % 2 == 0})))
        .collect();
    fixtures.write("documents/roundtrip.after.ndjson", &after.join("\n"));
    let said = fixtures.test("documents-roundtrip", &[]).await;
    assert_eq!(said["ok"], true, "{said:#}");
    // It clears away what it finds.
    fixtures.write("documents/roundtrip.after.ndjson", &after[1..].join("\n"));
    let why = fixtures.fails("documents-roundtrip").await;
    assert!(
        why.contains("roundtrip.after.ndjson: `b0` is there, and should not"),
        "{why}"
    );
    fixtures.write("documents/other.ndjson", "");
    let said = fixtures.cli("documents-roundtrip", &[]).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.err
            .contains("no component of this test has the collection `other`"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_wrong_file_of_each_kind_gets_a_sentence() {
    for (file, text, words) in [
        (
            "documents/a.ndjson",
            "\n{}",
            "a.ndjson:2: missing field `id`",
        ),
        (
            "inference.json",
            "[\n{}]",
            "inference.json:2: an entry has either",
        ),
        (
            "http.json",
            "[\n{\"request\": {}}]",
            "http.json:2: missing field `url`",
        ),
        (
            "secrets.json",
            "{\n\"a\": \"b\"}",
            "secrets.json:2: the secret `a` has 1 bytes",
        ),
        (
            "children/a.json",
            "{\n\"x\": 1}",
            "a.json:2: unknown field `x`",
        ),
        (
            "children/a.json",
            "{\"result\": 1}",
            "asks for children of the type `a`",
        ),
        (
            "secrets.json",
            "{\"a\": \"long-enough\"}",
            "asks for the secret `a`",
        ),
    ] {
        let fixtures = Fixtures::new(&[]);
        fixtures.write(file, text);
        let said = fixtures
            .cli("hello-task", &["--params", r#"{"name":"x"}"#])
            .await;
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains(words), "{words} in:\n{}", said.err);
        assert_eq!(said.out, "");
    }
}

#[tokio::test]
async fn devices_and_pipes_are_refused_instead_of_read() {
    for name in [
        "params.json",
        "streams/logs.ndjson",
        "children/a.json",
        "documents/a.ndjson",
    ] {
        let fixtures = Fixtures::new(&[]);
        fixtures.write(name, "");
        let file = fixtures.0.path().join(name);
        for make in ["ln -s /dev/zero", "mkfifo"] {
            std::fs::remove_file(&file).unwrap();
            let mut words: Vec<&str> = make.split(' ').collect();
            let program = words.remove(0);
            let made = std::process::Command::new(program)
                .args(words)
                .arg(&file)
                .status();
            assert!(made.unwrap().success());
            let said = fixtures.cli("hello-task", &[]).await;
            assert_eq!(said.code, Some(2), "{said:?}");
            assert!(said.err.contains("is no file"), "{said:?}");
        }
    }
}

#[tokio::test]
async fn an_operators_settings_decide_what_is_allowed() {
    let fixtures = Fixtures::new(&[
        ("params.json", json!({"url": "https://example.org/"})),
        (
            "http.json",
            json!([{"request": {"url": "https://example.org/"}, "response": {"status": 200}}]),
        ),
    ]);
    fixtures.write("host.toml", "");
    let file = fixtures.0.path().join("host.toml");
    let config = ["--config", file.to_str().unwrap()];
    let said = fixtures.cli("http-digest", &config).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    fixtures.write(
        "host.toml",
        "[[allow]]\ntype = \"http-digest\"\nhttp = [{ origin = \"https://example.org\" }, \
         { origin = \"http://127.0.0.1:18080\" }]\nsecrets = [\"http-digest-token\"]\n",
    );
    let said = fixtures.cli("http-digest", &config).await;
    assert_eq!(said.code, Some(0), "{said:?}");
}
