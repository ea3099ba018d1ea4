//! The host, as the algorithm and the talk know it: who hears of progress and may stop them, and
//! the language model behind a connector.

use std::time::{Duration, Instant};

use taskhost_sdk::{Chat, Clients, Completion, Error};

use crate::talk::{Ended, Model};
use crate::watch::{Stopped, Watch};

/// How often the host is asked, while computing, whether the run shall stop.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// With less time than that no model is asked.
const TIME_MIN: Duration = Duration::from_secs(30);

/// Passes progress on to the host, and the host's wish to stop back.
#[derive(Debug)]
pub struct Asking<'c> {
    clients: &'c Clients,
    asked: Instant,
    total: usize,
    name: &'static str,
    error: Option<Error>,
}

impl<'c> Asking<'c> {
    /// Nothing is under way.
    #[must_use]
    pub fn new(clients: &'c Clients) -> Self {
        Self {
            clients,
            asked: Instant::now(),
            total: 0,
            name: "",
            error: None,
        }
    }

    /// Why the host stopped the algorithm.
    #[must_use]
    pub fn reason(&mut self) -> Error {
        let error = self.error.take();
        error.unwrap_or_else(|| Error::failed("canceled", "the run is asked to stop"))
    }

    /// Why the talk has ended.
    #[must_use]
    pub fn reason_of(&mut self, ended: Ended) -> Error {
        match ended {
            Ended::Stopped => self.reason(),
            Ended::By(error) => error,
        }
    }

    fn told(&mut self, answer: Result<(), Error>) -> Result<(), Stopped> {
        self.asked = Instant::now();
        answer.map_err(|error| {
            self.error = Some(error);
            Stopped
        })
    }
}

impl Watch for Asking<'_> {
    fn phase(&mut self, name: &'static str, total: usize) -> Result<(), Stopped> {
        self.name = name;
        self.total = total;
        let answer = self.clients.progress.phase(name);
        self.told(answer)
    }

    fn step(&mut self, done: usize) -> Result<(), Stopped> {
        if self.asked.elapsed() < ASK_EVERY {
            return Ok(());
        }
        let total = (self.total > 0).then_some(self.total as u64);
        let done = done.min(self.total) as u64;
        let answer = self.clients.progress.report(done, total, self.name);
        self.told(answer)
    }
}

/// The model behind a connector.
#[derive(Debug)]
pub struct Connector<'c> {
    /// The host.
    pub clients: &'c Clients,
    /// Its name.
    pub name: &'c str,
}

impl Model for Connector<'_> {
    fn ask(&mut self, chat: &Chat) -> Result<Completion, Error> {
        self.clients
            .inference
            .complete(&chat.clone().model(self.name))
    }

    fn ask_many(&mut self, chats: &[Chat]) -> Result<Vec<Result<Completion, Error>>, Error> {
        let chats: Vec<Chat> = chats
            .iter()
            .map(|chat| chat.clone().model(self.name))
            .collect();
        self.clients.inference.complete_many(&chats)
    }

    fn tokens_left(&self) -> Option<u64> {
        // Of a model that was not granted there are none, which the request itself says better.
        let left = self.clients.inference.budget_remaining_with(self.name);
        left.filter(|left| *left > 0)
    }

    fn has_time(&self) -> bool {
        self.clients.context.remaining() > TIME_MIN
    }
}
