//! The host, as the algorithm and the talk know it: who hears of progress and may stop them.

use std::time::{Duration, Instant};

use taskhost_sdk::{Clients, Error};

use crate::talk::Ended;
use crate::watch::{Stopped, Watch};

/// How often the host is asked, while computing, whether the run shall stop.
const ASK_EVERY: Duration = Duration::from_millis(10);

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
        match self.asked.elapsed() < ASK_EVERY {
            true => Ok(()),
            false => self.tell(done, self.name),
        }
    }

    fn tell(&mut self, done: usize, message: &str) -> Result<(), Stopped> {
        let total = (self.total > 0).then_some(self.total as u64);
        let done = done.min(self.total) as u64;
        let answer = self.clients.progress.report(done, total, message);
        self.told(answer)
    }
}
