//! People and their rights (`Authority` 1 to 4), and that reads of streams keep to them.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use taskhost_model::ids::{Space, StreamKey, StreamName};
use taskhost_model::query::{Query, Sort};
use taskhost_model::requester::{Authorization, Credential, Requester};
use taskhost_model::rights::{Right, Role};

use super::Subject;
use super::given::{MANY_BYTES, query, space, until};
use crate::authority::{Authority, GrantedKey};
use crate::error::StoreError;
pub use crate::memory::people::Rights;

/// More than a case takes.
const LONG: Duration = Duration::from_secs(3_600);

/// Makes people and streams past the store that knows them.
#[async_trait]
pub trait Registrar: Send + Sync + Debug {
    /// The name that a stream of the cases has; of no two stores the same.
    fn name(&self, name: &str) -> StreamName;

    /// A stream with three documents, at 1, 2 and 3 ms.
    async fn stream(&self, name: &str) -> StreamKey;

    /// Somebody new. Their streams are named as the cases name them.
    async fn person(&self, name: &str, rights: &Rights) -> Somebody;

    /// From now on they may do this.
    async fn change(&self, somebody: &Somebody, rights: &Rights);

    /// From now on their password is not accepted.
    async fn disable(&self, somebody: &Somebody);

    /// A key that they have made elsewhere, with all their rights.
    async fn own_key(&self, somebody: &Somebody) -> Authorization;
}

/// A person.
#[derive(Debug, Clone)]
pub struct Somebody {
    /// Their whole name.
    pub name: String,
    /// Their password.
    pub password: String,
    /// With what they come.
    pub authorization: Authorization,
}

/// A store with people, and who makes them.
#[derive(Debug, Clone)]
pub struct Peopled {
    /// The store.
    pub subject: Subject,
    /// Who makes people.
    pub registrar: Arc<dyn Registrar>,
}

impl Peopled {
    pub(super) async fn close(&self) {
        self.subject.stores.close().await;
    }

    fn authority(&self) -> &Arc<dyn Authority> {
        let people = self.subject.stores.people.as_ref();
        &people.expect("the store has people").authority
    }

    async fn has(&self, by: &Authorization, asked: &[Right]) -> Result<Vec<bool>, StoreError> {
        self.authority().has(by, asked).await
    }

    fn reads(&self, name: &str) -> Right {
        Right::ReadStream(self.registrar.name(name))
    }

    async fn key(&self, by: &Somebody) -> Result<GrantedKey, StoreError> {
        let granted = self.authority().grant(&by.authorization, "a case's", LONG);
        granted.await
    }

    /// What a search finds.
    async fn found(&self, by: &Authorization, key: &StreamKey) -> Result<usize, StoreError> {
        let (streams, by, query) = (&self.subject.stores.streams, requester(by), all());
        let batch = streams.search(&by, key, &query, MANY_BYTES).await?;
        Ok(batch.documents.len())
    }

    /// Every read has to fail so.
    async fn fails(
        &self,
        by: &Authorization,
        key: &StreamKey,
        is_it: impl Fn(&StoreError) -> bool,
    ) {
        let (streams, by, query) = (&self.subject.stores.streams, requester(by), all());
        let errors = [
            streams.count(&by, key, &query).await.err(),
            streams.sample(&by, key, &query, MANY_BYTES).await.err(),
            streams.search(&by, key, &query, MANY_BYTES).await.err(),
            streams.field_stats(&by, key, &query).await.err(),
        ];
        for error in errors {
            assert!(
                error.as_ref().is_some_and(&is_it),
                "{}: {error:?}",
                key.name
            );
        }
    }
}

/// Who comes with this; reads take no notice of a name.
fn requester(by: &Authorization) -> Requester {
    Requester {
        name: "somebody".to_owned(),
        credential: Credential::Own(by.clone()),
        ..Requester::single_user()
    }
}

fn all() -> Query {
    let mut query = query(0, 10);
    query.sort = Some(Sort::Asc);
    query
}

fn is_unknown(error: &StoreError) -> bool {
    matches!(error, StoreError::UnknownStream { .. })
}

