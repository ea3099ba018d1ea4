//! In whose name a run is made, and reads its stream. No identity, no run.

use std::sync::Arc;

use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::ids::StreamName;
use taskhost_model::requester::{Credential, Origin, Requester};
use taskhost_model::schedule::Schedule;
use taskhost_model::task::Task;

use crate::core::Core;
use crate::error::ServiceError;
use crate::run_keys::RunKeys;

/// Whoever scheduled it, with the key that it holds; where it reads no stream, their name alone.
///
/// # Errors
/// What the store says; within, why the run is to fail.
pub(crate) async fn of_run(
    core: &Core,
    task: &Task,
) -> Result<Result<Requester, TaskError>, ServiceError> {
    let name = task.requested_by.clone();
    let needs_one = |keys: &&Arc<RunKeys>| {
        task.stream.is_some() || task.run.key.is_some() || keys.is_for_all_runs()
    };
    let Some(keys) = core.run_keys.as_ref().filter(needs_one) else {
        // In single-user mode everybody is the same person.
        return Ok(Ok(Requester {
            name,
            ..Requester::single_user()
        }));
    };
    let opened = match task.run.key {
        Some(key) => keys.opened(key).await?,
        None => Err("it was scheduled without a key".to_owned()),
    };
    Ok(match opened {
        Ok(own) => Ok(Requester {
            name,
            credential: Credential::Own(own),
            origin: Origin::default(),
        }),
        Err(why) => {
            let message = format!(
                "the run is made in the name of whoever scheduled it, and cannot be: {why}. \
                 Schedule the task again"
            );
            Err(TaskError::of(ErrorKind::Identity, message))
        }
    })
}

/// The author of a schedule, with the key that it holds; where its runs read no stream, their name
/// alone.
///
/// # Errors
/// What the store says; within, why the schedule cannot go on, for people.
pub(crate) async fn of_schedule(
    core: &Core,
    schedule: &Schedule,
) -> Result<Result<Requester, String>, ServiceError> {
    let name = schedule.author.clone();
    let streams: Vec<StreamName> = schedule.task.streams().cloned().collect();
    let needs_one = |keys: &&Arc<RunKeys>| {
        schedule.key.is_some() || !streams.is_empty() || keys.is_for_all_runs()
    };
    let Some(keys) = core.run_keys.as_ref().filter(needs_one) else {
        return Ok(Ok(Requester {
            name,
            ..Requester::single_user()
        }));
    };
    let opened = match schedule.key {
        Some(key) => keys.opened(key).await?,
        None => Err("it was made without a key".to_owned()),
    };
    let accepted = match opened {
        Ok(own) => keys.is_accepted(&own, &streams).await?.map(|()| own),
        Err(why) => Err(why),
    };
    Ok(accepted.map(|own| Requester {
        name,
        credential: Credential::Own(own),
        origin: Origin::default(),
    }))
}
