//! What is dropped, what is taken, and what it changes.

use super::*;
use crate::identify::identify;
use crate::watch::Unwatched;
use serde_json::json;

/// 60 lines of nginx, 40 of redis, and 10 that no cluster of `found` has.
pub(crate) fn documents() -> Vec<Value> {
    let nginx = |n: usize| format!("10.0.0.{n} - - \"GET /a/{n} HTTP/1.1\" 200 nginx/1.{n}");
    let redis = |n: usize| format!("{n}:M 24 Nov 2026 12:00:00.{n:03} * Redis saved {n} keys");
    let other = |n: usize| format!("mosquitto version 2.0.{n} starting");
    let texts = (0..60).map(nginx).chain((0..40).map(redis));
    let texts = texts.chain((0..10).map(other));
    texts.map(|text| json!({"message": text, "n": 1})).collect()
}

pub(crate) fn of(documents: &[Value], name: &str, text: &str) -> Found {
    let filter = Condition::contains("message", text);
    let matched: Vec<bool> = documents.iter().map(|it| filter.matches(it)).collect();
    Found {
        filter,
        story: crate::naming::Story {
            name: name.to_owned(),
            ..Default::default()
        },
        precision: 1.0,
        recall: 1.0,
        confidence: 90,
        own: matched.clone(),
        matched,
        said: None,
    }
}

/// `c1` is nginx and `c2` is redis.
pub(crate) fn found(documents: &[Value]) -> Vec<Found> {
    vec![
        of(documents, "GET HTTP", "GET"),
        of(documents, "keys saved", "saved"),
    ]
}

pub(crate) fn proposal(system: &Value) -> Proposal {
    Proposal::read(system).unwrap()
}

fn judged(systems: Vec<Value>, found: &[Found], excluded: &[&str]) -> Judged {
    let documents = documents();
    let excluded: Vec<String> = excluded.iter().map(|name| folded(name)).collect();
    let systems = systems.into_iter().map(|system| proposal(&system));
    let systems: Vec<Proposal> = systems.collect();
    let ground = Ground::new(&documents, found, &excluded);
    ground.judge(&systems, &mut Unwatched).unwrap()
}

