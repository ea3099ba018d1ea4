//! Placeholders of secrets.

use taskhost_clients::error::ClientError;

use super::generated::taskhost::task::secrets;
use crate::state::GuestState;

impl secrets::Host for GuestState {
    async fn placeholder(&mut self, name: String) -> Result<String, ClientError> {
        self.clients.secrets.placeholder(&name)
    }
}
