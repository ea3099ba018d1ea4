//! How long it takes until a browser shows something of a stream's page, and how large the page is
//! with all its files, on loopback and with nothing kept from before: while a review waits, and
//! when it is done. Both by the browser's own clock and count.

use serde_json::{Value, json};
use taskhost_benches::{line, machine, percentile};
use taskhost_e2e::browser::Browser;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::places;
use taskhost_e2e::tasks::stream;

const ROUNDS: usize = 21;
const PAINT_MS_MAX: u64 = 200;
const BYTES_MAX: u64 = 60 * 1024;
const TASK: &str = "streams_feature_identification_logs";
/// Answers the first paint in microseconds and the bytes that came, or nothing yet.
const ENTRIES: &str = "
    const paint = performance.getEntriesByName('first-contentful-paint')[0];
    const page = performance.getEntriesByType('navigation')[0];
    if (!paint || !page?.loadEventEnd) return null;
    const files = performance.getEntriesByType('resource')
        .filter((one) => one.name.includes('/assets/'));
    const bytes = [page, ...files].reduce((sum, one) => sum + one.transferSize, 0);
    return [Math.round(paint.startTime * 1000), bytes];";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let host = Home::with(&["feature-identification"]).start().await;
    fill(&host).await;
    let browser = Browser::start().await;
    let off = json!({"cacheDisabled": true});
    browser.devtools("Network.enable", json!({})).await;
    browser.devtools("Network.setCacheDisabled", off).await;
    println!("{}", machine());
    println!("a page of 12 features, {ROUNDS} times");
    let mut is_fine = true;
    for state in ["completed", "acknowledged"] {
        if state == "acknowledged" {
            host.verb(TASK, "acknowledge").await.expect(200);
        }
        let (mut paints, mut bytes) = (Vec::new(), 0);
        for _ in 0..ROUNDS {
            let (paint_us, came) = look(&browser, &host).await;
            paints.push(paint_us);
            bytes = bytes.max(came);
        }
        for hundredths in [50, 99] {
            let paint_us = percentile(&paints, hundredths);
            let name = format!("{state}: first contentful paint, p{hundredths}");
            let ms = format!("{}.{} ms", paint_us / 1_000, paint_us % 1_000 / 100);
            println!("{}", line(&name, &ms));
        }
        println!(
            "{}",
            line(
                &format!("{state}: the page and its files"),
                &format!("{bytes} B")
            )
        );
        is_fine &= percentile(&paints, 50) <= PAINT_MS_MAX * 1_000 && bytes <= BYTES_MAX;
    }
    browser.close().await;
    if !is_fine {
        println!("beyond {PAINT_MS_MAX} ms (p50), or {BYTES_MAX} B");
        std::process::exit(1);
    }
}

async fn fill(host: &Host) {
    host.put(&stream("logs"), &json!({})).await.expect(201);
    let file = places::top().join("examples/data/stream.ndjson");
    let lines = std::fs::read(file).expect("the captured logs");
    let path = format!("{}/documents", stream("logs"));
    host.upload(&path, "application/x-ndjson", lines)
        .await
        .expect(200);
    let params = json!({"start": 0, "end": 4_102_444_800_000_i64});
    host.schedule_on("logs", TASK, "streams_feature_identification", params)
        .await;
    host.reaches(TASK, "completed").await;
}

/// Opens the page anew: the first paint in microseconds, and the bytes of all that came.
async fn look(browser: &Browser, host: &Host) -> (u64, u64) {
    browser.open("about:blank").await;
    browser.open(&format!("{}/streams/logs", host.url)).await;
    let is_there = format!("return (() => {{{ENTRIES}}})() !== null");
    assert!(
        browser.until(&is_there, vec![]).await,
        "it is never painted"
    );
    let entries: Value = browser.run(ENTRIES, vec![]).await;
    serde_json::from_value(entries).expect("two numbers")
}
