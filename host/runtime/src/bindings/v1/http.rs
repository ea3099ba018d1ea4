//! Outbound HTTP.

use taskhost_clients::error::ClientError;
use taskhost_clients::http as clients;

use super::generated::taskhost::task::{http, types};
use super::{bytes_of, waited};
use crate::state::GuestState;

impl From<http::Request> for clients::Request {
    fn from(request: http::Request) -> Self {
        let http::Request {
            method,
            url,
            headers,
            body,
            timeout_ms,
            options,
        } = request;
        Self {
            method,
            url,
            headers,
            body,
            timeout_ms,
            options,
        }
    }
}

impl From<clients::Response> for http::Response {
    fn from(response: clients::Response) -> Self {
        let clients::Response {
            status,
            headers,
            body,
            url,
        } = response;
        Self {
            status,
            headers,
            body,
            details: Some(serde_json::json!({"url": url}).to_string()),
        }
    }
}

impl http::Host for GuestState {
    async fn send(&mut self, request: http::Request) -> Result<http::Response, ClientError> {
        let request = clients::Request::from(request);
        let call = self.call("http.send", &(&request,));
        let brought = request.bytes();
        let answer = self.clients.http.send(request);
        let answer = waited((&self.meter, &self.memory), brought, answer);
        Ok(call.answer(&self.meter, answer).await?.into())
    }

    async fn send_many(
        &mut self,
        requests: Vec<http::Request>,
    ) -> Result<Vec<Result<http::Response, types::Error>>, ClientError> {
        let requests: Vec<clients::Request> = requests.into_iter().map(Into::into).collect();
        let call = self.call("http.send-many", &(&requests,));
        let brought = bytes_of(&requests, clients::Request::bytes);
        let answers = self.clients.http.send_many(requests);
        let answers = waited((&self.meter, &self.memory), brought, answers);
        let answers = call.answer(&self.meter, answers).await?;
        let each = answers
            .into_iter()
            .map(|one| one.map(Into::into).map_err(Into::into));
        Ok(each.collect())
    }
}
