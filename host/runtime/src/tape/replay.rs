//! A recording that answers a guest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde_json::Value;
use taskhost_clients::stop::{StopReason, StopSignal};

use super::{Entry, LOG};

/// Characters of arguments before the place where they differ, and after it.
const SHOWN_BEFORE: usize = 40;
const SHOWN_AFTER: usize = 80;

/// A recording that is replayed once.
#[derive(Debug)]
pub struct Replay {
    left: Mutex<Left>,
    is_cut: bool,
    stop: StopSignal,
}

#[derive(Debug)]
struct Left {
    lines: VecDeque<String>,
    /// Calls that were answered.
    answered: u64,
    calls: BTreeMap<String, u64>,
    stopped: Option<Stopped>,
}

/// Why a replay went no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// The guest made a call that is not the recording's next one; where and how.
    Differs(String),
    /// The recording has no more calls, since the rest was not kept.
    Over {
        /// The call that nothing answers.
        call: String,
    },
}

impl Replay {
    /// `lines` are entries as a [`super::Recorder`] got them; `is_cut`: calls followed that were
    /// not kept. `stop` ends the guest.
    #[must_use]
    pub fn new(lines: impl IntoIterator<Item = String>, is_cut: bool, stop: StopSignal) -> Self {
        Self {
            left: Mutex::new(Left {
                lines: lines.into_iter().collect(),
                answered: 0,
                calls: BTreeMap::new(),
                stopped: None,
            }),
            is_cut,
            stop,
        }
    }

    /// Why it went no further, if something kept it.
    #[must_use]
    pub fn stopped(&self) -> Option<Stopped> {
        self.lock().stopped.clone()
    }

    /// How often each call was answered, by name.
    #[must_use]
    pub fn calls(&self) -> Vec<(String, u64)> {
        let left = self.lock();
        left.calls
            .iter()
            .map(|(name, count)| (name.clone(), *count))
            .collect()
    }

    /// The next call of the recording, lines of the log left out.
    #[must_use]
    pub fn next_call(&self) -> Option<String> {
        let mut left = self.lock();
        left.next().map(|entry| shown(&entry, None))
    }

