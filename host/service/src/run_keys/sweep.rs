//! Ends keys that nobody holds, and seals anew what was sealed with a former key of the hosts.

use std::collections::HashSet;

use taskhost_model::ids::RunKeyId;
use taskhost_model::time::Timestamp;
use taskhost_store::error::StoreError;
use taskhost_store::run_keys::RunKey;

use super::{Kept, RunKeys};
use crate::key_ring::Purpose;

/// Keys that are asked about and ended in one go.
const AT_A_TIME: usize = 1_000;
/// Keys that are looked at in one sweep for all.
const LISTED_MAX: usize = 10_000;

impl RunKeys {
    /// Ends what this host has made and nobody holds any more; how many.
    pub(crate) async fn end_own(&self) -> Result<u64, StoreError> {
        let ids: Vec<RunKeyId> = self.lock().keys.keys().copied().collect();
        let mut ended = 0;
        for ids in ids.chunks(AT_A_TIME) {
            let free = self.without_holder(ids).await?;
            let given_up: Vec<RunKeyId> = {
                let now = self.clock.now();
                let mut kept = self.lock();
                let is_given_up = |id: &RunKeyId| kept.give_up(*id, now);
                free.into_iter().filter(is_given_up).collect()
            };
            // A schedule that took it before may have been answered since it was looked for.
            let over = self.without_holder(&given_up).await?;
            let names = {
                let kept = self.lock();
                let name =
                    |id: &RunKeyId| (*id, kept.keys.get(id).and_then(|it| it.granted.clone()));
                over.iter().map(name).collect()
            };
            self.end(names).await?;
            ended += over.len() as u64;
            let mut kept = self.lock();
            over.iter().for_each(|id| drop(kept.keys.remove(id)));
        }
        Ok(ended)
    }

    /// What is kept of other lives of hosts, the oldest first. Seals anew what was sealed with a
    /// former key of the hosts.
    pub(crate) async fn of_others(&self) -> Result<Vec<RunKey>, StoreError> {
        let mut all = self.store.list(LISTED_MAX).await?;
        self.seal_anew(&all).await?;
        all.retain(|key| !self.lease.is_of(key.shared_by));
        Ok(all)
    }

    /// Ends those of these that nobody holds, and nobody shares any more; how many.
    pub(crate) async fn end_left(&self, left: &[RunKey]) -> Result<u64, StoreError> {
        let mut ended = 0;
        for left in left.chunks(AT_A_TIME) {
            let ids: Vec<RunKeyId> = left.iter().map(|key| key.id).collect();
            let free: HashSet<RunKeyId> = self.without_holder(&ids).await?.into_iter().collect();
            let free = left.iter().filter(|key| free.contains(&key.id));
            let names: Vec<_> = free.map(|key| (key.id, key.granted.clone())).collect();
            ended += names.len() as u64;
            self.end(names).await?;
        }
        Ok(ended)
    }

    /// Those that no unfinished run holds.
    async fn without_holder(&self, ids: &[RunKeyId]) -> Result<Vec<RunKeyId>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let held: HashSet<RunKeyId> = self.store.held(ids).await?.into_iter().collect();
        Ok(ids
            .iter()
            .copied()
            .filter(|id| !held.contains(id))
            .collect())
    }

    /// What is forgotten is ended before: what fails between is done again.
    async fn end(&self, keys: Vec<(RunKeyId, Option<String>)>) -> Result<(), StoreError> {
        let (ids, granted): (Vec<RunKeyId>, Vec<Option<String>>) = keys.into_iter().unzip();
        let granted: Vec<String> = granted.into_iter().flatten().collect();
        if !granted.is_empty() {
            self.authority.invalidate(&granted).await?;
        }
        if !ids.is_empty() {
            self.store.remove(&ids).await?;
        }
        Ok(())
    }

    async fn seal_anew(&self, keys: &[RunKey]) -> Result<(), StoreError> {
        for key in keys.iter().filter(|key| !self.ring.is_current(&key.sealed)) {
            let place = key.id.to_string();
            let Ok(text) = self.ring.open(Purpose::RunKey, &place, &key.sealed) else {
                // Another host may have the key to it.
                continue;
            };
            let sealed = self.ring.seal(Purpose::RunKey, &place, &text);
            let sealed = sealed.map_err(|reason| StoreError::Unavailable { reason })?;
            self.store.reseal(key.id, sealed).await?;
        }
        Ok(())
    }
}

impl Kept {
    /// Gives a key to no further run, unless a schedule is on its way that may come to hold it.
    fn give_up(&mut self, id: RunKeyId, now: Timestamp) -> bool {
        let Some(key) = self.keys.get(&id) else {
            return false;
        };
        if key.users > 0 || (key.is_unsure && now < key.shared_until) {
            return false;
        }
        if self.shared.get(&key.credential) == Some(&id) {
            self.shared.remove(&key.credential);
        }
        true
    }
}
