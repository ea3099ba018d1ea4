//! Many tasks at a time in SQLite: a batch is written in pieces, each in one commit, that others
//! wait for no longer than for any other large work.

use async_trait::async_trait;
use rusqlite::Connection;
use taskhost_model::ids::{Space, TaskId, TaskKey, TypeId};
use taskhost_model::status::Status;
use taskhost_model::time::{Clock, Timestamp};

use super::reserve::Reserve;
use super::row::damaged;
use super::tasks::apply;
use super::{Sqlite, list};
use crate::crash::Step;
use crate::error::StoreError;
use crate::event::{Applied, Event};
use crate::limits::Limits;
use crate::lists::ListRequest;
use crate::many::ManyTasks;

/// Events of one piece: about as long as others may have to wait for it.
const EVENTS_MAX: usize = 125;
/// And so many bytes of params, unless one event has more.
const BYTES_MAX: usize = 256 * 1024;

/// What goes by now.
pub(super) const SELECT_EXPIRED: &str = "\
    SELECT space, id FROM tasks INDEXED BY tasks_expiring WHERE expires_ms IS NOT NULL \
    AND expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2";
/// What waits of a type for its first time, and is due for long: in its turn, or behind others of
/// its key. What waits to go on is not looked at, and so is in nobody's way.
pub(super) const SELECT_OVERDUE: [&str; 2] = [
    "SELECT space, id FROM tasks INDEXED BY tasks_ready WHERE type = ?1 AND place = 1 \
     AND due_ms < ?2 AND iif(json_valid(body), body ->> '$.run.state', '') = 'queued' LIMIT ?3",
    "SELECT space, id FROM tasks INDEXED BY tasks_behind WHERE type = ?1 AND place = 5 \
     AND due_ms < ?2 AND iif(json_valid(body), body ->> '$.run.state', '') = 'queued' LIMIT ?3",
];

#[async_trait]
impl ManyTasks for Sqlite {
    async fn apply_all(&self, events: Vec<(TaskKey, Event)>) -> Vec<Result<Applied, StoreError>> {
        let mut answers = Vec::with_capacity(events.len());
        for piece in pieces(events) {
            let count = piece.events.len();
            match self.apply_piece(piece).await {
                Ok(applied) => answers.extend(applied),
                Err(error) => answers.extend((0..count).map(|_| Err(again(&error)))),
            }
        }
        answers
    }

    async fn expired(
        &self,
        _unmarked_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<TaskKey>, StoreError> {
        // Each is marked: those of a former version were when it was brought up to date.
        let now = self.clock.now();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = move |connection: &Connection| {
            let mut select = connection.prepare_cached(SELECT_EXPIRED)?;
            let mut rows = select.query((now.as_ms(), limit))?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                keys.push(key(row)?);
            }
            Ok(keys)
        };
        self.tasks.readers.read(read).await
    }

    async fn overdue(
        &self,
        type_id: &TypeId,
        due_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<TaskKey>, StoreError> {
        let type_id = type_id.clone();
        let read = move |connection: &Connection| {
            let mut keys = Vec::new();
            for sql in SELECT_OVERDUE {
                let left = i64::try_from(limit - keys.len()).unwrap_or(i64::MAX);
                let mut select = connection.prepare_cached(sql)?;
                let mut rows = select.query((type_id.as_str(), due_before.as_ms(), left))?;
                while let Some(row) = rows.next()? {
                    keys.push(key(row)?);
                }
            }
            Ok(keys)
        };
        self.tasks.readers.read(read).await
    }

    async fn counts(&self, request: &ListRequest) -> Result<Vec<(Status, u64)>, StoreError> {
        let request = request.clone();
        let read = move |connection: &Connection| list::counts(connection, &request);
        self.tasks.readers.read(read).await
    }
}

/// Some events that are written together.
struct Piece {
    events: Vec<(TaskKey, Event)>,
    bytes: usize,
}

impl Sqlite {
    async fn apply_piece(
        &self,
        piece: Piece,
    ) -> Result<Vec<Result<Applied, StoreError>>, StoreError> {
        let (limits, clock, reserve) = (self.limits, self.clock.clone(), self.reserve.clone());
        let step = piece
            .events
            .first()
            .map_or(Step::Other, |(_, event)| super::tasks::step(event));
        // Documents and indexes of one task are about as much.
        let bytes = (piece.bytes + piece.events.len() * 1024) as u64;
        let work = move |connection: &Connection| {
            apply_each(connection, &piece.events, (&limits, &clock, &reserve))
        };
        let writer = &self.tasks.writer;
        let (applied, _) = writer
            .write_bulk_in_company(step, bytes, work, |(_, is_made_ready)| *is_made_ready)
            .await?;
        Ok(applied)
    }
}

type Each = (Vec<Result<Applied, StoreError>>, bool);

fn apply_each(
    connection: &Connection,
    events: &[(TaskKey, Event)],
    (limits, clock, reserve): (&Limits, &Clock, &Reserve),
) -> Result<Each, StoreError> {
    let (mut each, mut is_any_ready) = (Vec::with_capacity(events.len()), false);
    for (key, event) in events {
        let before = connection.total_changes();
        let one = limits.check(event).and_then(|()| {
            let (applied, is_made_ready) =
                apply(connection, (key, event), limits, clock.now(), reserve)?;
            is_any_ready |= is_made_ready;
            Ok(applied)
        });
        // What has written something before it failed takes all of the piece with it.
        if one.is_err() && connection.total_changes() != before {
            return one.map(|_| (each, is_any_ready));
        }
        each.push(one);
    }
    Ok((each, is_any_ready))
}

fn pieces(events: Vec<(TaskKey, Event)>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (key, event) in events {
        let bytes = match &event {
            Event::Schedule(run) => run.params.len(),
            _ => 0,
        };
        match pieces.last_mut() {
            Some(last) if last.events.len() < EVENTS_MAX && last.bytes + bytes <= BYTES_MAX => {
                last.bytes += bytes;
                last.events.push((key, event));
            }
            _ => pieces.push(Piece {
                events: vec![(key, event)],
                bytes,
            }),
        }
    }
    pieces
}

/// The same error for each that it hits.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::DiskFull => StoreError::DiskFull,
        StoreError::DiskReserved => StoreError::DiskReserved,
        other => StoreError::Unavailable {
            reason: other.to_string(),
        },
    }
}

fn key(row: &rusqlite::Row<'_>) -> Result<TaskKey, StoreError> {
    let text = |index| row.get_ref(index).and_then(|value| Ok(value.as_str()?));
    Ok(TaskKey {
        space: Space::parse(text(0)?).map_err(damaged)?,
        id: TaskId::parse(text(1)?).map_err(damaged)?,
    })
}
