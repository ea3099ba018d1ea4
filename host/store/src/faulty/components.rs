//! Components behind a policy.

use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::ids::{Digest, TypeId};
use taskhost_model::time::Timestamp;

use super::Faulty;
use crate::components::{Approval, ComponentStore, Paused, Version};
use crate::error::StoreError;

#[async_trait]
impl ComponentStore for Faulty<dyn ComponentStore> {
    async fn put(&self, version: &Version, bytes: Arc<[u8]>) -> Result<bool, StoreError> {
        let work = self.inner.put(version, bytes);
        self.write("components.put", work).await
    }

    async fn get(&self, digest: &Digest) -> Result<Option<Version>, StoreError> {
        self.read("components.get", self.inner.get(digest)).await
    }

    async fn bytes(&self, digest: &Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.read("components.bytes", self.inner.bytes(digest))
            .await
    }

    async fn list(&self) -> Result<Vec<Version>, StoreError> {
        self.read("components.list", self.inner.list()).await
    }

    async fn activate(
        &self,
        digest: &Digest,
        at: Timestamp,
        approval: Option<&Approval>,
    ) -> Result<(), StoreError> {
        let work = self.inner.activate(digest, at, approval);
        self.write("components.activate", work).await
    }

    async fn sign(&self, digest: &Digest, signed_by: &str) -> Result<(), StoreError> {
        let work = self.inner.sign(digest, signed_by);
        self.write("components.sign", work).await
    }

    async fn retire(&self, digest: &Digest) -> Result<(), StoreError> {
        let work = self.inner.retire(digest);
        self.write("components.retire", work).await
    }

    async fn delete(&self, digest: &Digest) -> Result<bool, StoreError> {
        let work = self.inner.delete(digest);
        self.write("components.delete", work).await
    }

    async fn set_paused(
        &self,
        type_id: &TypeId,
        paused: Option<&Paused>,
    ) -> Result<(), StoreError> {
        let work = self.inner.set_paused(type_id, paused);
        self.write("components.set_paused", work).await
    }

    async fn paused(&self) -> Result<Vec<(TypeId, Paused)>, StoreError> {
        self.read("components.paused", self.inner.paused()).await
    }
}
