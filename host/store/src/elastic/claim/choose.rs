//! Which of the runs that are due a claim takes: the types in turn, within a type in order, and of
//! each concurrency key as many as it allows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use taskhost_model::ids::TaskKey;
use taskhost_model::time::Timestamp;

use super::share::Share;
use crate::elastic::Elastic;
use crate::elastic::hot::{Current, Hot};
use crate::elastic::recent::{Known, Turn, turn};
use crate::elastic::search::Due;
use crate::error::StoreError;
use crate::queue::ClaimableType;

/// At least so many are looked at, and at most so many at once.
const PAGE_MIN: usize = 64;
const PAGE_MAX: usize = 1_000;
/// So many pages are looked at; a lane that was found full is not looked at again.
const PAGES_MAX: usize = 64;

/// A host that knows of runs which are due takes those, and looks no more often for others. A
/// search does not show what was written within a second before it; but all that has gone since.
const SEARCH_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// So long searches do not show a new run: until the index is refreshed.
const HIDDEN_FOR: Duration = Duration::from_secs(1);

/// The last search.
#[derive(Debug, Default)]
pub(in crate::elastic) struct Searched(Mutex<Option<Last>>);

#[derive(Debug)]
struct Last {
    begun: Instant,
    /// It has shown runs that this host did not know of, and has not taken.
    has_left: bool,
}

impl Searched {
    /// There are runs that go before what comes now.
    pub(in crate::elastic) fn has_left(&self) -> bool {
        self.last().as_ref().is_some_and(|last| last.has_left)
    }

    /// It was just looked, and there was nothing that this host did not know of.
    fn is_enough(&self) -> bool {
        let last = self.last();
        let fresh = last
            .as_ref()
            .filter(|last| last.begun.elapsed() < SEARCH_AGAIN_AFTER);
        fresh.is_some_and(|last| !last.has_left)
    }

    fn put(&self, begun: Instant, has_left: bool) {
        *self.last() = Some(Last { begun, has_left });
    }

    fn last(&self) -> MutexGuard<'_, Option<Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run to take, for a type that wants it.
pub(super) type Choice<'a> = (&'a ClaimableType, Current);

/// The queue of one type, as far as it was looked at.
struct Queue<'a> {
    wanted: &'a ClaimableType,
    /// What may be taken, in order.
    found: BTreeMap<Turn, Current>,
    /// Everything that was looked at.
    seen: BTreeSet<TaskKey>,
    after: Option<Turn>,
    is_at_end: bool,
    /// Room in lanes that were looked at.
    rooms: HashMap<String, u64>,
}

