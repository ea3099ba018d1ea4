//! A client that is as light as can be: it shares the cores with the host, so that what it costs
//! is missing there. One request at a time on one kept connection.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where a host is, and who comes.
#[derive(Debug, Clone)]
pub struct Door {
    /// `http://ADDRESS`
    pub url: String,
    /// The value of the header, where the host asks who it is.
    pub authorization: Option<String>,
}

impl Door {
    /// Of a host that asks nobody.
    #[must_use]
    pub fn open(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            authorization: None,
        }
    }
}

/// A connection to a host.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    /// What every request's head has.
    head: String,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// What the host said.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: &'a str,
}

impl Wire {
    /// Connects to `http://ADDRESS`.
    ///
    /// # Panics
    /// When there is nobody.
    pub async fn connect(url: &str) -> Self {
        Self::through(&Door::open(url)).await
    }

    /// The same, as somebody.
    ///
    /// # Panics
    /// When there is nobody.
    pub async fn through(door: &Door) -> Self {
        let host = door.url.strip_prefix("http://").expect("an address");
        let stream = TcpStream::connect(host).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let mut head = format!("host: {host}\r\n");
        if let Some(authorization) = &door.authorization {
            head.push_str(&format!("authorization: {authorization}\r\n"));
        }
        Self {
            stream,
            head,
            request: Vec::new(),
            answer: Vec::with_capacity(4096),
        }
    }

    /// Sends a request and reads its answer, which has to have a length.
    ///
    /// # Panics
    /// When the connection breaks.
    pub async fn send(&mut self, method: &str, path: &str, json: &str) -> Said<'_> {
        self.send_as(method, path, "application/json", json).await
    }

    /// The same with a body of another kind.
    ///
    /// # Panics
    /// When the connection breaks.
    pub async fn send_as(&mut self, method: &str, path: &str, kind: &str, body: &str) -> Said<'_> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\n{}content-type: {kind}\r\n\
             content-length: {}\r\n\r\n{body}",
            self.head,
            body.len()
        );
        self.request.clear();
        self.request.extend_from_slice(head.as_bytes());
        self.stream
            .write_all(&self.request)
            .await
            .expect("a sent request");
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await;
            assert!(read.expect("an answer") > 0, "the host hung up");
            if let Some((status, body)) = whole(&self.answer) {
                let body = std::str::from_utf8(&self.answer[body..]).expect("text");
                return Said { status, body };
            }
        }
    }
}

impl Wire {
    /// Schedules a task; its revision.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn schedule(&mut self, id: &str, body: &str) -> u64 {
        let said = self
            .send("PUT", &format!("/v1/spaces/default/tasks/{id}"), body)
            .await;
        assert_eq!(said.status, 201, "{}", said.body);
        said.number("revision").expect("a revision")
    }

    /// Waits until a task has this status, from a revision on; its last answer.
    ///
    /// # Panics
    /// When it ends otherwise.
    pub async fn until(&mut self, id: &str, status: &str, mut since: u64) -> Said<'_> {
        let path = format!("/v1/spaces/default/tasks/{id}");
        loop {
            let said = self
                .send("GET", &format!("{path}?wait=60s&since={since}"), "")
                .await;
            if said.status == 304 {
                continue;
            }
            assert_eq!(said.status, 200, "{}", said.body);
            let now = said.text("status");
            if now == Some(status) {
                break;
            }
            let goes_on = matches!(now, Some("in_progress" | "being_canceled"));
            assert!(goes_on, "{}", said.body);
            since = said.number("revision").expect("a revision");
        }
        self.last()
    }

    fn last(&self) -> Said<'_> {
        let (status, body) = whole(&self.answer).expect("it was read whole");
        let body = std::str::from_utf8(&self.answer[body..]).expect("text");
        Said { status, body }
    }
}

impl Said<'_> {
    /// The number after the first `"key":`.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        let rest = self.after(key)?;
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        rest[..end].parse().ok()
    }

    /// The text after the first `"key":`, as it is written.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.after(key)?.strip_prefix('"')?.split('"').next()
    }

    /// The text after the last `"key":`, as it is written.
    #[must_use]
    pub fn last_text(&self, key: &str) -> Option<&str> {
        let (_, rest) = self.body.rsplit_once(&format!("\"{key}\":\""))?;
        rest.split('"').next()
    }

    fn after(&self, key: &str) -> Option<&str> {
        let at = self.body.find(&format!("\"{key}\":"))?;
        Some(&self.body[at + key.len() + 3..])
    }
}

/// The status, and where the body begins, once all of it is there.
fn whole(answer: &[u8]) -> Option<(u16, usize)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.get(9..12)?.parse().ok()?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.trim().parse().unwrap_or(0));
    (answer.len() >= end + length).then_some((status, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(whole(answer), Some((201, answer.len() - 2)));
        assert_eq!(whole(&answer[..answer.len() - 1]), None);
        let said = Said {
            status: 200,
            body: r#"{"status":"completed","revision":12,"x":1}"#,
        };
        assert_eq!(
            (said.text("status"), said.number("revision")),
            (Some("completed"), Some(12))
        );
        assert_eq!(said.number("none"), None);
        let said = Said {
            status: 200,
            body: r#"{"results":[{"id":"a"},{"id":"b","outcome":"scheduled"}]}"#,
        };
        assert_eq!(
            (said.text("id"), said.last_text("id")),
            (Some("a"), Some("b"))
        );
    }
}
