//! Placeholders of secrets.

use taskhost_clients::error::ClientError;

use super::generated::taskhost::task::secrets;
use crate::state::GuestState;

impl secrets::Host for GuestState {
    async fn placeholder(&mut self, name: String) -> Result<String, ClientError> {
        let call = self.call("secrets.placeholder", &(&name,));
        let placeholder = async { self.clients.secrets.placeholder(&name) };
        call.answer(&self.meter, placeholder).await
    }
}
