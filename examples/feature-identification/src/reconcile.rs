//! Recognizes systems that the stream already has as features: the same system keeps its uuid
//! and its id, whatever it is called now.

use serde_json::{Map, Value};
use taskhost_sdk::Condition;
use uuid::Uuid;

use crate::feature::{Feature, Source, Status, folded};
use crate::identify::{Found, Said, evaluate};
use crate::naming::slug;
use crate::proposal::fields_of;
use crate::tally::{arranged, descending};
use crate::watch::{Stopped, Watch};
use crate::worth::overlap;

/// Two filters are one system when this share of the documents that either selects, both do.
const OVERLAP_MIN: f64 = 0.5;
/// Tests of filters that are run on documents: some ten seconds, of the minute that the run has.
const TESTS_MAX: usize = 40_000_000;
/// Where a feature's `meta` has what the arithmetic calls a system that a model has named.
pub const COMPUTED_NAME: &str = "computed_name";
/// Uuids of new features are made of their filters, below this one.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0b_64e3_5c0c_4e4f_9a53_7d1f_0f6c_1b2e);

/// When features were seen, and until when they are kept; RFC 3339.
#[derive(Debug, Clone)]
pub struct Times {
    /// Now.
    pub last_seen: String,
    /// Later.
    pub expires_at: String,
    /// The run that sees them.
    pub run_id: Option<String>,
}

/// Makes features of what was found, in the same order, without what people exclude; `counts` has
/// one number each.
///
/// # Errors
/// [`Stopped`] when the watch says so.
pub fn reconcile(
    found: &[Found],
    counts: &[u64],
    existing: &[Feature],
    documents: &[Value],
    times: &Times,
    watch: &mut dyn Watch,
) -> Result<Vec<Feature>, Stopped> {
    watch.phase("known features", existing.len() * documents.len())?;
    let mut pairs = Vec::new();
    let mut unwanted = vec![false; found.len()];
    let affordable = affordable(existing, documents.len());
    let systems = existing.iter().enumerate().filter(|it| it.1.is_system());
    for (index, feature) in systems {
        let done = index * documents.len();
        let matched = match affordable[index] {
            true => evaluate(&feature.filter, documents, done, watch)?,
            false => vec![false; documents.len()],
        };
        for (at, one) in found.iter().enumerate() {
            let overlap = if one.filter == feature.filter || is_of(feature, &one.filter) {
                1.0
            } else {
                overlap(&one.matched, &matched)
            };
            if overlap >= OVERLAP_MIN && feature.is_excluded() {
                unwanted[at] = true;
            } else if overlap >= OVERLAP_MIN {
                pairs.push((overlap, at, index));
            }
        }
    }
    let order = descending(pairs.len(), &|at| pairs[at].0);
    let mut known: Vec<Option<&Feature>> = vec![None; found.len()];
    let mut used = vec![false; existing.len()];
    for (_, at, index) in arranged(pairs, &order) {
        if known[at].is_none() && !used[index] {
            known[at] = Some(&existing[index]);
            used[index] = true;
        }
    }
    let mut uuids: Vec<String> = existing.iter().map(|one| one.uuid.clone()).collect();
    let mut ids: Vec<String> = existing.iter().map(|one| one.id.clone()).collect();
    let wanted = found.iter().enumerate().filter(|(at, _)| !unwanted[*at]);
    let mut features: Vec<Feature> = wanted
        .clone()
        .map(|(at, one)| {
            let (uuid, id) = match known[at] {
                Some(feature) => (feature.uuid.clone(), feature.id.clone()),
                None => (new_uuid(one, &mut uuids), slug(&one.story.name, &mut ids)),
            };
            feature(one, counts.get(at).copied().unwrap_or(0), uuid, id, times)
        })
        .collect();
    for (nth, (at, one)) in wanted.enumerate() {
        if let Some(known) = known[at].filter(|it| it.source == Source::Model && one.said.is_none())
        {
            keep_said(&mut features, nth, known);
        }
    }
    Ok(features)
}

/// Of which of these the filters are run on so many documents; people may have made many, and
/// costly ones. The others are known again by an equal filter, or by what they were found by.
#[must_use]
pub fn affordable(existing: &[Feature], documents: usize) -> Vec<bool> {
    let cost = |feature: &Feature| {
        let mut tests = Vec::new();
        fields_of(&feature.filter, &mut tests);
        tests.len().max(1) * documents
    };
    let mut order: Vec<usize> = (0..existing.len()).collect();
    // What people exclude comes first: it would come back else.
    order.sort_by_key(|at| (!existing[*at].is_excluded(), cost(&existing[*at])));
    let mut affordable = vec![false; existing.len()];
    let mut left = TESTS_MAX;
    for at in order {
        let cost = cost(&existing[at]);
        affordable[at] = cost <= left;
        left -= if affordable[at] { cost } else { 0 };
    }
    affordable
}

