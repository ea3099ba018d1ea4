//! Streams on a real Elasticsearch, as `tests/elasticsearch/with.sh` starts it.

mod agreement;
mod brought;
mod rights;
mod shapes;

use serde_json::{Value, json};
use taskhost_model::condition::Condition;
use taskhost_model::ids::StreamKey;
use taskhost_model::query::{Query, Sort};
use taskhost_model::requester::{Authorization, Credential, Requester};

use crate::conformance::given;
use crate::elastic::client::{Client, Request};
use crate::elastic::streams::Streams;
use crate::streams::StreamStore;

/// A real server, and names on it that nobody else has.
#[derive(Debug, Clone)]
pub(super) struct Server {
    client: Client,
    prefix: String,
}

impl Server {
    /// The server of the environment; none, said loudly, where there is none.
    pub(super) fn find() -> Option<Self> {
        let client = super::elastic::Cluster::find()?.client();
        let prefix = format!("t{:x}", rand::random::<u64>());
        Some(Self { client, prefix })
    }

    fn streams(&self) -> Streams {
        Streams::new(self.client.clone())
    }

    fn stream(&self, name: &str) -> StreamKey {
        given::stream(&format!("{}-{name}", self.prefix))
    }

    async fn asked(&self, request: Request) -> Value {
        let answer = self.client.send(&request).await.unwrap();
        let body: Value = answer.json().unwrap();
        assert!(answer.status < 300, "{} {body}", answer.status);
        body
    }

    /// Makes an index.
    async fn index(&self, name: &str, about: &Value) -> StreamKey {
        let key = self.stream(name);
        self.asked(Request::put(key.name.as_str()).json(about))
            .await;
        key
    }

    async fn remove(&self, key: &StreamKey) {
        self.asked(Request::delete(key.name.as_str())).await;
    }

    /// Writes documents at once; says of each whether Elasticsearch took it.
    async fn write(&self, key: &StreamKey, bodies: &[String]) -> Vec<bool> {
        let mut taken = Vec::new();
        for bodies in bodies.chunks(5_000) {
            let lines: String = bodies
                .iter()
                .map(|body| format!("{{\"create\":{{}}}}\n{body}\n"))
                .collect();
            let request = Request::post(format!("{}/_bulk", key.name)).with("refresh", "true");
            let answer = self.asked(request.lines(lines)).await;
            let items = answer["items"].as_array().unwrap().iter();
            taken.extend(items.map(|item| item["create"]["status"] == 201));
        }
        taken
    }

    /// Somebody with these rights on indices, by an API key.
    async fn somebody(&self, names: &[&StreamKey], privileges: &[&str], more: &Value) -> Requester {
        let names: Vec<&str> = names.iter().map(|key| key.name.as_str()).collect();
        let mut index = json!({"names": names, "privileges": privileges});
        if let (Value::Object(index), Value::Object(more)) = (&mut index, more) {
            index.extend(more.clone());
        }
        let name = format!("{}-{:x}", self.prefix, rand::random::<u32>());
        let request = Request::post("_security/api_key").json(&json!({
            "name": name, "role_descriptors": {"reader": {"indices": [index]}},
        }));
        let made = self.asked(request).await;
        let header = format!("ApiKey {}", made["encoded"].as_str().unwrap());
        Requester {
            name,
            credential: Credential::Own(Authorization::parse(&header).unwrap()),
            ..Requester::single_user()
        }
    }
}

fn asking(condition: Option<Condition>) -> Query {
    let mut query = given::query(i64::MIN, i64::MAX);
    query.condition = condition;
    query.size = Some(10_000);
    query.sort = Some(Sort::Asc);
    query
}

/// What a search over all time finds.
async fn found(
    streams: &Streams,
    by: &Requester,
    key: &StreamKey,
    condition: Option<Condition>,
) -> Vec<String> {
    let query = asking(condition);
    let batch = streams.search(by, key, &query, given::MANY_BYTES).await;
    let batch = batch.unwrap();
    assert_eq!((batch.truncated, batch.next), (false, None));
    batch.documents
}
