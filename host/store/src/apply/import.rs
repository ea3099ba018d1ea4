//! A task that comes from another store.

use std::sync::Arc;

use taskhost_model::ids::TaskKey;
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;

use super::{Decision, TextChange, Write};
use crate::event::Imported;

/// Who cancels what has not ended there.
const BY: &str = "import";
const REASON: &str = "brought from another store, where it had not ended: whether it has ended \
                      since is not known";

/// As it ended there. What had not ended is canceled: it may go on there, and is not to run twice.
pub(super) fn import(key: &TaskKey, imported: &Imported, now: Timestamp) -> Decision {
    let mut task = imported.task.clone();
    task.space = key.space.clone();
    task.id = key.id.clone();
    task.deleted_at = None;
    // No guest of this store, and no key of its people, has to do with it.
    task.previous.clear();
    task.run.key = None;
    task.run.state = None;
    task.run.suspension = None;
    // Nor does it go on with checkpoints that are not here, or keep what was promised there.
    task.run.checkpoints_of = None;
    task.receipt = None;
    task.version = task.version.max(1);
    task.revision = task.revision.max(1);
    if !task.status.is_terminal() {
        task.status = Status::Canceled;
        task.last_canceled_at = Some(now);
        task.canceled_by = Some(BY.to_owned());
        task.run.cancel_requested_at = Some(now);
        task.run.cancel_reason = Some(REASON.to_owned());
        task.error = None;
    }
    let has_payload = matches!(task.status, Status::Completed | Status::Acknowledged);
    let payload = imported.payload.as_ref().filter(|_| has_payload);
    let or_clear = |text: Option<&Arc<str>>, change: fn(Arc<str>) -> TextChange| {
        text.map_or(TextChange::Clear, |text| change(Arc::clone(text)))
    };
    Decision::Write(Box::new(Write {
        params: TextChange::Set(Arc::clone(&imported.params)),
        payload: or_clear(payload, TextChange::Set),
        log: or_clear(imported.log.as_ref(), TextChange::Append),
        ..Write::of(task)
    }))
}