/// Takes over what a model has said of the same system in a run before, where in this one none says
/// anything of it.
fn keep_said(features: &mut [Feature], nth: usize, known: &Feature) {
    let has_its_name = |one: &Feature| folded(&one.name) == folded(&known.name);
    let mut others = features.iter().enumerate().filter(|(at, _)| *at != nth);
    if others.any(|(_, one)| has_its_name(one)) {
        return;
    }
    let feature = &mut features[nth];
    let computed = std::mem::replace(&mut feature.name, known.name.clone());
    feature.meta = computed_name(Some(computed).filter(|it| *it != known.name));
    feature.title.clone_from(&known.title);
    feature.description.clone_from(&known.description);
    feature.subtype.clone_from(&known.subtype);
    feature.tags.clone_from(&known.tags);
    feature.properties.clone_from(&known.properties);
    feature.source = Source::Model;
}

/// What the arithmetic calls a system that a model has named, as it is kept.
fn computed_name(name: Option<String>) -> Map<String, Value> {
    let pair = name.map(|name| (COMPUTED_NAME.to_owned(), Value::from(name)));
    pair.into_iter().collect()
}

fn feature(found: &Found, count: u64, uuid: String, id: String, times: &Times) -> Feature {
    let story = &found.story;
    let said = found.said.clone();
    let source = match said {
        Some(_) => Source::Model,
        None => Source::Computed,
    };
    let Said {
        subtype,
        tags,
        properties,
        computed_name: computed,
    } = said.unwrap_or_default();
    Feature {
        uuid,
        id,
        kind: "system".to_owned(),
        name: story.name.clone(),
        title: story.title.clone(),
        description: story.description.clone(),
        filter: found.filter.clone(),
        confidence: found.confidence,
        evidence: story.evidence.clone(),
        precision: found.precision,
        recall: found.recall,
        count,
        count_of: None,
        subtype,
        properties,
        tags,
        meta: computed_name(computed),
        source,
        status: Status::Active,
        excluded_at: None,
        excluded_by: None,
        edited: Vec::new(),
        run_id: times.run_id.clone(),
        last_seen: times.last_seen.clone(),
        expires_at: times.expires_at.clone(),
    }
}

/// The same filter makes the same uuid, unless an older feature still has it.
fn new_uuid(found: &Found, taken: &mut Vec<String>) -> String {
    let uuid = (0..)
        .map(|salt| uuid_of(&found.filter, salt))
        .find(|uuid| !taken.contains(uuid))
        .unwrap_or_default();
    taken.push(uuid.clone());
    uuid
}

fn uuid_of(filter: &Condition, salt: u32) -> String {
    let name = format!("{salt} {}", filter.to_json());
    Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
}

