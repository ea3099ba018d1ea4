//! Outbound HTTP.

use taskhost_clients::error::ClientError;

use super::generated::taskhost::task::{http, types};
use crate::state::GuestState;

impl http::Host for GuestState {
    async fn send(&mut self, _: http::Request) -> Result<http::Response, ClientError> {
        Err(ClientError::denied("not there yet"))
    }

    async fn send_many(
        &mut self,
        _: Vec<http::Request>,
    ) -> Result<Vec<Result<http::Response, types::Error>>, ClientError> {
        Err(ClientError::denied("not there yet"))
    }
}
