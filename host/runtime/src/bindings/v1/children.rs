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
        let call = self.call("children.spawn", &(&key, &task_type, &params, &options));
        let options_bytes = options.as_ref().map_or(0, String::len);
        let brought = key.len() + task_type.len() + params.len() + options_bytes;
        let children = &self.clients.children;
        let spawned = children.spawn(&key, &task_type, &params, options.as_deref());
        let spawned = waited((&self.meter, &self.memory), brought, spawned);
        call.answer(&self.meter, spawned).await
    }

    async fn status(&mut self, id: String) -> Result<String, ClientError> {
        let call = self.call("children.status", &(&id,));
        let status = self.clients.children.status(&id);
        let status = waited((&self.meter, &self.memory), id.len(), status);
        call.answer(&self.meter, status).await
    }

    async fn wait_any(
        &mut self,
        ids: Vec<String>,
        timeout_ms: u64,
    ) -> Result<Option<String>, ClientError> {
        let call = self.call("children.wait-any", &(&ids, timeout_ms));
        let brought = bytes_of(&ids, String::len);
        let ended = self.clients.children.wait_any(&ids, timeout_ms);
        let ended = waited((&self.meter, &self.memory), brought, ended);
        call.answer(&self.meter, ended).await
    }

    async fn cancel(&mut self, id: String) -> Result<(), ClientError> {
        let call = self.call("children.cancel", &(&id,));
        let canceled = self.clients.children.cancel(&id);
        let canceled = waited((&self.meter, &self.memory), id.len(), canceled);
        call.answer(&self.meter, canceled).await
    }
}
