//! What feature identification takes, over a small stream and a large one: time, computing, memory.

use serde_json::{Value, json};
use taskhost_benches::{line, machine, median, ms_of_day};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::{places, tasks};

const DOCUMENTS: [usize; 2] = [10_000, 100_000];
const ROUNDS: usize = 5;
/// Documents of one request.
const INGESTED_AT_ONCE: usize = 10_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let host = Home::with(&["feature-identification"]).start().await;
    println!("{}", machine());
    for documents in DOCUMENTS {
        let stream = format!("logs-{documents}");
        ingest(&host, &stream, documents).await;
        report(documents, &identified(&host, &stream).await);
    }
}

/// The answer of each round.
async fn identified(host: &Host, stream: &str) -> Vec<Value> {
    let task = format!("streams_feature_identification_{stream}");
    let mut answers = Vec::new();
    for _ in 0..ROUNDS {
        let params = json!({"start": 0, "end": 4_102_444_800_000_u64, "seed": 1});
        let body = json!({"type": "streams_feature_identification", "stream": stream,
            "params": params});
        host.put(&tasks::task(&task), &body).await.expect(201);
        answers.push(host.reaches(&task, "completed").await);
    }
    answers
}

fn report(documents: usize, answers: &[Value]) {
    let of = |number: fn(&Value) -> Option<u64>| -> u64 {
        let all: Option<Vec<u64>> = answers.iter().map(number).collect();
        median(&all.expect("every answer has the figure"))
    };
    let took_ms = of(|task| {
        let at = |time: &Value| time.as_str().and_then(ms_of_day);
        at(&task["last_completed_at"])?.checked_sub(at(&task["run"]["started_at"])?)
    });
    let cpu_ms = of(|task| task["usage"]["cpu_ms"].as_u64());
    let peak = of(|task| task["usage"]["peak_memory_bytes"].as_u64());
    println!("{documents} documents, {ROUNDS} rounds");
    for (name, value) in [
        ("features found", of(count_features).to_string()),
        ("started → completed", seconds(took_ms)),
        ("computing in the guest", seconds(cpu_ms)),
        (
            "the guest's peak memory",
            format!("{} MiB", peak.div_ceil(1 << 20)),
        ),
    ] {
        println!("{}", line(name, &value));
    }
}

fn count_features(task: &Value) -> Option<u64> {
    Some(task["payload"]["features"].as_array()?.len() as u64)
}

fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10)
}

/// Puts documents of the captured stream into one of the host's: evenly spread over all of it, or
/// all of it again and again.
async fn ingest(host: &Host, stream: &str, documents: usize) {
    let file = places::top().join("examples/data/stream.ndjson");
    let text = std::fs::read_to_string(file).expect("the captured stream");
    let all: Vec<&str> = text.lines().collect();
    let spread = documents.min(all.len());
    let chosen: Vec<&str> = (0..documents)
        .map(|n| all[n % spread * all.len() / spread])
        .collect();
    host.put(&tasks::stream(stream), &json!({"retention_days": 36_500}))
        .await
        .expect(201);
    for some in chosen.chunks(INGESTED_AT_ONCE) {
        let lines: String = some.iter().flat_map(|line| [*line, "\n"]).collect();
        let answer = host.ingest(stream, lines).await.expect(200);
        assert_eq!(answer["accepted"], some.len(), "{answer:#}");
    }
}
