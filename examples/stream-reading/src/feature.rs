//! Features of a stream, as far as they are of use here: whatever else they hold is passed over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskhost_sdk::{Clients, Condition, Descriptor, Error};

use crate::moment::{now_ms, rfc3339};

/// The collection that feature identification keeps them in.
const COLLECTION: &str = "features";

/// One system of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Feature {
    /// The same for the same system in every run; not of one that somebody made up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// What it is called.
    pub name: String,
    /// Selects its documents.
    #[schemars(with = "serde_json::Value")]
    pub filter: Condition,
    /// What is known of it.
    #[serde(default)]
    pub description: String,
}

/// What decides whether a stored feature is one to go by.
#[derive(Debug, Deserialize)]
struct Standing {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(default)]
    count: u64,
}

/// Has a task type read features, which feature identification keeps.
#[must_use]
pub fn reading(descriptor: Descriptor) -> Descriptor {
    descriptor.stream_collection(COLLECTION)
}

/// The systems of the run's stream that are known, the largest first: neither expired nor excluded
/// by somebody.
///
/// # Errors
/// `canceled`, `deadline`, `unavailable`.
pub fn known(clients: &Clients) -> Result<Vec<Feature>, Error> {
    let collection = clients
        .documents
        .collection::<serde_json::Value>(COLLECTION)?;
    let now = rfc3339(now_ms());
    let stored = collection.all(None)?;
    let mut known: Vec<(u64, Feature)> = stored
        .into_iter()
        .filter_map(|one| living(one.body, &now))
        .collect();
    known.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    Ok(known.into_iter().map(|(_, feature)| feature).collect())
}

/// What a later version has left and this one cannot read is passed over, too.
fn living(body: serde_json::Value, now: &str) -> Option<(u64, Feature)> {
    let standing = Standing::deserialize(&body).ok()?;
    let is_system = standing.kind.is_none_or(|kind| kind == "system");
    let is_active = standing.status.is_none_or(|status| status == "active");
    let is_alive = standing.expires_at.is_none_or(|at| at.as_str() > now);
    if !(is_system && is_active && is_alive) {
        return None;
    }
    Some((standing.count, serde_json::from_value(body).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_systems_that_stand_are_gone_by() {
        let now = "2026-11-28T00:00:00.000Z";
        let filter = json!({"field": "message", "contains": "sshd"});
        let older = json!({"name": "sshd", "filter": filter});
        assert_eq!(living(older, now).unwrap().1.name, "sshd");
        let with = |key: &str, value: &str| {
            let mut body = json!({"uuid": "u", "name": "sshd", "filter": filter, "count": 7,
                "type": "system", "status": "active", "expires_at": "2026-12-01T00:00:00.000Z"});
            body[key] = json!(value);
            living(body, now).map(|(count, _)| count)
        };
        assert_eq!(with("description", "whatever"), Some(7));
        assert_eq!(with("status", "excluded"), None);
        assert_eq!(with("type", "log_patterns"), None);
        assert_eq!(with("expires_at", "2026-11-27T00:00:00.000Z"), None);
        assert_eq!(with("filter", "no condition"), None);
    }
}
