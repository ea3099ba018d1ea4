//! The features that a stream has, and how what is found comes to them: what a person has said of a
//! feature, also while the run goes on, stays.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use taskhost_sdk::{Change, Clients, Collection, Error};

use crate::feature::{Feature, Source};

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

    /// All that are there, whatever became of them.
    #[must_use]
    pub fn uuids(&self) -> BTreeSet<String> {
        self.kept.keys().cloned().collect()
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
                let known_as = known.map(|(_, known)| known);
                let Some(feature) = merge(feature, known_as) else {
                    continue;
                };
                if known_as == Some(&feature) {
                    saved.push(feature);
                    continue;
                }
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

    /// As they are by now, for what was saved some time ago: without what people have excluded or
    /// deleted since, and with what they have changed.
    ///
    /// # Errors
    /// As the host says.
    pub fn as_of_now(&self, features: &[Feature]) -> Result<Vec<Feature>, Error> {
        let stored = self.collection.all(None)?.into_iter();
        let stored: BTreeMap<String, Value> = stored.map(|one| (one.id, one.body)).collect();
        let current = |feature: &Feature| match stored.get(&feature.uuid) {
            Some(body) => match serde_json::from_value(body.clone()) {
                Ok(known) => merge(feature, Some(&known)),
                Err(_) => Some(feature.clone()),
            },
            // A store may not find at once what was written just now.
            None => Some(feature.clone()),
        };
        Ok(features.iter().filter_map(current).collect())
    }

    /// Removes what has expired by then, and what this run has found on its way and does not stand
    /// by in the end.
    ///
    /// # Errors
    /// As the host says.
    pub fn forget(&mut self, now: &str, mine: &Mine<'_>) -> Result<(), Error> {
        let is_over = |one: &Feature| {
            let has_expired = !one.is_excluded() && one.expires_at.as_str() <= now;
            has_expired || mine.leaves(one)
        };
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

/// What a run has found.
#[derive(Debug)]
pub struct Mine<'a> {
    /// The run.
    pub run_id: Option<&'a str>,
    /// What there was before it.
    pub before: &'a BTreeSet<String>,
    /// What it stands by.
    pub last: &'a [Feature],
}

impl Mine<'_> {
    /// Whether the run made this feature in one of its steps and has another one in its place now,
    /// and no person has touched it.
    fn leaves(&self, one: &Feature) -> bool {
        let is_of_run = self.run_id.is_some() && one.run_id.as_deref() == self.run_id;
        let is_touched =
            one.is_excluded() || !one.edited.is_empty() || one.source == Source::Person;
        let stays = || self.last.iter().any(|last| last.uuid == one.uuid);
        one.is_system() && is_of_run && !is_touched && !self.before.contains(&one.uuid) && !stays()
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
    use crate::feature::Status;
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

    #[test]
    fn a_run_leaves_what_it_made_on_its_way_and_nothing_else() {
        let of = |uuid: &str, run_id: &str| Feature {
            uuid: uuid.to_owned(),
            run_id: Some(run_id.to_owned()),
            ..stored()
        };
        let before = BTreeSet::from(["before".to_owned()]);
        let last = [of("last", "r1")];
        let mine = Mine {
            run_id: Some("r1"),
            before: &before,
            last: &last,
        };
        assert!(mine.leaves(&of("way", "r1")));
        let edited = Feature {
            edited: vec!["name".to_owned()],
            ..of("way", "r1")
        };
        let excluded = Feature {
            status: Status::Excluded,
            ..of("way", "r1")
        };
        let computed = Feature {
            kind: "log_samples".to_owned(),
            ..of("way", "r1")
        };
        let (others, older) = (of("way", "r2"), of("before", "r1"));
        for stays in [edited, excluded, computed, others, older, of("last", "r1")] {
            assert!(!mine.leaves(&stays), "{stays:?}");
        }
    }
}
