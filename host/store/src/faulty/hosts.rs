//! Hosts behind a policy.

use async_trait::async_trait;
use taskhost_model::ids::{Incarnation, Space};
use taskhost_model::task::Task;

use super::Faulty;
use crate::error::StoreError;
use crate::hosts::{Beat, Changed, Host, HostStore, Hosts};

#[async_trait]
impl HostStore for Faulty<dyn HostStore> {
    async fn beat(&self, host: &Host) -> Result<Beat, StoreError> {
        self.write("hosts.beat", self.inner.beat(host)).await
    }

    async fn list(&self) -> Result<Hosts, StoreError> {
        self.read("hosts.list", self.inner.list()).await
    }

    async fn find(&self, incarnation: Incarnation) -> Result<Option<Host>, StoreError> {
        self.read("hosts.find", self.inner.find(incarnation)).await
    }

    async fn declare_lost(
        &self,
        incarnation: Incarnation,
        seen_beat: u64,
    ) -> Result<bool, StoreError> {
        let work = self.inner.declare_lost(incarnation, seen_beat);
        self.write("hosts.declare_lost", work).await
    }

    async fn remove(&self, incarnation: Incarnation) -> Result<(), StoreError> {
        let work = self.inner.remove(incarnation);
        self.write("hosts.remove", work).await
    }

    async fn holders(&self) -> Result<Vec<Incarnation>, StoreError> {
        self.read("hosts.holders", self.inner.holders()).await
    }

    async fn held_by(
        &self,
        incarnation: Incarnation,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        let work = self.inner.held_by(incarnation, limit);
        self.read("hosts.held_by", work).await
    }

    async fn to_stop(
        &self,
        incarnation: Incarnation,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        let work = self.inner.to_stop(incarnation, limit);
        self.read("hosts.to_stop", work).await
    }

    async fn changed(
        &self,
        spaces: &[Space],
        after: Option<u64>,
        limit: usize,
    ) -> Result<Changed, StoreError> {
        let work = self.inner.changed(spaces, after, limit);
        self.read("hosts.changed", work).await
    }

    async fn types_changed(&self) -> Result<(), StoreError> {
        let work = self.inner.types_changed();
        self.write("hosts.types_changed", work).await
    }
}
