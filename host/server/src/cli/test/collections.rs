//! The collections of a test: what they hold before the run, and after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use taskhost_model::ids::{Label, Space, StreamName};
use taskhost_store::documents::{Change, DocumentStore, Scope, Writer};
use taskhost_store::error::StoreError;

use super::super::failure::Failure;
use crate::kit::fixtures::documents::{Collection, Documents, differences};

/// Changes of one call, and documents of a page.
const AT_ONCE: usize = 500;

/// The collections of the stream that the task works on, or of its space.
#[derive(Debug)]
pub(super) struct Collections<'a> {
    pub(super) fixtures: &'a BTreeMap<Label, Collection>,
    pub(super) space: &'a Space,
    pub(super) stream: Option<&'a StreamName>,
}

impl Collections<'_> {
    fn scope(&self, label: &Label) -> Scope {
        Scope {
            space: self.space.clone(),
            stream: self.stream.cloned(),
            label: label.clone(),
        }
    }

    /// Puts documents there before the run.
    pub(super) async fn fill(&self, store: &dyn DocumentStore) -> Result<(), Failure> {
        for (label, collection) in self.fixtures {
            if store
                .label_owner(label)
                .await
                .map_err(|error| failed(&error))?
                .is_none()
            {
                let file = collection.file.display();
                return Err(Failure::wrong_use(format!(
                    "{file}: no component of this test has the collection `{label}`: name it in \
                     the descriptor's `collections`, or name the file otherwise"
                )));
            }
            let puts = collection.before.iter().map(|(id, body)| Change::Put {
                id: id.clone(),
                body: Arc::from(body.to_string()),
                if_version: None,
            });
            let puts: Vec<Change> = puts.collect();
            for some in puts.chunks(AT_ONCE) {
                let writer = Writer::Person("test".to_owned());
                let done = store
                    .apply(&self.scope(label), &writer, some.to_vec())
                    .await;
                let refused = done
                    .map_err(|error| failed(&error))?
                    .into_iter()
                    .find_map(Result::err);
                if let Some(refused) = refused {
                    let file = collection.file.display();
                    return Err(Failure::wrong_use(format!("{file}: {refused}")));
                }
            }
        }
        Ok(())
    }

    /// How they differ from what they have to hold after the run, each in a line.
    pub(super) async fn differences(
        &self,
        store: &dyn DocumentStore,
    ) -> Result<Vec<String>, Failure> {
        let mut all = Vec::new();
        for (label, collection) in self.fixtures {
            let Some(wanted) = &collection.after else {
                continue;
            };
            let found = self.found(store, label).await?;
            let of_this = differences(wanted, &found);
            let named = |difference| format!("documents/{label}.after.ndjson: {difference}");
            all.extend(of_this.into_iter().map(named));
        }
        Ok(all)
    }

    async fn found(&self, store: &dyn DocumentStore, label: &Label) -> Result<Documents, Failure> {
        let (scope, mut cursor, mut found) = (self.scope(label), None, Documents::new());
        loop {
            let page = store.query(&scope, None, cursor.as_deref(), AT_ONCE).await;
            let page = page.map_err(|error| failed(&error))?;
            for document in page.documents {
                let body = serde_json::from_str(&document.body);
                let body = body.map_err(|error| Failure::failed(error.to_string()))?;
                found.insert(document.id, body);
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(found);
            }
        }
    }
}

fn failed(error: &StoreError) -> Failure {
    Failure::failed(format!("the test's collections: {error}"))
}
