//! Hosts in memory: services over one store are as many hosts, for tests.

use async_trait::async_trait;
use taskhost_model::ids::{Incarnation, Space};
use taskhost_model::task::Task;

use super::{Content, Entry, Memory};
use crate::error::StoreError;
use crate::hosts::{Beat, Changed, Host, HostStore, Hosts, holders_of, is_to_stop};
use crate::place::Place;

#[async_trait]
impl HostStore for Memory {
    async fn beat(&self, host: &Host) -> Result<Beat, StoreError> {
        let hosts = &mut self.content()?.hosts.lives;
        match hosts.iter_mut().find(|it| is_life(it, host.incarnation)) {
            Some(stored) if stored.is_lost => return Ok(Beat::Lost),
            Some(stored) => *stored = host.clone(),
            None if host.beat > 1 => return Ok(Beat::Lost),
            None => hosts.push(host.clone()),
        }
        hosts.sort_by(|a, b| a.host.cmp(&b.host));
        Ok(Beat::Written)
    }

    async fn list(&self) -> Result<Hosts, StoreError> {
        Ok(self.content()?.hosts.clone())
    }

    async fn find(&self, incarnation: Incarnation) -> Result<Option<Host>, StoreError> {
        let content = self.content()?;
        let mut lives = content.hosts.lives.iter();
        Ok(lives.find(|host| is_life(host, incarnation)).cloned())
    }

    async fn declare_lost(
        &self,
        incarnation: Incarnation,
        seen_beat: u64,
    ) -> Result<bool, StoreError> {
        let mut content = self.content()?;
        let mut lives = content.hosts.lives.iter_mut();
        let Some(host) = lives.find(|host| is_life(host, incarnation)) else {
            return Ok(true);
        };
        host.is_lost |= host.beat == seen_beat;
        Ok(host.is_lost)
    }

    async fn remove(&self, incarnation: Incarnation) -> Result<(), StoreError> {
        let lives = &mut self.content()?.hosts.lives;
        lives.retain(|host| !is_life(host, incarnation));
        Ok(())
    }

    async fn holders(&self) -> Result<Vec<Incarnation>, StoreError> {
        let content = self.content()?;
        let mut holders = Vec::new();
        for incarnation in content.at(Place::Held).flat_map(|it| holders_of(&it.task)) {
            if !holders.contains(&incarnation) {
                holders.push(incarnation);
            }
        }
        Ok(holders)
    }

    async fn held_by(
        &self,
        incarnation: Incarnation,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        let content = self.content()?;
        Ok(content.held_by(incarnation).take(limit).cloned().collect())
    }

    async fn to_stop(
        &self,
        incarnation: Incarnation,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        let content = self.content()?;
        let to_stop = content.held_by(incarnation).filter(|task| is_to_stop(task));
        Ok(to_stop.take(limit).cloned().collect())
    }

    async fn changed(
        &self,
        spaces: &[Space],
        after: Option<u64>,
        limit: usize,
    ) -> Result<Changed, StoreError> {
        let content = self.content()?;
        let last = content.last_write;
        let Some(after) = after else {
            let tasks = Vec::new();
            return Ok(Changed { tasks, last });
        };
        let of_space = |entry: &&Entry| spaces.contains(&entry.task.space);
        let entries = content.tasks.values().filter(of_space);
        let mut changed: Vec<&Entry> = entries.filter(|entry| entry.write > after).collect();
        changed.sort_by_key(|entry| entry.write);
        changed.truncate(limit);
        Ok(Changed {
            last: changed.last().map_or(after, |entry| entry.write),
            tasks: changed
                .into_iter()
                .map(|entry| entry.task.clone())
                .collect(),
        })
    }

    async fn types_changed(&self) -> Result<(), StoreError> {
        self.content()?.hosts.types_version += 1;
        Ok(())
    }
}

impl Content {
    fn held_by(&self, incarnation: Incarnation) -> impl Iterator<Item = &Task> {
        let held = self.at(Place::Held).map(|entry| &entry.task);
        held.filter(move |task| holders_of(task).any(|it| it == incarnation))
    }
}

fn is_life(host: &Host, incarnation: Incarnation) -> bool {
    host.incarnation == incarnation
}
