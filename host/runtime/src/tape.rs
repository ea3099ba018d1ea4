//! What a guest asks the host's functions and what it is answered, in order: kept while a run is
//! recorded, and answered from while it is replayed.
//!
//! # Guarantees
//! 1. Off, it costs nothing: no argument is looked at.
//! 2. A replay reaches no client. A call that is not the recording's next one ends the guest, and
//!    [`Replay::stopped`] says where they differ. Lines of the log alone may differ: they are
//!    answered nothing, and are what an author adds while looking for a mistake.
//! 3. What lets somebody in is in no recording, whatever direction it goes: the value of a header
//!    whose name has a word such as `auth`, `token` or `cookie` in it ([`redact`]).
//! 4. A recording is untrusted when it is replayed. Its lines are read one at a time, and what they
//!    hold stays text until it is compared or handed over.
//!
//! # Why this way
//! The calls of one guest come strictly one after another, the clocks and random numbers of WASI
//! among them. So a list is the whole of what it learns.

mod redact;
mod replay;
mod wasi;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use taskhost_clients::calls::CallTrace;
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
    /// Whether lines are kept still; else none is made.
    fn keeps(&self) -> bool;

    /// Keeps a line, which has no newline.
    fn keep(&self, line: String);

    /// Returns when little waits to be written: so a guest is no faster than the disk.
    async fn until_room(&self);
}

/// One call in a recording.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// As people write it, `streams.sample`.
    pub call: String,
    /// A list, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Box<RawValue>>,
    /// What the guest was answered; `Ok` or `Err` where it can fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Box<RawValue>>,
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
    Followed(Box<RunClients>),
    Recorded {
        recorder: Arc<dyn Recorder>,
        entry: Entry,
    },
    Replayed {
        replay: Arc<Replay>,
        entry: Entry,
    },
    /// Any of these, and whoever collects traces hears how long it took.
    Traced {
        trace: Arc<dyn CallTrace>,
        call: &'static str,
        begun: Instant,
        made: Box<Call>,
    },
}

impl Tape {
    /// A call with these arguments: a tuple, or `()`.
    pub(crate) fn call(&self, call: &'static str, arguments: &impl Serialize) -> Call {
        let entry = || Entry {
            call: call.to_owned(),
            arguments: text_of(call, arguments),
            answer: None,
        };
        match self {
            Self::Records(recorder) if recorder.keeps() => Call::Recorded {
                recorder: Arc::clone(recorder),
                entry: entry(),
            },
            Self::Replays(replay) => Call::Replayed {
                replay: Arc::clone(replay),
                entry: entry(),
            },
            Self::Off | Self::Records(_) => Call::Plain,
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
            Self::Traced {
                trace,
                call,
                begun,
                made,
            } => {
                let answer = Box::pin(made.answer(meter, work)).await;
                trace.called(call, begun.elapsed());
                answer
            }
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
            Self::Traced {
                trace,
                call,
                begun,
                made,
            } => {
                let answer = made.answer_now(work);
                trace.called(call, begun.elapsed());
                answer
            }
        }
    }
}

fn keep(recorder: &dyn Recorder, entry: Entry, answer: &impl Serialize) {
    // It may be over since the call began.
    if !recorder.keeps() {
        return;
    }
    let answer = text_of(&entry.call, answer);
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

fn text_of(call: &str, value: &impl Serialize) -> Option<Box<RawValue>> {
    let text = serde_json::to_value(value).and_then(|mut value| {
        redact::redact(call, &mut value);
        let text = || serde_json::value::to_raw_value(&value);
        (!value.is_null()).then(text).transpose()
    });
    text.unwrap_or_else(|error| {
        unwritable(call, &error);
        None
    })
}

fn unwritable(call: &str, error: &serde_json::Error) {
    tracing::error!(call, %error, "a call cannot be written into a recording");
}

#[cfg(test)]
mod tests {
    use serde::Serializer;
    use taskhost_clients::error::{ClientError, ErrorCode};

    use super::*;

    /// Full, as one that was cut.
    #[derive(Debug)]
    struct Full;

    #[async_trait]
    impl Recorder for Full {
        fn keeps(&self) -> bool {
            false
        }

        fn keep(&self, line: String) {
            panic!("it takes no line: {line}");
        }

        async fn until_room(&self) {}
    }

    struct NeverLookedAt;

    impl Serialize for NeverLookedAt {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("it was looked at")
        }
    }

    #[test]
    fn nothing_is_made_of_a_call_that_is_not_kept_any_more() {
        let tape = Tape::Records(Arc::new(Full));
        assert_eq!(
            tape.call("random", &NeverLookedAt).answer_now(|| 7),
            Some(7)
        );
    }

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
