//! Checkpoints.

use taskhost_clients::error::ClientError;

use super::generated::taskhost::task::state;
use super::waited;
use crate::state::GuestState;

impl state::Host for GuestState {
    async fn save(
        &mut self,
        key: String,
        value: Vec<u8>,
        schema_version: u32,
    ) -> Result<(), ClientError> {
        let brought = key.len() + value.len();
        let saved = self.clients.state.save(&key, value, schema_version);
        waited((&self.meter, &self.memory), brought, saved).await
    }

    async fn load(&mut self, key: String) -> Result<Option<state::Checkpoint>, ClientError> {
        let load = self.clients.state.load(&key);
        let loaded = waited((&self.meter, &self.memory), key.len(), load).await?;
        Ok(loaded.map(|checkpoint| state::Checkpoint {
            value: checkpoint.value.to_vec(),
            schema_version: checkpoint.schema_version,
        }))
    }

    async fn delete(&mut self, key: String) -> Result<(), ClientError> {
        let delete = self.clients.state.delete(&key);
        waited((&self.meter, &self.memory), key.len(), delete).await
    }
}