fn is_unauthorized(error: &StoreError) -> bool {
    matches!(error, StoreError::Unauthorized { .. })
}

fn other_space() -> Space {
    Space::parse("other").expect("it is valid")
}

/// Somebody who may do a little, somebody who may do more, and one who may do all but read.
async fn three(p: &Peopled) -> [Somebody; 3] {
    let everywhere = Rights {
        everywhere: Some(Role::Operator),
        streams: vec!["a*".to_owned()],
        ..Rights::default()
    };
    let viewer = Rights::of(&space(), Role::Viewer, &["a1"]);
    let admin = Rights::of(&other_space(), Role::Admin, &[]);
    [
        p.registrar.person("ann", &viewer).await,
        p.registrar.person("bob", &everywhere).await,
        p.registrar.person("eve", &admin).await,
    ]
}

pub(super) async fn each_has_what_their_roles_say(p: &Peopled) -> Result<(), StoreError> {
    let people = three(p).await;
    let nobody = p.registrar.person("nobody", &Rights::default()).await;
    let roles = |of: &dyn Fn(Role) -> Right| Role::ALL.map(of);
    let asked = [
        roles(&|role| Right::In(space(), role)),
        roles(&|role| Right::In(other_space(), role)),
        roles(&Right::Everywhere),
    ]
    .concat();
    let (y, n) = (true, false);
    let expected = [
        [y, n, n, n, n, n, n, n, n],
        [y, y, n, y, y, n, y, y, n],
        [n, n, n, y, y, y, n, n, n],
        [n; 9],
    ];
    for (by, expected) in people.iter().chain([&nobody]).zip(expected) {
        let has = p.has(&by.authorization, &asked).await?;
        assert_eq!(has, expected, "{}", by.name);
    }
    // Each is answered, in the order of asking, whatever else is asked.
    let by = &people[0].authorization;
    let mixed = [
        p.reads("b"),
        Right::In(space(), Role::Viewer),
        p.reads("a1"),
        Right::In(other_space(), Role::Viewer),
        p.reads("a1"),
        Right::In(space(), Role::Admin),
    ];
    assert_eq!(p.has(by, &mixed).await?, [n, y, y, n, y, n]);
    assert_eq!(p.has(by, &[]).await?, [n; 0]);
    Ok(())
}

pub(super) async fn streams_are_read_as_rights_say(p: &Peopled) -> Result<(), StoreError> {
    let people = three(p).await;
    let mut streams = Vec::new();
    for name in ["a1", "a2", "b"] {
        streams.push((p.reads(name), p.registrar.stream(name).await));
    }
    // Where there is none: it is as one that one may not read.
    let none = StreamKey {
        space: space(),
        name: p.registrar.name("a3"),
    };
    let expected = [[true, false, false], [true, true, false], [false; 3]];
    for (by, expected) in people.iter().zip(expected) {
        let by = &by.authorization;
        let mut readable = Vec::new();
        for ((right, key), expected) in streams.iter().zip(expected) {
            let right = std::slice::from_ref(right);
            assert_eq!(p.has(by, right).await?, [expected], "{}", key.name);
            let shown = p.subject.stores.streams.get(&requester(by), key).await?;
            assert_eq!(shown.map(|it| it.documents), expected.then_some(3));
            if expected {
                assert_eq!(p.found(by, key).await?, 3);
                readable.push(key.name.clone());
            } else {
                p.fails(by, key, is_unknown).await;
            }
        }
        p.fails(by, &none, is_unknown).await;
        let streams = &p.subject.stores.streams;
        let listed = streams.list(&requester(by), &space()).await?;
        let listed = listed.into_iter().map(|it| it.name);
        assert_eq!(listed.collect::<Vec<_>>(), readable);
    }
    Ok(())
}

pub(super) async fn a_person_has_a_name(p: &Peopled) -> Result<(), StoreError> {
    for by in three(p).await {
        let person = p.authority().person(&by.authorization).await?;
        assert_eq!((&person.name, person.comes_with_key), (&by.name, false));
        let key = p.key(&by).await?;
        let person = p.authority().person(&key.authorization).await?;
        assert_eq!((&person.name, person.comes_with_key), (&by.name, true));
    }
    Ok(())
}

