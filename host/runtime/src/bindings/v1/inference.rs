//! Language models.

use taskhost_clients::error::ClientError;

use super::generated::taskhost::task::{inference, types};
use crate::state::GuestState;

impl inference::Host for GuestState {
    async fn complete(&mut self, _: String) -> Result<String, ClientError> {
        Err(ClientError::denied("not there yet"))
    }

    async fn complete_many(
        &mut self,
        _: Vec<String>,
    ) -> Result<Vec<Result<String, types::Error>>, ClientError> {
        Err(ClientError::denied("not there yet"))
    }

    async fn embed(&mut self, _: String) -> Result<Vec<Vec<f32>>, ClientError> {
        Err(ClientError::denied("not there yet"))
    }

    async fn budget_remaining(&mut self) -> wasmtime::Result<Option<u64>> {
        Ok(None)
    }
}
