//! Whoever asks sees what they may see, and of the rest not even that it is there.

use super::*;
use crate::error::StoreError;
use serde_json::json;

/// Rights on parts of an index are in no basic license; a trial begins once.
async fn begin_trial(server: &Server) {
    let request = Request::post("_license/start_trial").with("acknowledge", "true");
    let answer = server.client.send(&request).await.unwrap();
    assert!(matches!(answer.status, 200 | 403), "{answer:?}");
}

const BODY: &str = r#"{"@timestamp":1,"owner":"ann","secret":"s3cret"}"#;
const OTHER: &str = r#"{"@timestamp":2,"owner":"bob","secret":"s3cret"}"#;

fn is_unknown<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::UnknownStream { .. }))
}

async fn two_streams(server: &Server) -> (StreamKey, StreamKey) {
    let properties = json!({"@timestamp": {"type": "date"}, "owner": {"type": "keyword"}});
    let about = json!({"settings": {"number_of_replicas": 0},
        "mappings": {"properties": properties}});
    let (a, b) = (
        server.index("a", &about).await,
        server.index("b", &about).await,
    );
    for key in [&a, &b] {
        server
            .write(key, &[BODY.to_owned(), OTHER.to_owned()])
            .await;
    }
    (a, b)
}

#[tokio::test]
async fn a_stream_of_others_is_no_stream() {
    let Some(server) = Server::find() else {
        return;
    };
    let (a, b) = two_streams(&server).await;
    let none = server.stream("none");
    let streams = server.streams();
    let ann = server.somebody(&[&a], &["read"], &json!({})).await;
    let bob = server
        .somebody(&[&b], &["read", "view_index_metadata"], &json!({}))
        .await;
    for (by, own, other) in [(&ann, &a, &b), (&bob, &b, &a)] {
        let names: Vec<_> = streams.list(by, &given::space()).await.unwrap();
        let names: Vec<_> = names.into_iter().map(|stream| stream.name).collect();
        assert_eq!(names, std::slice::from_ref(&own.name));
        assert_eq!(found(&streams, by, own, None).await.len(), 2);
        for hidden in [other, &none] {
            assert_eq!(streams.get(by, hidden).await.unwrap(), None);
            let query = asking(Some(Condition::eq("owner", "ann")));
            assert!(is_unknown(&streams.count(by, hidden, &query).await));
            assert!(is_unknown(&streams.sample(by, hidden, &query, 100).await));
            assert!(is_unknown(&streams.search(by, hidden, &query, 100).await));
            assert!(is_unknown(&streams.field_stats(by, hidden, &query).await));
        }
    }
    let shown = streams.get(&ann, &a).await.unwrap().unwrap();
    let bytes = (BODY.len() + OTHER.len()) as u64;
    assert_eq!(
        (shown.documents, shown.bytes, shown.created_at),
        (2, Some(bytes), None)
    );
    assert_eq!(shown.last_at, Some(given::at(2)));
    let all = streams.get(&given::reader(), &a).await.unwrap().unwrap();
    assert!(all.created_at.is_some());
    let known = streams.get(&bob, &b).await.unwrap().unwrap();
    assert!(known.created_at.is_some());
    server.remove(&a).await;
    server.remove(&b).await;
}

#[tokio::test]
async fn a_part_of_the_fields_is_all_there_is() {
    let Some(server) = Server::find() else {
        return;
    };
    begin_trial(&server).await;
    let (a, b) = two_streams(&server).await;
    let streams = server.streams();
    let some = json!({"field_security": {"grant": ["@timestamp", "owner"]}});
    let privileges = ["read", "view_index_metadata"];
    let carl = server.somebody(&[&a], &privileges, &some).await;
    let bodies = found(&streams, &carl, &a, None).await;
    assert_eq!(bodies.len(), 2);
    assert!(
        bodies.iter().all(|body| !body.contains("s3cret")),
        "{bodies:?}"
    );
    let secret = Condition::eq("secret", "s3cret");
    assert!(
        found(&streams, &carl, &a, Some(secret.clone()))
            .await
            .is_empty()
    );
    assert_eq!(
        found(&streams, &given::reader(), &a, Some(secret))
            .await
            .len(),
        2
    );
    let owner = Some(Condition::eq("owner", "ann"));
    assert_eq!(found(&streams, &carl, &a, owner).await.len(), 1);
    server.remove(&a).await;
    server.remove(&b).await;
}

