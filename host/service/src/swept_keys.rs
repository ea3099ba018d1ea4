//! The sweeper's part in the keys of runs: which lives of hosts are over.

use std::collections::HashSet;

use taskhost_model::ids::Incarnation;
use taskhost_store::error::StoreError;
use taskhost_store::hosts::HostStore;

use crate::core::Core;

impl Core {
    /// Ends the keys that nobody holds: those that this host has made, and, where it sweeps for
    /// all, those of hosts that are gone; how many.
    pub(crate) async fn sweep_keys(&self, is_for_all: bool) -> Result<u64, StoreError> {
        let Some(keys) = &self.run_keys else {
            return Ok(0);
        };
        let own = keys.end_own().await?;
        if !is_for_all {
            return Ok(own);
        }
        let mut left = keys.of_others().await?;
        if let Some(hosts) = &self.hosts {
            let lives: HashSet<Incarnation> = left.iter().map(|key| key.shared_by).collect();
            let mut over = HashSet::new();
            for life in lives {
                if self.is_over(&**hosts, life).await? {
                    over.insert(life);
                }
            }
            left.retain(|key| over.contains(&key.shared_by));
        }
        // Where no other process can use the store, every other life is over.
        Ok(own + keys.end_left(&left).await?)
    }

    /// Whether another life of a host is lost or gone.
    pub(crate) async fn is_over(
        &self,
        hosts: &dyn HostStore,
        incarnation: Incarnation,
    ) -> Result<bool, StoreError> {
        if self.peers.is_alive(incarnation) {
            return Ok(false);
        }
        // One that has just come may not be listed yet.
        let found = hosts.find(incarnation).await?;
        Ok(found.is_none_or(|host| host.is_lost))
    }
}
