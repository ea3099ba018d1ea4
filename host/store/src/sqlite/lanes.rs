//! Concurrency keys inside the writer's transaction: the runs of a type in a space with the same
//! key are a lane, in which so many may be at work at once.
//!
//! # Guarantees
//! 1. While somebody stands behind in a lane, as many as it allows are at work or ready there: none
//!    waits for a word that nobody says.
//!
//! # How it works
//! A claim moves what has no room out of the queue (`Place::Behind`), so that no claim looks at it
//! again. Whatever leaves a lane, by any write, makes the first behind it ready in the same
//! transaction. Nothing is counted but rows: those that hold the key, as the documents say. Where
//! the active version of the type has another bound than those had that stand behind, claims make
//! all of them ready, and look anew.
//!
//! # Why not skip what has no room
//! Each claim would look at all that waits of a key, which may be a hundred thousand.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};
use taskhost_model::ids::{Space, TaskId, TaskKey, TypeId};
use taskhost_model::task::Task;

use super::read_task::Stored;
use super::row::damaged;
use crate::error::StoreError;
use crate::place::Place;
use crate::queue::ClaimableType;

/// What can be claimed of a type with a bound, in order, and the lane of what needs room in one.
pub(super) const SELECT_READY: &str = "\
    SELECT number, space, iif(holds_key, NULL, concurrency_key) FROM tasks INDEXED BY tasks_ready \
    WHERE type = ?1 AND place = 1 ORDER BY rank, created_ms, due_ms, number LIMIT ?2";
/// Those that hold a key.
pub(super) const COUNT_HOLDING: &str = "\
    SELECT count(*) FROM tasks INDEXED BY tasks_holding WHERE type = ?1 AND space = ?2 \
    AND concurrency_key = ?3 AND holds_key = 1";
/// Which.
pub(super) const SELECT_HOLDERS: &str = "\
    SELECT id FROM tasks INDEXED BY tasks_holding WHERE type = ?1 AND space = ?2 \
    AND concurrency_key = ?3 AND holds_key = 1 ORDER BY id";
/// Whether anybody stands behind.
pub(super) const IS_ANY_BEHIND: &str =
    "SELECT EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_behind_runs WHERE place = 5)";
/// Some of a type that stand behind under a smaller bound than there is now come back, or under a
/// larger one.
pub(super) const COME_BACK: [&str; 2] = [
    "UPDATE tasks SET place = 1 WHERE number IN (SELECT number FROM tasks INDEXED BY \
     tasks_behind_runs WHERE place = 5 AND type = ?1 AND behind_runs < ?2 LIMIT ?3)",
    "UPDATE tasks SET place = 1 WHERE number IN (SELECT number FROM tasks INDEXED BY \
     tasks_behind_runs WHERE place = 5 AND type = ?1 AND behind_runs > ?2 LIMIT ?3)",
];
/// The first that stands behind comes back.
pub(super) const LET_NEXT: &str = "\
    UPDATE tasks SET place = 1 WHERE number = (SELECT number FROM tasks INDEXED BY tasks_behind \
    WHERE place = 5 AND type = ?1 AND space = ?2 AND concurrency_key = ?3 \
    ORDER BY rank, created_ms, number LIMIT 1)";
const STAND_BEHIND: &str = "UPDATE tasks SET place = ?2, behind_runs = ?3 WHERE number = ?1";
const HOLD: &str = "UPDATE tasks SET holds_key = ?2 WHERE number = ?1";
const SELECT_LANE: &str = "\
    SELECT type, space, concurrency_key FROM tasks WHERE number = ?1 \
    AND concurrency_key IS NOT NULL AND holds_key = 0";

/// So many are looked at in one go, however few are wanted.
const LOOKED_AT_MIN: usize = 16;

/// Where runs wait for each other.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    type_id: String,
    space: String,
    key: String,
}

impl Lane {
    pub(super) fn new(type_id: &TypeId, space: &Space, key: &str) -> Self {
        Self {
            type_id: type_id.to_string(),
            space: space.to_string(),
            key: key.to_owned(),
        }
    }

    fn of(task: &Task) -> Option<Self> {
        let key = task.concurrency_key.as_deref()?;
        Some(Self::new(&task.type_id, &task.space, key))
    }

    fn parts(&self) -> (&str, &str, &str) {
        (&self.type_id, &self.space, &self.key)
    }

    /// Who holds the key, of a lane in this space.
    pub(super) fn holders(
        &self,
        connection: &Connection,
        space: &Space,
    ) -> Result<Vec<TaskKey>, StoreError> {
        let mut select = connection.prepare_cached(SELECT_HOLDERS)?;
        let ids = select.query_map(self.parts(), |row| row.get::<_, String>(0))?;
        let holder = |id: rusqlite::Result<String>| {
            let (space, id) = (space.clone(), TaskId::parse(&id?).map_err(damaged)?);
            Ok(TaskKey { space, id })
        };
        ids.map(holder).collect()
    }

