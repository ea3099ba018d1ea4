//! Asks a language model, counts what it takes, and tells an answer that is of no use from a reason
//! to end the run.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use taskhost_sdk::{Chat, Clients, Completion, Error};

/// Tokens of one answer at most.
const ANSWER_TOKENS_MAX: u64 = 1_500;
/// Codes of a request that is of no use now, and no reason to end the run: the model's answer was
/// not what was asked for, or the tokens are used up.
const NO_USE: [&str; 2] = ["bad-answer", "quota-exceeded"];

/// A model that the params name.
#[derive(Debug)]
pub struct Model<'c> {
    clients: &'c Clients,
    connector: String,
    tokens: u64,
}

/// What came of a request: the answer, or why it is of no use, for people.
pub type Answer<T> = Result<T, String>;

impl<'c> Model<'c> {
    /// The model behind that connector.
    #[must_use]
    pub fn new(clients: &'c Clients, connector: &str) -> Self {
        Self {
            clients,
            connector: connector.to_owned(),
            tokens: 0,
        }
    }

    /// The connector's name.
    #[must_use]
    pub fn connector(&self) -> &str {
        &self.connector
    }

    /// Tokens that its answers took so far.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// One question, asked a second time when the answer is of no use.
    ///
    /// # Errors
    /// What ends the run: `rate-limited` (which has it queued again), `canceled`, `unavailable` and
    /// so on.
    pub fn ask<T>(&mut self, chat: &Chat) -> Result<Answer<T>, Error>
    where
        T: DeserializeOwned + JsonSchema,
    {
        match self.ask_once(std::slice::from_ref(chat))?.pop() {
            Some(Err(_)) => {}
            Some(answer) => return Ok(answer),
            None => return Ok(Err("the model was not asked".to_owned())),
        }
        let again = self.ask_once(std::slice::from_ref(chat))?.pop();
        Ok(again.unwrap_or_else(|| Err("the model was not asked".to_owned())))
    }

    /// Several questions at once, answered in order.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn ask_once<T>(&mut self, chats: &[Chat]) -> Result<Vec<Answer<T>>, Error>
    where
        T: DeserializeOwned + JsonSchema,
    {
        let chats: Vec<Chat> = chats
            .iter()
            .map(|chat| {
                let chat = chat.clone().model(self.connector.as_str());
                chat.max_tokens(ANSWER_TOKENS_MAX).answering::<T>()
            })
            .collect();
        let answers = self.clients.inference.complete_many(&chats)?;
        // The tokens of all are counted before one of them ends the run.
        for usage in answers.iter().flatten().map(|answer| answer.usage) {
            self.tokens += usage.prompt_tokens + usage.completion_tokens;
        }
        answers.into_iter().map(read).collect()
    }
}

fn read<T: DeserializeOwned>(answered: Result<Completion, Error>) -> Result<Answer<T>, Error> {
    match answered {
        Ok(completion) => {
            let parsed = completion.parsed.unwrap_or_default();
            let read = serde_json::from_value(parsed);
            Ok(read.map_err(|error| format!("the model's answer does not fit: {error}")))
        }
        Err(error) if NO_USE.contains(&error.code()) => Ok(Err(error.message().to_owned())),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_answer_is_of_no_use_and_a_pause_ends_the_run() {
        let bad = Error::failed("bad-answer", "it said “maybe”").retryable();
        assert_eq!(
            read::<u32>(Err(bad)).unwrap(),
            Err("it said “maybe”".to_owned())
        );
        let used_up = Error::failed("quota-exceeded", "all tokens are used up");
        assert!(read::<u32>(Err(used_up)).unwrap().is_err());
        for code in [
            "rate-limited",
            "canceled",
            "deadline",
            "unavailable",
            "denied",
        ] {
            let error = Error::failed(code, "").retry_after_ms(7);
            assert_eq!(read::<u32>(Err(error.clone())).unwrap_err(), error);
        }
    }
}
