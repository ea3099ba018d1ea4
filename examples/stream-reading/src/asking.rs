//! Asks a language model, for every task type here in the same way: no more than time and tokens
//! allow, counting what it takes, and with one table of what ends a run. All else is an answer of
//! no use, beside which what was counted stands.

use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use taskhost_sdk::{Chat, Clients, Completion, Error};

/// Tokens of one answer at most, where its type alone says what it is.
const ANSWER_TOKENS_MAX: u64 = 1_500;
/// With less time than that no model is asked. A host waits for an answer for two minutes, unless
/// its operator has set another `timeout_s`, and what is there by then has to be saved: a run that
/// waits into its deadline has failed.
const TIME_MIN: Duration = Duration::from_secs(150);
/// Codes of what ends a run: it shall stop, or is queued again.
const ENDING: [&str; 4] = ["canceled", "deadline", "rate-limited", "host-out-of-memory"];
/// Its answer was not what was asked for, so another question may be answered.
const BAD_ANSWER: &str = "bad-answer";

/// A language model, and what the run may still ask of it.
pub trait Model {
    /// Its answers to several questions at once, in order.
    ///
    /// # Errors
    /// As the host says.
    fn complete(&mut self, chats: &[Chat]) -> Result<Vec<Result<Completion, Error>>, Error>;

    /// Tokens that are left; none where nobody counts them.
    fn tokens_left(&self) -> Option<u64>;

    /// Time that is left.
    fn time_left(&self) -> Duration;
}

/// An answer, or for people why it is of no use.
pub type Answer<T> = Result<T, String>;

/// The model behind a connector.
#[derive(Debug)]
pub struct Connector<'c> {
    clients: &'c Clients,
    name: &'c str,
}

/// What came of questions that were asked at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard<T> {
    /// In order: the answer, or why it is of no use. None where the run ends before there is one,
    /// and has to ask again when it goes on.
    pub answers: Vec<Option<Result<T, Error>>>,
    /// Why the run ends; what was answered all the same is to be saved first.
    pub ends: Option<Error>,
    /// Tokens that it took.
    pub tokens: u64,
}

impl<'c> Connector<'c> {
    /// The one of that name.
    #[must_use]
    pub fn new(clients: &'c Clients, name: &'c str) -> Self {
        Self { clients, name }
    }
}

impl Model for Connector<'_> {
    fn complete(&mut self, chats: &[Chat]) -> Result<Vec<Result<Completion, Error>>, Error> {
        let named = |chat: &Chat| chat.clone().model(self.name);
        let chats: Vec<Chat> = chats.iter().map(named).collect();
        self.clients.inference.complete_many(&chats)
    }

    fn tokens_left(&self) -> Option<u64> {
        // Of a model that was not granted there are none, which the request itself says better.
        let left = self.clients.inference.budget_remaining_with(self.name);
        left.filter(|left| *left > 0)
    }

    fn time_left(&self) -> Duration {
        self.clients.context.remaining()
    }
}

/// Asks all at once.
pub fn ask(model: &mut dyn Model, chats: &[Chat]) -> Heard<Completion> {
    let answers = match lacking(&*model, chats) {
        Some(lacking) => Err(lacking),
        None => model.complete(chats),
    };
    let mut heard = Heard {
        answers: Vec::new(),
        ends: None,
        tokens: 0,
    };
    for answer in answers.unwrap_or_else(|error| vec![Err(error); chats.len()]) {
        if let Ok(Completion { usage, .. }) = &answer {
            heard.tokens += usage.prompt_tokens + usage.completion_tokens;
        }
        heard.answers.push(match answer {
            Err(error) if ENDING.contains(&error.code()) => {
                heard.ends.get_or_insert(error);
                None
            }
            answer => Some(answer),
        });
    }
    heard
}

/// Asks all at once for answers of that type.
pub fn ask_for<T>(model: &mut dyn Model, chats: &[Chat]) -> Heard<T>
where
    T: DeserializeOwned + JsonSchema,
{
    let typed = |chat: &Chat| {
        let chat = chat.clone().max_tokens(ANSWER_TOKENS_MAX);
        chat.answering::<T>()
    };
    let chats: Vec<Chat> = chats.iter().map(typed).collect();
    let Heard {
        answers,
        ends,
        tokens,
    } = ask(model, &chats);
    let read = |answer: Option<Result<Completion, Error>>| answer.map(|said| said.and_then(read));
    Heard {
        answers: answers.into_iter().map(read).collect(),
        ends,
        tokens,
    }
}

/// Asks once, and once more where that may help: the answer, and the tokens that it took.
///
/// # Errors
/// What ends the run.
pub fn ask_one<T>(model: &mut dyn Model, chat: &Chat) -> Result<(Answer<T>, u64), Error>
where
    T: DeserializeOwned + JsonSchema,
{
    let chats = std::slice::from_ref(chat);
    let first = ask_for(model, chats);
    let mut tokens = first.tokens;
    let answer = match first.one()? {
        Err(error) if error.is_retryable() => {
            let second = ask_for(model, chats);
            tokens += second.tokens;
            second.one()?
        }
        answer => answer,
    };
    let answer = answer.map_err(|error| error.message().to_owned());
    Ok((answer, tokens))
}

impl<T> Heard<T> {
    /// The answer to a question that was asked alone, or why it is of no use.
    ///
    /// # Errors
    /// What ends the run.
    pub fn one(mut self) -> Result<Result<T, Error>, Error> {
        if let Some(error) = self.ends {
            return Err(error);
        }
        let none = || Err(Error::failed("internal", "the model was not asked"));
        Ok(self.answers.pop().flatten().unwrap_or_else(none))
    }

