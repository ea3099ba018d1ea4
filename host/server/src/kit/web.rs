//! The network of a test: what `http.json` and `children/` answer. Nothing leaves the process.
//!
//! What may be reached is judged by the client as ever, by origin and by address; here a request
//! arrives only after that.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use serde_json::Value;
use taskhost_clients::http::{Connection, Names, Outside};
use taskhost_model::ids::TypeId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answers::{Answers, Unanswered};
use super::fixtures::beginning;
use super::fixtures::children::Ending;
use super::fixtures::http::{Exchange, Reply, Sent};
use super::stand_in;

/// What every name stands for: a public address, which nothing is sent to.
const ANYWHERE: Ipv4Addr = Ipv4Addr::new(1, 1, 1, 1);

/// Who answers.
#[derive(Debug)]
pub(crate) struct Web(Arc<Script>);

#[derive(Debug)]
struct Script {
    exchanges: Answers<Exchange>,
    children: BTreeMap<String, Answers<Ending>>,
    unanswered: Unanswered,
}

/// A connection that ends after one answer, as the client wants it.
#[derive(Debug)]
struct Conversation {
    script: Arc<Script>,
    origin: String,
    sent: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The request is not whole yet; somebody may wait for the answer.
    Listening(Option<Waker>),
    Answering(io::Cursor<Vec<u8>>),
    /// Why there is no answer.
    Broken(Option<String>),
}

/// A request, whole.
struct Request {
    sent: Sent,
    body: Vec<u8>,
}

impl Web {
    pub(crate) fn new(
        exchanges: Vec<Exchange>,
        children: BTreeMap<TypeId, Vec<Ending>>,
        unanswered: Unanswered,
    ) -> Self {
        let children = children.into_iter();
        let children = children.map(|(id, endings)| (id.to_string(), Answers::new(endings)));
        Self(Arc::new(Script {
            exchanges: Answers::new(exchanges),
            children: children.collect(),
            unanswered,
        }))
    }
}

#[async_trait]
impl Names for Web {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let is_local = name == "localhost" || name.ends_with(".localhost");
        let address = if is_local {
            Ipv4Addr::LOCALHOST
        } else {
            ANYWHERE
        };
        Ok(vec![address.into()])
    }
}

impl Outside for Web {
    fn connect(&self, origin: &str) -> Box<dyn Connection> {
        Box::new(Conversation {
            script: Arc::clone(&self.0),
            origin: origin.to_owned(),
            sent: Vec::new(),
            state: State::Listening(None),
        })
    }
}

impl Script {
    /// The answer's bytes, or why there is none.
    fn answer(&self, origin: &str, request: &Request) -> Result<Vec<u8>, String> {
        if origin == stand_in::ORIGIN {
            return self.child(request);
        }
        let sent = &request.sent;
        match self
            .exchanges
            .next(|one| one.fits(sent))
            .map(|one| &one.reply)
        {
            Some(Reply::Response {
                status,
                headers,
                body,
            }) => Ok(response(*status, headers, body, sent.method == "HEAD")),
            Some(Reply::Unavailable) => Err("http.json lets this request fail".to_owned()),
            None => {
                let Sent { method, url, .. } = sent;
                Err(self.unanswered.tell(format!(
                    "http.json has no answer for {method} {}: add {{\"request\": {{\"method\": \
                     \"{method}\", \"url\": \"…\"}}, \"response\": {{\"status\": 200, \"body\": \
                     \"…\"}}}} to its list",
                    beginning(url)
                )))
            }
        }
    }

    fn child(&self, request: &Request) -> Result<Vec<u8>, String> {
        let whose = request.sent.url.rsplit('/').next().unwrap_or_default();
        let params: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let endings = self.children.get(whose);
        match endings.and_then(|endings| endings.next(|one| one.fits(&params))) {
            Some(ending) => {
                let (status, body) = stand_in::answer(&ending.end);
                Ok(response(status, &[], &body, false))
            }
            None => Err(self.unanswered.tell(format!(
                "children/{whose}.json has no end for the params {}: add {{\"when\": {{…}}, \
                 \"result\": …}} to its list",
                beginning(&params.to_string())
            ))),
        }
    }
}

