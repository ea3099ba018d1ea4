//! A task and a guest of the model, and what can be told of each by itself.

use taskhost_model::error::ErrorKind;
use taskhost_model::ids::RunId;
use taskhost_model::status::{RunState, Status};
use taskhost_model::task::Fence;

use super::facts::{How, Moment, Shown};
use super::guest::{ATTEMPTS, GRACE_MS, Word};

/// What is due and has not begun for so long fails.
pub(crate) const QUEUE_TIMEOUT_MS: i64 = 1_000;

type Verdict<T> = Result<T, String>;

/// A task: its document, and what lies beside it.
#[derive(Debug, Clone)]
pub(crate) struct Doc {
    pub(crate) shown: Shown,
    pub(crate) body: String,
    /// Whether a run of it has kept something for a later attempt.
    pub(crate) keeps: bool,
    /// Runs that it has had before, newest first.
    pub(crate) former: Vec<(RunId, Status)>,
    /// Something was promised by a key.
    pub(crate) is_promised: bool,
    /// It became due by a clock that was set, and need not be found before that.
    pub(crate) found_by_ms: u64,
}

/// A guest that is alive.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    pub(crate) fence: Fence,
    /// It was told how to end, and has; its end may not have been written yet.
    pub(crate) word: Option<Word>,
    /// When that was, by the clock on the wall.
    pub(crate) ended_ms: i64,
    /// When it was asked to stop.
    pub(crate) canceled_ms: Option<u64>,
    /// The host stops.
    pub(crate) is_handed_back: bool,
    /// Its task was deleted.
    pub(crate) is_fenced: bool,
    pub(crate) said: u64,
    pub(crate) written: u64,
    pub(crate) said_ms: u64,
}

/// How a guest has to end, whose task nobody has canceled.
pub(crate) fn how_to_end(guest: &Guest, doc: &Doc) -> Verdict<How> {
    let again = doc.shown.attempt < ATTEMPTS;
    match guest.word {
        Some(Word::Complete) => Ok(How::Completed),
        Some(Word::FailAgain) => Ok(How::Failed(ErrorKind::Task, again)),
        Some(Word::FailForGood) => Ok(How::Failed(ErrorKind::Task, false)),
        Some(Word::Trap) => Ok(How::Failed(ErrorKind::Trap, false)),
        Some(Word::Pause) => Ok(How::Paused),
        Some(Word::Beat) | None if guest.is_handed_back => Ok(How::HandedBack),
        Some(Word::Beat) | None => Err(format!("nobody has ended it: {guest:#?}")),
    }
}

/// Who was told nothing but that he is canceled has his grace, unless the host stops.
pub(crate) fn check_grace(guest: &Guest, at: Moment) -> Verdict<()> {
    let had_ms = guest.canceled_ms.map_or(0, |asked| at.passed_ms - asked);
    // A wish that was stored late takes up to a twentieth of it.
    if guest.is_handed_back || had_ms >= GRACE_MS.unsigned_abs() * 19 / 20 {
        return Ok(());
    }
    Err(format!("it had {had_ms} ms to end: {guest:#?}"))
}

pub(crate) fn is_claimable(doc: &Doc, at: Moment) -> bool {
    let shown = &doc.shown;
    shown.waits() && shown.due_ms <= at.wall_ms && shown.previous.is_empty()
}

pub(crate) fn is_overdue(doc: &Doc, at: Moment) -> bool {
    let is_queued = doc.shown.state == Some(RunState::Queued);
    is_queued && doc.shown.due_ms < at.wall_ms - QUEUE_TIMEOUT_MS
}

/// Nothing hangs on it any more.
pub(crate) fn is_removable(doc: &Doc) -> bool {
    doc.shown.is_deleted() && doc.shown.previous.is_empty() && !doc.is_promised
}

pub(crate) fn moved(mut doc: Doc, status: Status, state: Option<RunState>) -> Doc {
    let shown = &mut doc.shown;
    (shown.status, shown.state) = (status, state);
    (shown.version, shown.revision) = (shown.version + 1, shown.revision + 1);
    shown.error = None;
    doc
}

pub(crate) fn ended(doc: Doc, status: Status, at: Moment) -> Doc {
    let mut doc = moved(doc, status, None);
    let last = match status {
        Status::Completed => 0,
        Status::Acknowledged => 1,
        Status::Canceled => 2,
        _ => 3,
    };
    doc.shown.last_ms[last] = Some(at.wall_ms);
    doc
}

pub(crate) fn failed(doc: Doc, kind: ErrorKind, at: Moment) -> Doc {
    let mut doc = ended(doc, Status::Failed, at);
    doc.shown.error = Some(kind);
    doc
}

/// At the place in the queue that it would have now.
pub(crate) fn queued_again(doc: Doc, at: Moment) -> Doc {
    let mut doc = moved(doc, Status::InProgress, Some(RunState::Queued));
    doc.shown.due_ms = at.wall_ms;
    doc
}
