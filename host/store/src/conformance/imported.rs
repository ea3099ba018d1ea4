//! Tasks that come from another store.

use std::sync::Arc;

use taskhost_model::status::Status;

use super::Subject;
use super::given::{claim_request, key};
use crate::error::StoreError;
use crate::event::{Event, Imported, Outcome};

async fn imported(s: &Subject, id: &str, to: &str) -> Result<Outcome, StoreError> {
    let stored = s.stores.tasks.read(&key(id)).await?.expect("it is there");
    let log = s.stores.tasks.log(&key(id), stored.task.run.id).await?;
    let event = Event::Import(Box::new(Imported {
        task: stored.task,
        params: stored.params,
        payload: stored.payload,
        log: log.filter(|log| !log.is_empty()).map(Arc::from),
    }));
    Ok(s.apply(to, event).await?.outcome)
}

pub(super) async fn what_has_ended_is_imported_as_it_was(s: &Subject) -> Result<(), StoreError> {
    let run = s.running("done").await?;
    s.completed("done", run, "{\"a\":1}").await?;
    assert_eq!(imported(s, "done", "copy").await?, Outcome::Changed);
    let from = s.stores.tasks.read(&key("done")).await?;
    let to = s.stores.tasks.read(&key("copy")).await?;
    let (from, to) = (from.expect("it is there"), to.expect("it was brought"));
    assert_eq!(to.task.id.as_str(), "copy");
    assert_eq!(
        (to.task.status, to.task.run.id),
        (Status::Completed, from.task.run.id)
    );
    assert_eq!((&to.params, &to.payload), (&from.params, &from.payload));
    assert_eq!(to.task.last_completed_at, from.task.last_completed_at);
    // Once more is nothing, and what is there stays.
    assert_eq!(imported(s, "done", "copy").await?, Outcome::Unchanged);
    Ok(())
}

pub(super) async fn what_has_not_ended_is_imported_as_canceled(
    s: &Subject,
) -> Result<(), StoreError> {
    s.running("running").await?;
    s.scheduled("queued").await?;
    for id in ["running", "queued"] {
        let to = format!("{id}-copy");
        assert_eq!(imported(s, id, &to).await?, Outcome::Changed);
        let task = s.task(&to).await?;
        assert_eq!(task.status, Status::Canceled);
        assert_eq!(task.canceled_by.as_deref(), Some("import"));
        assert!(task.run.cancel_reason.is_some());
    }
    // Nobody runs it.
    let claimed = s.stores.tasks.claim(&claim_request(&["hello"], 10)).await?;
    let ids: Vec<&str> = claimed.iter().map(|it| it.task.id.as_str()).collect();
    assert_eq!(ids, ["queued"]);
    Ok(())
}
