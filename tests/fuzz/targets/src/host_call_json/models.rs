//! What a guest asks language models, and what their servers answer: both are anybody's text.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use taskhost_clients::error::{ClientError, ErrorCode};
use taskhost_clients::inference::{
    Connector, ConnectorLimits, Connectors, Inference, ModelServer, NoReply, Reply,
};
use taskhost_clients::room::Room;
use taskhost_model::ids::Label;

use crate::contract;

const MESSAGE_BYTES: usize = 4_096;

/// A server that answers what it was given.
#[derive(Debug, Default)]
pub(super) struct Says {
    status: Mutex<(u16, Vec<u8>)>,
}

#[async_trait]
impl ModelServer for Says {
    async fn post(
        &self,
        _: &'static str,
        body: String,
        _: Duration,
        room: &Room,
    ) -> Result<Reply, NoReply> {
        let body: Value = serde_json::from_str(&body).expect("what goes out is JSON");
        assert_eq!(body["model"], "tiny");
        let (status, body) = self.status.lock().unwrap().clone();
        room.take(body.len())?;
        let retry_after = None;
        Ok(Reply {
            status,
            retry_after,
            body,
        })
    }

    fn settings(&self) -> (String, String) {
        ("the address".to_owned(), "the key".to_owned())
    }
}

pub(super) fn name() -> Label {
    Label::parse("small").unwrap()
}

pub(super) fn connectors(server: &Arc<Says>) -> Connectors {
    let limits = ConnectorLimits {
        requests_at_once: 1,
        tokens_per_run: Some(1 << 40),
        tokens_per_space_per_day: Some(1 << 40),
        answer_tokens_name: "max_tokens",
        timeout: Duration::from_secs(1),
    };
    let server = Arc::clone(server) as Arc<dyn ModelServer>;
    Connectors::new([Connector::new(name(), "tiny".to_owned(), limits, server)])
}

/// Asks, and looks through what comes back. `answer`: a status and a body, 200 where there is none.
pub(super) async fn ask(models: &Inference, server: &Says, request: &str, answer: &str) {
    let status = answer.get(..3).and_then(|status| status.parse().ok());
    let (status, body) = match status {
        Some(status @ 100..=599) => (status, &answer[3..]),
        _ => (200, answer),
    };
    *server.status.lock().unwrap() = (status, body.as_bytes().to_vec());
    let before = models.budget_remaining(None);
    match models.complete(request.to_owned()).await {
        Ok(text) => {
            contract::check(
                "completion-request.json",
                &serde_json::from_str(request).unwrap(),
            );
            contract::check("completion.json", &serde_json::from_str(&text).unwrap());
            assert!((200..300).contains(&status));
        }
        Err(error) => is_typed(&error),
    }
    match models.embed(request.to_owned()).await {
        Ok(vectors) => {
            let request: Value = serde_json::from_str(request).unwrap();
            contract::check("embedding-request.json", &request);
            assert_eq!(
                request["texts"].as_array().map(Vec::len),
                Some(vectors.vectors.len())
            );
        }
        Err(error) => is_typed(&error),
    }
    assert!(models.budget_remaining(None) <= before, "tokens came back");
}

fn is_typed(error: &ClientError) {
    let is_retryable = match error.code {
        ErrorCode::BadAnswer | ErrorCode::Unavailable | ErrorCode::RateLimited => true,
        ErrorCode::Invalid
        | ErrorCode::TooLarge
        | ErrorCode::QuotaExceeded
        | ErrorCode::Denied
        | ErrorCode::Internal => false,
        _ => panic!("{error:?}"),
    };
    assert_eq!(error.retryable, is_retryable, "{error:?}");
    assert_eq!(
        error.retry_after_ms.is_some(),
        error.code == ErrorCode::RateLimited
    );
    assert!(
        !error.message.is_empty() && error.message.len() <= MESSAGE_BYTES,
        "{error:?}"
    );
    if let Some(details) = &error.details {
        assert!(details.to_string().len() <= 64 * 1024, "{details:.200}");
        contract::check("error-details.json", details);
    }
}
