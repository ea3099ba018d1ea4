//! Which due times have passed, and which of them are still to be fired.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::TooFar;
use super::rule::DueTimes;
use crate::time::Timestamp;

/// What is later than this has been missed, for a policy that fires nothing late.
const LATE: Duration = Duration::from_secs(60);
/// So many due times are gone through one by one; of more, the latest are looked for.
const COUNTED_MAX: u64 = 10_000;
/// The same once they were.
const LOOKED_AT_MAX: u64 = 100_000;
/// The most that may be made up for.
pub(super) const CATCH_UP_MAX: u32 = 1_000;

/// What is made of due times that have passed while nobody could fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// Nothing is fired more than a minute late.
    None,
    /// The latest of them is fired.
    Latest,
    /// Each is, the oldest first; of more than so many, the latest.
    All(u32),
}

/// Due times that have passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passed {
    /// Those to be fired, the oldest first.
    pub(super) fires: Vec<Timestamp>,
    /// Those that are not, so many at least.
    pub(super) missed: u64,
    /// The last of these.
    pub(super) last_missed: Option<Timestamp>,
    /// The first that has not passed.
    pub(super) next: Option<Timestamp>,
}

/// What has passed at `now` from `first` on; `fire_at` says when a due time is to be fired.
pub(super) fn passed(
    times: &DueTimes,
    first: Timestamp,
    now: Timestamp,
    policy: CatchUp,
    fire_at: impl Fn(Timestamp) -> Timestamp,
) -> Result<Passed, TooFar> {
    let keep = match policy {
        CatchUp::None => CATCH_UP_MAX,
        CatchUp::Latest => 1,
        CatchUp::All(most) => most.clamp(1, CATCH_UP_MAX),
    };
    let mut kept = VecDeque::new();
    let mut found = Passed {
        fires: Vec::new(),
        missed: 0,
        last_missed: None,
        next: Some(first),
    };
    let mut counted = 0;
    while let Some(due) = found.next.filter(|due| fire_at(*due) <= now) {
        kept.push_back(due);
        counted += 1;
        if kept.len() > keep as usize {
            found.missed += 1;
            found.last_missed = kept.pop_front();
        }
        found.next = times.next_after(due)?;
        if counted == COUNTED_MAX {
            found.next = late(times, found.next, now, keep)?;
        }
        if counted == LOOKED_AT_MAX {
            found.next = times.next_after(now)?;
        }
    }
    if policy == CatchUp::None {
        while let Some(due) = kept.front().copied()
            && now.since(fire_at(due)) > LATE
        {
            found.missed += 1;
            found.last_missed = kept.pop_front();
        }
    }
    found.fires = kept.into();
    Ok(found)
}

/// A due time, not before `next`, with at least `keep` others behind it that have passed, if there
/// are so many; without looking at all that come before it.
fn late(
    times: &DueTimes,
    next: Option<Timestamp>,
    now: Timestamp,
    keep: u32,
) -> Result<Option<Timestamp>, TooFar> {
    let Some(next) = next else {
        return Ok(None);
    };
    let mut window = LATE;
    loop {
        let begin = now.minus(window);
        if begin <= next {
            return Ok(Some(next));
        }
        let first = times.next_after(begin)?;
        let (mut at, mut count) = (first, 0);
        while let Some(due) = at.filter(|due| *due <= now && count <= keep) {
            count += 1;
            at = times.next_after(due)?;
        }
        if count > keep {
            return Ok(first);
        }
        window *= 2;
    }
}
