//! Sends requests as they are given, and says what came back: `{"requests": [{method?, url,
//! headers?, body?, timeout_ms?}]}`, several at once with `"many"`. `{secret}` in a header stands
//! for the placeholder of the secret `key`, `{other}` for that of one which it does not ask for. It
//! asks for two origins on this machine, whose ports a test puts into its bytes.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_guests::guest;
use taskhost_guests::taskhost_sdk::{Clients, Error, HttpRequest, HttpResponse};

#[derive(Deserialize, JsonSchema)]
struct Params {
    requests: Vec<One>,
    #[serde(default)]
    many: bool,
}

#[derive(Deserialize, JsonSchema)]
struct One {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    timeout_ms: Option<u64>,
}

fn get() -> String {
    "GET".to_owned()
}

fn run(params: Params, clients: &Clients) -> Result<Value, Error> {
    let requests = params.requests.into_iter().map(|one| request(one, clients));
    let requests = requests.collect::<Result<Vec<_>, _>>();
    let answers = match requests {
        Err(error) => vec![Err(error)],
        Ok(requests) if params.many => clients.http.send_many(requests)?,
        Ok(requests) => {
            let answers = requests
                .into_iter()
                .map(|request| clients.http.send(request));
            answers.collect()
        }
    };
    if answers
        .iter()
        .flat_map(|answer| answer.as_ref().err())
        .any(Error::is_canceled)
    {
        return Err(Error::failed("canceled", "as it was asked"));
    }
    Ok(json!({"answers": answers.into_iter().map(told).collect::<Vec<_>>()}))
}

fn request(one: One, clients: &Clients) -> Result<HttpRequest, Error> {
    let mut request = HttpRequest::new(one.method, one.url);
    for (name, mut value) in one.headers {
        for (mark, secret) in [("{secret}", "key"), ("{other}", "other")] {
            if value.contains(mark) {
                value = value.replace(mark, &clients.secrets.placeholder(secret)?);
            }
        }
        request = request.header(name, value);
    }
    if let Some(body) = one.body {
        request = request.body(body);
    }
    if let Some(ms) = one.timeout_ms {
        request = request.timeout(Duration::from_millis(ms));
    }
    Ok(request)
}

fn told(answer: Result<HttpResponse, Error>) -> Value {
    match answer {
        Ok(response) => json!({
            "status": response.status(),
            "headers": response.headers(),
            "body": response.text(),
        }),
        Err(error) => json!({
            "code": error.code(),
            "message": error.message(),
            "retryable": error.is_retryable(),
        }),
    }
}

guest!("sends", Params, run, |descriptor| descriptor
    .http("http://127.0.0.1:10001", &["GET", "POST"], "/open/")
    .http("http://127.0.0.1:10002", &["GET", "POST"], "/")
    .http("http://10.0.0.1", &["GET"], "/")
    .secret("key")
    .grace_ms(5_000));
