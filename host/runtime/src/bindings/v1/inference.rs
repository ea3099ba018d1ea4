//! Language models.

use taskhost_clients::error::ClientError;

use super::generated::taskhost::task::{inference, types};
use super::{bytes_of, waited};
use crate::state::GuestState;

impl inference::Host for GuestState {
    async fn complete(&mut self, request: String) -> Result<String, ClientError> {
        let call = self.call("inference.complete", &(&request,));
        let brought = request.len();
        let answer = self.clients.inference.complete(request);
        let answer = waited((&self.meter, &self.memory), brought, answer);
        call.answer(&self.meter, answer).await
    }

    async fn complete_many(
        &mut self,
        requests: Vec<String>,
    ) -> Result<Vec<Result<String, types::Error>>, ClientError> {
        let call = self.call("inference.complete-many", &(&requests,));
        let brought = bytes_of(&requests, String::len);
        let answers = self.clients.inference.complete_many(requests);
        let answers = waited((&self.meter, &self.memory), brought, answers);
        let answers = call.answer(&self.meter, answers).await?;
        let each = answers.into_iter().map(|one| one.map_err(Into::into));
        Ok(each.collect())
    }

    async fn embed(&mut self, request: String) -> Result<inference::Embeddings, ClientError> {
        let call = self.call("inference.embed", &(&request,));
        let brought = request.len();
        let embeddings = self.clients.inference.embed(request);
        let embeddings = waited((&self.meter, &self.memory), brought, embeddings);
        let embeddings = call.answer(&self.meter, embeddings).await?;
        Ok(inference::Embeddings {
            vectors: embeddings.vectors,
            details: Some(embeddings.details),
        })
    }

    async fn budget_remaining(&mut self, model: Option<String>) -> wasmtime::Result<Option<u64>> {
        let call = self.call("inference.budget-remaining", &(&model,));
        let left = async { self.clients.inference.budget_remaining(model.as_deref()) };
        Ok(call.answer(&self.meter, left).await)
    }
}