pub(super) async fn who_comes_with_a_key_is_its_owner(p: &Peopled) -> Result<(), StoreError> {
    let [_, by, _] = three(p).await;
    let stream = p.registrar.stream("a1").await;
    let key = p.registrar.own_key(&by).await;
    let person = p.authority().person(&key).await?;
    assert_eq!((person.name, person.comes_with_key), (by.name, true));
    let asked = [
        Right::Everywhere(Role::Operator),
        Right::Everywhere(Role::Admin),
        p.reads("a1"),
        p.reads("b"),
    ];
    assert_eq!(p.has(&key, &asked).await?, [true, false, true, false]);
    assert_eq!(p.found(&key, &stream).await?, 3);
    let granted = p.authority().grant(&key, "a case's", LONG).await;
    assert!(granted.is_err_and(|error| is_unauthorized(&error)));
    Ok(())
}

pub(super) async fn what_is_not_accepted_is_said(p: &Peopled) -> Result<(), StoreError> {
    let [ann, bob, eve] = three(p).await;
    let stream = p.registrar.stream("a1").await;
    assert_eq!(p.found(&bob.authorization, &stream).await?, 3);
    p.registrar.disable(&bob).await;
    let basic = |name: &str, password: &str| super::given::basic(name, password);
    for by in [
        basic(&ann.name, &eve.password),
        basic(&ann.name, ""),
        basic("nobody is called so", &ann.password),
        bob.authorization,
        Authorization::parse("ApiKey eDp5").expect("it is one"),
        Authorization::parse("Bearer x").expect("it is one"),
        Authorization::parse("Basic %%%").expect("it is one"),
        Authorization::parse("Other YW5uOmFubg==").expect("it is one"),
    ] {
        let rights = [Right::In(space(), Role::Viewer), p.reads("a1")];
        let grant = p.authority().grant(&by, "a case's", LONG);
        let streams = &p.subject.stores.streams;
        let errors = [
            p.authority().person(&by).await.err(),
            p.has(&by, &rights).await.err(),
            grant.await.err(),
            streams.get(&requester(&by), &stream).await.err(),
            streams.list(&requester(&by), &space()).await.err(),
        ];
        for error in errors {
            assert!(error.as_ref().is_some_and(is_unauthorized), "{error:?}");
        }
        p.fails(&by, &stream, is_unauthorized).await;
    }
    assert_eq!(p.found(&ann.authorization, &stream).await?, 3);
    Ok(())
}

pub(super) async fn a_key_reads_what_its_person_may(p: &Peopled) -> Result<(), StoreError> {
    let (own, other) = (
        p.registrar.stream("a1").await,
        p.registrar.stream("b").await,
    );
    let [ann, bob, eve] = three(p).await;
    for by in [&ann, &bob] {
        let key = p.key(by).await?.authorization;
        assert_eq!(p.found(&key, &own).await?, 3);
        let shown = p.subject.stores.streams.get(&requester(&key), &own).await?;
        assert_eq!(shown.map(|it| it.documents), Some(3));
        p.fails(&key, &other, is_unknown).await;
        // It is for reading, and for nothing else that they may.
        let asked = [
            p.reads("a1"),
            p.reads("b"),
            Right::In(space(), Role::Viewer),
            Right::Everywhere(Role::Viewer),
        ];
        assert_eq!(p.has(&key, &asked).await?, [true, false, false, false]);
    }
    let key = p.key(&eve).await?.authorization;
    p.fails(&key, &own, is_unknown).await;
    Ok(())
}

pub(super) async fn a_key_keeps_the_rights_of_its_moment(p: &Peopled) -> Result<(), StoreError> {
    let (a, b) = (
        p.registrar.stream("a1").await,
        p.registrar.stream("b").await,
    );
    let [ann, ..] = three(p).await;
    let key = p.key(&ann).await?.authorization;
    let others = Rights::of(&space(), Role::Viewer, &["b"]);
    p.registrar.change(&ann, &others).await;
    p.fails(&ann.authorization, &a, is_unknown).await;
    assert_eq!(p.found(&ann.authorization, &b).await?, 3);
    assert_eq!(p.found(&key, &a).await?, 3);
    p.fails(&key, &b, is_unknown).await;
    let later = p.key(&ann).await?.authorization;
    p.fails(&later, &a, is_unknown).await;
    assert_eq!(p.found(&later, &b).await?, 3);
    Ok(())
}

