//! The page hears of what others do, and of a host that goes away and comes back.

use serde_json::json;
use taskhost_e2e::browser::Browser;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::{stream, task};

use crate::states::{go, with_stream};

const TYPE: &str = "streams_feature_identification";
const TASK: &str = "streams_feature_identification_slow";
/// Answers that came for the task itself, each as the milliseconds in which it was under way.
const LOOKS: &str = "return performance.getEntriesByType('resource')
    .filter((one) => one.name.endsWith('/tasks/streams_feature_identification_slow'))
    .map((one) => [one.startTime, one.responseEnd])";

async fn schedule(host: &Host) {
    let body = json!({"type": TYPE, "stream": "slow", "params": {"start": 0, "end": 1}});
    let answer = host.put(&task(TASK), &body).await;
    answer.expect(201);
}

#[tokio::test]
async fn what_others_do_is_seen_at_once() {
    let host = Home::with(&["page-states"]).start().await;
    let page = with_stream(&host, "slow").await;
    let browser = Browser::start().await;
    browser.open(&page).await;
    schedule(&host).await;
    browser.state("running").await;
    host.verb(TASK, "cancel").await.expect(200);
    browser.state("canceled").await;
    schedule(&host).await;
    browser.state("running").await;
    go(&host, "slow").await;
    browser.state("completed").await;
    assert_eq!(host.delete(&task(TASK)).await.status, 204);
    browser.state("not_started").await;
    // All of it by events: the task was not asked for but at the beginning.
    let looks = browser.run(LOOKS, vec![]).await;
    assert!(looks.as_array().unwrap().len() <= 2, "{looks}");
    browser.close().await;
}

#[tokio::test]
async fn without_events_it_looks_one_time_after_the_other_and_never_unseen() {
    let host = Home::with(&["page-states"]).start().await;
    let page = with_stream(&host, "slow").await;
    let browser = Browser::start().await;
    browser.devtools("Network.enable", json!({})).await;
    let blocked = json!({"urls": ["*/events"]});
    browser.devtools("Network.setBlockedURLs", blocked).await;
    browser.open(&page).await;
    schedule(&host).await;
    browser.state("running").await;
    let many = format!("return ((looks) => looks.length >= arguments[0])((() => {{{LOOKS}}})())");
    assert!(browser.until(&many, vec![json!(4)]).await);
    let looks = browser.run(LOOKS, vec![]).await;
    let looks: Vec<(f64, f64)> = serde_json::from_value(looks).unwrap();
    for pair in looks.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "two at once: {looks:?}");
    }
    // A tab that nobody sees asks for nothing.
    browser
        .run(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});
             document.dispatchEvent(new Event('visibilitychange'))",
            vec![],
        )
        .await;
    let quiet = "const done = arguments[arguments.length - 1];
        const looks = () => (() => {LOOKS})().length;
        setTimeout(() => {
            const before = looks();
            setTimeout(() => done(looks() - before), 5000);
        }, 500)"
        .replace("LOOKS", LOOKS);
    let more = browser.client.execute_async(&quiet, vec![]).await.unwrap();
    assert_eq!(more, 0);
    go(&host, "slow").await;
    host.reaches(TASK, "completed").await;
    browser
        .run(
            "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))",
            vec![],
        )
        .await;
    browser.state("completed").await;
    browser.close().await;
}

#[tokio::test]
async fn a_host_that_comes_back_is_found_again() {
    let home = Home::with(&["page-states"]);
    let host = home.start().await;
    let page = with_stream(&host, "slow").await;
    let address = host.url.strip_prefix("http://").unwrap().to_owned();
    let browser = Browser::start().await;
    browser.open(&page).await;
    browser.click("#start").await;
    browser.state("running").await;
    host.kill().await;
    browser.says("#said", "does not answer").await;
    browser.picture("host-away").await;
    let mut again = home.serve();
    again.arg("--listen").arg(&address);
    let host = Host::of(again).await;
    browser.says("#said", "Running").await;
    // The run goes on in its next attempt, and the page shows how it ends.
    go(&host, "slow").await;
    browser.state("completed").await;
    assert_eq!(host.get(&stream("slow")).await.expect(200)["documents"], 4);
    browser.close().await;
}
