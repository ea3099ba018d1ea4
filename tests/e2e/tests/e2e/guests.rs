//! Every guest ends as it has to, while honest tasks run beside it and none of them is harmed.

use std::time::Instant;

use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::places;
use taskhost_e2e::tasks::task;

/// A guest, what it is given, and how it has to end: `completed`, or the error's kind with words
/// of its message.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) guest: &'static str,
    pub(crate) params: Value,
    ends: &'static str,
    words: &'static str,
}

pub(crate) fn row(
    guest: &'static str,
    params: Value,
    ends: &'static str,
    words: &'static str,
) -> Row {
    Row {
        guest,
        params,
        ends,
        words,
    }
}

/// The bytes of a guest, in Rust or in WAT.
pub(crate) fn bytes(guest: &str) -> Vec<u8> {
    let text = places::top().join(format!("tests/guests/wat/{guest}.wat"));
    if text.exists() {
        return wat::parse_file(text).unwrap();
    }
    std::fs::read(places::component(guest)).unwrap()
}

/// A home with these guests, and those that [`Honest`] needs.
pub(crate) fn home(rows: &[Row]) -> Home {
    let mut names: Vec<&str> = rows.iter().map(|row| row.guest).collect();
    names.extend(["hello-task", "sleeper", "spin"]);
    names.sort_unstable();
    names.dedup();
    let home = Home::new();
    for name in names {
        home.add_bytes(name, &bytes(name));
    }
    home
}

/// How many honest tasks there are.
pub(crate) const HONEST: usize = 20;

