//! A language model for a test: a server on loopback that speaks OpenAI's protocol, and says what
//! `inference.json` does.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::answers::{Answers, Unanswered};
use super::fixtures::beginning;
use super::fixtures::inference::{Said, Turn};

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Model {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Script {
    turns: Answers<Turn>,
    unanswered: Unanswered,
}

impl Model {
    pub(crate) async fn start(turns: Vec<Turn>, unanswered: Unanswered) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let turns = Answers::new(turns);
        let script = Arc::new(Script { turns, unanswered });
        let router = Router::new().fallback(answer).with_state(script);
        let serving = tokio::spawn(async move {
            // It ends with the test, and not before.
            axum::serve(listener, router).await.ok();
        });
        Ok(Self { address, serving })
    }

    /// Where its paths begin.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(script): State<Arc<Script>>, uri: Uri, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let wants_vectors = uri.path().ends_with("/embeddings");
    let fits = |turn: &Turn| {
        let is_kind = match turn.said {
            Said::Message(..) => !wants_vectors,
            Said::Vectors(_) => wants_vectors,
            Said::Refusal(..) => true,
        };
        is_kind && turn.fits(&request)
    };
    match script.turns.next(fits).map(|turn| &turn.said) {
        Some(Said::Message(message, reason, usage)) => {
            let mut answer = json!({
                "id": "chatcmpl-test", "object": "chat.completion", "model": request["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            });
            if let Some(usage) = usage {
                let (prompt, completion) = (usage.prompt_tokens, usage.completion_tokens);
                answer["usage"] = json!({"prompt_tokens": prompt,
                    "completion_tokens": completion, "total_tokens": prompt + completion});
            }
            Json(answer).into_response()
        }
        Some(Said::Vectors(vectors)) => {
            let data = vectors.iter().enumerate();
            let data: Vec<Value> = data
                .map(|(index, vector)| json!({"index": index, "embedding": vector}))
                .collect();
            Json(json!({"object": "list", "data": data})).into_response()
        }
        Some(Said::Refusal(status, pause)) => refused(*status, *pause),
        None => {
            let said = script
                .unanswered
                .tell(without_answer(&request, wants_vectors));
            let error = json!({"error": {"message": said}});
            (StatusCode::BAD_REQUEST, Json(error)).into_response()
        }
    }
}

fn refused(status: u16, pause: Option<u64>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error = json!({"error": {"message": "inference.json lets this request fail"}});
    let retry_after = HeaderName::from_static("retry-after");
    let pause = pause.map(|seconds| [(retry_after, seconds.to_string())]);
    match pause {
        Some(header) => (status, header, Json(error)).into_response(),
        None => (status, Json(error)).into_response(),
    }
}

fn without_answer(request: &Value, wants_vectors: bool) -> String {
    let (asked, entry) = match wants_vectors {
        true => (&request["input"], r#"{"answer": {"embeddings": [[…]]}}"#),
        false => (
            &request["messages"],
            r#"{"when": {"contains": "…"}, "answer": "…"}"#,
        ),
    };
    let asked = beginning(&asked.to_string());
    format!("inference.json has no answer for {asked}: add {entry} to its list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_says_what_the_file_says_and_what_is_missing() {
        let turns = r#"[{"error": {"status": 429, "retry_after_s": 3}}, {"answer": "a"},
            {"answer": {"embeddings": [[1.0]]}}]"#;
        let turns: Vec<Turn> = serde_json::from_str(turns).unwrap();
        let unanswered = Unanswered::default();
        let model = Model::start(turns, unanswered.clone()).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let ask = async |path: &str| {
            let url = format!("{}/{path}", model.url());
            let body = json!({"model": "m", "messages": [{"content": "b"}], "input": ["c"]});
            client.post(url).json(&body).send().await.unwrap()
        };
        let refused = ask("chat/completions").await;
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["retry-after"], "3");
        let answer: Value = ask("chat/completions").await.json().await.unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], "a");
        let answer: Value = ask("embeddings").await.json().await.unwrap();
        assert_eq!(answer["data"][0]["embedding"][0], 1.0);
        assert!(unanswered.all().is_empty());
        let none = Model::start(Vec::new(), unanswered.clone()).await.unwrap();
        let url = format!("{}/chat/completions", none.url());
        let body = json!({"messages": [{"content": "what is it?"}]});
        let answer = client.post(url).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 400);
        let said = &unanswered.all()[0];
        assert!(
            said.contains("no answer for [{\"content\":\"what is it?\"}]"),
            "{said}"
        );
        assert!(said.contains("add {\"when\""), "{said}");
    }
}
