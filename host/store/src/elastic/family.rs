//! Whose children there are: each run that spawns tasks has a document that names them, written
//! before the first of their documents. So no search, which may be late, is asked when a run ends.

use serde::{Deserialize, Serialize};
use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::status::Status;
use taskhost_model::task::Task;

use super::Elastic;
use super::hot::Hot;
use super::names::{Index, task_id};
use crate::error::StoreError;
use crate::tasks::Children;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Content {
    /// The id of the document of the run's task.
    pub(super) parent: String,
    /// Ids of documents.
    children: Vec<String>,
}

impl Elastic {
    /// The task is about to become a child of the run.
    pub(super) async fn enter_family(
        &self,
        key: &TaskKey,
        parent: &TaskKey,
        run: RunId,
    ) -> Result<(), StoreError> {
        let child = task_id(key);
        loop {
            let (seen, mut content) = self.shared::<Content>(&family_id(run)).await?;
            if content.children.contains(&child) {
                return Ok(());
            }
            content.parent = task_id(parent);
            content.children.push(child.clone());
            if self
                .share("family", &family_id(run), seen, &content)
                .await?
            {
                return Ok(());
            }
        }
    }

    pub(super) async fn children_of(&self, run: RunId) -> Result<Children, StoreError> {
        let (_, content) = self.shared::<Content>(&family_id(run)).await?;
        let mut found = Children::default();
        for stored in self.group.read_all(Index::Tasks, &content.children).await? {
            let Some(stored) = stored else { continue };
            let task = Hot::from_json(&stored.source)?.task;
            let of = task.parent.as_ref().map(|parent| parent.run);
            if of == Some(run) && task.deleted_at.is_none() {
                found.count += 1;
                found.living.extend(is_living(&task).then(|| task.key()));
            }
        }
        Ok(found)
    }
}

fn family_id(run: RunId) -> String {
    format!("family/{run}")
}

fn is_living(task: &Task) -> bool {
    task.status == Status::InProgress
}