#[tokio::test]
async fn a_part_of_the_documents_is_all_there_is() {
    let Some(server) = Server::find() else {
        return;
    };
    begin_trial(&server).await;
    let (a, b) = two_streams(&server).await;
    let streams = server.streams();
    let own = |owner: &str| json!({"query": {"term": {"owner": owner}}});
    let ann = server.somebody(&[&a], &["read"], &own("ann")).await;
    let bob = server.somebody(&[&a], &["read"], &own("bob")).await;
    for (by, body) in [(&ann, BODY), (&bob, OTHER)] {
        assert_eq!(found(&streams, by, &a, None).await, [body]);
        let both = Condition::exists("owner", true);
        let query = asking(Some(both));
        assert_eq!(streams.count(by, &a, &query).await.unwrap().value, 1);
        let sample = streams
            .sample(by, &a, &query, given::MANY_BYTES)
            .await
            .unwrap();
        assert_eq!(sample.documents, [body]);
        let shown = streams.get(by, &a).await.unwrap().unwrap();
        assert_eq!((shown.documents, shown.first_at), (1, shown.last_at));
    }
    server.remove(&a).await;
    server.remove(&b).await;
}

#[tokio::test]
async fn a_credential_that_is_not_accepted_is_said() {
    let Some(server) = Server::find() else {
        return;
    };
    let (a, b) = two_streams(&server).await;
    let streams = server.streams();
    let ann = server.somebody(&[&a], &["read"], &json!({})).await;
    assert_eq!(found(&streams, &ann, &a, None).await.len(), 2);
    let request = Request::delete("_security/api_key").json(&json!({"name": ann.name}));
    server.asked(request).await;
    let nobody = Authorization::parse("ApiKey eDp5").unwrap();
    let nobody = Requester {
        name: "nobody".to_owned(),
        credential: Credential::Own(nobody),
        ..Requester::single_user()
    };
    for by in [&ann, &nobody] {
        let errors = [
            streams.get(by, &a).await.err(),
            streams.list(by, &given::space()).await.err(),
            streams.count(by, &a, &asking(None)).await.err(),
            streams.sample(by, &a, &asking(None), 100).await.err(),
            streams.search(by, &a, &asking(None), 100).await.err(),
        ];
        for error in errors {
            assert!(
                matches!(error, Some(StoreError::Unauthorized { .. })),
                "{error:?}"
            );
        }
    }
    server.remove(&a).await;
    server.remove(&b).await;
}

#[tokio::test]
async fn own_indices_of_the_host_are_no_streams() {
    let Some(server) = Server::find() else {
        return;
    };
    let hidden = format!(".{}-own", server.prefix);
    server
        .asked(Request::put(hidden.as_str()).json(&json!({})))
        .await;
    let alias = server.stream("alias");
    let request = Request::put(format!("{hidden}/_alias/{}", alias.name));
    server.asked(request).await;
    let streams = server.streams();
    let by = given::reader();
    assert_eq!(streams.get(&by, &alias).await.unwrap(), None);
    assert!(is_unknown(
        &streams.search(&by, &alias, &asking(None), 100).await
    ));
    let all = streams.list(&by, &given::space()).await.unwrap();
    assert!(all.iter().all(|stream| stream.name != alias.name));
    server.asked(Request::delete(hidden)).await;
}

#[tokio::test]
async fn who_may_look_at_metadata_alone_sees_no_stream() {
    let Some(server) = Server::find() else {
        return;
    };
    let (a, b) = two_streams(&server).await;
    let about = json!({"mappings": {"properties": {"@timestamp": {"type": "long"}}}});
    let odd = server.index("odd", &about).await;
    let streams = server.streams();
    let privileges = ["view_index_metadata"];
    let ann = server
        .somebody(&[&a, &b, &odd], &privileges, &json!({}))
        .await;
    let mut nothing = asking(None);
    nothing.to = nothing.from;
    for key in [&a, &odd] {
        for query in [&nothing, &asking(None)] {
            assert!(is_unknown(&streams.count(&ann, key, query).await));
            assert!(is_unknown(&streams.sample(&ann, key, query, 100).await));
            assert!(is_unknown(&streams.search(&ann, key, query, 100).await));
            assert!(is_unknown(&streams.field_stats(&ann, key, query).await));
        }
        assert_eq!(streams.get(&ann, key).await.unwrap(), None);
    }
    assert_eq!(streams.list(&ann, &given::space()).await.unwrap(), []);
    for key in [&a, &b, &odd] {
        server.remove(key).await;
    }
}
