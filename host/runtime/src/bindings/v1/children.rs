//! Runs of other task types.

use taskhost_clients::error::ClientError;

use super::generated::taskhost::task::children;
use super::{bytes_of, waited};
use crate::state::GuestState;

impl children::Host for GuestState {
    async fn spawn(
        &mut self,
        key: String,
        task_type: String,
        params: String,
        options: Option<String>,
    ) -> Result<String, ClientError> {
        let options_bytes = options.as_ref().map_or(0, String::len);
        let brought = key.len() + task_type.len() + params.len() + options_bytes;
        let children = &self.clients.children;
        let spawned = children.spawn(&key, &task_type, &params, options.as_deref());
        waited((&self.meter, &self.memory), brought, spawned).await
    }

    async fn status(&mut self, id: String) -> Result<String, ClientError> {
        let status = self.clients.children.status(&id);
        waited((&self.meter, &self.memory), id.len(), status).await
    }

    async fn wait_any(
        &mut self,
        ids: Vec<String>,
        timeout_ms: u64,
    ) -> Result<Option<String>, ClientError> {
        let brought = bytes_of(&ids, String::len);
        let ended = self.clients.children.wait_any(&ids, timeout_ms);
        waited((&self.meter, &self.memory), brought, ended).await
    }

    async fn cancel(&mut self, id: String) -> Result<(), ClientError> {
        let canceled = self.clients.children.cancel(&id);
        waited((&self.meter, &self.memory), id.len(), canceled).await
    }
}