fn response(status: u16, headers: &[(String, String)], body: &[u8], is_head: bool) -> Vec<u8> {
    let length = body.len();
    let mut text = format!("HTTP/1.1 {status} \r\ncontent-length: {length}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("connection: close\r\n\r\n");
    let mut bytes = text.into_bytes();
    if !is_head {
        bytes.extend_from_slice(body);
    }
    bytes
}

/// The request, once all of it has come.
fn whole(origin: &str, bytes: &[u8]) -> Option<Request> {
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (first.next()?, first.next()?);
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length");
    let length: usize = length.map_or(Some(0), |text| text.parse().ok())?;
    let body = bytes[end + 4..].to_vec();
    let sent = Sent {
        method: method.to_owned(),
        url: format!("{origin}{path}"),
        headers,
    };
    (body.len() >= length).then_some(Request { sent, body })
}

impl AsyncWrite for Conversation {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let State::Listening(waiting) = &mut this.state {
            this.sent.extend_from_slice(bytes);
            if let Some(request) = whole(&this.origin, &this.sent) {
                let waiting = waiting.take();
                this.state = match this.script.answer(&this.origin, &request) {
                    Ok(answer) => State::Answering(io::Cursor::new(answer)),
                    Err(why) => State::Broken(Some(why)),
                };
                if let Some(waiting) = waiting {
                    waiting.wake();
                }
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Conversation {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Listening(waiting) => {
                *waiting = Some(context.waker().clone());
                Poll::Pending
            }
            State::Answering(answer) => Pin::new(answer).poll_read(context, into),
            State::Broken(why) => {
                Poll::Ready(why.take().map_or(Ok(()), |why| Err(io::Error::other(why))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn told(web: &Web, origin: &str, parts: &[&str]) -> io::Result<String> {
        let mut connection = web.connect(origin);
        for part in parts {
            connection.write_all(part.as_bytes()).await?;
        }
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn requests_are_answered_and_what_has_no_answer_is_told() {
        let exchanges = r#"[{"request": {"url": "https://a.example/x"},
            "response": {"status": 201, "body": "hi"}}]"#;
        let endings = r#"[{"when": {"a": 1}, "result": [2]},
            {"when": {"a": 2}, "error": {"code": "bad", "message": "no"}}]"#;
        let unanswered = Unanswered::default();
        let id = TypeId::parse("kid").unwrap();
        let children = [(id, serde_json::from_str(endings).unwrap())].into();
        let exchanges = serde_json::from_str(exchanges).unwrap();
        let web = Web::new(exchanges, children, unanswered.clone());
        let get = ["GET /x HTTP/1.1\r\nhost: a", ".example\r\n\r\n"];
        let answer = told(&web, "https://a.example", &get).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 201 \r\ncontent-length: 2\r\n"),
            "{answer}"
        );
        assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
        let ask = |params: &str| format!("POST /kid HTTP/1.1\r\ncontent-length: 8\r\n\r\n{params}");
        let child = async |params: &str| told(&web, stand_in::ORIGIN, &[&ask(params)]).await;
        assert!(child("{\"a\": 1}").await.unwrap().ends_with("\r\n\r\n[2]"));
        assert!(
            child("{\"a\": 2}")
                .await
                .unwrap()
                .ends_with("\u{3}\0\0\0badno")
        );
        assert!(unanswered.all().is_empty());
        let why = child("{\"a\": 3}").await.unwrap_err().to_string();
        assert!(
            why.contains("children/kid.json has no end for the params {\"a\":3}"),
            "{why}"
        );
        let why = told(&web, "http://a.example", &get).await.unwrap_err();
        assert!(
            why.to_string()
                .contains("no answer for GET http://a.example/x: add"),
            "{why}"
        );
        assert_eq!(unanswered.all().len(), 2);
    }

    #[tokio::test]
    async fn names_are_public_but_this_machine() {
        let web = Web::new(Vec::new(), BTreeMap::new(), Unanswered::default());
        assert!(web.addresses("localhost").await.unwrap()[0].is_loopback());
        assert!(!web.addresses("a.example").await.unwrap()[0].is_loopback());
    }
}