/// Tasks that do what they shall: some in no time, some computing, some waiting.
#[derive(Debug)]
pub(crate) struct Honest(Vec<(String, &'static str)>);

impl Honest {
    pub(crate) async fn begin(host: &Host, round: &str) -> Self {
        let mut begun = Vec::new();
        for n in 0..HONEST {
            let id = format!("honest-{round}-{n}");
            let (type_id, params) = match n % 3 {
                0 => ("hello", json!({"name": id})),
                1 => ("spin", json!({"cpu_ms": 50})),
                _ => ("sleeper", json!({"ms": 400})),
            };
            host.schedule(&id, type_id, params).await;
            begun.push((id, type_id));
        }
        Self(begun)
    }

    /// Sees that each did what it shall, at its first attempt.
    pub(crate) async fn are_well(self, host: &Host) {
        for (id, type_id) in self.0 {
            let done = host.reaches(&id, "completed").await;
            assert_eq!(done["run"]["attempt"], 1, "{done:#}");
            if type_id == "hello" {
                assert_eq!(done["greeting"], format!("Hello, {id}!"));
            }
        }
    }
}

impl Row {
    pub(crate) fn check(&self, ended: &Value) {
        let Self {
            guest, ends, words, ..
        } = self;
        assert!(ended["usage"]["cpu_ms"].is_u64(), "{guest}: {ended:#}");
        if ["completed", "canceled"].contains(ends) {
            assert_eq!(ended["status"], *ends, "{guest}: {ended:#}");
            return;
        }
        let (status, error) = (&ended["status"], &ended["error"]);
        assert_eq!(
            (status, &error["kind"]),
            (&json!("failed"), &json!(ends)),
            "{guest}: {ended:#}"
        );
        assert_eq!(ended["run"]["attempt"], 1, "for good: {ended:#}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words), "{guest}: `{words}` in: {message}");
    }
}

/// Runs the guests at once beside honest tasks, sees how all of them end and that none was written
/// too often, and answers how the guests did.
async fn beside_honest_tasks(host: &Host, rows: &[Row]) -> Vec<Value> {
    let begun = Instant::now();
    let revision = |task: &Value| task["revision"].as_u64().unwrap();
    let mut scheduled = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        let id = format!("guest-{n}");
        let task = host.schedule(&id, row.guest, row.params.clone()).await;
        scheduled.push((id, revision(&task)));
    }
    let honest = Honest::begin(host, "beside").await;
    let mut all = Vec::new();
    for (row, (id, first)) in rows.iter().zip(&scheduled) {
        let ended = host.ends(id).await;
        row.check(&ended);
        // The claim and the end, one write after 50 ms, then at most two a second.
        let writes_max = begun.elapsed().as_secs() * 2 + 5;
        let writes = revision(&ended) - first;
        assert!(writes <= writes_max, "{row:?}: {writes}, not {writes_max}");
        all.push(ended);
    }
    honest.are_well(host).await;
    all
}

#[tokio::test]
async fn computing_and_copying_without_end_is_out_of_cpu() {
    let loops = ["compute", "copy", "fill"];
    let mut rows: Vec<Row> = loops
        .map(|how| row("greedy-loop", json!({"how": how}), "out_of_cpu", "300"))
        .into();
    rows.push(row("spin", json!({"cpu_ms": 2_000}), "out_of_cpu", "300"));
    let host = home(&rows).start().await;
    for ended in beside_honest_tasks(&host, &rows).await {
        // A copy cannot be interrupted, and is over in a moment.
        let cpu_ms = ended["usage"]["cpu_ms"].as_u64().unwrap();
        assert!((300..600).contains(&cpu_ms), "{ended:#}");
    }
}

#[tokio::test]
async fn memory_without_end_is_out_of_memory_however_the_guest_ends_itself() {
    let mut rows: Vec<Row> = ["abort", "panic", "exit"]
        .map(|then| row("memory-bomb", json!({"then": then}), "out_of_memory", "64"))
        .into();
    rows.push(row("table-bomb", json!({}), "out_of_memory", "1 MiB"));
    rows.push(row("many-memories", json!({}), "out_of_memory", "64 MiB"));
    let host = home(&rows).start().await;
    for (ended, row) in beside_honest_tasks(&host, &rows).await.iter().zip(&rows) {
        let peak = ended["usage"]["peak_memory_bytes"].as_u64().unwrap();
        let most = if row.guest == "table-bomb" { 1 } else { 64 } << 20;
        assert!((most / 2..=most).contains(&peak), "{}: {peak}", row.guest);
    }
}

#[tokio::test]
async fn what_breaks_is_a_trap() {
    let rows = [
        row("deep-recursion", json!({}), "trap", "stack"),
        row("trap", json!({}), "trap", "unreachable"),
        row(
            "panic",
            json!({"message": "what now?"}),
            "trap",
            "what now?",
        ),
    ];
    let host = home(&rows).start().await;
    let ended = beside_honest_tasks(&host, &rows).await;
    let place = ended[2]["error"].to_string();
    assert!(place.contains("panic.rs"), "it says where: {place}");
}

#[tokio::test]
async fn what_is_no_result_is_an_invalid_result() {
    let invalid = |guest, params, words| row(guest, params, "invalid_result", words);
    let rows = [
        invalid("big-result", json!({"kib": 1_025}), "1048576"),
        invalid("not-text", json!({}), "utf-8"),
        invalid("not-json", json!({}), "JSON"),
        invalid("wrong-schema", json!({}), "answer"),
        invalid("deep-json", json!({"depth": 65}), "64"),
        invalid("deep-json", json!({"depth": 1_000}), "64"),
        invalid("deep-json", json!({"depth": 100_000}), "64"),
        row("deep-json", json!({"depth": 64}), "completed", ""),
        row("big-result", json!({"kib": 1_000}), "completed", ""),
    ];
    let host = home(&rows).start().await;
    beside_honest_tasks(&host, &rows).await;
}

#[tokio::test]
async fn what_cannot_say_what_it_is_is_refused() {
    let host = home(&[]).start().await;
    let honest = Honest::begin(&host, "describe").await;
    for (guest, words) in [
        ("loops-in-describe", "2000 ms"),
        ("overflows-in-describe", "trapped"),
        ("panics-in-describe", "I do not know what I am"),
        ("huge-descriptor", "262144"),
        ("bad-descriptor", "not JSON"),
    ] {
        let problem = host.push(guest).await.problem(422, "invalid-component");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{guest}: `{words}` in: {detail}");
    }
    honest.are_well(&host).await;
    let types = host.get("/v1/task-types").await.expect(200).to_string();
    assert!(!types.contains("describe"), "{types}");
}

#[tokio::test]
async fn floods_complete_and_cost_the_store_little() {
    let flood = |how: &str| json!({"calls": 1_000_000, "how": how});
    let rows = [
        row("progress-flood", flood("heartbeat"), "completed", ""),
        row("progress-flood", flood("report"), "completed", ""),
        row("progress-flood", flood("phase"), "completed", ""),
        row(
            "log-flood",
            json!({"lines": 20_000, "bytes": 500}),
            "completed",
            "",
        ),
    ];
    let host = home(&rows).start().await;
    let ended = beside_honest_tasks(&host, &rows).await;
    assert_eq!(ended[0]["usage"]["host_calls"], 1_000_000, "{:#}", ended[0]);
    assert_eq!(ended[1]["progress"]["done"], 1_000_000, "{:#}", ended[1]);
    let last = &ended[2]["progress"]["phase"];
    assert_eq!(last, "phase 1000000", "{:#}", ended[2]);

    let run = ended[3]["run"]["id"].as_str().unwrap();
    let log = host
        .get(&format!("{}/runs/{run}/log", task("guest-3")))
        .await;
    assert!(log.text.len() <= 1 << 20, "{} bytes", log.text.len());
    let kept = log
        .text
        .lines()
        .filter(|line| line.contains("xxxx"))
        .count();
    let said = log.text.lines().last().unwrap();
    let dropped = format!("{} more lines were dropped", 60_000 - kept);
    assert!(said.contains(&dropped), "`{dropped}` in: {said}");
}

#[tokio::test]
async fn what_is_honest_completes() {
    let rows = [
        row("documents-roundtrip", json!({}), "completed", ""),
        row("counter", json!({}), "completed", ""),
        row("spin", json!({"cpu_ms": 100}), "completed", ""),
        row(
            "fails",
            json!({"code": "no", "message": "never"}),
            "task",
            "never",
        ),
        row(
            "brings-text",
            json!({"call": "save"}),
            "task",
            "the value has 8388608 bytes",
        ),
    ];
    let host = home(&rows).start().await;
    beside_honest_tasks(&host, &rows).await;
}
