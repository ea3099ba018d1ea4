//! Schedules a task under an id that the host makes; with a key, however often the same is asked
//! for, once.
//!
//! # How it works
//! The id is made of the key, of whoever asks, of the space and of the day. So the one write that
//! accepts the task takes the key as well, and a host that is killed leaves both or none. What was
//! promised stays in the document, also when the task is run again or deleted, as long as it
//! counts.
//!
//! # What it does not promise
//! On a cluster two hosts that get the first requests of one key in the very moment in which its
//! day ends may both accept it.

use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use taskhost_model::ids::{RunId, Space, TaskId, TaskKey};
use taskhost_model::receipt::Receipt;
use taskhost_model::requester::Requester;
use taskhost_model::time::Timestamp;
use taskhost_store::event::{Outcome, WriteCondition};

use crate::core::{Core, Tasks};
use crate::error::ServiceError;
use crate::schedule::ScheduleRequest;
use crate::seen::taken;
use crate::wishes::Asker;

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// What was promised: the same for every repetition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The task.
    pub key: TaskKey,
    /// Its run.
    pub run: RunId,
    /// When it was accepted.
    pub created_at: Timestamp,
}

impl Tasks {
    /// Schedules a new task. The same request with the same `repeat_key` is answered as the first
    /// one was, for a day.
    ///
    /// # Errors
    /// [`ServiceError::KeyReused`] where the key came with another request, and those of a
    /// schedule.
    pub async fn submit(
        &self,
        by: &Requester,
        space: &Space,
        repeat_key: Option<&str>,
        request: ScheduleRequest,
    ) -> Result<Submitted, ServiceError> {
        self.check_running()?;
        self.0.caller(by).must_operate(space).await?;
        let Some(repeat_key) = repeat_key else {
            let key = new_key(space)?;
            return self.submit_as(by, key, request, None).await;
        };
        check_key(repeat_key)?;
        let name = hash(&[space.as_str(), &by.name, repeat_key]);
        let body = digest_of(&request);
        let places = &self.0.repeatable;
        // Its first digit would do; two make them even.
        let place = usize::from_str_radix(&name[..2], 16).unwrap_or(0) % places.len();
        let _turn = places[place].lock().await;
        let now = self.0.clock.now();
        for day in [now.minus(Receipt::COUNTS_FOR), now] {
            let key = key_of_day(space, &name, day)?;
            if let Some(promised) = self.0.promised(&key, &body, now).await? {
                return Ok(promised);
            }
        }
        let key = key_of_day(space, &name, now)?;
        match self
            .submit_as(by, key.clone(), request, Some(body.clone()))
            .await
        {
            // Another host was faster, or somebody has made a task of this id by hand.
            Err(ServiceError::VersionMismatch) => {
                let promised = self.0.promised(&key, &body, now).await?;
                promised.ok_or_else(taken)
            }
            done => done,
        }
    }

    async fn submit_as(
        &self,
        by: &Requester,
        key: TaskKey,
        mut request: ScheduleRequest,
        receipt: Option<String>,
    ) -> Result<Submitted, ServiceError> {
        request.condition = Some(WriteCondition::Absent);
        let mut wish = self.checked(by, &key, &mut request, Asker::Person).await?;
        wish.receipt = receipt;
        let write = self.write_as("task.schedule", by, &key, &request, &wish);
        let applied = write.await?;
        match (applied.outcome, applied.task) {
            (Outcome::Changed | Outcome::Repeated, Some(task)) => Ok(Submitted {
                key,
                run: task.run.id,
                created_at: task.created_at,
            }),
            _ => Err(ServiceError::VersionMismatch),
        }
    }
}

impl Core {
    /// What was promised for the key that this id is made of, if it still counts.
    async fn promised(
        &self,
        key: &TaskKey,
        body: &str,
        now: Timestamp,
    ) -> Result<Option<Submitted>, ServiceError> {
        let receipt = self.tasks.receipt(key).await?;
        let counts = |it: &Receipt| it.at.plus(Receipt::COUNTS_FOR) > now;
        let Some(receipt) = receipt.filter(counts) else {
            return Ok(None);
        };
        if receipt.body != body {
            return Err(ServiceError::KeyReused);
        }
        Ok(Some(Submitted {
            key: key.clone(),
            run: receipt.run,
            created_at: receipt.at,
        }))
    }
}

/// A key that nobody has.
pub(crate) fn new_key(space: &Space) -> Result<TaskKey, ServiceError> {
    key_of(space, &RunId::new().to_string().replace('-', ""))
}

fn key_of_day(space: &Space, name: &str, at: Timestamp) -> Result<TaskKey, ServiceError> {
    let day_ms = Duration::as_millis(&Receipt::COUNTS_FOR);
    let day = i128::from(at.as_ms()).div_euclid(i128::try_from(day_ms).unwrap_or(i128::MAX));
    key_of(space, &hash(&[name, &day.to_string()]))
}

fn key_of(space: &Space, name: &str) -> Result<TaskKey, ServiceError> {
    let id = TaskId::parse(&format!("task-{name}"));
    let id = id.map_err(|error| ServiceError::Internal {
        reason: error.to_string(),
    })?;
    Ok(TaskKey {
        space: space.clone(),
        id,
    })
}

fn check_key(key: &str) -> Result<(), ServiceError> {
    let is_short = (1..=KEY_BYTES_MAX).contains(&key.len());
    if is_short
        && key
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
    {
        return Ok(());
    }
    let problem = format!("has to be 1 to {KEY_BYTES_MAX} printable ASCII characters");
    Err(ServiceError::invalid("Idempotency-Key", problem))
}

/// Of everything that is asked for.
fn digest_of(request: &ScheduleRequest) -> String {
    let ScheduleRequest {
        type_id,
        stream,
        params,
        priority,
        run_at,
        timeout_ms,
        record,
        trace: _,
        condition: _,
    } = request;
    let rest = format!(
        "{priority:?} {:?} {timeout_ms:?} {record}",
        run_at.map(Timestamp::as_ms)
    );
    let stream = stream.as_ref().map_or("", |stream| stream.as_str());
    hash(&[type_id.as_str(), stream, params, &rest])
}

/// 32 hexadecimal digits; the parts do not run into each other.
fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut digits = String::new();
    for byte in hasher.finalize().iter().take(16) {
        // A text takes whatever is written.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_its_key_and_day() {
        let space = Space::parse("default").unwrap();
        let id = |name: &str, ms| {
            let key = key_of_day(&space, name, Timestamp::from_ms(ms)).unwrap();
            key.id.to_string()
        };
        assert_eq!(id("a", 0), id("a", 86_399_999));
        assert_ne!(id("a", 0), id("a", 86_400_000));
        assert_ne!(id("a", -1), id("a", 0));
        assert_ne!(id("a", 0), id("b", 0));
        assert_eq!(id("a", 0).len(), "task-".len() + 32);
    }

    #[test]
    fn a_key_is_printable_and_short() {
        assert!(check_key("order 17/é").is_err());
        assert!(check_key("").is_err());
        assert!(check_key(&"k".repeat(256)).is_err());
        assert!(check_key("\u{0}").is_err());
        assert!(check_key(&"k".repeat(255)).is_ok());
        assert!(check_key("order 17/4").is_ok());
    }
}
