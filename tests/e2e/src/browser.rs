//! A real Chromium without a screen, driven as a person would use it, with screenshots of what it
//! shows.

use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use url::{ParseError, Url};

use crate::{PATIENCE, places};

/// Between two looks at the page.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The width and height of a screen, in CSS pixels.
const WIDE: (u32, u32) = (1000, 800);
/// That of a telephone.
const NARROW: (u32, u32) = (400, 800);

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    /// For what the methods here do not do.
    pub client: Client,
    /// Ends with this.
    driver: Child,
}

/// A command that Chromium's driver has beyond the standard.
#[derive(Debug)]
struct Own {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Own {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

impl Browser {
    /// Starts one. `TASKHOST_CHROMEDRIVER` names its driver, as `tests/browser.sh` does.
    pub async fn start() -> Self {
        let driver = std::env::var_os("TASKHOST_CHROMEDRIVER");
        let mut driver = Command::new(driver.expect("what tests/browser.sh sets"))
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // With all that it starts, which would outlive it.
            .process_group(0)
            .spawn()
            .expect("the driver starts");
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = async {
            loop {
                let line = said.next_line().await.unwrap().expect("it says its port");
                if let Some((_, port)) = line.split_once("successfully on port ") {
                    break port.trim_end_matches('.').to_owned();
                }
            }
        };
        let port = tokio::time::timeout(PATIENCE, port).await;
        let port = port.expect("the driver says nothing");
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(wishes())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("the browser starts");
        let browser = Self { client, driver };
        browser.screen(WIDE).await;
        browser
    }

    /// Ends it, having seen that no page did what it may not.
    pub async fn close(self) {
        let body = json!({"type": "browser"});
        let log = self.own("se/log", body).await;
        let wrong = log.as_array().into_iter().flatten().filter(|line| {
            // What a test makes the host refuse, or not answer, is said here as well.
            let text = line["message"].as_str().unwrap_or_default();
            line["level"] == "SEVERE" && !text.contains("Failed to load resource")
        });
        let wrong: Vec<&Value> = wrong.collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        self.client.clone().close().await.unwrap();
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Waits until there is such an element, by a CSS selector.
    pub async fn find(&self, selector: &str) -> Element {
        let found = self.client.wait().at_most(PATIENCE).every(LOOK_EVERY);
        let found = found.for_element(Locator::Css(selector)).await;
        match found {
            Ok(element) => element,
            Err(error) => panic!("{selector}: {error}\n{}", self.text("main").await),
        }
    }

    /// Waits for it and clicks on it.
    pub async fn click(&self, selector: &str) {
        self.find(selector).await.click().await.unwrap();
    }

    /// The text of an element as it is shown; empty where there is none.
    pub async fn text(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.innerText ?? ''";
        let text = self.run(script, vec![json!(selector)]).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an element's text holds this.
    pub async fn says(&self, selector: &str, wanted: &str) {
        let script =
            "return document.querySelector(arguments[0])?.innerText.includes(arguments[1])";
        let arguments = vec![json!(selector), json!(wanted)];
        let seen = self.until(script, arguments).await;
        assert!(seen, "not `{wanted}`, but: {}", self.text("main").await);
    }

    /// Waits until the control shows a state of the task.
    pub async fn state(&self, state: &str) {
        self.find(&format!("#control[data-state=\"{state}\"]"))
            .await;
    }

    /// Runs a script, and answers what it returns.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client.execute(script, arguments).await.unwrap()
    }

    /// Runs a script again and again until it returns true; whether it did.
    pub async fn until(&self, script: &str, arguments: Vec<Value>) -> bool {
        let waiting = async {
            while self.run(script, arguments.clone()).await != json!(true) {
                // tidy: sleep allowed because this is where the page is looked at again
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.is_ok()
    }

    /// A command of Chromium's own protocol.
    pub async fn devtools(&self, command: &str, params: Value) -> Value {
        let body = json!({"cmd": command, "params": params});
        self.own("goog/cdp/execute", body).await
    }

    async fn own(&self, path: &'static str, body: Value) -> Value {
        self.client.issue_cmd(Own { path, body }).await.unwrap()
    }

    async fn screen(&self, (width, height): (u32, u32)) {
        let params = json!({"width": width, "height": height, "deviceScaleFactor": 1,
            "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", params)
            .await;
    }

    async fn scheme(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features}))
            .await;
    }

    /// Keeps what the whole page looks like: light, dark, and on a telephone, where nothing may be
    /// wider than the screen.
    pub async fn picture(&self, name: &str) {
        for (kind, screen, scheme) in [
            ("light", WIDE, "light"),
            ("dark", WIDE, "dark"),
            ("narrow", NARROW, "light"),
        ] {
            self.screen(screen).await;
            self.scheme(scheme).await;
            let script = "return document.documentElement.scrollWidth - window.innerWidth";
            let beyond = self.run(script, vec![]).await;
            assert!(beyond.as_i64() <= Some(0), "{name}, {kind}: {beyond} px");
            let params = json!({"captureBeyondViewport": true});
            let shot = self.devtools("Page.captureScreenshot", params).await;
            let png = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
            let file = places::artifacts("page").join(format!("{name}-{kind}.png"));
            std::fs::write(file, png).unwrap();
        }
        self.screen(WIDE).await;
        self.scheme("light").await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = self
            .driver
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn wishes() -> Map<String, Value> {
    let arguments = [
        "--headless",
        // Tests run as root where they run in a container.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--hide-scrollbars",
        "--no-first-run",
    ];
    let wishes = json!({
        "goog:chromeOptions": {"args": arguments},
        "goog:loggingPrefs": {"browser": "ALL"},
    });
    wishes.as_object().cloned().unwrap_or_default()
}
