//! Whether a child would wait for somebody who waits for it: by way of concurrency keys, and of
//! parents that do not end before their children.
//!
//! # How it works
//! From the key that the child needs to the tasks that hold it, from those to their children that
//! have not ended, from a child that stands behind to the key that it waits for, and on. The child
//! is stuck when the key has no room and every way from it leads to the run that spawns it, or to
//! an ancestor of that.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;

use taskhost_model::ids::{Space, TaskKey, TypeId};
use taskhost_model::task::Task;
use taskhost_store::error::StoreError;

use crate::core::Core;

/// Tasks that are looked at for one child. Beyond them it is let go: its parent's wait has an end.
const LOOKS_MAX: usize = 256;

/// Runs of one type in one space with the same concurrency key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Lane {
    pub(crate) space: Space,
    pub(crate) type_id: TypeId,
    pub(crate) key: String,
}

/// An answer that needs others of its kind.
type Stuck<'a> = Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + 'a>>;

/// One search.
struct Search<'a> {
    core: &'a Core,
    /// The run that spawns, and its ancestors.
    line: Vec<TaskKey>,
    /// Those that were looked at. One that is not done yet leads back to itself, and nowhere else.
    lanes: HashMap<Lane, bool>,
    looks: usize,
}

/// Whether a child of the first task of this line that needs the key would wait for one of them.
pub(crate) async fn would_be(
    core: &Core,
    line: Vec<TaskKey>,
    lane: Lane,
) -> Result<bool, StoreError> {
    let mut search = Search {
        core,
        line,
        lanes: HashMap::new(),
        looks: 0,
    };
    search.lane_is_stuck(lane).await
}

impl Search<'_> {
    fn lane_is_stuck(&mut self, lane: Lane) -> Stuck<'_> {
        Box::pin(async move {
            if let Some(known) = self.lanes.get(&lane) {
                return Ok(*known);
            }
            self.lanes.insert(lane.clone(), false);
            let Some(most) = self.core.types.runs_per_key(&lane.type_id) else {
                return Ok(false);
            };
            let Lane {
                space,
                type_id,
                key,
            } = &lane;
            let holders = self.core.tasks.holders(space, type_id, key).await?;
            if (holders.len() as u64) < most {
                return Ok(false);
            }
            for holder in holders {
                if !self.task_is_stuck(holder).await? {
                    return Ok(false);
                }
            }
            self.lanes.insert(lane, true);
            Ok(true)
        })
    }

    fn task_is_stuck(&mut self, key: TaskKey) -> Stuck<'_> {
        Box::pin(async move {
            if self.line.contains(&key) {
                return Ok(true);
            }
            self.looks += 1;
            if self.looks > LOOKS_MAX {
                return Ok(false);
            }
            let Some(task) = self.core.tasks.get(&key).await? else {
                return Ok(false);
            };
            if let Some(lane) = waits_for(&task) {
                return self.lane_is_stuck(lane).await;
            }
            for child in self.core.tasks.children(task.run.id).await?.living {
                if self.task_is_stuck(child).await? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }
}

/// The key that a task has to have before it goes on.
fn waits_for(task: &Task) -> Option<Lane> {
    let is_waiting = task.phase().is_waiting();
    let key = task.concurrency_key.clone()?;
    (is_waiting && !task.holds_key()).then(|| Lane {
        space: task.space.clone(),
        type_id: task.type_id.clone(),
        key,
    })
}
