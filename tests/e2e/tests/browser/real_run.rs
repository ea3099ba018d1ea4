//! The real task type on the captured logs: from the first look at a stream to a saved review.

use serde_json::{Value, json};
use taskhost_e2e::browser::Browser;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::places;
use taskhost_e2e::tasks::stream;

const TASK: &str = "streams_feature_identification_logs";
const FEATURES: &str = "/internal/streams/logs/features";

async fn host() -> Host {
    let host = Home::with(&["feature-identification"]).start().await;
    host.put(
        &stream("logs"),
        &json!({"description": "Twelve programs of one machine"}),
    )
    .await
    .expect(201);
    let lines = std::fs::read(places::top().join("examples/data/stream.ndjson")).unwrap();
    let path = format!("{}/documents", stream("logs"));
    host.upload(&path, "application/x-ndjson", lines)
        .await
        .expect(200);
    host
}

/// Something of a row of the review.
pub(crate) fn in_row(row: usize, part: &str) -> String {
    format!("#review .row:nth-child({row}) {part}")
}

async fn features(host: &Host, query: &str) -> Vec<Value> {
    let listed = host.get(&format!("{FEATURES}{query}")).await.expect(200);
    listed["features"].as_array().unwrap().clone()
}

#[tokio::test]
async fn somebody_finds_features_and_reviews_them() {
    let host = host().await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/", host.url)).await;
    browser.says("main", "15,930 documents").await;
    browser.picture("streams").await;
    browser.click("a[href='/streams/logs']").await;
    browser.says("#control", "Nobody has looked").await;
    browser.picture("not-started").await;

    browser.click("#start").await;
    browser.state("completed").await;
    browser.says("#control", "features found").await;
    let found = features(&host, "").await;
    assert!(found.len() > 8, "{found:#?}");

    // Evidence comes when it is asked for.
    let evidence = ".row details[data-source] .evidence";
    assert_eq!(browser.text(evidence).await, "");
    browser.click("#review .row:first-child summary").await;
    browser.find(evidence).await;
    browser.picture("completed").await;

    // A filter is counted while it is written; one that is none is said to be none.
    let (filter, count) = (
        browser.find(&in_row(1, "textarea")).await,
        &*in_row(1, ".share span"),
    );
    filter.clear().await.unwrap();
    filter.send_keys("{\"field\": \"message\"").await.unwrap();
    browser.says(count, "No JSON yet").await;
    filter.send_keys("}").await.unwrap();
    browser.says(count, "operator").await;
    filter.clear().await.unwrap();
    filter.send_keys("{\"always\": {}}").await.unwrap();
    browser
        .says(count, "100.0 % of the stream, 15,930 documents")
        .await;

    // What is wrong is told, and nothing of what was typed is lost.
    let second = in_row(2, ".fields input");
    let name = browser.find(&second).await;
    name.clear().await.unwrap();
    name.send_keys("Squid <b>").await.unwrap();
    filter.clear().await.unwrap();
    filter.send_keys("{").await.unwrap();
    browser.click("#save").await;
    browser.says("#alert", "is no JSON").await;
    browser.picture("review-refused").await;
    let kept = browser.find(&second).await.prop("value").await.unwrap();
    assert_eq!(kept.as_deref(), Some("Squid <b>"));
    let filter = browser.find(&in_row(1, "textarea")).await;
    filter.clear().await.unwrap();
    filter
        .send_keys("{\"field\": \"message\", \"contains\": \":amd64 \"}")
        .await
        .unwrap();
    browser.says(count, "documents").await;
    browser.click(&in_row(3, "[value=drop]")).await;
    browser.click(&in_row(4, "[value=exclude]")).await;
    browser.picture("review-edited").await;
    browser.click("#save").await;
    browser.state("acknowledged").await;
    browser.says("#control", "Reviewed by local").await;

    reviewed(&host, &browser, found.len()).await;
    browser.close().await;
}

/// What was kept, edited, removed and excluded is so, for the host and on the page.
async fn reviewed(host: &Host, browser: &Browser, found: usize) {
    let kept = features(host, "").await;
    assert_eq!(kept.len(), found - 2);
    let squid = kept.iter().find(|one| one["name"] == "Squid <b>").unwrap();
    assert_eq!(squid["edited"], json!(["name"]));
    let edited = kept.iter().find(|one| one["edited"] == json!(["filter"]));
    let edited = edited.unwrap();
    assert_eq!(edited["filter"]["contains"], ":amd64 ");
    let all = features(host, "?excluded=true").await;
    assert_eq!(all.len(), found - 1);
    assert_eq!(host.task(TASK).await["status"], "acknowledged");

    browser.says("#features", "Squid <b>").await;
    browser.click("#excluded summary").await;
    browser.find("#excluded button").await;
    let details = "#features > .rows > .row:first-child details summary";
    browser.click(details).await;
    browser.find("#features .evidence").await;
    browser.picture("acknowledged").await;
    browser.click("#excluded button").await;
    assert!(
        browser
            .until("return !document.getElementById('excluded')", vec![])
            .await
    );
    assert_eq!(features(host, "").await.len(), found - 1);
}

/// The same without a script: what can be done with forms and links is done with them.
#[tokio::test]
async fn the_page_does_without_a_script() {
    let host = host().await;
    let browser = Browser::start().await;
    let off = json!({"value": true});
    browser
        .devtools("Emulation.setScriptExecutionDisabled", off)
        .await;
    let page = format!("{}/streams/logs", host.url);
    browser.open(&page).await;
    browser.click("#start").await;
    host.reaches(TASK, "completed").await;
    browser.open(&page).await;
    browser.state("completed").await;
    browser.click(&in_row(1, "[value=exclude]")).await;
    browser.click("#save").await;
    browser.state("acknowledged").await;
    browser.picture("without-script").await;
    browser
        .click("#features > .rows > .row:first-child summary")
        .await;
    browser
        .click("#features > .rows > .row:first-child details a")
        .await;
    browser.find(".evidence").await;
    browser.picture("one-feature").await;
    browser.click("button[value='exclude']").await;
    browser.state("acknowledged").await;
    assert_eq!(
        features(&host, "?excluded=true").await.len(),
        features(&host, "").await.len() + 2
    );
    browser.close().await;
}
