//! Several people change the features of one stream: each change lands where it was meant to, and
//! nothing is lost or overwritten unseen.

use serde_json::{Value, json};
use taskhost_e2e::browser::Browser;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;

use crate::real_run::in_row;

const TASK: &str = "streams_feature_identification_logs";
const FEATURES: &str = "/internal/streams/logs/features";

/// Lines of two systems in turns.
fn lines(range: std::ops::Range<usize>) -> impl Iterator<Item = Value> {
    range.map(|n| {
        let message = match n % 2 {
            0 => format!("10.0.0.{n} - - \"GET /shop/{n} HTTP/1.1\" 200 {}", n * 7),
            _ => format!(
                "dfs.DataNode: Received block blk_{} of size {}",
                n * 31,
                n * 64
            ),
        };
        json!({"@timestamp": 1_000_000 + n, "message": message})
    })
}

/// A host with a stream of which a run has found more than one feature.
async fn reviewing() -> (Host, Browser) {
    let host = Home::with(&["feature-identification"]).start().await;
    host.fill("logs", lines(0..400)).await;
    let params = json!({"start": 0, "end": 2_000_000});
    host.schedule_on("logs", TASK, "streams_feature_identification", params)
        .await;
    host.reaches(TASK, "completed").await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/streams/logs", host.url)).await;
    browser.find(&in_row(2, ".fields input")).await;
    (host, browser)
}

async fn systems(host: &Host) -> Vec<Value> {
    let listed = host.get(FEATURES).await.expect(200);
    let all = listed["features"].as_array().unwrap().iter();
    let systems = all.filter(|one| one["type"] == "system");
    systems.cloned().collect()
}

async fn uuid_of(browser: &Browser, row: usize) -> String {
    let field = browser.find(&in_row(row, "[name^='id.']")).await;
    field.prop("value").await.unwrap().unwrap()
}

async fn write(browser: &Browser, selector: &str, text: &str) {
    let field = browser.find(selector).await;
    field.clear().await.unwrap();
    field.send_keys(text).await.unwrap();
}

#[tokio::test]
async fn one_feature_is_edited_again_and_again() {
    let (host, browser) = reviewing().await;
    browser.click("#save").await;
    browser.state("acknowledged").await;
    let uuid = systems(&host).await[0]["uuid"].as_str().unwrap().to_owned();
    browser.click(&format!("#more-{uuid} summary")).await;
    for name in ["first", "second", "third"] {
        write(&browser, &format!("#edit-name-{uuid}"), name).await;
        browser.click(&format!("#edit-save-{uuid}")).await;
        // The part is fetched again, with the version that there is now.
        let is_so = "const field = document.getElementById(arguments[0]);
            return field?.defaultValue === arguments[1] && field.value === arguments[1]";
        let id = format!("edit-name-{uuid}");
        let is_so = browser.until(is_so, vec![json!(id), json!(name)]).await;
        assert!(is_so, "{}", browser.text("#alert").await);
        assert_eq!(browser.text("#alert").await, "");
        let kept = host.get(&format!("{FEATURES}/{uuid}")).await.expect(200);
        assert_eq!(kept["name"], name);
    }
    browser.close().await;
}

#[tokio::test]
async fn a_review_that_others_come_between_is_saved_when_that_was_seen() {
    let (host, browser) = reviewing().await;
    let (gone, kept) = (uuid_of(&browser, 1).await, uuid_of(&browser, 2).await);
    browser.click(&in_row(1, "[value=drop]")).await;
    write(&browser, &in_row(2, ".fields input"), "mine").await;
    // Meanwhile somebody else removes the one and changes the other.
    host.delete(&format!("{FEATURES}/{gone}")).await.expect(200);
    let other = json!({"name": "theirs"});
    host.put(&format!("{FEATURES}/{kept}"), &other)
        .await
        .expect(200);
    browser.click("#save").await;
    browser.says("#alert", "This was not done").await;
    browser.state("completed").await;
    browser
        .says("#review", "Meanwhile it has become “theirs”")
        .await;
    browser.picture("review-conflict").await;
    assert_eq!(uuid_of(&browser, 1).await, kept, "the other row has gone");
    let name = browser.find(&format!("#name-{kept}")).await;
    let typed = name.prop("value").await.unwrap();
    assert_eq!(typed.as_deref(), Some("mine"));
    browser.click("#save").await;
    browser.state("acknowledged").await;
    let left = systems(&host).await;
    let left: Vec<_> = left
        .iter()
        .map(|one| (&one["uuid"], &one["name"]))
        .collect();
    assert!(left.contains(&(&json!(kept), &json!("mine"))), "{left:?}");
    assert!(!left.iter().any(|one| one.0 == &gone), "{left:?}");
    browser.close().await;
}

/// What a run has counted is a share of the range that it looked at; what is counted while somebody
/// writes is one of the stream, with what has come since the page was made.
#[tokio::test]
async fn a_share_is_of_what_it_was_counted_in() {
    let (host, browser) = reviewing().await;
    let note = in_row(1, ".share span");
    browser
        .says(&note, "50.0 % of the stream, 200 documents")
        .await;
    host.fill("logs", lines(2_000_000..2_000_400)).await;
    write(&browser, &in_row(1, "textarea"), "{\"always\": {}}").await;
    browser.says(&note, "800 documents").await;
    browser.open(&format!("{}/streams/logs", host.url)).await;
    browser
        .says(
            &note,
            "50.0 % of the 400 documents looked at, 200 documents",
        )
        .await;
    browser.picture("share-of-range").await;
    // What a person's filter selects is counted in the whole stream.
    let uuid = uuid_of(&browser, 1).await;
    let edit = json!({"filter": {"field": "message", "exists": true}});
    let edited = host.put(&format!("{FEATURES}/{uuid}"), &edit).await;
    assert_eq!(edited.expect(200)["count_of"], 800);
    browser.open(&format!("{}/streams/logs", host.url)).await;
    browser
        .says("#review", "100.0 % of the stream, 800 documents")
        .await;
    browser.close().await;
}
