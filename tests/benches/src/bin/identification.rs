//! What feature identification over 10,000 documents takes: time, computing, memory.

use serde_json::{Value, json};
use taskhost_benches::{line, machine, median, ms_of_day};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::{places, tasks};

const DOCUMENTS: usize = 10_000;
const ROUNDS: usize = 5;
const TASK: &str = "streams_feature_identification_logs";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let host = Home::with(&["feature-identification"]).start().await;
    ingest(&host).await;
    let mut figures = Vec::new();
    for _ in 0..ROUNDS {
        let params = json!({"start": 0, "end": 4_102_444_800_000_u64, "seed": 1});
        let body = json!({"type": "streams_feature_identification", "stream": "logs",
            "params": params});
        host.put(&tasks::task(TASK), &body).await.expect(201);
        figures.push(host.reaches(TASK, "completed").await);
    }
    let of = |number: fn(&Value) -> Option<u64>| -> u64 {
        let all: Option<Vec<u64>> = figures.iter().map(number).collect();
        median(&all.expect("every answer has the figure"))
    };
    let took_ms = of(|task| {
        let at = |time: &Value| time.as_str().and_then(ms_of_day);
        at(&task["last_completed_at"])?.checked_sub(at(&task["run"]["started_at"])?)
    });
    println!("{}", machine());
    println!("{DOCUMENTS} documents, {ROUNDS} rounds");
    println!(
        "{}",
        line("features found", &of(count_features).to_string())
    );
    println!("{}", line("started → completed", &seconds(took_ms)));
    let cpu_ms = of(|task| task["usage"]["cpu_ms"].as_u64());
    println!("{}", line("computing in the guest", &seconds(cpu_ms)));
    let peak = of(|task| task["usage"]["peak_memory_bytes"].as_u64());
    println!(
        "{}",
        line(
            "the guest's peak memory",
            &format!("{} MiB", peak.div_ceil(1 << 20))
        )
    );
}

fn count_features(task: &Value) -> Option<u64> {
    Some(task["payload"]["features"].as_array()?.len() as u64)
}

fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10)
}

/// Puts documents of the captured stream into the host's, evenly spread over all of it.
async fn ingest(host: &Host) {
    let file = places::top().join("examples/data/stream.ndjson");
    let text = std::fs::read_to_string(file).expect("the captured stream");
    let all: Vec<&str> = text.lines().collect();
    assert!(
        all.len() >= DOCUMENTS,
        "{} documents are too few",
        all.len()
    );
    let chosen = (0..DOCUMENTS).map(|n| all[n * all.len() / DOCUMENTS]);
    let lines: String = chosen.flat_map(|line| [line, "\n"]).collect();
    host.put(&tasks::stream("logs"), &json!({"retention_days": 36_500}))
        .await
        .expect(201);
    let answer = host.ingest("logs", lines).await.expect(200);
    assert_eq!(answer["accepted"], DOCUMENTS, "{answer:#}");
}
