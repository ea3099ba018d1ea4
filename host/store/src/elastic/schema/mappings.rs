//! Which fields are searched, and that there are others.

use serde_json::{Value, json};

use super::super::names::Index;

/// The fields of an index; no document has others.
pub(in crate::elastic) fn properties(index: Index) -> Value {
    match index {
        Index::Tasks => tasks(),
        Index::Texts => json!({
            "name": keyword(), "task": keyword(), "run": keyword(), "kind": keyword(),
            "at": date(),
            "content": kept(),
        }),
        Index::Shared => json!({ "kind": keyword(), "name": keyword(), "content": kept() }),
        Index::Documents => json!({
            "scope": keyword(), "space": keyword(), "stream": keyword(), "label": keyword(),
            "id": keyword(), "bytes": { "type": "integer", "index": false },
            "version": kept(), "writer": kept(), "body": kept(),
        }),
        Index::Components => json!({ "kind": keyword(), "content": kept() }),
        Index::Keys => json!({ "kind": keyword(), "name": keyword(), "content": kept() }),
        Index::Audit => json!({
            "id": keyword(), "shelf": keyword(), "at": date(), "by": keyword(),
            "space": keyword(), "deed": keyword(), "target": keyword(), "content": kept(),
        }),
        Index::Schedules => json!({
            "name": keyword(), "space": keyword(), "id": keyword(), "act_at": date(),
            "key": keyword(), "content": kept(),
        }),
    }
}

/// Fields of a task, of its run and of its parent, by how they are searched. `place`, `lane` and
/// `holds_key` are what the scheduler looks for.
const KEYWORDS: &str = "id type space stream also_reads status requested_by canceled_by \
    acknowledged_by concurrency_key place lane error_kind parent.task parent.run parent.key run.id \
    run.state run.host run.incarnation run.digest run.key";
const DATES: &str = "created_at last_completed_at last_acknowledged_at last_canceled_at \
    last_failed_at expires_at deleted_at run.due_at run.started_at run.deadline_at \
    run.cancel_requested_at";
/// What a task type has under `task`, no index looks at.
const KEPT: &str = "record version revision previous progress usage task written receipt \
    parent.depth parent.stream parent.also_reads \
    run.attempt run.max_attempts run.priority run.timeout_ms run.wall_ms run.lease_number \
    run.cancel_reason run.trace run.crashes run.pauses run.suspension \
    run.checkpoints_of";

fn tasks() -> Value {
    let mut found = json!({
        "holds_key": { "type": "boolean" },
        "run": { "properties": { "rank": { "type": "long" } } },
        "parent": { "properties": {} },
    });
    for (names, mapping) in [(KEYWORDS, keyword()), (DATES, date()), (KEPT, kept())] {
        for name in names.split_whitespace() {
            match name.split_once('.') {
                Some((of, name)) => found[of]["properties"][name] = mapping.clone(),
                None => found[name] = mapping.clone(),
            }
        }
    }
    found
}

/// Searched to the letter. A longer one than a term can be is kept, and not found.
fn keyword() -> Value {
    json!({ "type": "keyword", "ignore_above": 8191 })
}

fn date() -> Value {
    json!({ "type": "date" })
}

/// Kept as it is, of whatever type, and not looked at.
fn kept() -> Value {
    json!({ "type": "object", "enabled": false })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn paths(value: &Value, before: &str, found: &mut BTreeSet<String>) {
        for (name, mapping) in value.as_object().into_iter().flatten() {
            found.insert(format!("{before}{name}"));
            if let Some(inner) = mapping.get("properties") {
                paths(inner, &format!("{before}{name}."), found);
            }
        }
    }

    /// Whoever adds a field has to raise the version, and then this list.
    #[test]
    fn the_fields_of_this_version_are_these() {
        let mut found = BTreeSet::new();
        for index in Index::ALL {
            paths(&properties(index), &format!("{index:?}."), &mut found);
        }
        let names: Vec<&str> = found.iter().map(String::as_str).collect();
        let digest = super::super::super::names::hash(&names);
        let known = (super::super::VERSION, digest.as_str());
        assert_eq!(
            known,
            (4, "d3dc79fb27924664e4cac258a6caa4abe9e02194"),
            "{names:#?}"
        );
    }
}