pub(super) async fn a_key_that_was_ended_is_accepted_no_more(
    p: &Peopled,
) -> Result<(), StoreError> {
    let stream = p.registrar.stream("a1").await;
    let [ann, bob, _] = three(p).await;
    let keys = [p.key(&ann).await?, p.key(&ann).await?, p.key(&bob).await?];
    let streams = &p.subject.stores.streams;
    let mut first = all();
    first.size = Some(1);
    let mut next = Vec::new();
    for key in &keys {
        let by = requester(&key.authorization);
        let page = streams.search(&by, &stream, &first, MANY_BYTES).await?;
        next.push(page.next.expect("there are more"));
    }
    // In the middle of a run that reads on.
    let ended = [keys[0].id.clone(), keys[2].id.clone()];
    p.authority().invalidate(&ended).await?;
    for (index, key) in keys.iter().enumerate() {
        let mut rest = all();
        rest.cursor = Some(next[index].clone());
        let by = requester(&key.authorization);
        let page = streams.search(&by, &stream, &rest, MANY_BYTES).await;
        if index == 1 {
            assert_eq!(page?.documents.len(), 2);
        } else {
            assert!(page.is_err_and(|error| is_unauthorized(&error)));
            p.fails(&key.authorization, &stream, is_unauthorized).await;
        }
    }
    // Again, with one that there never was, and with none.
    let again = [&ended[..], &["none-such".to_owned()]].concat();
    p.authority().invalidate(&again).await?;
    p.authority().invalidate(&[]).await?;
    assert_eq!(p.found(&keys[1].authorization, &stream).await?, 3);
    assert_eq!(p.found(&ann.authorization, &stream).await?, 3);
    Ok(())
}

pub(super) async fn a_key_ends_by_its_time(p: &Peopled) -> Result<(), StoreError> {
    let stream = p.registrar.stream("a1").await;
    let [ann, ..] = three(p).await;
    let for_a_while = Duration::from_secs(4);
    let key = p.authority().grant(&ann.authorization, "", for_a_while);
    let key = key.await?.authorization;
    assert_eq!(p.found(&key, &stream).await?, 3);
    p.subject.clock.advance(for_a_while);
    let ended = async || Ok(p.found(&key, &stream).await);
    let found = until(ended, |found| found.as_ref().is_err_and(is_unauthorized)).await;
    assert!(found.is_err());
    p.fails(&key, &stream, is_unauthorized).await;
    assert_eq!(p.found(&ann.authorization, &stream).await?, 3);
    Ok(())
}

pub(super) async fn no_name_means_several(p: &Peopled) -> Result<(), StoreError> {
    let [ann, bob, _] = three(p).await;
    for odd in [
        "a*", "a1,b", "*", "_all", "-a1", "<a1>", ".a1", "a?", "a1:b", "a/1", "",
    ] {
        assert!(StreamName::parse(odd).is_err(), "{odd}");
    }
    let near = ["a", "a1.", "a1-", "a11", "a1.*".trim_end_matches('*'), "b"];
    let asked = near.map(|name| p.reads(name));
    assert_eq!(p.has(&ann.authorization, &asked).await?, [false; 6]);
    let expected = [true, true, true, true, true, false];
    assert_eq!(p.has(&bob.authorization, &asked).await?, expected);
    // So many that no one request has room for their names.
    let long = |number: usize| format!("a1-{number}-{}", "x".repeat(150));
    let asked: Vec<Right> = (0..60).map(|number| p.reads(&long(number))).collect();
    assert_eq!(p.has(&bob.authorization, &asked).await?, [true; 60]);
    assert_eq!(p.has(&ann.authorization, &asked).await?, [false; 60]);
    Ok(())
}
