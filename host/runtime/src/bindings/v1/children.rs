//! Runs of other task types.

use taskhost_clients::error::ClientError;

use super::generated::taskhost::task::children;
use crate::state::GuestState;

impl children::Host for GuestState {
    async fn spawn(
        &mut self,
        _: String,
        _: String,
        _: String,
        _: Option<String>,
    ) -> Result<String, ClientError> {
        Err(ClientError::denied("not there yet"))
    }

    async fn status(&mut self, _: String) -> Result<String, ClientError> {
        Err(ClientError::denied("not there yet"))
    }

    async fn wait_any(&mut self, _: Vec<String>, _: u64) -> Result<Option<String>, ClientError> {
        Err(ClientError::denied("not there yet"))
    }

    async fn cancel(&mut self, _: String) -> Result<(), ClientError> {
        Err(ClientError::denied("not there yet"))
    }
}
