//! What the people of a cluster alone have: aliases, keys that others made, rights on parts of an
//! index, and a host that may do more or less.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use taskhost_model::ids::StreamKey;
use taskhost_model::requester::{Authorization, Credential, Requester};
use taskhost_model::rights::{Right, Role};

use super::Cluster;
use super::people::{Users, peopled};
use super::proxy;
use crate::authority::Authority;
use crate::conformance::given;
use crate::conformance::rights::{Registrar, Rights};
use crate::elastic::client::{self, Client, Request};
use crate::elastic::people::Security;
use crate::error::StoreError;
use crate::limits::Limits;
use crate::open::{
    Credentials, ElasticConnection, ElasticSettings, People, Stores, elastic_streams, open_elastic,
};

const HOUR: Duration = Duration::from_secs(3_600);

fn requester(by: &Authorization) -> Requester {
    Requester {
        name: "somebody".to_owned(),
        credential: Credential::Own(by.clone()),
        ..Requester::single_user()
    }
}

fn people(stores: &Stores) -> People {
    stores.people.clone().unwrap()
}

async fn found(
    stores: &Stores,
    by: &Authorization,
    key: &StreamKey,
) -> Result<Vec<String>, StoreError> {
    let (by, query) = (requester(by), given::query(0, 10));
    let found = stores.streams.search(&by, key, &query, given::MANY_BYTES);
    found.await.map(|batch| batch.documents)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_the_hosts_own_is_nobodys_stream() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (p, users) = peopled(&cluster).await;
    let stores = &p.subject.stores;
    // Somebody who may read everything, but what is restricted.
    let role = json!({ "indices": [{ "names": ["*"], "privileges": ["read"] }] });
    let ann = users.user("ann", &role).await;
    let stream = users.stream("a1").await;
    let own = cluster.last_prefix();
    let (inside, beside, none) = (users.name("in"), users.name("out"), users.name("none"));
    for (index, alias) in [
        (&format!("{own}_tasks-000001"), &inside),
        (&stream.name.to_string(), &beside),
    ] {
        users
            .asked(Request::put(format!("{index}/_alias/{alias}")))
            .await;
    }
    let asked = [&inside, &stream.name, &beside, &none, &inside];
    let asked = asked.map(|name| Right::ReadStream(name.clone()));
    let authority = people(stores).authority;
    let expected = [false, true, true, true, false];
    assert_eq!(
        authority.has(&ann.authorization, &asked).await.unwrap(),
        expected
    );
    let granted = authority.grant(&ann.authorization, "a test's", HOUR).await;
    let key = granted.unwrap().authorization;
    assert_eq!(authority.has(&key, &asked).await.unwrap(), expected);
    for by in [&ann.authorization, &key] {
        for name in [&inside, &none] {
            let key = StreamKey {
                name: name.clone(),
                ..stream.clone()
            };
            let refused = found(stores, by, &key).await;
            assert!(
                matches!(refused, Err(StoreError::UnknownStream { .. })),
                "{refused:?}"
            );
            let shown = stores.streams.get(&requester(by), &key).await.unwrap();
            assert_eq!(shown, None);
        }
        let listed = stores.streams.list(&requester(by), &given::space()).await;
        assert!(listed.unwrap().iter().all(|it| it.name != inside));
    }
    // Whoever had the key could read none of it past the host either.
    let by = client::Authorization::of(&key).unwrap();
    for (name, status) in [
        (format!("{own}_tasks-000001"), 403),
        (format!("{own}_task_keys"), 403),
        (".security".to_owned(), 403),
        (stream.name.to_string(), 200),
    ] {
        let search = Request::post(format!("{name}/_search")).by(&by);
        assert_eq!(
            cluster.client().send(&search).await.unwrap().status,
            status,
            "{name}"
        );
    }
    let write = Request::post(format!("{}/_doc", stream.name))
        .json(&json!({}))
        .by(&by);
    assert_eq!(cluster.client().send(&write).await.unwrap().status, 403);
    // The key is a key: the person's password is not needed for it any more.
    users.disable(&ann).await;
    assert_eq!(found(stores, &key, &stream).await.unwrap().len(), 3);
    users.asked(Request::delete(stream.name.as_str())).await;
    cluster.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_sees_the_part_of_an_index_that_its_person_sees() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (p, users) = peopled(&cluster).await;
    let stores = &p.subject.stores;
    // Rights on parts of an index are in no basic license; a trial begins once.
    let trial = Request::post("_license/start_trial").with("acknowledge", "true");
    let begun = cluster.client().send(&trial).await.unwrap();
    assert!(matches!(begun.status, 200 | 403), "{begun:?}");
    let stream = users.stream("a1").await;
    let write = Request::put(format!("{}/_doc/x", stream.name)).with("refresh", "true");
    let body = json!({ "@timestamp": 5, "secret": "s3cret" });
    users.asked(write.json(&body)).await;
    let part = |more: Value| {
        let mut index = json!({ "names": [stream.name], "privileges": ["read"] });
        index
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "indices": [index] })
    };
    let fields = part(json!({ "field_security": { "grant": ["@timestamp"] } }));
    let documents = part(json!({ "query": { "range": { "@timestamp": { "lte": 2 } } } }));
    for (name, role, count) in [("ann", fields, 4), ("bob", documents, 2)] {
        let somebody = users.user(name, &role).await;
        let authority = people(stores).authority;
        let granted = authority.grant(&somebody.authorization, "", HOUR).await;
        let key = granted.unwrap().authorization;
        for by in [&somebody.authorization, &key] {
            let bodies = found(stores, by, &stream).await.unwrap();
            assert_eq!(bodies.len(), count, "{name}");
            assert!(bodies.iter().all(|body| !body.contains("s3cret")), "{name}");
        }
    }
    users.asked(Request::delete(stream.name.as_str())).await;
    cluster.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_with_a_token_of_a_service_is_known_and_gets_no_key() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (p, users) = peopled(&cluster).await;
    let authority = people(&p.subject.stores).authority;
    let name = format!("t{:x}", rand::random::<u64>());
    let path = format!("_security/service/elastic/fleet-server/credential/token/{name}");
    let made = users.asked(Request::post(path)).await;
    let token = made["token"]["value"].as_str().unwrap();
    let by = Authorization::parse(&format!("Bearer {token}")).unwrap();
    let person = authority.person(&by).await.unwrap();
    assert_eq!(
        (person.name.as_str(), person.comes_with_key),
        ("elastic/fleet-server", false)
    );
    let asked = [
        Right::Everywhere(Role::Viewer),
        Right::ReadStream(users.name("a1")),
    ];
    assert_eq!(authority.has(&by, &asked).await.unwrap(), [false, false]);
    let granted = authority.grant(&by, "", HOUR).await;
    assert!(
        matches!(granted, Err(StoreError::Unauthorized { .. })),
        "{granted:?}"
    );
    cluster.clear().await;
}