fn why(system: Value, excluded: &[&str]) -> String {
    let found = found(&documents());
    let judged = judged(vec![system], &found, excluded);
    assert_eq!(judged.found.len(), 2);
    for (now, before) in judged.found.iter().zip(&found) {
        assert_eq!((&now.story, &now.filter), (&before.story, &before.filter));
    }
    match &judged.verdicts[0] {
        Verdict::Dropped(why) => why.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_has_evidence_names_a_cluster_or_adds_what_no_cluster_has() {
    let found = found(&documents());
    let judged = judged(
        vec![
            json!({"name": " nginx\n", "cluster": "c1", "evidence": ["nginx/1."],
                "subtype": "web server", "tags": ["http"], "properties": {"a": 1, "b": [2]}}),
            json!({"name": "Redis", "filter": {"field": "message", "contains": "redis saved"},
                "evidence": ["* Redis"]}),
            json!({"name": "Mosquitto", "filter": {"field": "message", "startsWith": "mosquitto"},
                "evidence": ["version 2.0"]}),
        ],
        &found,
        &[],
    );
    let expected = [Verdict::Names(0), Verdict::Names(1), Verdict::Adds(2)];
    assert_eq!(judged.verdicts, expected);
    let names: Vec<&str> = judged
        .found
        .iter()
        .map(|it| it.story.name.as_str())
        .collect();
    assert_eq!(names, ["nginx", "Redis", "Mosquitto"]);
    let said = judged.found[0].said.as_ref().unwrap();
    assert_eq!(said.subtype.as_deref(), Some("web server"));
    assert_eq!(Value::from(said.properties.clone()), json!({"a": 1}));
    // A filter that is as good as the arithmetic's is no reason to leave that.
    assert_eq!(judged.found[1].filter, found[1].filter);
    assert_eq!(judged.told[1]["of_clusters"], json!({"c2": 40}));
    assert_eq!(judged.told[2]["documents"], 10);
}

#[test]
fn what_nothing_speaks_for_is_dropped_and_changes_nothing() {
    let field = |field: &str, text: &str| json!({"field": field, "contains": text});
    let with = |filter: Value, quote: &str| {
        let evidence = [quote];
        json!({"name": "nginx", "filter": filter, "evidence": evidence})
    };
    for (system, part) in [
        (
            with(field("message", "no such text"), "GET /"),
            "selects no document",
        ),
        (
            with(field("host.name", "GET"), "GET /"),
            "no document has the field `host.name`",
        ),
        (
            with(json!({"field": "message", "like": "GET"}), "GET /"),
            "its filter is none",
        ),
        (with(json!({"always": {}}), "GET /"), "tells nothing apart"),
        (
            with(field("message", "GET"), "no such quotation"),
            "none of its evidence",
        ),
        (
            with(field("message", "GET"), "Redis"),
            "none of its evidence",
        ),
        (
            with(field("message", "GET /a/1"), "nginx"),
            "divides or joins",
        ),
        (
            json!({"name": "nginx", "cluster": "c1"}),
            "none of its evidence",
        ),
        (
            json!({"name": "nginx", "cluster": "c9", "evidence": ["GET /"]}),
            "no cluster",
        ),
        (
            json!({"name": "System 1", "cluster": "c1", "evidence": ["nginx"]}),
            "says nothing",
        ),
        (
            json!({"name": "Keys  saved", "cluster": "c1", "evidence": ["nginx"]}),
            "has that",
        ),
    ] {
        let said = why(system, &[]);
        assert!(said.contains(part), "{part}: {said}");
    }
    let nginx = json!({"name": "NGINX", "cluster": "c1", "evidence": ["nginx"]});
    assert!(why(nginx, &["nginx"]).contains("exclude"));
}

#[test]
fn a_filter_is_taken_only_where_it_is_better_and_costs_nobody_anything() {
    let documents = documents();
    let mut found = found(&documents);
    // The arithmetic has missed some.
    let some = ["saved 1", "saved 2", "saved 3"].map(|text| Condition::contains("message", text));
    let filter = Condition::or(some.to_vec());
    found[1].matched = documents.iter().map(|it| filter.matches(it)).collect();
    found[1].filter = filter;
    found[1].recall = of_own(&found[1].matched, &found[1].own).1;
    assert!(found[1].recall < 1.0);
    let whole = json!({"name": "Redis", "cluster": "c2", "evidence": ["Redis saved"],
        "filter": {"field": "message", "contains": "redis saved"}});
    let better = judged(vec![whole], &found, &[]);
    assert_eq!(better.verdicts, [Verdict::Improves(1)]);
    assert_eq!(better.found[1].matched, found[1].own);
    assert_eq!(
        (better.found[1].precision, better.found[1].recall),
        (1.0, 1.0)
    );
    let worse = json!({"name": "nginx", "cluster": "c1", "evidence": ["nginx"],
        "filter": {"or": [{"field": "message", "contains": "GET"},
            {"field": "message", "contains": "mosquitto"}]}});
    let kept = judged(vec![worse], &self::found(&documents), &[]);
    assert_eq!(kept.verdicts, [Verdict::Names(0)]);
    assert_eq!(kept.found[0].filter, Condition::contains("message", "GET"));
}

#[test]
fn of_two_for_one_cluster_the_first_counts() {
    let one = |name: &str| json!({"name": name, "cluster": "c1", "evidence": ["nginx"]});
    let judged = judged(vec![one("nginx"), one("Apache")], &found(&documents()), &[]);
    assert_eq!(judged.verdicts[0], Verdict::Names(0));
    assert!(matches!(&judged.verdicts[1], Verdict::Dropped(_)));
    assert_eq!(judged.found[0].story.name, "nginx");
}

#[test]
fn what_the_arithmetic_finds_has_its_own_documents() {
    let documents = documents();
    let outcome = identify(&documents, &mut Unwatched).unwrap();
    assert!(!outcome.found.is_empty());
    for one in &outcome.found {
        assert_eq!(of_own(&one.matched, &one.own), (one.precision, one.recall));
    }
}

#[test]
fn lines_that_name_themselves_keep_their_name_unless_a_word_of_another_stands_there() {
    let mut found = found(&documents());
    found[0].story.name = "nginx on gate".to_owned();
    found[0].story.names_itself = true;
    let one = |name: &str, at: usize, quote: &str| {
        let mut all = found.clone();
        let cluster = format!("c{}", at + 1);
        let system = json!({"name": name, "cluster": cluster, "evidence": [quote]});
        let judged = judged(vec![system], &all, &[]);
        all = judged.found;
        let computed = all[at].said.as_ref().unwrap().computed_name.clone();
        let story = &all[at].story;
        (story.name.clone(), story.title.clone(), computed)
    };
    let kept = |text: &str| Some(text.to_owned());
    let of = |name: &str, title: &str, computed| (name.to_owned(), title.to_owned(), computed);
    // A true quotation alone makes no name.
    let wrong = one("Oracle Database A", 0, "GET /a/7 HTTP");
    assert_eq!(wrong, of("nginx on gate", "Oracle Database A", None));
    let quoted = one("HTTP frontend", 0, "GET /a/7 HTTP");
    let computed = kept("nginx on gate");
    assert_eq!(
        quoted,
        of("HTTP frontend", "HTTP frontend", computed.clone())
    );
    let alike = one("NGINX web server", 0, "GET /a/7");
    assert_eq!(alike, of("NGINX web server", "NGINX web server", computed));
    // What has no name of its own is called what the model knows, and what it was called stays.
    let known = one("Valkey", 1, "keys");
    assert_eq!(known, of("Valkey", "Valkey", kept("keys saved")));
}

#[test]
fn a_filter_is_run_once_and_one_of_many_tests_not_at_all() {
    let (documents, found) = (documents(), found(&documents()));
    let ground = Ground::new(&documents, &found, &[]);
    let test = |at: usize| json!({"field": "message", "contains": format!("saved {at}")});
    let with = |tests: usize, name: &str, quote: &str| {
        let tests: Vec<Value> = (0..tests).map(test).collect();
        proposal(&json!({"name": name, "filter": {"or": tests}, "evidence": [quote]}))
    };
    let judge = |system: Proposal| {
        let judged = ground.judge(&[system], &mut Unwatched).unwrap();
        judged.told[0]["verdict"].as_str().unwrap().to_owned()
    };
    let long = judge(with(17, "Redis", "Redis saved"));
    assert!(long.contains("more than 16 tests"), "{long}");
    // Nor is that of one whose name or evidence is none.
    judge(with(16, "unknown service", "Redis saved"));
    judge(with(16, "Redis", "x"));
    assert_eq!(ground.filters_run(), 0);
    judge(with(16, "Redis", "Redis saved"));
    judge(with(16, "Redis", "Redis saved"));
    assert_eq!(ground.filters_run(), 1);
}
