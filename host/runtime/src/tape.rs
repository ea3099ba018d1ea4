//! What a guest asks the host's functions and what it is answered, in order: kept while a run is
//! recorded, and answered from while it is replayed.
//!
//! # Guarantees
//! 1. Off, it costs nothing: no argument is looked at.
//! 2. A replay reaches no client. A call that is not the recording's next one ends the guest, and
//!    [`Replay::stopped`] says where they differ. Lines of the log alone may differ: they are
//!    answered nothing, and are what an author adds while looking for a mistake.
//! 3. What lets somebody in (`authorization`, cookies and the like) is in no recording, whatever
//!    direction it goes.
//!
//! # Why this way
//! The calls of one guest come strictly one after another, the clocks and random numbers of WASI
//! among them. So a list is the whole of what it learns.

mod redact;
mod replay;
mod wasi;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use taskhost_clients::run::RunClients;

use crate::meter::Meter;

pub use replay::{Replay, Stopped};
pub(crate) use wasi::tape_wasi;

/// The call whose lines may differ.
pub(crate) const LOG: &str = "log.log";
/// Of an answer in words.
const ANSWER_CHARS_MAX: usize = 160;

/// Takes the lines of a recording.
#[async_trait]
pub trait Recorder: Send + Sync + Debug {
    /// Keeps a line, which has no newline.
    fn keep(&self, line: String);

    /// Returns when little waits to be written: so a guest is no faster than the disk.
    async fn until_room(&self);
}

/// One call in a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// As people write it, `streams.sample`.
    pub call: String,
    /// A list, or nothing.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub arguments: Value,
    /// What the guest was answered; `Ok` or `Err` where it can fail.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub answer: Value,
}

/// Whether a run is recorded or replayed.
#[derive(Debug, Clone, Default)]
pub enum Tape {
    /// Neither.
    #[default]
    Off,
    /// What it asks and is answered is kept.
    Records(Arc<dyn Recorder>),
    /// It is answered what it was before.
    Replays(Arc<Replay>),
}

/// A call on its way.
#[derive(Debug)]
pub(crate) enum Call {
    Plain,
    /// A test of a task type hears how it is answered.
    Followed(RunClients),
    Recorded {
        recorder: Arc<dyn Recorder>,
        entry: Entry,
    },
    Replayed {
        replay: Arc<Replay>,
        entry: Entry,
    },
}

impl Tape {
    /// A call with these arguments: a tuple, or `()`.
    pub(crate) fn call(&self, call: &'static str, arguments: &impl Serialize) -> Call {
        let entry = || Entry {
            call: call.to_owned(),
            arguments: value_of(call, arguments),
            answer: Value::Null,
        };
        match self {
            Self::Off => Call::Plain,
            Self::Records(recorder) => Call::Recorded {
                recorder: Arc::clone(recorder),
                entry: entry(),
            },
            Self::Replays(replay) => Call::Replayed {
                replay: Arc::clone(replay),
                entry: entry(),
            },
        }
    }
}

impl Call {
    /// What the guest is answered: what `work` says, or the recording, and then nothing is done.
    pub(crate) async fn answer<T: Serialize + DeserializeOwned>(
        self,
        meter: &Meter,
        work: impl Future<Output = T>,
    ) -> T {
        match self {
            Self::Plain => work.await,
            Self::Followed(clients) => {
                let answer = work.await;
                clients.answered(|| in_words(&answer));
                answer
            }
            Self::Recorded { recorder, entry } => {
                let answer = work.await;
                let kept = async {
                    keep(&*recorder, entry, &answer);
                    recorder.until_room().await;
                };
                meter.in_host(kept).await;
                answer
            }
            Self::Replayed { replay, entry } => match replay.answer(&entry) {
                Some(answer) => answer,
                // Its guest ends here, and hears of nothing.
                None => std::future::pending().await,
            },
        }
    }

    /// The same where nothing can be waited for; none when the guest ends here.
    pub(crate) fn answer_now<T: Serialize + DeserializeOwned>(
        self,
        work: impl FnOnce() -> T,
    ) -> Option<T> {
        match self {
            Self::Plain | Self::Followed(_) => Some(work()),
            Self::Recorded { recorder, entry } => {
                let answer = work();
                keep(&*recorder, entry, &answer);
                Some(answer)
            }
            Self::Replayed { replay, entry } => replay.answer(&entry),
        }
    }
}

fn keep(recorder: &dyn Recorder, entry: Entry, answer: &impl Serialize) {
    let answer = value_of(&entry.call, answer);
    let entry = Entry { answer, ..entry };
    match serde_json::to_string(&entry) {
        Ok(line) => recorder.keep(line),
        Err(error) => unwritable(&entry.call, &error),
    }
}

/// `ok` and the beginning of the answer, or the error's code and message.
fn in_words(answer: &impl Serialize) -> String {
    let answer = serde_json::to_value(answer).unwrap_or_default();
    let error = answer.get("Err").map(|error| {
        let text = |key: &str| error[key].as_str().unwrap_or_default();
        format!("{}: {}", text("code"), text("message"))
    });
    let said = error.unwrap_or_else(|| match answer.get("Ok") {
        None | Some(Value::Null) => "ok".to_owned(),
        Some(answer) => format!("ok: {answer}"),
    });
    let mut shown: String = said.chars().take(ANSWER_CHARS_MAX).collect();
    if shown.len() < said.len() {
        shown.push('…');
    }
    shown
}

fn value_of(call: &str, value: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(value).unwrap_or_else(|error| {
        unwritable(call, &error);
        Value::Null
    });
    redact::redact(call, &mut value);
    value
}

fn unwritable(call: &str, error: &serde_json::Error) {
    tracing::error!(call, %error, "a call cannot be written into a recording");
}

#[cfg(test)]
mod tests {
    use taskhost_clients::error::{ClientError, ErrorCode};

    use super::*;

    #[test]
    fn an_answer_is_told_in_words_that_end_somewhere() {
        let error = ClientError::new(ErrorCode::Denied, "not allowed");
        assert_eq!(in_words(&Err::<(), _>(error)), "denied: not allowed");
        assert_eq!(in_words(&Ok::<_, ClientError>(())), "ok");
        assert_eq!(in_words(&Ok::<_, ClientError>(7)), "ok: 7");
        assert_eq!(in_words(&"x".repeat(999)), "ok");
        let long = in_words(&Ok::<_, ClientError>("ä".repeat(999)));
        assert_eq!(long.chars().count(), ANSWER_CHARS_MAX + 1);
    }
}