/// A connection as somebody with this role.
async fn host(cluster: &Cluster, users: &Users, name: &str, role: &Value) -> ElasticConnection {
    let host = users.user(name, role).await;
    let mut connection = cluster.connection.clone();
    connection.credentials = Credentials::Basic {
        username: host.name,
        password: host.password,
    };
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_needs_no_more_than_is_told() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (_, users) = peopled(&cluster).await;
    let prefix = cluster.prefix();
    let indices = json!([{ "names": [format!("{prefix}*")], "privileges": ["all"] }]);
    let manage = json!({ "application": { "manage": { "applications": ["taskhost"] } } });
    let enough = json!({ "cluster": ["monitor", "grant_api_key", "manage_api_key"],
        "global": manage, "indices": indices });
    let connection = host(&cluster, &users, "host", &enough).await;
    let streams = elastic_streams(&connection).unwrap();
    let settings = ElasticSettings {
        connection,
        prefix,
        limits: Limits::default(),
    };
    let stores = open_elastic(&settings, given::clock(), streams)
        .await
        .unwrap();
    let viewer = Rights::of(&given::space(), Role::Viewer, &["a1"]);
    let ann = users.person("ann", &viewer).await;
    let stream = users.stream("a1").await;
    let authority = people(&stores).authority;
    let asked = [
        Right::In(given::space(), Role::Viewer),
        Right::In(given::space(), Role::Operator),
    ];
    assert_eq!(
        authority.has(&ann.authorization, &asked).await.unwrap(),
        [true, false]
    );
    let key = authority.grant(&ann.authorization, "", HOUR).await.unwrap();
    assert_eq!(
        found(&stores, &key.authorization, &stream)
            .await
            .unwrap()
            .len(),
        3
    );
    authority
        .invalidate(std::slice::from_ref(&key.id))
        .await
        .unwrap();
    let ended = found(&stores, &key.authorization, &stream).await;
    assert!(
        matches!(ended, Err(StoreError::Unauthorized { .. })),
        "{ended:?}"
    );
    people(&stores).keys.check(b"it may write").await.unwrap();
    users.asked(Request::delete(stream.name.as_str())).await;
    cluster.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_may_do_less_says_what_it_lacks() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (p, users) = peopled(&cluster).await;
    let viewer = Rights::of(&given::space(), Role::Viewer, &["a1"]);
    let ann = users.person("ann", &viewer).await;
    let key = people(&p.subject.stores).authority;
    let key = key.grant(&ann.authorization, "", HOUR).await.unwrap();
    let asked = [
        Right::In(given::space(), Role::Viewer),
        Right::In(given::space(), Role::Operator),
    ];
    // It takes it for nobody's fault.
    let less = json!({ "cluster": ["monitor"] });
    let less = host(&cluster, &users, "less", &less).await;
    let security = Security::open(Client::new(&less).unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        security.has(&ann.authorization, &asked).await.unwrap(),
        [true, false]
    );
    let granted = security
        .grant(&ann.authorization, "", HOUR)
        .await
        .unwrap_err();
    let StoreError::Unavailable { reason } = granted else {
        panic!("{granted}");
    };
    assert!(reason.contains("grant_api_key"), "{reason}");
    let ended = security
        .invalidate(&[key.id])
        .await
        .unwrap_err()
        .to_string();
    assert!(ended.contains("manage_api_key"), "{ended}");
    cluster.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_whose_answer_is_lost_leaves_one_key() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (_, users) = peopled(&cluster).await;
    let mut connection = cluster.connection.clone();
    let (way, trouble) = proxy::before(&connection.urls[0]).await;
    connection.urls = vec![way];
    let client = Client::new(&connection).unwrap();
    let security = Security::open(client).await.unwrap().unwrap();
    let ann = users.person("ann", &Rights::default()).await;
    trouble.cut.store(1, Ordering::SeqCst);
    let key = security
        .grant(&ann.authorization, "a, b*", HOUR)
        .await
        .unwrap();
    assert_eq!(trouble.cut.load(Ordering::SeqCst), 0);
    let keys = Request::get("_security/api_key").with("username", &ann.name);
    let keys = users.asked(keys).await;
    let keys = keys["api_keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2, "one more was granted");
    let living = keys.iter().filter(|key| key["invalidated"] == false);
    let living: Vec<_> = living.map(|key| key["id"].as_str().unwrap()).collect();
    assert_eq!(living, [&key.id]);
    // Such is the case with the other calls, too.
    for lost in [1, 0] {
        trouble.cut.store(lost, Ordering::SeqCst);
        assert_eq!(
            security.person(&key.authorization).await.unwrap().name,
            ann.name
        );
    }
    trouble.cut.store(1, Ordering::SeqCst);
    security
        .invalidate(std::slice::from_ref(&key.id))
        .await
        .unwrap();
    let refused = security.person(&key.authorization).await;
    assert!(
        matches!(refused, Err(StoreError::Unauthorized { .. })),
        "{refused:?}"
    );
    // Who cannot be asked has no right, and no wrong credential either.
    trouble.status.store(503, Ordering::SeqCst);
    trouble.busy.store(u32::MAX, Ordering::SeqCst);
    let asked = [Right::Everywhere(Role::Viewer)];
    let away = security.has(&ann.authorization, &asked).await;
    assert!(
        matches!(away, Err(StoreError::Unavailable { .. })),
        "{away:?}"
    );
    cluster.clear().await;
}