impl Elastic {
    /// The next runs to take, `limit` at most.
    pub(super) async fn choose<'a>(
        &self,
        wanted: &[&'a ClaimableType],
        (share, limit): (&Share, usize),
        now: Timestamp,
    ) -> Result<Vec<Choice<'a>>, StoreError> {
        let mut queues: Vec<Queue<'a>> = wanted.iter().map(|wanted| Queue::new(wanted)).collect();
        for queue in &mut queues {
            self.look_at_recent(queue, limit, now).await?;
        }
        let is_any_found = queues.iter().any(|queue| !queue.found.is_empty());
        let is_to_search = !is_any_found || !self.searched.is_enough();
        let begun = Instant::now();
        let mut known = BTreeSet::new();
        if is_to_search {
            known.extend(queues.iter().flat_map(|queue| queue.seen.clone()));
            self.look_at_search(&mut queues, (share, limit), now)
                .await?;
        }
        let is_own = |hot: &Hot| share.has_run(hot) || self.is_hidden(hot, now);
        let (chosen, left) = in_turn(queues, limit, |found| {
            if share.hosts() > 1 {
                found.sort_by_cached_key(|it| (it.hot.task.run.rank, !is_own(&it.hot)));
            }
        });
        if is_to_search {
            let has_left = left.iter().any(|it| !known.contains(&it.hot.key()));
            self.searched.put(begun, has_left);
        }
        for current in left {
            // Who stands behind it in its lane was not looked at for its sake.
            if let Some(lane) = current.hot.lane() {
                self.blocked.look_again(&lane);
            }
        }
        Ok(chosen)
    }

    /// Takes in what a search shows, until it is enough.
    async fn look_at_search(
        &self,
        queues: &mut [Queue<'_>],
        (share, limit): (&Share, usize),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // Enough that as many as are wanted belong to this host.
        let mut size = (limit * 2 * share.hosts()).clamp(PAGE_MIN, PAGE_MAX);
        for _ in 0..PAGES_MAX {
            let mut unfinished: Vec<_> = queues.iter_mut().filter(|it| !it.is_at_end).collect();
            if unfinished.is_empty() {
                break;
            }
            let due: Vec<Due<'_>> = unfinished.iter().map(|queue| self.due(queue)).collect();
            let pages = self.search_due(&due, now, size).await?;
            for (queue, page) in unfinished.iter_mut().zip(pages) {
                queue.after = page.last().map(|last| turn(&last.hot)).or(queue.after);
                let is_last = page.len() < size;
                self.look_at(queue, page, now).await?;
                queue.is_at_end = is_last || queue.has_enough(limit);
            }
            // What comes next is mostly what others have taken and the search still shows.
            size = PAGE_MAX;
        }
        Ok(())
    }

    /// Whether no other host can see this run yet: it was scheduled here a moment ago. Whoever it
    /// belongs to, it would wait for nothing.
    fn is_hidden(&self, hot: &Hot, now: Timestamp) -> bool {
        let age = now.since(hot.task.created_at);
        age < HIDDEN_FOR && self.recent.get(&hot.key()).is_some()
    }

    fn due<'b>(&self, queue: &Queue<'b>) -> Due<'b> {
        Due {
            type_id: &queue.wanted.type_id,
            without: self.without(queue.wanted),
            after: queue.after,
        }
    }

    fn without(&self, wanted: &ClaimableType) -> Vec<String> {
        wanted
            .runs_per_key
            .map(|most| self.blocked.of(most))
            .unwrap_or_default()
    }

    /// What this host has written itself and no search may show yet.
    async fn look_at_recent(
        &self,
        queue: &mut Queue<'_>,
        limit: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        loop {
            let without: BTreeSet<String> = self.without(queue.wanted).into_iter().collect();
            let is_new = |hot: &Hot| {
                let is_blocked = || hot.lane().is_some_and(|lane| without.contains(&lane));
                !queue.seen.contains(&hot.key()) && (hot.task.holds_key() || !is_blocked())
            };
            let size = limit.max(PAGE_MIN);
            let page = self.recent.due(&queue.wanted.type_id, now, size, is_new);
            let is_last = page.len() < size;
            self.look_at(queue, page, now).await?;
            if is_last || queue.found.len() >= limit {
                return Ok(());
            }
        }
    }

    /// Takes in what may be claimed of a page.
    async fn look_at(
        &self,
        queue: &mut Queue<'_>,
        page: Vec<Current>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut fresh = Vec::new();
        for current in page {
            let key = current.hot.key();
            let is_stale = matches!(self.recent.knows(&key, current.seen), Known::Newer);
            if !is_stale && current.hot.is_due(now) && queue.seen.insert(key) {
                fresh.push(current);
            }
        }
        self.look_at_lanes(queue, &fresh, now).await?;
        fresh.sort_by_key(|current| turn(&current.hot));
        for current in fresh {
            let lane = current.hot.lane().filter(|_| !current.hot.task.holds_key());
            let Some((lane, most)) = lane.zip(queue.wanted.runs_per_key) else {
                queue.found.insert(turn(&current.hot), current);
                continue;
            };
            let room = queue.rooms.get_mut(&lane);
            match room.filter(|room| **room > 0) {
                Some(room) => {
                    *room -= 1;
                    queue.found.insert(turn(&current.hot), current);
                }
                None => self.blocked.put(&lane, most),
            }
        }
        Ok(())
    }

    /// Looks how much room there is in the lanes of these. Those in a lane that have entered it and
    /// were not claimed have their place there, and are taken in at once.
    async fn look_at_lanes(
        &self,
        queue: &mut Queue<'_>,
        page: &[Current],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if queue.wanted.runs_per_key.is_none() {
            return Ok(());
        }
        let lanes = page.iter().filter(|current| !current.hot.task.holds_key());
        let lanes: BTreeSet<String> = lanes.filter_map(|current| current.hot.lane()).collect();
        let new = lanes
            .into_iter()
            .filter(|lane| !queue.rooms.contains_key(lane));
        let new: Vec<String> = new.collect();
        let looked = join_all(new.iter().map(|lane| self.lane(lane))).await;
        for (name, lane) in new.into_iter().zip(looked) {
            let lane = lane?;
            let entered = lane.entered.iter().filter(|it| it.hot.is_due(now));
            let mut room = lane.room(queue.wanted.runs_per_key);
            for current in entered {
                if page.iter().any(|it| it.hot.key() == current.hot.key()) {
                    // It comes by itself, and needs no room.
                    room += 1;
                } else if queue.seen.insert(current.hot.key()) {
                    queue.found.insert(turn(&current.hot), current.clone());
                }
            }
            queue.rooms.insert(name, room);
        }
        Ok(())
    }

    /// Enters those that need a place in a lane; answers those that may be taken.
    pub(super) async fn enter_all<'a>(
        &self,
        chosen: Vec<Choice<'a>>,
    ) -> Result<Vec<Choice<'a>>, StoreError> {
        let mut by_lane: BTreeMap<String, Vec<Choice<'a>>> = BTreeMap::new();
        let mut order = Vec::new();
        let mut admitted = HashMap::new();
        for (wanted, current) in chosen {
            order.push(current.hot.key());
            match current.hot.lane().filter(|_| !current.hot.task.holds_key()) {
                Some(lane) => by_lane.entry(lane).or_default().push((wanted, current)),
                None => {
                    admitted.insert(current.hot.key(), (wanted, current));
                }
            }
        }
        let entering = by_lane.into_iter().map(|(lane, choices)| async move {
            let wanted = choices.first().map(|(wanted, _)| *wanted);
            let most = wanted.and_then(|wanted| wanted.runs_per_key);
            let entered: Vec<Current> = choices.into_iter().map(|(_, current)| current).collect();
            (wanted, self.enter(&lane, most, entered).await)
        });
        for (wanted, entered) in join_all(entering).await {
            for current in entered? {
                if let Some(wanted) = wanted {
                    admitted.insert(current.hot.key(), (wanted, current));
                }
            }
        }
        let in_order = order.iter().filter_map(|key| admitted.remove(key));
        Ok(in_order.collect())
    }
}

