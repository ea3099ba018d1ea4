//! People of a real cluster, as the suite wants them: native users with roles of their own.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use taskhost_model::ids::{Space, StreamKey, StreamName};
use taskhost_model::requester::Authorization;
use taskhost_model::rights::Role;

use super::Cluster;
use crate::conformance::rights::{Peopled, Registrar, Rights, Somebody};
use crate::conformance::{self, Subject, given};
use crate::elastic::client::{Client, Request};
use crate::limits::Limits;
use crate::open::{ElasticSettings, elastic_streams, open_elastic};

/// Makes users, roles and indices whose names nobody else has.
#[derive(Debug)]
pub(super) struct Users {
    client: Client,
    prefix: String,
}

impl Users {
    pub(super) async fn asked(&self, request: Request) -> Value {
        let answer = self.client.expect(&request, &[200, 201]).await;
        answer.unwrap().json().unwrap()
    }

    /// Writes a role; its name is the person's.
    pub(super) async fn role(&self, name: &str, role: &Value) {
        let request = Request::put(format!("_security/role/{name}")).json(role);
        self.asked(request).await;
    }

    pub(super) async fn user(&self, name: &str, role: &Value) -> Somebody {
        let name = format!("{}-{name}", self.prefix);
        let password = format!("{:032x}", rand::random::<u128>());
        self.role(&name, role).await;
        let user = json!({ "password": password, "roles": [name] });
        let request = Request::put(format!("_security/user/{name}")).json(&user);
        self.asked(request).await;
        Somebody {
            authorization: given::basic(&name, &password),
            name,
            password,
        }
    }

    fn role_of(&self, rights: &Rights) -> Value {
        let privileges = |resource: String, role: &Role| {
            json!({ "application": "taskhost", "privileges": [role.name()],
                "resources": [resource] })
        };
        let of_space = |(space, role): (&Space, &Role)| privileges(format!("space:{space}"), role);
        let mut applications: Vec<_> = rights.spaces.iter().map(of_space).collect();
        applications.extend(
            rights
                .everywhere
                .iter()
                .map(|role| privileges("*".into(), role)),
        );
        let names = rights.streams.iter();
        let names: Vec<_> = names
            .map(|name| format!("{}-{name}", self.prefix))
            .collect();
        let indices = match names.len() {
            0 => json!([]),
            _ => json!([{ "names": names, "privileges": ["read", "view_index_metadata"] }]),
        };
        json!({ "indices": indices, "applications": applications })
    }
}

#[async_trait]
impl Registrar for Users {
    fn name(&self, name: &str) -> StreamName {
        StreamName::parse(&format!("{}-{name}", self.prefix)).unwrap()
    }

    async fn stream(&self, name: &str) -> StreamKey {
        let name = self.name(name);
        let time = json!({ "type": "date", "format": "epoch_millis" });
        let about = json!({
            "settings": { "number_of_shards": 1, "number_of_replicas": 0 },
            "mappings": { "properties": { "@timestamp": time } },
        });
        self.asked(Request::put(name.as_str()).json(&about)).await;
        let lines: String = (1..4)
            .map(|ms| format!("{{\"create\":{{}}}}\n{{\"@timestamp\":{ms}}}\n"))
            .collect();
        let write = Request::post(format!("{name}/_bulk")).with("refresh", "true");
        let written = self.asked(write.lines(lines)).await;
        assert_eq!(written["errors"], false);
        StreamKey {
            space: given::space(),
            name,
        }
    }

    async fn person(&self, name: &str, rights: &Rights) -> Somebody {
        self.user(name, &self.role_of(rights)).await
    }

    async fn change(&self, somebody: &Somebody, rights: &Rights) {
        self.role(&somebody.name, &self.role_of(rights)).await;
    }

    async fn disable(&self, somebody: &Somebody) {
        let request = Request::put(format!("_security/user/{}/_disable", somebody.name));
        self.asked(request).await;
    }

    async fn own_key(&self, somebody: &Somebody) -> Authorization {
        let request = Request::post("_security/api_key/grant").json(&json!({
            "grant_type": "password", "username": somebody.name, "password": somebody.password,
            // A name that claims to be somebody else.
            "api_key": { "name": "elastic" },
        }));
        let made = self.asked(request).await;
        let encoded = made["encoded"].as_str().unwrap();
        Authorization::parse(&format!("ApiKey {encoded}")).unwrap()
    }
}

/// An empty store with people; what was made before goes.
pub(super) async fn peopled(cluster: &Cluster) -> (Peopled, Arc<Users>) {
    cluster.clear().await;
    let clock = given::clock();
    let prefix = cluster.prefix();
    let settings = ElasticSettings {
        connection: cluster.connection.clone(),
        prefix: prefix.clone(),
        limits: Limits::default(),
    };
    let streams = elastic_streams(&cluster.connection).unwrap();
    let stores = open_elastic(&settings, clock.clone(), streams)
        .await
        .unwrap();
    let users = Arc::new(Users {
        client: cluster.client(),
        prefix: prefix.trim_start_matches('.').to_owned(),
    });
    let peopled = Peopled {
        subject: Subject { stores, clock },
        registrar: Arc::clone(&users) as Arc<dyn Registrar>,
    };
    (peopled, users)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_knows_people_as_the_suite_wants() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    conformance::of_rights(&async || peopled(&cluster).await.0).await;
    cluster.clear().await;
}
