//! Concurrency keys as tasks get them, and what people and authors are told of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use taskhost_clients::error::{ClientError, ErrorCode};
use taskhost_model::concurrency::OF_TYPE;
use taskhost_model::descriptor::Descriptor;
use taskhost_model::ids::{StreamName, TaskKey, TypeId};
use taskhost_model::requester::Requester;
use taskhost_model::status::Phase;
use taskhost_model::task::Task;
use tokio::sync::MutexGuard;

use crate::access::Caller;
use crate::core::{Core, Tasks};
use crate::deadlock::{self, Lane};
use crate::error::ServiceError;
use crate::settings::Settings;
use crate::view::{WaitReason, Waiting};

/// A longer key is kept as its digest.
const KEY_BYTES_MAX: usize = 256;

/// The key of a run that works on this stream with these params. Where an operator bounds the runs
/// of a type that has no keys of its own, all of them have the same.
pub(crate) fn key_of(
    descriptor: &Descriptor,
    settings: &Settings,
    stream: Option<&StreamName>,
    params: &str,
) -> Option<String> {
    let Some(concurrency) = &descriptor.concurrency else {
        let runs_at_once = settings.of_type(&descriptor.id).runs_at_once;
        return runs_at_once.map(|_| OF_TYPE.to_owned());
    };
    Some(bounded(concurrency.key_of(stream, params)))
}

fn bounded(key: String) -> String {
    if key.len() <= KEY_BYTES_MAX {
        return key;
    }
    let mut digest = "sha256:".to_owned();
    for byte in Sha256::digest(key) {
        // A text takes whatever is written.
        let _ = write!(digest, "{byte:02x}");
    }
    digest
}

/// A child that needs a key which its parent holds, or the parent's parent, or somebody who waits
/// for one of them, would wait for somebody who waits for it. Until the answer is dropped nobody
/// else's child of any key is looked at: of two that would wait for each other one is too late.
pub(crate) async fn check_child<'a>(
    core: &'a Core,
    parent: &Task,
    type_id: &TypeId,
    stream: Option<&StreamName>,
    params: &str,
) -> Result<Option<MutexGuard<'a, ()>>, ClientError> {
    let Ok(version) = core.types.active(type_id) else {
        // Whoever schedules it says so.
        return Ok(None);
    };
    let Some(key) = key_of(&version.descriptor, &core.settings, stream, params) else {
        return Ok(None);
    };
    let alone = core.keyed_children.lock().await;
    let mut line = Vec::new();
    let mut ancestor = Some(parent.clone());
    while let Some(task) = ancestor {
        if task.type_id == *type_id && task.concurrency_key.as_ref() == Some(&key) {
            let message = format!(
                "the child would wait for the task `{}`, which has the same type and the same \
                 concurrency key `{key}` and does not end before its children: give the child \
                 another key, or do its work here",
                task.id
            );
            return Err(ClientError::new(ErrorCode::Conflict, message));
        }
        line.push(task.key());
        ancestor = match task.parent_run() {
            Some((key, _)) => core.tasks.get(&key).await?,
            None => None,
        };
    }
    let lane = Lane {
        space: parent.space.clone(),
        type_id: type_id.clone(),
        key: key.clone(),
    };
    if deadlock::would_be(core, line, lane).await? {
        let message = format!(
            "the child would wait for its concurrency key `{key}`, and whoever holds it waits, by \
             way of its own children, for this task or one that it is a child of: spawn it before \
             or after the others, give it another key, or do its work here"
        );
        return Err(ClientError::new(ErrorCode::Conflict, message));
    }
    Ok(Some(alone))
}

/// How many hold a key, and whether whoever asks sees all of them, of those keys that were asked
/// for: a list has many tasks with the same.
type Holding = HashMap<Lane, (u64, bool)>;

impl Tasks {
    /// Why each of these tasks waits, where it is to run and does not.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn each_waiting_for(
        &self,
        by: &Requester,
        tasks: &[Task],
    ) -> Result<Vec<Option<Waiting>>, ServiceError> {
        let caller = self.0.caller(by);
        let mut holding = Holding::new();
        let mut each = Vec::with_capacity(tasks.len());
        for task in tasks {
            each.push(self.reason_to_wait(caller, task, &mut holding).await?);
        }
        Ok(each)
    }

    pub(crate) async fn waiting_for(
        &self,
        caller: Caller<'_>,
        task: &Task,
    ) -> Result<Option<Waiting>, ServiceError> {
        self.reason_to_wait(caller, task, &mut Holding::new()).await
    }

    async fn reason_to_wait(
        &self,
        caller: Caller<'_>,
        task: &Task,
        holding: &mut Holding,
    ) -> Result<Option<Waiting>, ServiceError> {
        let is_waiting = task.phase().is_waiting();
        if !is_waiting {
            return Ok(None);
        }
        if let Some(held_up) = self.0.types.held_up(&task.type_id) {
            return Ok(Some(held_up));
        }
        if task.run.due_at > self.0.clock.now() {
            // What waits for children is due when one of them has ended.
            let is_set = task.phase() != Phase::Suspended;
            return Ok(is_set.then(|| Waiting {
                reason: WaitReason::RunAt,
                words: format!("its time, {}", task.run.due_at),
            }));
        }
        let of_key = self.0.waiting_for_key(caller, task, holding).await?;
        Ok(Some(of_key.unwrap_or_else(|| Waiting {
            reason: WaitReason::Slot,
            words: "a free slot on a host".to_owned(),
        })))
    }
}

impl Core {
    async fn waiting_for_key(
        &self,
        caller: Caller<'_>,
        task: &Task,
        known: &mut Holding,
    ) -> Result<Option<Waiting>, ServiceError> {
        let needs_key = !task.holds_key();
        let Some(key) = task.concurrency_key.as_deref().filter(|_| needs_key) else {
            return Ok(None);
        };
        let Some(most) = self.types.runs_per_key(&task.type_id) else {
            return Ok(None);
        };
        let lane = Lane {
            space: task.space.clone(),
            type_id: task.type_id.clone(),
            key: key.to_owned(),
        };
        let (holding, sees_all) = match known.entry(lane) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => {
                let holders = self.tasks.holders(&task.space, &task.type_id, key).await?;
                let sees_all = self.sees_all(caller, &holders).await?;
                *unknown.insert((holders.len() as u64, sees_all))
            }
        };
        let reason = match key {
            OF_TYPE => WaitReason::TypeLimit,
            _ => WaitReason::Key,
        };
        if !sees_all && holding >= most {
            // Nothing of those that have it.
            let words = "its turn".to_owned();
            return Ok(Some(Waiting { reason, words }));
        }
        let words = || {
            format!(
                "its concurrency key `{key}`: {holding} of the tasks of type `{}` that have it are \
                 at work, and {most} may be at once",
                task.type_id
            )
        };
        Ok((holding >= most).then(|| Waiting {
            reason,
            words: words(),
        }))
    }

    async fn sees_all(&self, caller: Caller<'_>, keys: &[TaskKey]) -> Result<bool, ServiceError> {
        if !caller.is_asked() {
            return Ok(true);
        }
        for key in keys {
            if self.seen(caller, key).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_its_digest() {
        let (longest, longer) = ("a".repeat(256), "a".repeat(257));
        assert_eq!(bounded(longest.clone()), longest);
        let digest = bounded(longer);
        assert_eq!((digest.len(), &digest[..7]), (71, "sha256:"));
        assert_ne!(digest, bounded("b".repeat(257)));
    }
}
