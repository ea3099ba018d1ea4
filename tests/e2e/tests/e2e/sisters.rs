//! The task types around feature identification, on lines that real programs wrote: descriptions,
//! queries, onboarding, insights.

mod descriptions;
mod insights;
mod onboarding;
mod queries;

use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::model::{self, ModelServer, Said, Seen};
use taskhost_e2e::places;

const DESCRIPTION: &str = "streams_description_generation";
const IDENTIFICATION: &str = "streams_feature_identification";
const INSIGHTS: &str = "streams_insights_discovery";
const ONBOARDING: &str = "streams_onboarding";
const QUERIES: &str = "streams_significant_events_queries_generation";

/// Lines of the data that are ingested.
const LINES: usize = 3_000;

/// All of them in the watched folder, on a host without any model.
fn home(more: &str) -> Home {
    let home = Home::with(&[
        "feature-identification",
        "description-generation",
        "query-generation",
        "onboarding",
        "insights-discovery",
    ]);
    home.settings(more);
    home
}

/// The same with a connector `small`, which each type may ask.
fn home_with(server: &ModelServer, more: &str) -> Home {
    let url = server.url();
    home(&format!(
        "{more}[[allow]]\nmodels = [\"small\"]\n[connectors.small]\nurl = \"{url}\"\n\
         model = \"tiny\"\nrequests_at_once = 8\n"
    ))
}

/// Real lines in the stream `logs`.
async fn fill(host: &Host) {
    let data = std::fs::read_to_string(places::top().join("examples/data/stream.ndjson")).unwrap();
    let documents = data.lines().take(LINES).map(|line| {
        let document: Value = serde_json::from_str(line).unwrap();
        document
    });
    host.fill("logs", documents).await;
}

async fn started(home: &Home) -> Host {
    let host = home.start().await;
    fill(&host).await;
    host
}

/// The whole of the data.
fn range() -> Value {
    json!({"start": 0, "end": 4_000_000_000_000_i64})
}

fn with(more: &Value) -> Value {
    let mut params = range();
    for (key, value) in more.as_object().unwrap() {
        params[key] = value.clone();
    }
    params
}

/// Runs a type on the stream to its end.
async fn run(host: &Host, id: &str, type_id: &str, params: Value) -> Value {
    host.schedule_on("logs", id, type_id, params).await;
    host.ends(id).await
}

async fn completed(host: &Host, id: &str, type_id: &str, params: Value) -> Value {
    let done = run(host, id, type_id, params).await;
    assert_eq!(done["status"], "completed", "{done:#}");
    done["payload"].clone()
}

/// What the model was told to do, and what it was shown.
fn told(seen: &Seen) -> (String, String) {
    let text = |at: usize| {
        let text = seen.body["messages"][at]["content"].as_str();
        text.unwrap_or_default().to_owned()
    };
    (text(0), text(1))
}

/// A model that says this JSON, whatever it is asked.
fn says(value: &Value) -> Said {
    Said::Json(model::text(&value.to_string()))
}

#[tokio::test]
async fn all_are_active_at_once_on_a_host_without_a_model() {
    let host = home("").start().await;
    for type_id in [DESCRIPTION, IDENTIFICATION, INSIGHTS, ONBOARDING, QUERIES] {
        let view = host
            .see("the type", async || {
                let answer = host.get(&format!("/v1/task-types/{type_id}")).await;
                (answer.status == 200).then(|| answer.json())
            })
            .await;
        let versions = view["versions"].as_array().unwrap();
        assert_eq!(versions.len(), 1, "{view:#}");
        assert_eq!(versions[0]["state"], "active", "{view:#}");
        let warnings = view["warnings"].as_array();
        assert!(warnings.is_none_or(Vec::is_empty), "{view:#}");
    }
}