    /// What the recording answers; none, and the guest is ended, when it has another call.
    pub(super) fn answer<T: DeserializeOwned>(&self, now: &Entry) -> Option<T> {
        let mut left = self.lock();
        if left.stopped.is_some() {
            return None;
        }
        let answer = match left.next() {
            Some(entry) if entry.call == now.call && entry.arguments == now.arguments => {
                let read = serde_json::from_value(entry.answer);
                read.map_err(|error| {
                    let problem = format!("`{}` has an answer that cannot be read", now.call);
                    Stopped::Differs(format!("{problem}: {error}"))
                })
            }
            Some(entry) => Err(Stopped::Differs(left.difference(&entry, now))),
            None if self.is_cut => Err(Stopped::Over {
                call: shown(now, None),
            }),
            None => Err(Stopped::Differs(format!(
                "call {} is beyond the recording: it ends after {} calls, and now comes `{}`",
                left.answered + 1,
                left.answered,
                shown(now, None)
            ))),
        };
        match answer {
            Ok(answer) => {
                left.lines.pop_front();
                left.answered += 1;
                *left.calls.entry(now.call.clone()).or_default() += 1;
                Some(answer)
            }
            Err(stopped) => {
                left.stopped = Some(stopped);
                self.stop.ask(StopReason::Fenced);
                self.stop.interrupt();
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Left {
    /// The next call, which stays; lines of the log before it go.
    fn next(&mut self) -> Option<Entry> {
        loop {
            let entry = self.lines.front().and_then(|line| {
                let entry: Entry = serde_json::from_str(line).ok()?;
                Some(entry)
            })?;
            if entry.call != LOG {
                return Some(entry);
            }
            self.lines.pop_front();
        }
    }

    fn difference(&self, recorded: &Entry, now: &Entry) -> String {
        let at = (recorded.call == now.call).then(|| {
            let pair = [recorded, now].map(|entry| text_of(&entry.arguments));
            let same = pair[0].chars().zip(pair[1].chars());
            same.take_while(|(one, other)| one == other).count()
        });
        format!(
            "call {} differs from the recording: recorded `{}`, now `{}`",
            self.answered + 1,
            shown(recorded, at),
            shown(now, at)
        )
    }
}

/// The arguments without the brackets around them.
fn text_of(arguments: &Value) -> String {
    match arguments {
        Value::Null => String::new(),
        arguments => {
            let text = arguments.to_string();
            let inner = text
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'));
            inner.map(str::to_owned).unwrap_or(text)
        }
    }
}

/// `streams.count("logs", …)`, with the arguments around a place, or from their beginning.
fn shown(entry: &Entry, at: Option<usize>) -> String {
    let text = text_of(&entry.arguments);
    let from = at.unwrap_or(0).saturating_sub(SHOWN_BEFORE);
    let mut around: String = text
        .chars()
        .skip(from)
        .take(SHOWN_BEFORE + SHOWN_AFTER)
        .collect();
    if from > 0 {
        around.insert(0, '…');
    }
    if text.chars().count() > from + SHOWN_BEFORE + SHOWN_AFTER {
        around.push('…');
    }
    format!("{}({around})", entry.call)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(call: &str, arguments: Value, answer: Value) -> Entry {
        Entry {
            call: call.to_owned(),
            arguments,
            answer,
        }
    }

    fn replay(entries: &[Entry], is_cut: bool) -> (Replay, StopSignal) {
        let stop = StopSignal::new();
        let lines = entries.iter().map(|e| serde_json::to_string(e).unwrap());
        (Replay::new(lines, is_cut, stop.clone()), stop)
    }

    #[test]
    fn calls_are_answered_in_order_and_lines_of_the_log_may_differ() {
        let recorded = [
            entry(LOG, json!(["info", "a"]), Value::Null),
            entry("state.load", json!(["k"]), json!({"Ok": null})),
            entry("clock.wall", Value::Null, json!(7)),
        ];
        let (replay, stop) = replay(&recorded, false);
        let loaded: Option<Result<Option<u8>, u8>> = replay.answer(&recorded[1]);
        assert_eq!(loaded, Some(Ok(None)));
        assert_eq!(replay.next_call().as_deref(), Some("clock.wall()"));
        assert_eq!(replay.answer(&recorded[2]), Some(7_u64));
        let calls = [("clock.wall".to_owned(), 1), ("state.load".to_owned(), 1)];
        assert_eq!(replay.calls(), calls);
        assert_eq!(replay.stopped(), None);
        assert_eq!((replay.next_call(), stop.interrupted()), (None, false));
    }

    #[test]
    fn another_call_ends_the_guest_and_is_told_with_both() {
        let recorded = [entry("streams.sample", json!(["logs", "{}"]), Value::Null)];
        let (other, stop) = replay(&recorded, false);
        let now = entry("streams.count", json!(["logs", "{}"]), Value::Null);
        assert_eq!(other.answer::<u8>(&now), None);
        let said = "call 1 differs from the recording: recorded `streams.sample(\"logs\",\"{}\")`, \
                    now `streams.count(\"logs\",\"{}\")`";
        assert_eq!(other.stopped(), Some(Stopped::Differs(said.to_owned())));
        assert!(stop.interrupted());
        // Nothing is answered any more, the right call neither.
        assert_eq!(other.answer::<Value>(&recorded[0]), None);
        // Long arguments are shown where they differ.
        let long = |end: &str| json!([format!("{}{end}", "x".repeat(500))]);
        let (other, _) = replay(&[entry("a.b", long("old"), Value::Null)], false);
        assert_eq!(
            other.answer::<u8>(&entry("a.b", long("new"), Value::Null)),
            None
        );
        let Some(Stopped::Differs(said)) = other.stopped() else {
            panic!("it differs")
        };
        assert!(said.contains("xold\"") && said.contains("xnew\""), "{said}");
        assert!(said.len() < 300, "{said}");
    }

    #[test]
    fn a_cut_recording_ends_without_a_difference_and_a_whole_one_with_it() {
        let now = entry("a.b", Value::Null, Value::Null);
        let (cut, _) = replay(&[], true);
        assert_eq!(cut.answer::<u8>(&now), None);
        let over = Stopped::Over {
            call: "a.b()".to_owned(),
        };
        assert_eq!(cut.stopped(), Some(over));
        let (whole, _) = replay(&[], false);
        assert_eq!(whole.answer::<u8>(&now), None);
        let Some(Stopped::Differs(said)) = whole.stopped() else {
            panic!("it differs")
        };
        assert!(said.contains("call 1 is beyond the recording"), "{said}");
    }
}
