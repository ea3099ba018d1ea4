//! Tokens that a run, and a space in a day, may use: reserved before a request goes out, and
//! counted once it is known what it took.
//!
//! # Guarantees
//! 1. Requests that are under way together cannot take more than is left: a request reserves one
//!    token for each byte that it sends, of which no token is less, and all that its answer may
//!    have.
//! 2. Where the rest would do once others have said what they took, a request waits for them.
//! 3. A request that went out and was given up counts with all that it had reserved.
//!
//! # Limits
//! What a space has used of a day (UTC) is known in this host's memory alone: a restart begins
//! anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskhost_model::ids::{Label, Space};
use tokio::sync::Notify;

use crate::error::{ClientError, ErrorCode};

/// So many times what was reserved for a request is counted of it at most.
const TIMES_RESERVED_MAX: u64 = 4;

/// Tokens of an answer whose request says nothing.
pub(crate) const ANSWER_TOKENS_DEFAULT: u64 = 4096;

/// What was used, and what requests under way may still use.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Account {
    pub(crate) used: u64,
    reserved: u64,
}

/// An account that requests under way keep.
pub(crate) type RunAccount = Arc<Mutex<Account>>;

/// The accounts of all spaces at all connectors.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    days: Mutex<HashMap<(Label, Space), Day>>,
    /// Something was counted or given back.
    changed: Notify,
}

#[derive(Debug, Clone, Copy, Default)]
struct Day {
    /// Since 1970.
    number: i64,
    account: Account,
}

/// Who pays for a request.
#[derive(Debug, Clone)]
pub(crate) struct Payer {
    pub(crate) run: RunAccount,
    /// The most that the run may use; none: any number.
    pub(crate) run_max: Option<u64>,
    pub(crate) space: (Label, Space),
    /// The most that the space may use in a day at the connector; none: any number.
    pub(crate) day_max: Option<u64>,
    /// The number of the day.
    pub(crate) today: i64,
}

/// Tokens that a request wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// For what it sends.
    pub(crate) prompt: u64,
    /// For its answer; none: as many as there are, up to [`ANSWER_TOKENS_DEFAULT`].
    pub(crate) answer: Option<u64>,
}

/// Tokens that are kept for a request. Counts them all when it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    ledger: Arc<Ledger>,
    payer: Payer,
    prompt: u64,
    /// How many the answer may have.
    pub(crate) answer: u64,
    used: u64,
}

/// What is left to one of the two.
struct Left {
    tokens: u64,
    /// Others under way may give some back.
    may_grow: bool,
    of: &'static str,
}

impl Account {
    fn left(self, most: Option<u64>, of: &'static str) -> Left {
        let taken = self.used.saturating_add(self.reserved);
        Left {
            tokens: most.map_or(u64::MAX, |most| most.saturating_sub(taken)),
            may_grow: self.reserved > 0,
            of,
        }
    }

    fn settle(&mut self, reserved: u64, used: u64) {
        self.reserved = self.reserved.saturating_sub(reserved);
        self.used = self.used.saturating_add(used);
    }
}

impl Ledger {
    /// Keeps tokens for a request, as soon as there are enough.
    ///
    /// # Errors
    /// `quota-exceeded` where there will not be.
    pub(crate) async fn reserve(
        self: &Arc<Self>,
        payer: &Payer,
        wanted: Wanted,
    ) -> Result<Reservation, ClientError> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.try_reserve(payer, wanted) {
                Ok(reservation) => return Ok(reservation),
                Err(left) if left.may_grow => changed.await,
                Err(left) => return Err(used_up(wanted, &left)),
            }
        }
    }

    fn try_reserve(self: &Arc<Self>, payer: &Payer, wanted: Wanted) -> Result<Reservation, Left> {
        let mut run = lock(&payer.run);
        let mut days = lock(&self.days);
        let left = {
            let of_run = run.left(payer.run_max, "run");
            let of_day = match payer.day_max {
                None => Account::default().left(None, "day"),
                most => day_of(&mut days, payer).account.left(most, "day"),
            };
            if of_run.tokens <= of_day.tokens {
                of_run
            } else {
                of_day
            }
        };
        let answer = match wanted.answer {
            Some(answer) => answer,
            // Others that are under way may leave enough for a whole one.
            None if left.may_grow => ANSWER_TOKENS_DEFAULT,
            None => ANSWER_TOKENS_DEFAULT
                .min(left.tokens.saturating_sub(wanted.prompt))
                .max(1),
        };
        let tokens = wanted.prompt.saturating_add(answer);
        if tokens > left.tokens {
            return Err(left);
        }
        run.reserved += tokens;
        if payer.day_max.is_some() {
            day_of(&mut days, payer).account.reserved += tokens;
        }
        Ok(Reservation {
            ledger: Arc::clone(self),
            payer: payer.clone(),
            prompt: wanted.prompt,
            answer,
            used: tokens,
        })
    }

    /// Tokens that are left for a request that comes now.
    pub(crate) fn left(&self, payer: &Payer) -> Option<u64> {
        let run = lock(&payer.run);
        let mut days = lock(&self.days);
        let of_run = payer.run_max.map(|_| run.left(payer.run_max, "run").tokens);
        let of_day = payer.day_max.map(|_| {
            let day = day_of(&mut days, payer);
            day.account.left(payer.day_max, "day").tokens
        });
        match (of_run, of_day) {
            (Some(run), Some(day)) => Some(run.min(day)),
            (one, other) => one.or(other),
        }
    }
}

