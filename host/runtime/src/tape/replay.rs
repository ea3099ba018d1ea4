//! A recording that answers a guest.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use taskhost_clients::stop::{StopReason, StopSignal};

use super::{Entry, LOG};

/// Characters of arguments before the place where they differ, and after it.
const SHOWN_BEFORE: usize = 40;
const SHOWN_AFTER: usize = 80;
/// The longest line: what a host keeps of one call is shorter, also where half of it is escaped.
/// The largest has 16 MiB of requests to models and 8 MiB of their answers.
const LINE_BYTES_MAX: usize = 50 * 1024 * 1024;

/// A recording that is replayed once.
#[derive(Debug)]
pub struct Replay {
    left: Mutex<Left>,
    is_open: bool,
    stop: StopSignal,
}

#[derive(Debug)]
struct Left {
    /// All lines, of which those before `at` are done.
    text: String,
    at: usize,
    /// Of the line at `at`, from 1: the head is the first one.
    line: u64,
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
    /// A line is no call; which, and why.
    Unreadable(String),
}

impl Replay {
    /// `lines` are entries as a [`super::Recorder`] got them, with a newline after each; `is_open`:
    /// calls may have followed that are not there, and of the last one a part. `stop` ends the
    /// guest.
    #[must_use]
    pub fn new(lines: String, is_open: bool, stop: StopSignal) -> Self {
        Self {
            left: Mutex::new(Left {
                text: lines,
                at: 0,
                line: 2,
                answered: 0,
                calls: BTreeMap::new(),
                stopped: None,
            }),
            is_open,
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

    /// The next call of the recording, lines of the log left out; none at its end, and where it
    /// cannot be read, which [`Self::stopped`] says from then on.
    #[must_use]
    pub fn next_call(&self) -> Option<String> {
        let mut left = self.lock();
        match left.next(self.is_open) {
            Ok(next) => next.map(|(entry, _)| shown(&entry, None)),
            Err(stopped) => {
                left.stopped.get_or_insert(stopped);
                None
            }
        }
    }

    /// What the recording answers; none, and the guest is ended, when it has another call.
    pub(super) fn answer<T: DeserializeOwned>(&self, now: &Entry) -> Option<T> {
        let mut left = self.lock();
        if left.stopped.is_some() {
            return None;
        }
        let answer = match left.next(self.is_open) {
            Ok(Some((entry, after))) if is_same(&entry, now) => {
                let read = serde_json::from_str(text_of(entry.answer.as_deref()));
                let read = read.map_err(|error| {
                    let problem = format!("`{}` has an answer that cannot be read", now.call);
                    left.unreadable(&format!("{problem}: {error}"))
                });
                read.map(|answer| (answer, after))
            }
            Ok(Some((entry, _))) => Err(Stopped::Differs(left.difference(&entry, now))),
            Err(stopped) => Err(stopped),
            Ok(None) if self.is_open => Err(Stopped::Over {
                call: shown(now, None),
            }),
            Ok(None) => Err(Stopped::Differs(format!(
                "call {} is beyond the recording: it ends after {} calls, and now comes `{}`",
                left.answered + 1,
                left.answered,
                shown(now, None)
            ))),
        };
        match answer {
            Ok((answer, after)) => {
                left.go_to(after);
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
    /// The next call, which stays, and where the line after it begins; lines of the log before it
    /// go. None at the end.
    fn next(&mut self, is_open: bool) -> Result<Option<(Entry, usize)>, Stopped> {
        loop {
            let rest = &self.text[self.at..];
            if rest.trim_ascii_start().is_empty() {
                return Ok(None);
            }
            let line = rest.split('\n').next().unwrap_or_default();
            let after = (self.at + line.len() + 1).min(self.text.len());
            if line.len() > LINE_BYTES_MAX {
                return Err(self.unreadable("it is longer than what a host keeps of a call"));
            }
            let entry: Entry = match serde_json::from_str(line) {
                Ok(entry) => entry,
                // A part of the last line is as good as none.
                Err(_) if is_open && self.text[after..].trim_ascii_start().is_empty() => {
                    return Ok(None);
                }
                Err(error) => return Err(self.unreadable(&error.to_string())),
            };
            if entry.call != LOG {
                return Ok(Some((entry, after)));
            }
            self.go_to(after);
        }
    }

    fn go_to(&mut self, after: usize) {
        self.at = after;
        self.line += 1;
    }

    fn unreadable(&self, problem: &str) -> Stopped {
        Stopped::Unreadable(format!(
            "line {} of the recording cannot be read, since it was changed or damaged: {problem}",
            self.line
        ))
    }

    fn difference(&self, recorded: &Entry, now: &Entry) -> String {
        let at = (recorded.call == now.call).then(|| {
            let [one, other] = [recorded, now].map(|entry| inner(entry.arguments.as_deref()));
            let same = one.chars().zip(other.chars());
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

/// Both are written alike by every host: what is the same is so to the letter.
fn is_same(recorded: &Entry, now: &Entry) -> bool {
    let [one, other] = [recorded, now].map(|entry| text_of(entry.arguments.as_deref()));
    recorded.call == now.call && one == other
}

fn text_of(value: Option<&RawValue>) -> &str {
    value.map_or("null", RawValue::get)
}

/// The arguments without the brackets around them.
fn inner(arguments: Option<&RawValue>) -> &str {
    let text = arguments.map(RawValue::get).unwrap_or_default();
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(text)
}

/// `streams.count("logs", …)`, with the arguments around a place, or from their beginning.
fn shown(entry: &Entry, at: Option<usize>) -> String {
    let text = inner(entry.arguments.as_deref());
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
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};

    use super::*;

    fn entry(call: &str, arguments: Value, answer: Value) -> Entry {
        let text = |value: Value| match value {
            Value::Null => None,
            value => Some(to_raw_value(&value).unwrap()),
        };
        Entry {
            call: call.to_owned(),
            arguments: text(arguments),
            answer: text(answer),
        }
    }

    fn replay(entries: &[Entry], is_open: bool) -> (Replay, StopSignal) {
        let lines = entries
            .iter()
            .map(|entry| serde_json::to_string(entry).unwrap() + "\n");
        replay_text(lines.collect(), is_open)
    }

    fn replay_text(lines: String, is_open: bool) -> (Replay, StopSignal) {
        let stop = StopSignal::new();
        (Replay::new(lines, is_open, stop.clone()), stop)
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
    #[test]
    fn a_line_that_is_no_call_is_told_and_not_taken_for_the_end() {
        let whole = serde_json::to_string(&entry("a.b", Value::Null, json!(7))).unwrap();
        let now = entry("a.b", Value::Null, Value::Null);
        let text = format!("{whole}\n{{\"call\":\"a.b\n{whole}\n");
        for is_open in [false, true] {
            let (replay, stop) = replay_text(text.clone(), is_open);
            assert_eq!(replay.answer(&now), Some(7_u8));
            assert_eq!(replay.answer::<u8>(&now), None);
            let Some(Stopped::Unreadable(said)) = replay.stopped() else {
                panic!("it cannot be read")
            };
            assert!(said.starts_with("line 3 of the recording cannot"), "{said}");
            assert!(stop.interrupted());
        }
        // At the end of one that breaks off a part of a line is as good as none.
        let half = format!("{whole}\n{}\n\n", &whole[..9]);
        let (open, _) = replay_text(half.clone(), true);
        assert_eq!(open.answer(&now), Some(7_u8));
        assert_eq!(open.answer::<u8>(&now), None);
        assert!(matches!(open.stopped(), Some(Stopped::Over { .. })));
        let (closed, _) = replay_text(half, false);
        assert_eq!(closed.answer(&now), Some(7_u8));
        assert_eq!(closed.answer::<u8>(&now), None);
        assert!(matches!(closed.stopped(), Some(Stopped::Unreadable(_))));
        // An answer of another kind was no host's.
        let (other, _) = replay_text(format!("{whole}\n"), true);
        assert_eq!(other.answer::<String>(&now), None);
        assert!(matches!(other.stopped(), Some(Stopped::Unreadable(_))));
    }

    #[test]
    fn a_forged_recording_takes_no_more_than_its_text() {
        let now = entry("a.b", Value::Null, Value::Null);
        let (long, _) = replay_text("x".repeat(LINE_BYTES_MAX + 1), true);
        assert_eq!(long.answer::<u8>(&now), None);
        let Some(Stopped::Unreadable(said)) = long.stopped() else {
            panic!("it cannot be read")
        };
        assert!(said.contains("longer than"), "{said}");
        let log = serde_json::to_string(&entry(LOG, json!(["info", "a"]), Value::Null)).unwrap();
        let (many, _) = replay_text(format!("{log}\n").repeat(10_000), false);
        assert_eq!(many.next_call(), None);
        assert_eq!(many.lock().at, many.lock().text.len());
    }
}
