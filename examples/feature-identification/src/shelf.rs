//! The features that a stream has, and how what is found comes to them: what a person has said of a
//! feature, also while the run goes on, stays.

use std::collections::BTreeMap;

use serde_json::Value;
use taskhost_sdk::{Change, Clients, Collection, Error};

use crate::feature::Feature;

/// The collection that features are saved in.
pub const COLLECTION: &str = "features";
/// Changes of the collection in one call.
const CHANGES_MAX: usize = 500;

/// The stream's features.
#[derive(Debug)]
pub struct Shelf {
    collection: Collection<Value>,
    /// By uuid, each with its version.
    kept: BTreeMap<String, (String, Feature)>,
}

impl Shelf {
    /// Reads all.
    ///
    /// # Errors
    /// As the host says.
    pub fn open(clients: &Clients) -> Result<Self, Error> {
        let collection = clients.documents.collection::<Value>(COLLECTION)?;
        let stored = collection.all(None)?;
        // What another version of this type has left and this one cannot read stays as it is.
        let kept = stored.into_iter().filter_map(|one| {
            let feature = serde_json::from_value(one.body).ok()?;
            Some((one.id, (one.version, feature)))
        });
        Ok(Self {
            kept: kept.collect(),
            collection,
        })
    }

    /// Those that have not expired by then; what people exclude never does.
    #[must_use]
    pub fn known(&self, now: &str) -> Vec<Feature> {
        let all = self.kept.values().map(|(_, feature)| feature);
        let known = all.filter(|one| one.is_excluded() || one.expires_at.as_str() > now);
        known.cloned().collect()
    }

    /// Takes over what people have said of it.
    pub fn keep_edited(&self, feature: &mut Feature) {
        if let Some((_, known)) = self.kept.get(&feature.uuid) {
            feature.keep_edited(known);
        }
    }

    /// Saves what was found; answers it as it was saved: without what people exclude, and with what
    /// they have changed, by now.
    ///
    /// # Errors
    /// As the host says.
    pub fn save(&mut self, features: &[Feature]) -> Result<Vec<Feature>, Error> {
        let mut saved = Vec::new();
        for part in features.chunks(CHANGES_MAX) {
            let (mut merged, mut changes) = (Vec::new(), Vec::new());
            for feature in part {
                let known = self.kept.get(&feature.uuid);
                let Some(feature) = merge(feature, known.map(|(_, known)| known)) else {
                    continue;
                };
                let (uuid, body) = (feature.uuid.clone(), body(&feature)?);
                changes.push(match known {
                    Some((version, _)) => Change::replace(uuid, version.as_str(), body),
                    None => Change::create(uuid, body),
                });
                merged.push(feature);
            }
            let answers = self.collection.apply(&changes)?;
            for (feature, answer) in merged.into_iter().zip(answers) {
                match answer {
                    Ok(version) => {
                        self.keep(version, &feature);
                        saved.push(feature);
                    }
                    Err(error) if is_changed(&error) => saved.extend(self.again(&feature)?),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(saved)
    }

    /// Removes what has expired by then.
    ///
    /// # Errors
    /// As the host says.
    pub fn forget(&mut self, now: &str) -> Result<(), Error> {
        let is_over = |one: &Feature| !one.is_excluded() && one.expires_at.as_str() <= now;
        let over = self.kept.iter().filter(|(_, (_, one))| is_over(one));
        let over = over.map(|(uuid, (version, _))| {
            Change::<Value>::delete_version(uuid.as_str(), version.as_str())
        });
        let over: Vec<_> = over.collect();
        for part in over.chunks(CHANGES_MAX) {
            for answer in self.collection.apply(part)? {
                match answer {
                    // Somebody has changed it, or was first.
                    Err(error) if is_changed(&error) => {}
                    answer => drop(answer?),
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, version: String, feature: &Feature) {
        let kept = (version, feature.clone());
        self.kept.insert(feature.uuid.clone(), kept);
    }

    /// Once more, over what somebody has written meanwhile; none where that is against it.
    fn again(&mut self, feature: &Feature) -> Result<Option<Feature>, Error> {
        let Some(stored) = self.collection.get(&feature.uuid)? else {
            // Whoever has deleted it knows why.
            return Ok(None);
        };
        let Ok(known) = serde_json::from_value::<Feature>(stored.body) else {
            return Ok(None);
        };
        let merged = merge(feature, Some(&known));
        self.keep(stored.version.clone(), &known);
        let Some(merged) = merged else {
            return Ok(None);
        };
        let replaced = self
            .collection
            .replace(&merged.uuid, &stored.version, &body(&merged)?);
        match replaced {
            Ok(version) => {
                self.keep(version, &merged);
                Ok(Some(merged))
            }
            Err(error) if is_changed(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What is saved over `known`; none where people exclude that.
fn merge(feature: &Feature, known: Option<&Feature>) -> Option<Feature> {
    let mut merged = feature.clone();
    if let Some(known) = known {
        if known.is_excluded() {
            return None;
        }
        merged.keep_edited(known);
    }
    Some(merged)
}

fn is_changed(error: &Error) -> bool {
    ["conflict", "not-found"].contains(&error.code())
}

fn body(feature: &Feature) -> Result<Value, Error> {
    serde_json::to_value(feature).map_err(|error| {
        let message = format!("the feature `{}` is no JSON: {error}", feature.id);
        Error::failed("internal", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature::{Source, Status};
    use serde_json::json;

    /// As a version before this one has stored it.
    fn stored() -> Feature {
        serde_json::from_value(json!({
            "uuid": "u", "id": "i", "type": "system", "name": "n", "title": "t",
            "description": "d", "filter": {"field": "message", "contains": "x"}, "confidence": 9,
            "evidence": [], "precision": 1.0, "recall": 1.0, "count": 3,
            "last_seen": "2026-11-28T00:00:00.000Z", "expires_at": "2026-12-05T00:00:00.000Z",
        }))
        .unwrap()
    }

    #[test]
    fn what_people_have_changed_stays_and_the_rest_is_new() {
        let mut known = stored();
        known.edited = vec!["name".to_owned(), "tags".to_owned()];
        known.tags = vec!["mine".to_owned()];
        let new = Feature {
            name: "other".to_owned(),
            title: "other".to_owned(),
            count: 7,
            source: Source::Model,
            ..stored()
        };
        let merged = merge(&new, Some(&known)).unwrap();
        assert_eq!(
            (merged.name.as_str(), merged.title.as_str()),
            ("n", "other")
        );
        assert_eq!((merged.count, merged.source), (7, Source::Model));
        assert_eq!((&merged.edited, &merged.tags), (&known.edited, &known.tags));

        let persons = Feature {
            source: Source::Person,
            ..stored()
        };
        let merged = merge(&new, Some(&persons)).unwrap();
        assert_eq!(
            (merged.title.as_str(), merged.source),
            ("t", Source::Person)
        );
        let excluded = Feature {
            status: Status::Excluded,
            ..stored()
        };
        assert_eq!(merge(&new, Some(&excluded)), None);
    }
}
