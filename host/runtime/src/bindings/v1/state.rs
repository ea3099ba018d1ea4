//! Checkpoints.

use serde::{Deserialize, Serialize};
use taskhost_clients::encoded;
use taskhost_clients::error::ClientError;

use super::generated::taskhost::task::state;
use super::waited;
use crate::state::GuestState;

/// A checkpoint as a recording has it.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    #[serde(with = "encoded")]
    value: Vec<u8>,
    schema_version: u32,
}

impl state::Host for GuestState {
    async fn save(
        &mut self,
        key: String,
        value: Vec<u8>,
        schema_version: u32,
    ) -> Result<(), ClientError> {
        let brought = key.len() + value.len();
        let kept = Kept {
            value,
            schema_version,
        };
        let call = self.call("state.save", &(&key, &kept));
        let saved = self.clients.state.save(&key, kept.value, schema_version);
        let saved = waited((&self.meter, &self.memory), brought, saved);
        call.answer(&self.meter, saved).await
    }

    async fn load(&mut self, key: String) -> Result<Option<state::Checkpoint>, ClientError> {
        let call = self.call("state.load", &(&key,));
        let load = async {
            let loaded = self.clients.state.load(&key).await?;
            Ok(loaded.map(|checkpoint| Kept {
                value: checkpoint.value.to_vec(),
                schema_version: checkpoint.schema_version,
            }))
        };
        let load = waited((&self.meter, &self.memory), key.len(), load);
        let loaded = call.answer(&self.meter, load).await?;
        Ok(loaded.map(
            |Kept {
                 value,
                 schema_version,
             }| state::Checkpoint {
                value,
                schema_version,
            },
        ))
    }

    async fn delete(&mut self, key: String) -> Result<(), ClientError> {
        let call = self.call("state.delete", &(&key,));
        let delete = self.clients.state.delete(&key);
        let delete = waited((&self.meter, &self.memory), key.len(), delete);
        call.answer(&self.meter, delete).await
    }
}