/// Today's account. What is under way since yesterday counts today.
fn day_of<'a>(days: &'a mut HashMap<(Label, Space), Day>, payer: &Payer) -> &'a mut Day {
    if !days.contains_key(&payer.space) {
        days.retain(|_, day| day.number == payer.today || day.account.reserved > 0);
    }
    let day = days.entry(payer.space.clone()).or_default();
    if day.number != payer.today {
        day.number = payer.today;
        day.account.used = 0;
    }
    day
}

impl Reservation {
    /// The request took so many, as its server says; nobody was asked where it is none. What is far
    /// more than it could take is a mistake, which is not to use up a day.
    pub(crate) fn settle(mut self, used: u64) {
        let reserved = self.prompt.saturating_add(self.answer);
        self.used = used.min(reserved.saturating_mul(TIMES_RESERVED_MAX));
        if self.used < used {
            let (connector, space) = &self.payer.space;
            tracing::warn!(
                %connector, %space, said = used, counted = self.used,
                "a model's server says that a request took far more tokens than were asked for: \
                 look at the `url` of the connector"
            );
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let reserved = self.prompt.saturating_add(self.answer);
        lock(&self.payer.run).settle(reserved, self.used);
        if self.payer.day_max.is_some() {
            let mut days = lock(&self.ledger.days);
            if let Some(day) = days.get_mut(&self.payer.space) {
                day.account.settle(reserved, self.used);
            }
        }
        self.ledger.changed.notify_waiters();
    }
}

fn used_up(wanted: Wanted, left: &Left) -> ClientError {
    let (whose, raise) = match left.of {
        "run" => (
            "the run",
            "raise `limits.tokens` in the type's descriptor, or have an operator raise \
             `tokens_per_run` of the connector",
        ),
        _ => (
            "its space today",
            "try again tomorrow (UTC), or have an operator raise `tokens_per_space_per_day` of the \
             connector",
        ),
    };
    let Wanted { prompt, answer } = wanted;
    let answer = answer.unwrap_or(1);
    let tokens = left.tokens;
    let message = format!(
        "the request may take {prompt} tokens (one for each byte, until it is known) and its \
         answer {answer}, and {tokens} are left to {whose}: ask for less, or {raise}"
    );
    ClientError::new(ErrorCode::QuotaExceeded, message)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn payer(run_max: Option<u64>, day_max: Option<u64>) -> Payer {
        Payer {
            run: RunAccount::default(),
            run_max,
            space: (
                Label::parse("small").unwrap(),
                Space::parse("default").unwrap(),
            ),
            day_max,
            today: 20_000,
        }
    }

    fn wants(prompt: u64, answer: Option<u64>) -> Wanted {
        Wanted { prompt, answer }
    }

    #[tokio::test]
    async fn what_is_under_way_is_not_given_twice() {
        let ledger = Arc::new(Ledger::default());
        let payer = payer(Some(100), None);
        let first = ledger.reserve(&payer, wants(30, Some(30))).await.unwrap();
        assert_eq!(ledger.left(&payer), Some(40));
        let mut second = Box::pin(ledger.reserve(&payer, wants(30, Some(30))));
        assert!(
            second.as_mut().now_or_never().is_none(),
            "it waits for the first"
        );
        first.settle(10);
        let second = second.await.unwrap();
        assert_eq!(ledger.left(&payer), Some(30));
        drop(second);
        assert_eq!(
            lock(&payer.run).used,
            70,
            "what was given up counts in full"
        );
        let error = ledger
            .reserve(&payer, wants(30, Some(1)))
            .await
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::QuotaExceeded);
        assert!(error.message.contains("30 are left to the run"), "{error}");
    }

    #[tokio::test]
    async fn an_answer_without_a_number_gets_what_is_left() {
        let ledger = Arc::new(Ledger::default());
        let payer = payer(Some(10_000), None);
        let first = ledger.reserve(&payer, wants(10, None)).await.unwrap();
        assert_eq!(first.answer, ANSWER_TOKENS_DEFAULT);
        first.settle(9_900);
        let last = ledger.reserve(&payer, wants(10, None)).await.unwrap();
        assert_eq!(last.answer, 90);
    }

    #[tokio::test]
    async fn what_no_request_can_take_uses_up_no_day() {
        let ledger = Arc::new(Ledger::default());
        let payer = payer(None, Some(10_000));
        let first = ledger.reserve(&payer, wants(10, Some(40))).await.unwrap();
        first.settle(u64::MAX);
        assert_eq!(ledger.left(&payer), Some(9_800));
    }

    #[tokio::test]
    async fn a_space_has_its_tokens_each_day_for_all_its_runs() {
        let ledger = Arc::new(Ledger::default());
        let today = payer(None, Some(100));
        let another = Payer {
            run: RunAccount::default(),
            ..today.clone()
        };
        ledger
            .reserve(&today, wants(10, Some(80)))
            .await
            .unwrap()
            .settle(80);
        assert_eq!(ledger.left(&another), Some(20));
        let error = ledger
            .reserve(&another, wants(10, Some(80)))
            .await
            .unwrap_err();
        assert!(error.message.contains("its space today"), "{error}");
        let elsewhere = Payer {
            space: (another.space.0.clone(), Space::parse("other").unwrap()),
            ..another.clone()
        };
        assert_eq!(ledger.left(&elsewhere), Some(100));
        let over_midnight = ledger.reserve(&another, wants(5, Some(5))).await.unwrap();
        let tomorrow = Payer {
            today: today.today + 1,
            ..another
        };
        assert_eq!(ledger.left(&tomorrow), Some(90));
        over_midnight.settle(7);
        assert_eq!(ledger.left(&tomorrow), Some(93));
    }
}
