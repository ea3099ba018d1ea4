//! People of the embedded store: hosts that know them, and the tokens with which they come.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::PATIENCE;
use crate::answer::Answer;
use crate::home::Home;
use crate::host::Host;

/// What makes a host ask for tokens.
pub const ASKS: &str = "identity = \"tokens\"\n";

/// Somebody with a token.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The token's id.
    pub id: String,
    /// The token.
    pub token: String,
}

impl Holder {
    /// The one that a log or an output tells of.
    #[must_use]
    pub fn told(text: &str) -> Option<Self> {
        let words = text.split_whitespace();
        let token = words.into_iter().find(|word| word.starts_with("tkh_"))?;
        Some(Self {
            id: token.split('_').nth(1)?.to_owned(),
            token: token.to_owned(),
        })
    }

    /// The value of the `Authorization` header.
    #[must_use]
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// A client that comes as they.
    #[must_use]
    pub fn client(&self) -> reqwest::Client {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(&self.authorization()).unwrap();
        headers.insert(AUTHORIZATION, value);
        let client = reqwest::Client::builder().default_headers(headers);
        client.timeout(PATIENCE).build().unwrap()
    }
}

impl Home {
    /// Starts a host here that asks for tokens, for the first time: whose requests come from the
    /// admin where a test names nobody else.
    pub async fn start_for_people(&self) -> (Host, Holder) {
        self.settings(ASKS);
        let mut host = self.start().await;
        let admin = host.first_token().await;
        host.http = admin.client();
        (host, admin)
    }
}

impl Host {
    /// The token that it tells.
    ///
    /// # Panics
    /// When it tells none.
    pub async fn first_token(&self) -> Holder {
        // What it writes to standard error is read by somebody else, a little later.
        let told = async {
            loop {
                if let Some(holder) = Holder::told(&self.log()) {
                    return holder;
                }
                // tidy: sleep allowed because nothing tells that it has been read
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let told = tokio::time::timeout(PATIENCE, told).await;
        told.expect("the first start tells a token")
    }

    /// Makes a token.
    pub async fn holder(&self, wanted: &Value) -> Holder {
        let made = self.post("/v1/tokens", wanted).await.expect(201);
        Holder::told(made["token"].as_str().unwrap()).unwrap()
    }

    /// Sends a request as somebody.
    pub async fn send_for(&self, by: &Holder, request: RequestBuilder) -> Answer {
        self.send(request.header(AUTHORIZATION, by.authorization()))
            .await
    }

    /// `GET` as somebody.
    pub async fn get_for(&self, by: &Holder, path: &str) -> Answer {
        self.send_for(by, self.request(Method::GET, path)).await
    }
}

/// Sends a request with what it has itself, and nothing of a host's client.
///
/// # Panics
/// When it is not answered.
pub async fn sent(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("it is answered");
    let asked = response.url().path().to_owned();
    Answer::read(asked, response)
        .await
        .expect("it is answered whole")
}
