//! Whatever stands in a stream stays text.

use taskhost_e2e::browser::Browser;
use taskhost_e2e::home::Home;

use crate::states::with_stream;

#[tokio::test]
async fn texts_that_are_html_are_shown_as_they_are() {
    let host = Home::with(&["page-states"]).start().await;
    let page = with_stream(&host, "hostile").await;
    let browser = Browser::start().await;
    browser.open(&page).await;
    browser.click("#start").await;
    browser.state("completed").await;
    let shown = "<img src=x onerror=\"document.title='taken'\"><script>";
    browser.says("#review", shown).await;
    browser.click("#review summary").await;
    browser.says("#review .evidence", shown).await;
    browser.says("#review pre", "onerror").await;
    browser.picture("hostile-review").await;
    browser.click("#save").await;
    browser.state("acknowledged").await;
    browser.says("#features", shown).await;
    browser.click("#features summary").await;
    browser.says("#features .evidence", shown).await;
    browser.open(&page).await;
    browser.says("#features", shown).await;
    browser.open(&format!("{page}/features/f1")).await;
    browser.says("h1", shown).await;
    let title = browser.client.title().await.unwrap();
    assert!(title.starts_with("<img src=x"), "{title}");
    let made = "return document.querySelectorAll('img, script:not([src])').length";
    assert_eq!(browser.run(made, vec![]).await, 0);
    browser.close().await;
}
