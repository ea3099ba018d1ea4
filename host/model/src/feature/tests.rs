//! What becomes of a feature.

use super::*;

const NOW: i64 = 1_000_000_000_000;
const KEPT_FOR: Duration = Duration::from_secs(3 * 24 * 60 * 60);

fn now() -> Timestamp {
    Timestamp::from_ms(NOW)
}

fn change() -> Change<'static> {
    Change {
        by: "ada",
        at: now(),
        kept_for: KEPT_FOR,
    }
}

fn found() -> Feature {
    let body = json!({"uuid": "u", "name": "sshd", "filter": {"field": "message",
        "contains": "sshd["}, "count": 7, "expires_at": now().plus(KEPT_FOR).to_string(),
        "unknown": [1]});
    Feature::read("u", &body.to_string()).unwrap()
}

fn edit(given: &Value) -> Edit {
    Edit::parse(given).unwrap()
}

fn edited(feature: Feature, given: &Value) -> Feature {
    feature.edited(&edit(given)).unwrap()
}

fn wrong(given: &Value) -> Vec<String> {
    let mistakes = Edit::parse(given).unwrap_err();
    mistakes.into_iter().map(|mistake| mistake.field).collect()
}

#[test]
fn a_feature_expires_at_its_time_and_an_excluded_one_never_does() {
    let at = now().plus(KEPT_FOR);
    let before = Timestamp::from_ms(at.as_ms() - 1);
    assert!(!found().is_expired(before));
    assert!(found().is_expired(at));
    assert!(!found().excluded(change()).is_expired(at));
    let timeless = Feature::read("u", "{}").unwrap();
    assert!(!timeless.is_expired(at), "an older document lacks the time");
}

#[test]
fn exclude_and_restore_are_each_others_end() {
    let excluded = found().excluded(change());
    assert_eq!(excluded.text("excluded_by"), "ada");
    assert_eq!(excluded.text("excluded_at"), now().to_string());
    let later = Change {
        by: "bob",
        at: now().plus(KEPT_FOR * 2),
        kept_for: KEPT_FOR,
    };
    let twice = excluded.clone().excluded(later);
    assert_eq!(twice, excluded, "who was first stays");
    let restored = excluded.restored(later);
    assert_eq!(restored.text("status"), "active");
    assert!(!restored.fields().contains_key("excluded_by"));
    assert!(!restored.is_expired(later.at), "it would be gone at once");
    assert!(restored.is_expired(later.at.plus(KEPT_FOR)));
    assert_eq!(restored.fields()["unknown"], json!([1]));
}

#[test]
fn an_edit_changes_what_it_says_and_notes_that() {
    let same = edited(found(), &json!({"name": "sshd"}));
    assert_eq!(same, found());
    let renamed = edited(found(), &json!({"name": " OpenSSH ", "count": 0}));
    assert_eq!(renamed.text("name"), "OpenSSH");
    assert_eq!(renamed.texts("edited"), ["name"]);
    assert_eq!(renamed.number("count"), Some(7), "that is no person's");
    let filter = json!({"field": "message", "contains": "ssh"});
    let given = json!({"name": "x", "filter": filter, "tags": ["a"]});
    let both = edited(renamed, &given);
    assert_eq!(both.texts("edited"), ["name", "filter", "tags"]);
    assert_eq!(both.filter(), Some(Condition::contains("message", "ssh")));
    assert_eq!(both.fields()["unknown"], json!([1]));
}

#[test]
fn a_whole_feature_is_an_edit_that_changes_nothing() {
    let whole = Value::Object(found().fields().clone());
    assert_eq!(wrong(&whole), ["unknown"]);
    let mut known = found().fields().clone();
    known.remove("unknown");
    assert_eq!(edited(found(), &Value::Object(known)), found());
}

#[test]
fn what_no_edit_changes_is_given_as_it_is_or_refused() {
    let refused = |feature: &Feature, given: Value| -> Vec<String> {
        let mistakes = feature.clone().edited(&edit(&given)).unwrap_err();
        mistakes.into_iter().map(|mistake| mistake.field).collect()
    };
    let other = json!({"type": "host", "status": "excluded", "subtype": "x",
        "properties": {"a": 1}, "meta": {"b": 1}});
    let all = ["type", "status", "subtype", "properties", "meta"];
    assert_eq!(refused(&found(), other.clone()), all);
    let usual = json!({"type": "system", "status": "active", "properties": {}, "meta": {}});
    assert_eq!(edited(found(), &usual), found());
    let excluded = found().excluded(change());
    assert_eq!(refused(&excluded, usual.clone()), ["status"]);
    // What a person has made stays a person's.
    let given = edit(&json!({"name": "x", "filter": {"always": {}}, "status": "active"}));
    let made = Feature::made("u", &given, change()).unwrap();
    assert_eq!(refused(&made, other.clone()), ["type", "status"]);
    let changed = edited(made, &json!({"subtype": "x", "meta": {"b": 1}}));
    assert_eq!(
        (changed.text("subtype"), &changed.fields()["meta"]),
        ("x", &json!({"b": 1}))
    );
    assert_eq!(changed.texts("edited"), ["subtype", "meta"]);
    let given = edit(&json!({"name": "x", "filter": {"always": {}}, "status": "excluded"}));
    let lacks = Feature::made("u", &given, change()).unwrap_err();
    assert_eq!(lacks[0].field, "status");
}

#[test]
fn every_mistake_names_its_field() {
    let given = json!({"name": " ", "title": 1, "tags": ["", 1], "filter": {"field": "x"},
        "meta": [], "nmae": "x", "description": "x".repeat(4_001)});
    let fields = [
        "description",
        "filter",
        "meta",
        "name",
        "nmae",
        "tags",
        "title",
    ];
    assert_eq!(wrong(&given), fields);
    assert_eq!(wrong(&json!([])), ["feature"]);
    let deep = (0..40).fold(json!({"always": {}}), |inner, _| json!({"not": inner}));
    assert_eq!(wrong(&json!({"filter": deep})), ["filter"]);
    let test = json!({"field": "message", "contains": "x"});
    let large = json!({"meta": {"x": "y".repeat(PART_BYTES_MAX)},
        "filter": {"or": vec![test; 300]}});
    assert_eq!(wrong(&large), ["filter", "meta"]);
}

#[test]
fn a_person_makes_one_that_lasts() {
    let given = edit(&json!({"name": "My Web <b>", "filter": {"always": {}}}));
    let made = Feature::made("u", &given, change()).unwrap();
    assert_eq!(made.text("id"), "my-web-b");
    assert_eq!(made.text("source"), "person");
    assert_eq!(
        (made.text("type"), made.text("title")),
        ("system", "My Web <b>")
    );
    assert!(!made.is_expired(now().plus(KEPT_FOR * 500)));
    let lacks = Feature::made("u", &edit(&json!({})), change()).unwrap_err();
    let fields: Vec<&str> = lacks.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["name", "filter"]);
}