impl<'a> Queue<'a> {
    fn new(wanted: &'a ClaimableType) -> Self {
        Self {
            wanted,
            found: BTreeMap::new(),
            seen: BTreeSet::new(),
            after: None,
            is_at_end: false,
            rooms: HashMap::new(),
        }
    }

    /// Whether the first `limit` are known: nothing that is searched later goes before them.
    fn has_enough(&self, limit: usize) -> bool {
        let Some(after) = self.after else {
            return false;
        };
        self.found.range(..=after).count() >= limit
    }
}

/// One of each type in turn; and what is left. Of a type in order, or as it is arranged.
fn in_turn<'a>(
    queues: Vec<Queue<'a>>,
    limit: usize,
    arrange: impl Fn(&mut Vec<Current>),
) -> (Vec<Choice<'a>>, Vec<Current>) {
    let in_order = |queue: Queue<'_>| {
        let mut found: Vec<Current> = queue.found.into_values().collect();
        arrange(&mut found);
        found.into_iter()
    };
    let mut queues: Vec<_> = queues
        .into_iter()
        .map(|queue| (queue.wanted, in_order(queue)))
        .collect();
    let mut chosen = Vec::new();
    loop {
        let before = chosen.len();
        for (wanted, queue) in &mut queues {
            if chosen.len() < limit {
                chosen.extend(queue.next().map(|current| (*wanted, current)));
            }
        }
        if chosen.len() == before {
            return (
                chosen,
                queues.into_iter().flat_map(|(_, queue)| queue).collect(),
            );
        }
    }
}
