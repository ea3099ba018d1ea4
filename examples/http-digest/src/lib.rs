//! Fetches a document and answers with its sha256, so that somebody can see when it changes.
//!
//! An operator allows it what it asks for, and sets its secret up:
//!
//! ```toml
//! [[allow]]
//! type = "http-digest"
//! http = [{ origin = "https://example.org" }, { origin = "http://127.0.0.1:18080" }]
//! secrets = ["http-digest-token"]
//!
//! [secrets.http-digest-token]
//! env = "HTTP_DIGEST_TOKEN"
//! origins = ["http://127.0.0.1:18080"]
//!
//! [outbound]
//! open_networks = ["127.0.0.1/32"]
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use taskhost_sdk::{Clients, Descriptor, Error, HttpRequest, Task};

/// By what name the operator sets it up.
const TOKEN: &str = "http-digest-token";

/// What to fetch.
#[derive(Deserialize, JsonSchema)]
struct Params {
    /// Below `https://example.org`, or `http://127.0.0.1:18080`.
    url: String,
    /// Whether the server wants to know who asks.
    #[serde(default)]
    with_token: bool,
}

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Outcome {
    /// What the server answered with: `200` and so on.
    status: u16,
    /// Of the answer's body, in hexadecimal digits.
    sha256: String,
}

struct HttpDigest;

impl Task for HttpDigest {
    type Params = Params;
    type Result = Outcome;

    fn descriptor() -> Descriptor {
        Descriptor::new("http-digest", "1.0.0")
            .title("Digest of a document on the web")
            .http("https://example.org", &["GET"], "/")
            .http("http://127.0.0.1:18080", &["GET"], "/")
            .secret(TOKEN)
    }

    fn run(params: Params, clients: &Clients) -> Result<Outcome, Error> {
        let mut request = HttpRequest::get(params.url);
        if params.with_token {
            // The host puts the token there while the request goes out; it never comes in here.
            let placeholder = clients.secrets.placeholder(TOKEN)?;
            request = request.header("authorization", format!("Bearer {placeholder}"));
        }
        clients.progress.phase("fetching")?;
        let response = clients.http.send(request)?;
        Ok(Outcome {
            status: response.status(),
            sha256: sha256(response.body()),
        })
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

taskhost_sdk::export!(HttpDigest);

#[cfg(test)]
mod tests {
    #[test]
    fn digests_are_those_of_sha256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(super::sha256(b""), empty);
    }
}