    /// How many hold it.
    fn holding(&self, connection: &Connection) -> Result<u64, StoreError> {
        let mut count = connection.prepare_cached(COUNT_HOLDING)?;
        let count: i64 = count.query_row(self.parts(), |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    fn let_next(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut let_next = connection.prepare_cached(LET_NEXT)?;
        let_next.execute(self.parts())?;
        Ok(())
    }
}

/// A task of a key was written, as `task`, at `place`: whoever stands behind it may move on.
pub(super) fn move_on(
    connection: &Connection,
    stored: &Stored,
    task: &Task,
    place: i64,
) -> Result<(), StoreError> {
    let (held, holds) = (stored.task.holds_key(), task.holds_key());
    if held != holds {
        let mut hold = connection.prepare_cached(HOLD)?;
        hold.execute((stored.number, holds))?;
    }
    let is_in_turn = |holds: bool, place: i64| holds || place == Place::Ready as i64;
    let lane = Lane::of(&stored.task);
    // Who gives the key back and is ready again may stand after others in the queue, and so may
    // who is scheduled again.
    let is_same_turn = stored.task.created_at == task.created_at;
    let waits_on = !held && is_in_turn(holds, place) && is_same_turn;
    let stays = (holds || waits_on) && lane == Lane::of(task);
    match lane.filter(|_| is_in_turn(held, stored.place) && !stays) {
        Some(lane) => lane.let_next(connection),
        None => Ok(()),
    }
}

/// A row has left the queue without being written.
pub(super) fn move_on_without(connection: &Connection, number: i64) -> Result<(), StoreError> {
    let mut select = connection.prepare_cached(SELECT_LANE)?;
    let lane = select.query_row([number], |row| {
        Ok(Lane {
            type_id: row.get(0)?,
            space: row.get(1)?,
            key: row.get(2)?,
        })
    });
    match lane.optional()? {
        Some(lane) => lane.let_next(connection),
        None => Ok(()),
    }
}

/// Makes ready, `moves_max` at most, what stands behind under another bound than its type has now;
/// says how much that was.
pub(super) fn come_back(
    connection: &Connection,
    types: &[ClaimableType],
    moves_max: usize,
) -> Result<usize, StoreError> {
    let mut is_any = connection.prepare_cached(IS_ANY_BEHIND)?;
    if !is_any.query_row([], |row| row.get(0))? {
        return Ok(0);
    }
    let mut moves = 0;
    for sql in COME_BACK {
        let mut come_back = connection.prepare_cached(sql)?;
        for wanted in types {
            let left = i64::try_from(moves_max - moves).unwrap_or(i64::MAX);
            moves += come_back.execute((wanted.type_id.as_str(), bound(wanted), left))?;
        }
    }
    Ok(moves)
}

/// Has what finds no room in its lane stand behind, until the first `limit` could be claimed
/// together, or so many were moved; says how many were.
pub(super) fn stand_behind(
    connection: &Connection,
    wanted: &ClaimableType,
    limit: usize,
    moves_max: usize,
) -> Result<usize, StoreError> {
    let Some(most) = wanted.runs_per_key else {
        return Ok(0);
    };
    let mut stand_behind = connection.prepare_cached(STAND_BEHIND)?;
    let mut moves = 0;
    loop {
        let blocked = blocked(connection, wanted, most, limit)?;
        for number in &blocked {
            stand_behind.execute((number, Place::Behind as i64, bound(wanted)))?;
        }
        moves += blocked.len();
        if blocked.is_empty() || moves >= moves_max {
            return Ok(moves);
        }
    }
}

/// Those of the first that are ready for which others leave no room. What is ready counts before
/// it is claimed: whoever is behind it can have its turn only afterwards.
fn blocked(
    connection: &Connection,
    wanted: &ClaimableType,
    most: u64,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let (mut room, mut blocked) = (HashMap::new(), Vec::new());
    let mut select = connection.prepare_cached(SELECT_READY)?;
    let limit = i64::try_from(limit.max(LOOKED_AT_MIN)).unwrap_or(i64::MAX);
    let mut rows = select.query((wanted.type_id.as_str(), limit))?;
    while let Some(row) = rows.next()? {
        let Some(key) = row.get(2)? else { continue };
        let lane = Lane {
            type_id: wanted.type_id.to_string(),
            space: row.get(1)?,
            key,
        };
        let left = match room.get(&lane) {
            Some(left) => *left,
            None => most.saturating_sub(lane.holding(connection)?),
        };
        if left == 0 {
            blocked.push(row.get(0)?);
        }
        room.insert(lane, left.saturating_sub(1));
    }
    Ok(blocked)
}

fn bound(wanted: &ClaimableType) -> i64 {
    let most = wanted.runs_per_key.unwrap_or(u64::MAX);
    i64::try_from(most).unwrap_or(i64::MAX)
}
