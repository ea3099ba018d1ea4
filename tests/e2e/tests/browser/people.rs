//! People of a cluster with a browser: it is asked who they are, and what they may do is there.

use reqwest::Method;
use serde_json::json;
use taskhost_e2e::browser::Browser;
use taskhost_e2e::cluster::{Cluster, Person};
use taskhost_e2e::fleet::Fleet;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;

/// The address of a page with what a browser sends when it is asked.
fn address(host: &Host, by: &Person, path: &str) -> String {
    let host = host.url.strip_prefix("http://").unwrap();
    format!("http://{}:{}@{host}{path}", by.name, by.password)
}

#[tokio::test]
async fn an_operator_runs_and_a_viewer_looks() {
    let Some(cluster) = Cluster::find("browser") else {
        return;
    };
    cluster
        .stream("seen", (0..5).map(|n| format!("line {n}")))
        .await;
    let operator = cluster
        .person("operator", Some("operator"), &["seen"])
        .await;
    let viewer = cluster.person("viewer", Some("viewer"), &["seen"]).await;
    let host = cluster.start(&Home::with(&["page-states"])).await;
    let path = format!("/streams/{}", cluster.named("seen"));

    let browser = Browser::start().await;
    browser.open(&address(&host, &operator, &path)).await;
    browser.says("#control", "Nobody has looked").await;
    browser.click("#start").await;
    browser.state("running").await;
    browser.says("#control", &operator.name).await;
    // Events come to it as well, which tell of progress.
    let moves = "return Number(document.getElementById('progress').value) > 12";
    assert!(browser.until(moves, vec![]).await);

    let other = Browser::start().await;
    other.open(&address(&host, &viewer, &path)).await;
    other.state("running").await;
    other.picture("viewer").await;
    let buttons = "return document.querySelectorAll('button').length";
    assert_eq!(other.run(buttons, vec![]).await, 0);

    browser.click("#cancel").await;
    browser.state("canceled").await;
    other.state("canceled").await;
    other.close().await;
    browser.close().await;
    host.stop().await;
}

/// A run whose host is dead, and that no other one can take over: of that no event tells, and an
/// open page shows it all the same.
#[tokio::test]
async fn a_run_that_nobody_can_take_over_is_seen_to_be_stale() {
    if Cluster::find("stale").is_none() {
        return;
    }
    let fleet = Fleet::find(2, &["page-states"], "").await.unwrap();
    let cluster = Cluster::find("stale").unwrap();
    cluster
        .stream("seen", (0..5).map(|n| format!("line {n}")))
        .await;
    let operator = cluster
        .person("operator", Some("operator"), &["seen"])
        .await;
    let path = format!("/streams/{}", cluster.named("seen"));
    // It begins on the only host that there is.
    let runs = fleet.start(0).await;
    let browser = Browser::start().await;
    browser.open(&address(&runs, &operator, &path)).await;
    browser.click("#start").await;
    browser.state("running").await;
    let shows = fleet.start(1).await;
    browser.open(&address(&shows, &operator, &path)).await;
    browser.state("running").await;
    // Those of tasks alone: a host that can write nothing takes nobody for lost.
    let writes = async |are_refused: bool| {
        let settings = json!({"index.blocks.write": are_refused});
        let indices = format!("{}_tasks/_settings", fleet.prefix);
        cluster.ask(Method::PUT, &indices, Some(&settings)).await;
    };
    writes(true).await;
    runs.kill().await;
    browser.state("stale").await;
    browser.says("#control", "No sign of life.").await;
    browser.says("#said", "No sign of life").await;
    browser.picture("stale").await;
    // It goes on elsewhere as soon as that can be written.
    writes(false).await;
    browser.state("running").await;
    browser.click("#cancel").await;
    browser.state("canceled").await;
    browser.close().await;
    shows.stop().await;
    fleet.clear().await;
}
