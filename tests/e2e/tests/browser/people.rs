//! People of a cluster with a browser: it is asked who they are, and what they may do is there.

use taskhost_e2e::browser::Browser;
use taskhost_e2e::cluster::{Cluster, Person};
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
