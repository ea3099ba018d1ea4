//! Concurrency keys as tasks get them, and what people and authors are told of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use taskhost_clients::error::{ClientError, ErrorCode};
use taskhost_model::descriptor::Descriptor;
use taskhost_model::ids::{Space, StreamName, TypeId};
use taskhost_model::status::Phase;
use taskhost_model::task::Task;
use taskhost_store::error::StoreError;

use crate::core::{Core, Tasks};
use crate::error::ServiceError;

/// A longer key is kept as its digest.
const KEY_BYTES_MAX: usize = 256;

/// The key of a run that works on this stream with these params.
pub(crate) fn key_of(
    descriptor: &Descriptor,
    stream: Option<&StreamName>,
    params: &str,
) -> Option<String> {
    let key = descriptor.concurrency.as_ref()?.key_of(stream, params);
    Some(bounded(key))
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

/// A child that needs a key which its parent holds, or the parent's parent, would wait for somebody
/// who waits for it.
pub(crate) async fn check_child(
    core: &Core,
    parent: &Task,
    type_id: &TypeId,
    stream: Option<&StreamName>,
    params: &str,
) -> Result<(), ClientError> {
    let Ok(version) = core.types.active(type_id) else {
        // Whoever schedules it says so.
        return Ok(());
    };
    let Some(key) = key_of(&version.descriptor, stream, params) else {
        return Ok(());
    };
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
        ancestor = match task.parent_run() {
            Some((key, _)) => core.tasks.get(&key).await?,
            None => None,
        };
    }
    Ok(())
}

/// How many hold a key, of those that were asked for: a list has many tasks with the same.
type Holding = HashMap<(Space, TypeId, String), u64>;

impl Tasks {
    /// Why each of these tasks waits although it may be due, for people.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn each_waiting_for(
        &self,
        tasks: &[Task],
    ) -> Result<Vec<Option<String>>, ServiceError> {
        let mut holding = Holding::new();
        let mut each = Vec::with_capacity(tasks.len());
        for task in tasks {
            each.push(self.reason_to_wait(task, &mut holding).await?);
        }
        Ok(each)
    }

    pub(crate) async fn waiting_for(&self, task: &Task) -> Result<Option<String>, ServiceError> {
        self.reason_to_wait(task, &mut Holding::new()).await
    }

    async fn reason_to_wait(
        &self,
        task: &Task,
        holding: &mut Holding,
    ) -> Result<Option<String>, ServiceError> {
        let is_waiting = matches!(
            task.phase(),
            Phase::Queued | Phase::WaitingRetry | Phase::Suspended
        );
        if !is_waiting {
            return Ok(None);
        }
        if let Some(held_up) = self.0.types.held_up(&task.type_id) {
            return Ok(Some(held_up));
        }
        Ok(self.0.waiting_for_key(task, holding).await?)
    }
}

impl Core {
    async fn waiting_for_key(
        &self,
        task: &Task,
        known: &mut Holding,
    ) -> Result<Option<String>, StoreError> {
        let is_due = task.run.due_at <= self.clock.now() && !task.holds_key();
        let Some(key) = task.concurrency_key.as_deref().filter(|_| is_due) else {
            return Ok(None);
        };
        let active = self.types.active(&task.type_id).ok();
        let Some(most) = active.and_then(|it| Some(it.descriptor.concurrency.as_ref()?.max)) else {
            return Ok(None);
        };
        let of_key = (task.space.clone(), task.type_id.clone(), key.to_owned());
        let holding = match known.entry(of_key) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => {
                let holding = self.tasks.holding(&task.space, &task.type_id, key).await?;
                *unknown.insert(holding)
            }
        };
        Ok((holding >= most).then(|| {
            format!(
                "its concurrency key `{key}`: {holding} of the tasks of type `{}` that have it are \
                 at work, and {most} may be at once",
                task.type_id
            )
        }))
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
