//! People of a real Elasticsearch, and hosts to which they come.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::PATIENCE;
use crate::answer::Answer;
use crate::elasticsearch::Elasticsearch;
use crate::home::Home;
use crate::host::Host;

/// The key that all hosts of these tests share.
pub const KEY: &str = "6b65792d6f662d7468652d686f7374732d6f662d746573742d636c7573746572";

/// A cluster, and a store in it that only one test uses.
#[derive(Debug)]
pub struct Cluster {
    elasticsearch: Elasticsearch,
    admin: Person,
    /// How the names of everything that the test makes begin.
    pub prefix: String,
}

/// Somebody whom the cluster knows.
#[derive(Debug, Clone)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl Person {
    /// The value of the `Authorization` header.
    #[must_use]
    pub fn authorization(&self) -> String {
        let pair = format!("{}:{}", self.name, self.password);
        format!("Basic {}", STANDARD.encode(pair))
    }
}

impl Cluster {
    /// The one that the environment names; without one nothing is tested, which is said.
    #[must_use]
    pub fn find(prefix: &str) -> Option<Self> {
        let elasticsearch = Elasticsearch::find()?;
        let admin = Person {
            name: elasticsearch.username.clone(),
            password: elasticsearch.password.clone(),
        };
        let prefix = format!("{prefix}-{}", std::process::id());
        Some(Self {
            elasticsearch,
            admin,
            prefix,
        })
    }

    /// Asks the cluster as its superuser.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let request = self.elasticsearch.request(method, &format!("/{path}"));
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = self.elasticsearch.send(request).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        answer.json()
    }

    /// Makes somebody with a role in the space `default`, who may read some of the test's streams.
    pub async fn person(&self, name: &str, role: Option<&str>, streams: &[&str]) -> Person {
        let name = format!("{}-{name}", self.prefix);
        let password = format!("pw-of-{name}-4711");
        let names: Vec<_> = streams.iter().map(|it| self.named(it)).collect();
        let indices = match names.len() {
            0 => json!([]),
            _ => json!([{ "names": names, "privileges": ["read", "view_index_metadata"] }]),
        };
        let applications = role.map(|role| {
            json!({ "application": "taskhost", "privileges": [role],
                "resources": ["space:default"] })
        });
        let applications: Vec<_> = applications.into_iter().collect();
        let role = json!({ "indices": indices, "applications": applications });
        self.ask(Method::PUT, &format!("_security/role/{name}"), Some(&role))
            .await;
        let user = json!({ "password": password, "roles": [name] });
        self.ask(Method::PUT, &format!("_security/user/{name}"), Some(&user))
            .await;
        Person { name, password }
    }

    /// A name of this test's own.
    #[must_use]
    pub fn named(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Makes an index that can be read as a stream, with these messages.
    pub async fn stream(&self, name: &str, messages: impl Iterator<Item = String>) {
        let index = self.named(name);
        let mapping = json!({ "mappings": { "properties": {
            "@timestamp": { "type": "date" }, "message": { "type": "keyword" } } } });
        self.ask(Method::PUT, &index, Some(&mapping)).await;
        for (n, message) in messages.enumerate() {
            let document = json!({ "@timestamp": 1_000_000 + n, "message": message });
            let path = format!("{index}/_doc");
            self.ask(Method::POST, &path, Some(&document)).await;
        }
        self.ask(Method::POST, &format!("{index}/_refresh"), None)
            .await;
    }

    /// Everything that the host has stored, as text.
    pub async fn stored(&self) -> String {
        let own = format!(".{}*", self.prefix);
        self.ask(
            Method::POST,
            &format!("{own}/_refresh?expand_wildcards=all"),
            None,
        )
        .await;
        let path = format!("{own}/_search?expand_wildcards=all&size=1000");
        self.ask(Method::GET, &path, None).await.to_string()
    }

    /// Starts a host on the store, whose requests come from the superuser where a test names nobody
    /// else.
    pub async fn start(&self, home: &Home) -> Host {
        let mut host = Host::of(self.serve(home)).await;
        host.http = self.client(&self.admin);
        host
    }

    /// A client that comes as somebody.
    #[must_use]
    pub fn client(&self, by: &Person) -> reqwest::Client {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(&by.authorization()).unwrap();
        headers.insert(AUTHORIZATION, value);
        let client = reqwest::Client::builder().default_headers(headers);
        client.timeout(PATIENCE).build().unwrap()
    }

    /// The command that does.
    #[must_use]
    pub fn serve(&self, home: &Home) -> Command {
        let mut command = home.serve();
        command
            .args([
                "--store",
                "elasticsearch",
                "--elasticsearch-url",
                &self.elasticsearch.url,
            ])
            .env("TASKHOST_KEY", KEY)
            .env("TASKHOST_ELASTICSEARCH_PREFIX", format!(".{}", self.prefix))
            .env("TASKHOST_ELASTICSEARCH_USERNAME", &self.admin.name)
            .env("TASKHOST_ELASTICSEARCH_PASSWORD", &self.admin.password);
        command
    }

    /// What nothing may show: the host's password, and its key.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        vec![
            self.admin.password.clone(),
            self.admin.authorization(),
            KEY.to_owned(),
        ]
    }
}

impl Host {
    /// Sends a request as somebody.
    pub async fn send_as(&self, by: &Person, request: RequestBuilder) -> Answer {
        let request = request.header(AUTHORIZATION, by.authorization());
        self.send(request).await
    }
}