/// Whether a feature was once made of that filter, in place of which somebody has given it another.
fn is_of(feature: &Feature, filter: &Condition) -> bool {
    let is_edited = feature.edited.iter().any(|field| field == "filter");
    is_edited && feature.uuid == uuid_of(filter, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::Story;
    use crate::watch::Unwatched;
    use serde_json::json;

    fn found(name: &str, text: &str, documents: &[Value]) -> Found {
        let filter = Condition::contains("message", text);
        Found {
            matched: documents
                .iter()
                .map(|document| filter.matches(document))
                .collect(),
            filter,
            story: Story {
                name: name.to_owned(),
                ..Story::default()
            },
            own: Vec::new(),
            said: None,
            precision: 1.0,
            recall: 1.0,
            confidence: 90,
        }
    }

    fn run(found: &[Found], existing: &[Feature], documents: &[Value], now: &str) -> Vec<Feature> {
        let times = Times {
            last_seen: now.to_owned(),
            expires_at: format!("{now} + 7"),
            run_id: None,
        };
        reconcile(found, &[3], existing, documents, &times, &mut Unwatched).unwrap()
    }

    #[test]
    fn the_same_system_keeps_its_uuid_under_another_name_and_filter() {
        let documents: Vec<Value> = (0..30)
            .map(|n| json!({"message": if n < 20 { "vm sshd[1]: a" } else { "nginx b" }}))
            .collect();
        let first = run(
            &[
                found("sshd", "sshd[", &documents),
                found("nginx", "nginx", &documents),
            ],
            &[],
            &documents,
            "monday",
        );
        assert_ne!(first[0].uuid, first[1].uuid);
        assert_eq!((first[0].count, first[0].kind.as_str()), (3, "system"));
        let second = run(
            &[
                found("web", "b", &documents),
                found("sshd on vm", "vm sshd", &documents),
            ],
            &first,
            &documents,
            "tuesday",
        );
        assert_eq!(
            (&second[0].uuid, &second[0].id),
            (&first[1].uuid, &first[1].id)
        );
        assert_eq!(second[1].uuid, first[0].uuid);
        assert_eq!(second[1].name, "sshd on vm");
        assert_eq!(second[1].expires_at, "tuesday + 7");
    }

    #[test]
    fn what_a_model_has_said_stays_where_none_says_anything_new() {
        let documents: Vec<Value> = (0..30)
            .map(|n| json!({"message": if n < 20 { "\"GET /" } else { "+OK" }}))
            .collect();
        let log = || found("access log", "GET", &documents);
        let said = |name: &str, text: &str| Found {
            said: Some(Said {
                subtype: Some("web server".to_owned()),
                tags: vec!["http".to_owned()],
                computed_name: Some("access log".to_owned()),
                ..Said::default()
            }),
            ..found(name, text, &documents)
        };
        let known = run(&[said("nginx", "GET")], &[], &documents, "monday");
        assert_eq!(known[0].meta[COMPUTED_NAME], "access log");
        let alone = run(&[log()], &known, &documents, "tuesday").remove(0);
        assert_eq!(
            (alone.name.as_str(), alone.source),
            ("nginx", Source::Model)
        );
        assert_eq!(alone.subtype.as_deref(), Some("web server"));
        assert_eq!((&alone.tags, &alone.meta), (&known[0].tags, &known[0].meta));
        assert_eq!(alone.last_seen, "tuesday");
        // What a model says now counts, also where it gives the name to another.
        let now = run(&[said("Apache", "GET")], &known, &documents, "tuesday");
        assert_eq!(now[0].name, "Apache");
        let moved = [log(), said("nginx", "+OK")];
        let moved = run(&moved, &known, &documents, "tuesday");
        let names: Vec<&str> = moved.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["access log", "nginx"]);
    }

    #[test]
    fn what_people_exclude_is_not_found_again_under_any_name() {
        let documents: Vec<Value> = (0..30)
            .map(|n| json!({"message": if n < 20 { "vm sshd[1]: a" } else { "nginx b" }}))
            .collect();
        let sshd = [found("sshd", "sshd[", &documents)];
        let mut known = run(&sshd, &[], &documents, "monday");
        known[0].status = Status::Excluded;
        let again = [
            found("x", "vm", &documents),
            found("y", "nginx", &documents),
        ];
        let left = run(&again, &known, &documents, "tuesday");
        let names: Vec<&str> = left.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["y"]);
    }

    #[test]
    fn a_system_is_known_again_though_somebody_has_narrowed_its_filter() {
        let documents: Vec<Value> = (0..30)
            .map(|n| json!({"message": format!("nginx {n}")}))
            .collect();
        let nginx = [found("nginx", "nginx", &documents)];
        let mut known = run(&nginx, &[], &documents, "monday");
        known[0].filter = Condition::contains("message", "nginx 7");
        let apart = run(&nginx, &known, &documents, "tuesday");
        assert_ne!(apart[0].uuid, known[0].uuid);
        known[0].edited = vec!["filter".to_owned()];
        let same = run(&nginx, &known, &documents, "tuesday");
        assert_eq!(same[0].uuid, known[0].uuid);
    }

    #[test]
    fn costly_filters_are_left_out_but_what_is_excluded_comes_first() {
        let documents = [json!({"message": "alpha"})];
        let found = [found("x", "alpha", &documents)];
        let one = run(&found, &[], &documents, "monday").remove(0);
        let tests = |count: usize| {
            let all = (0..count).map(|n| Condition::contains("message", n.to_string()));
            let filter = Condition::or(all.collect());
            Feature {
                filter,
                ..one.clone()
            }
        };
        let mut existing = [tests(300), tests(2), tests(250), one.clone()];
        assert_eq!(affordable(&existing, 100_000), [false, true, true, true]);
        existing[0].status = Status::Excluded;
        assert_eq!(affordable(&existing, 100_000), [true, true, false, true]);
        assert_eq!(affordable(&existing, 10), [true; 4]);
        // Without a run of it, it is known by its own filter.
        let again = run(&found, &[tests(300), one.clone()], &documents, "tuesday");
        assert_eq!(again[0].uuid, one.uuid);
    }

    #[test]
    fn a_name_alone_makes_no_system() {
        let documents = [json!({"message": "alpha"}), json!({"message": "beta"})];
        let first = run(
            &[found("x", "alpha", &documents)],
            &[],
            &documents,
            "monday",
        );
        let second = run(
            &[found("x", "beta", &documents)],
            &first,
            &documents,
            "tuesday",
        );
        assert_ne!(second[0].uuid, first[0].uuid);
        assert_eq!(second[0].id, "x-2");
    }
}
