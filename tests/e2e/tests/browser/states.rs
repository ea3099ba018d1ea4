//! Every state of the control that a run on captured logs passes by too quickly, or never reaches.

use serde_json::json;
use taskhost_e2e::browser::Browser;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::stream;

pub(crate) async fn with_stream(host: &Host, name: &str) -> String {
    host.put(&stream(name), &json!({})).await.expect(201);
    add(
        host,
        name,
        "{\"message\":\"a\"}\n{\"message\":\"a b\"}\n{\"message\":\"c\"}",
    )
    .await;
    format!("{}/streams/{name}", host.url)
}

pub(crate) async fn add(host: &Host, name: &str, lines: &str) {
    let path = format!("{}/documents", stream(name));
    host.upload(&path, "application/x-ndjson", lines)
        .await
        .expect(200);
}

/// Lets the run on a stream end.
pub(crate) async fn go(host: &Host, name: &str) {
    add(host, name, "{\"message\":\"go\",\"go\":1}").await;
}

const SETTINGS: &str = "runs.slots = 1\n\
    [[allow]]\ntype = \"streams_feature_identification\"\nmodels = [\"small\"]\n\
    [[allow]]\ntype = \"sleeper\"\nmodels = [\"large\"]\n\
    [connectors.small]\nurl = \"http://127.0.0.1:9/v1\"\nmodel = \"small\"\n\
    [connectors.large]\nurl = \"http://127.0.0.1:9/v1\"\nmodel = \"large\"\n";

async fn host() -> Host {
    let home = Home::with(&["page-states", "sleeper"]);
    home.settings(SETTINGS);
    home.start().await
}

#[tokio::test]
async fn it_waits_for_a_place_runs_and_is_canceled() {
    let host = host().await;
    let page = with_stream(&host, "slow").await;
    host.schedule("other", "sleeper", json!({"ms": 600_000}))
        .await;
    host.until("other", |task| task["run"]["state"] == "running")
        .await;
    let browser = Browser::start().await;
    browser.open(&page).await;
    browser.click("#start").await;
    browser.state("queued").await;
    browser.says("#reason", "a free slot on a host").await;
    browser.says("#control", "Started by local").await;
    browser.picture("queued").await;

    host.verb("other", "cancel").await.expect(200);
    browser.state("running").await;
    browser.says("#phase", "sample").await;
    browser.says("#phase", "count over range").await;
    browser.says("#said", "Running: count over range").await;
    let moves = "return Number(document.getElementById('progress').value) > arguments[0]";
    assert!(browser.until(moves, vec![json!(12)]).await);
    // What has the focus keeps it while the page moves.
    browser
        .run("document.getElementById('cancel').focus()", vec![])
        .await;
    assert!(browser.until(moves, vec![json!(25)]).await);
    let focused = browser
        .run("return document.activeElement.id", vec![])
        .await;
    assert_eq!(focused, "cancel");
    let elapsed = browser.text("#elapsed").await;
    assert!(elapsed.ends_with(" s"), "{elapsed}");
    browser.picture("running").await;
    browser.click("#cancel").await;
    browser.state("canceled").await;
    browser
        .says("#control", "The last run was canceled by local")
        .await;
    browser.says("#said", "The run was canceled").await;
    browser.picture("canceled").await;
    browser.close().await;
}

#[tokio::test]
async fn canceling_is_seen_while_it_lasts() {
    let host = host().await;
    let page = with_stream(&host, "stubborn").await;
    let browser = Browser::start().await;
    browser.open(&page).await;
    browser.click("#start").await;
    browser.state("running").await;
    browser.click("#cancel").await;
    browser.state("being_canceled").await;
    browser.says("#control", "Canceling…").await;
    browser.picture("being-canceled").await;
    browser.state("canceled").await;
    browser.close().await;
}

#[tokio::test]
async fn a_failure_says_why_and_what_to_do() {
    let host = host().await;
    let page = with_stream(&host, "failing").await;
    let browser = Browser::start().await;
    browser.open(&page).await;
    browser.click("#start").await;
    browser.state("failed").await;
    browser.says("#control", "answered 401").await;
    browser.says("#control", "start again").await;
    browser.find("#start").await;
    browser.picture("failed").await;
    browser.close().await;
}

#[tokio::test]
async fn nothing_found_is_dismissed_for_everybody() {
    let host = host().await;
    let page = with_stream(&host, "nothing").await;
    let browser = Browser::start().await;
    browser.open(&page).await;
    browser.click("#start").await;
    browser.state("completed").await;
    browser.says("#control", "Nothing found.").await;
    browser.picture("nothing-found").await;
    browser.click("#dismiss").await;
    browser.state("acknowledged").await;
    let task = host.task("streams_feature_identification_nothing").await;
    assert_eq!(task["acknowledged_by"], "local");
    browser.close().await;
}

/// Everything by keys alone, with a model and a range of its own.
#[tokio::test]
async fn keys_are_enough() {
    let host = host().await;
    let page = with_stream(&host, "keys").await;
    let browser = Browser::start().await;
    browser.open(&page).await;
    let press = async |keys: &str| {
        let active = browser.client.active_element().await.unwrap();
        active.send_keys(keys).await.unwrap();
    };
    let tab_to = async |id: &str| {
        for _ in 0..20 {
            press("\u{e004}").await;
            let focused = browser
                .run("return document.activeElement.id", vec![])
                .await;
            if focused == id {
                return;
            }
        }
        panic!("no way to {id} by the tab key");
    };
    tab_to("range").await;
    press("From").await;
    let from = browser.find("#from").await;
    assert!(from.is_displayed().await.unwrap());
    browser.picture("custom-range").await;
    let to = browser.find("#to").await.prop("value").await.unwrap();
    assert!(
        to > from.prop("value").await.unwrap(),
        "a range that holds something"
    );
    // Home: the first of the list.
    press("\u{e011}").await;
    assert!(!from.is_displayed().await.unwrap());
    tab_to("connector").await;
    // What the type may not ask is not offered.
    let offered = browser.text("#connector").await;
    assert!(
        offered.contains("small") && !offered.contains("large"),
        "{offered}"
    );
    press("small").await;
    tab_to("start").await;
    press("\u{e007}").await;
    browser.state("running").await;
    // The button that had the focus is gone: it is on the control's title, and not lost.
    let focused = browser
        .run("return document.activeElement.id", vec![])
        .await;
    assert_eq!(focused, "control-title");
    go(&host, "keys").await;
    browser.state("completed").await;
    browser
        .says("#control", "With the model small, 2 rounds, 1,234 tokens")
        .await;
    tab_to("name-f1").await;
    press("-of-mine").await;
    tab_to("save").await;
    press("\u{e007}").await;
    browser.state("acknowledged").await;
    browser.says("#features", "-of-mine").await;
    browser.close().await;
}
