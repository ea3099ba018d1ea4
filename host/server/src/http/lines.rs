//! The lines of a body as they come, with no more of it in memory than the longest one may have.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::codes::Code;
use super::problem::Problem;
use super::request::{BODY_BYTES_A_SECOND_MIN, discard};

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The line.
    Text(Bytes),
    /// It has more bytes than are read.
    TooLong {
        /// So many are.
        bytes_max: u64,
    },
}

/// Lines of a body.
pub(crate) struct Lines {
    parts: BodyDataStream,
    /// What has come and is no line yet.
    part: Bytes,
    /// The beginning of the next line, where that came in an earlier part.
    begun: Vec<u8>,
    /// What comes up to the next end of a line belongs to one that is too long.
    is_skipping: bool,
    is_over: bool,
    number: u64,
    bytes_max: u64,
    patience: Duration,
    /// Of the body, and how long was waited for it.
    came: u64,
    waited: Duration,
}

impl Lines {
    /// A line has at most so many bytes, and each part of the body has to come within `patience`.
    pub(crate) fn new(body: Body, bytes_max: u64, patience: Duration) -> Self {
        Self {
            parts: body.into_data_stream(),
            part: Bytes::new(),
            begun: Vec::new(),
            is_skipping: false,
            is_over: false,
            number: 0,
            bytes_max,
            patience,
            came: 0,
            waited: Duration::ZERO,
        }
    }

    /// The number of the line that was read last, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next line; none at the end. The end of the body ends the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<Line>, Problem> {
        loop {
            if let Some(end) = self.part.iter().position(|byte| *byte == b'\n') {
                let text = self.part.split_to(end + 1).slice(..end);
                return Ok(Some(self.ended(text)));
            }
            self.keep_part();
            if self.is_over {
                let is_any = self.is_skipping || !self.begun.is_empty();
                return Ok(is_any.then(|| self.ended(Bytes::new())));
            }
            self.read_part().await?;
        }
    }

    /// Reads the rest, within reason: a client that still sends never sees the answer.
    pub(crate) async fn discard(mut self) {
        if !self.is_over {
            discard(&mut self.parts, self.patience).await;
        }
    }

    fn ended(&mut self, text: Bytes) -> Line {
        self.number += 1;
        let bytes = (self.begun.len() + text.len()) as u64;
        if std::mem::take(&mut self.is_skipping) || bytes > self.bytes_max {
            self.begun = Vec::new();
            return Line::TooLong {
                bytes_max: self.bytes_max,
            };
        }
        if self.begun.is_empty() {
            return Line::Text(text);
        }
        let mut whole = std::mem::take(&mut self.begun);
        whole.extend_from_slice(&text);
        Line::Text(Bytes::from(whole))
    }

    fn keep_part(&mut self) {
        let part = std::mem::take(&mut self.part);
        if self.is_skipping {
            return;
        }
        if (self.begun.len() + part.len()) as u64 > self.bytes_max {
            self.is_skipping = true;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(&part);
        }
    }

    async fn read_part(&mut self) -> Result<(), Problem> {
        let since = Instant::now();
        let part = tokio::time::timeout(self.patience, self.parts.next()).await;
        self.waited += since.elapsed();
        let too_slow = |detail: String| Problem::new(Code::RequestTimeout, detail);
        let part = part.map_err(|_| {
            self.is_over = true;
            too_slow(format!(
                "no part of the body came for {} s",
                self.patience.as_secs()
            ))
        })?;
        let Some(part) = part else {
            self.is_over = true;
            return Ok(());
        };
        let part = part.map_err(|error| {
            self.is_over = true;
            Problem::invalid("body", error.to_string())
        })?;
        self.came += part.len() as u64;
        let may_take = self.patience + Duration::from_secs(self.came / BODY_BYTES_A_SECOND_MIN);
        if self.waited > may_take {
            self.is_over = true;
            let least = BODY_BYTES_A_SECOND_MIN;
            return Err(too_slow(format!(
                "the body came more slowly than {least} B/s"
            )));
        }
        self.part = part;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    async fn read(parts: &[&'static str], bytes_max: u64) -> Vec<Option<String>> {
        let parts: Vec<Result<&'static str, Infallible>> = parts.iter().copied().map(Ok).collect();
        let body = Body::from_stream(futures_util::stream::iter(parts));
        let mut lines = Lines::new(body, bytes_max, Duration::from_secs(5));
        let mut read = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            read.push(match line {
                Line::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
                Line::TooLong { .. } => None,
            });
        }
        assert_eq!(lines.number(), read.len() as u64);
        read
    }

    #[tokio::test]
    async fn lines_are_whole_however_their_parts_come() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            read(&["a\nb", "c\n", "", "\nd"], 9).await,
            ["a", "bc", "", "d"].map(text)
        );
        assert_eq!(read(&["a\n"], 9).await, ["a"].map(text));
        assert_eq!(read(&[""], 9).await, []);
        assert_eq!(read(&["\n"], 9).await, [""].map(text));
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_costs_no_other() {
        let text = |text: &str| Some(text.to_owned());
        let found = read(&["1234\n12345\n12", "345", "6\n1", "23\n12345"], 4).await;
        assert_eq!(found, [text("1234"), None, None, text("123"), None]);
    }
}