    /// Why there is no point in asking more: nothing was answered, not even wrongly.
    #[must_use]
    pub fn silence(&self) -> Option<&Error> {
        let failures = || {
            self.answers
                .iter()
                .flatten()
                .map(|answer| answer.as_ref().err())
        };
        let is_silence = |it: Option<&Error>| it.is_some_and(|error| !is_bad_answer(error));
        let all = failures().all(is_silence);
        failures().flatten().last().filter(|_| all)
    }
}

/// Whether the model has answered, though not what was asked for.
#[must_use]
pub fn is_bad_answer(error: &Error) -> bool {
    error.code() == BAD_ANSWER
}

/// What the run has too little of. The host counts a token for each byte that is sent, and all that
/// an answer may have.
fn lacking(model: &dyn Model, chats: &[Chat]) -> Option<Error> {
    let wanted = |chat: &Chat| {
        let chat = chat.to_json();
        chat.to_string().len() as u64 + chat["max_tokens"].as_u64().unwrap_or(0)
    };
    let wanted: u64 = chats.iter().map(wanted).sum();
    if model.tokens_left().is_some_and(|left| left < wanted) {
        let why = "the tokens that the run may use are not enough to go on";
        return Some(Error::failed("quota-exceeded", why));
    }
    let why = "the time of the run is not enough to go on";
    (model.time_left() < TIME_MIN).then(|| Error::failed("no-time", why))
}

fn read<T: DeserializeOwned>(said: Completion) -> Result<T, Error> {
    serde_json::from_value(said.parsed.unwrap_or_default()).map_err(|error| {
        let why = format!("the model's answer does not fit: {error}");
        Error::failed(BAD_ANSWER, why).retryable()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Answers in turn.
    struct Scripted {
        answers: Vec<Result<u32, &'static str>>,
        time_left: Duration,
        asked: usize,
    }

    impl Model for Scripted {
        fn complete(&mut self, chats: &[Chat]) -> Result<Vec<Result<Completion, Error>>, Error> {
            self.asked += chats.len();
            let answers = self
                .answers
                .drain(..chats.len())
                .map(|answer| match answer {
                    Ok(parsed) => {
                        let usage = json!({"prompt_tokens": 10, "completion_tokens": 5,
                        "estimated": false});
                        let said = json!({"text": "", "tool_calls": [], "parsed": parsed,
                        "finish_reason": "stop", "usage": usage});
                        Ok(serde_json::from_value(said).unwrap())
                    }
                    Err(code) => {
                        let error = Error::failed(code, "as scripted").retry_after_ms(7);
                        Err(match code {
                            "bad-answer" | "unavailable" => error.retryable(),
                            _ => error,
                        })
                    }
                });
            Ok(answers.collect())
        }

        fn tokens_left(&self) -> Option<u64> {
            Some(100_000)
        }

        fn time_left(&self) -> Duration {
            self.time_left
        }
    }

    fn scripted(answers: &[Result<u32, &'static str>]) -> Scripted {
        Scripted {
            answers: answers.to_vec(),
            time_left: Duration::from_secs(600),
            asked: 0,
        }
    }

    fn asked(answers: &[Result<u32, &'static str>]) -> Heard<u32> {
        let chats = vec![Chat::new().user("?"); answers.len()];
        ask_for(&mut scripted(answers), &chats)
    }

    #[test]
    fn what_was_answered_beside_a_pause_is_there() {
        let heard = asked(&[Ok(1), Err("rate-limited"), Ok(3), Err("bad-answer")]);
        let codes: Vec<_> = heard
            .answers
            .iter()
            .map(|it| {
                it.as_ref()
                    .map(|it| it.as_ref().map_err(Error::code).copied())
            })
            .collect();
        let expected = [Some(Ok(1)), None, Some(Ok(3)), Some(Err("bad-answer"))];
        assert_eq!(codes, expected);
        assert_eq!(heard.ends.as_ref().unwrap().code(), "rate-limited");
        assert_eq!((heard.tokens, heard.silence()), (30, None));
    }

    #[test]
    fn only_a_stop_and_a_pause_end_the_run() {
        for code in ENDING {
            assert_eq!(asked(&[Err(code)]).one().unwrap_err().code(), code);
        }
        for code in [
            "unavailable",
            "denied",
            "internal",
            "quota-exceeded",
            "too-large",
        ] {
            let heard = asked(&[Err(code)]);
            assert_eq!(heard.silence().unwrap().code(), code);
            assert_eq!(heard.one().unwrap().unwrap_err().code(), code);
        }
        assert_eq!(
            asked(&[Err("bad-answer"), Err("unavailable")]).silence(),
            None
        );
    }

    #[test]
    fn one_question_is_asked_again_once_where_that_may_help() {
        for (answers, expected, times) in [
            (vec![Ok(1)], Ok(1), 1),
            (vec![Err("bad-answer"), Ok(2)], Ok(2), 2),
            (
                vec![Err("unavailable"), Err("unavailable")],
                Err("as scripted".to_owned()),
                2,
            ),
            (vec![Err("denied")], Err("as scripted".to_owned()), 1),
        ] {
            let mut model = scripted(&answers);
            let (answer, _) = ask_one::<u32>(&mut model, &Chat::new().user("?")).unwrap();
            assert_eq!((answer, model.asked), (expected, times));
        }
    }

    #[test]
    fn nothing_is_asked_that_there_is_no_time_for() {
        let mut model = scripted(&[Ok(1)]);
        model.time_left = TIME_MIN - Duration::from_secs(1);
        let heard = ask(&mut model, &[Chat::new().user("?")]);
        assert_eq!(
            (model.asked, heard.silence().unwrap().code()),
            (0, "no-time")
        );
    }
}
