//! People of the embedded store, as the suite wants them; and what of them is on disk.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use taskhost_model::audit::{Act, Entry, Outcome};
use taskhost_model::ids::{StreamKey, StreamName};
use taskhost_model::requester::{Authorization, Requester};
use taskhost_model::rights::{Right, Rights, Role};
use taskhost_model::time::Clock;
use taskhost_model::token::taken_apart;

use super::{quick_folder, settings};
use crate::audit::AuditRequest;
use crate::conformance::rights::{Peopled, Registrar, Somebody};
use crate::conformance::{Subject, exercise_tokens, given};
use crate::open::{Stores, open_with_people};
use crate::streams::{StreamDocument, StreamSettings};
use crate::tokens::{NewToken, TokenStore};

#[derive(Debug)]
struct Issuing(Stores);

impl Issuing {
    fn tokens(&self) -> &dyn TokenStore {
        let people = self.0.people.as_ref().unwrap();
        &**people.tokens.as_ref().unwrap()
    }
}

#[async_trait]
impl Registrar for Issuing {
    fn name(&self, name: &str) -> StreamName {
        given::stream(name).name
    }

    async fn stream(&self, name: &str) -> StreamKey {
        let key = given::stream(name);
        let settings = StreamSettings::default();
        self.0.streams.put(&key, &settings).await.unwrap();
        let documents = (1..4).map(|ms| StreamDocument {
            at: given::at(ms),
            body: format!("{{\"@timestamp\":{ms}}}").into(),
        });
        let ingested = self.0.streams.ingest(&key, documents.collect()).await;
        ingested.unwrap();
        key
    }

    async fn person(&self, name: &str, rights: &Rights) -> Somebody {
        let created = self.tokens().create(new(name, rights.clone()), None).await;
        let created = created.unwrap();
        Somebody {
            name: name.to_owned(),
            authorization: bearer(&created.secret),
            password: created.secret,
        }
    }

    async fn change(&self, _: &Somebody, _: &Rights) {
        unreachable!("a token's rights never change")
    }

    async fn disable(&self, somebody: &Somebody) {
        let (id, _) = taken_apart(&somebody.password).unwrap();
        let revoked = self.tokens().revoke(&id, "a case", None).await;
        assert!(revoked.unwrap().is_some());
    }

    async fn own_key(&self, _: &Somebody) -> Authorization {
        unreachable!("nobody makes keys elsewhere")
    }
}

fn new(name: &str, rights: Rights) -> NewToken {
    NewToken {
        name: name.to_owned(),
        rights,
        expires_at: None,
        created_by: "a case".to_owned(),
    }
}

fn bearer(secret: &str) -> Authorization {
    Authorization::parse(&format!("Bearer {secret}")).unwrap()
}

fn opened(folder: &Path, clock: &Clock) -> Stores {
    open_with_people(&settings(folder), clock.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_with_people_passes_the_suite() {
    let (root, made) = (quick_folder(), Cell::new(0));
    exercise_tokens(async || {
        made.set(made.get() + 1);
        let folder = root.path().join(made.get().to_string());
        let clock = given::clock();
        let stores = opened(&folder, &clock);
        Peopled {
            registrar: Arc::new(Issuing(stores.clone())),
            subject: Subject { stores, clock },
        }
    })
    .await;
}

#[tokio::test]
async fn tokens_keys_and_their_ends_survive_a_restart_and_no_secret_is_on_disk() {
    let (folder, clock) = (quick_folder(), given::clock());
    let stores = opened(folder.path(), &clock);
    let issuing = Issuing(stores.clone());
    let rights = Rights::of(&given::space(), Role::Viewer, &["a*"]);
    let ann = issuing.person("ann", &rights).await;
    let eve = issuing.person("eve", &Rights::all()).await;
    let authority = Arc::clone(&stores.people.as_ref().unwrap().authority);
    let hour = Duration::from_secs(3_600);
    let key = authority.grant(&ann.authorization, "", hour).await.unwrap();
    issuing.disable(&eve).await;
    let ring = stores.people.as_ref().unwrap().own_ring;
    stores.close().await;
    drop((stores, issuing, authority));
    let mut text = Vec::new();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        text.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let key_text = key.authorization.header();
    for secret in [&*ann.password, &eve.password, key_text] {
        let secret = secret.rsplit('_').next().unwrap().as_bytes();
        assert!(!text.windows(secret.len()).any(|part| part == secret));
    }
    let again = opened(folder.path(), &clock);
    let people = again.people.clone().unwrap();
    assert_eq!(people.own_ring, ring);
    let asked = [Right::ReadStream(given::stream("a1").name)];
    for own in [&ann.authorization, &key.authorization] {
        let person = people.authority.person(own).await.unwrap();
        assert_eq!(person.name, "ann");
        assert_eq!(people.authority.has(own, &asked).await.unwrap(), [true]);
    }
    assert!(people.authority.person(&eve.authorization).await.is_err());
    assert!(!people.tokens.unwrap().is_empty().await.unwrap());
    again.close().await;
}

/// The change and its entry are in one commit: what a host leaves that is killed right after it.
#[tokio::test]
async fn a_change_is_on_disk_with_its_entry() {
    let folder = tempfile::tempdir().unwrap();
    let s = super::sqlite(folder.path(), &given::clock());
    let act = Act::in_space("task.schedule", &given::space(), "t");
    let entry = Entry::begun(&Requester::single_user(), act, s.now());
    s.stores.audit.note(entry.clone());
    s.scheduled("t").await.unwrap();
    let killed = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), killed.path().join(file.file_name())).unwrap();
    }
    let again = super::opened(killed.path(), &s.clock);
    assert!(again.tasks.get(&given::key("t")).await.unwrap().is_some());
    let request = AuditRequest {
        limit: 10,
        ..AuditRequest::default()
    };
    let found = again.audit.list(&request).await.unwrap().entries;
    assert_eq!(found, std::slice::from_ref(&entry));
    again.close().await;
    // What became of it is written behind.
    let done = Entry {
        outcome: Some(Outcome::Done),
        ..entry
    };
    s.stores.audit.note(done.clone());
    s.stores.audit.flush().await.unwrap();
    let found = s.stores.audit.list(&request).await.unwrap().entries;
    assert_eq!(found, [done]);
    s.stores.close().await;
}
