//! Language models.

use taskhost_clients::error::ClientError;

use super::generated::taskhost::task::{inference, types};
use crate::state::GuestState;

impl inference::Host for GuestState {
    async fn complete(&mut self, request: String) -> Result<String, ClientError> {
        let answer = self.clients.inference.complete(request);
        self.meter.in_host(answer).await
    }

    async fn complete_many(
        &mut self,
        requests: Vec<String>,
    ) -> Result<Vec<Result<String, types::Error>>, ClientError> {
        let answers = self.clients.inference.complete_many(requests);
        let answers = self.meter.in_host(answers).await?;
        let each = answers.into_iter().map(|one| one.map_err(Into::into));
        Ok(each.collect())
    }

    async fn embed(&mut self, request: String) -> Result<Vec<Vec<f32>>, ClientError> {
        let vectors = self.clients.inference.embed(request);
        self.meter.in_host(vectors).await
    }

    async fn budget_remaining(&mut self) -> wasmtime::Result<Option<u64>> {
        Ok(self.clients.inference.budget_remaining())
    }
}
