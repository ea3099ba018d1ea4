//! The application privileges by which a cluster's roles say who may do what in taskhost.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use taskhost_model::rights::Role;

use super::super::client::{Client, Request};
use crate::error::StoreError;

/// What taskhost is called in roles.
pub(in crate::elastic) const APPLICATION: &str = "taskhost";

/// Whether a cluster knows the privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::elastic) enum Registered {
    /// It does.
    Yes,
    /// The host may not see to it.
    Refused,
    /// There is no security in the cluster, and so there are no people.
    NoSecurity,
}

/// Sees to it that the cluster knows the privileges; written where they are not as they should be.
pub(in crate::elastic) async fn register(client: &Client) -> Result<Registered, StoreError> {
    let known = Request::get(format!("_security/privilege/{APPLICATION}"));
    let answer = client
        .expect(&known, &[200, 400, 403, 404, 405, 410])
        .await?;
    let stored: Value = match answer.status {
        200 => answer.json()?,
        403 => return Ok(Registered::Refused),
        404 => Value::Null,
        // It has no such API at all.
        _ => return Ok(Registered::NoSecurity),
    };
    let stored = &stored[APPLICATION];
    let wanted = wanted();
    let differs = |(name, privilege): (&String, &Value)| {
        stored[name.as_str()]["actions"] != privilege["actions"]
    };
    if !wanted.iter().any(differs) {
        return Ok(Registered::Yes);
    }
    // Whoever writes them at the same time writes the same.
    let request = Request::put("_security/privilege").json(&json!({ APPLICATION: wanted }));
    let answer = client.expect(&request, &[200, 403]).await?;
    match answer.status {
        200 => Ok(Registered::Yes),
        _ => Ok(Registered::Refused),
    }
}

/// The cluster privileges that a host needs where there are people, and has not.
pub(in crate::elastic) async fn lacks(client: &Client) -> Result<Vec<String>, StoreError> {
    #[derive(Deserialize)]
    struct Told {
        cluster: BTreeMap<String, bool>,
    }
    let request = Request::post("_security/user/_has_privileges")
        .json(&json!({ "cluster": ["grant_api_key", "manage_api_key"] }));
    let told: Told = client.expect(&request, &[200]).await?.json()?;
    let lacks = told.cluster.into_iter().filter(|(_, has)| !has);
    Ok(lacks.map(|(name, _)| name).collect())
}

/// Each role with what it may do: all that those before it may.
fn wanted() -> Map<String, Value> {
    let each = Role::ALL.map(|role| {
        let included = Role::ALL.into_iter().filter(|other| *other <= role);
        let actions: Vec<String> = included.map(|it| format!("role:{it}")).collect();
        (role.name().to_owned(), json!({ "actions": actions }))
    });
    each.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_role_includes_the_lower_ones() {
        let wanted = Value::Object(wanted());
        assert_eq!(
            wanted,
            json!({
                "viewer": { "actions": ["role:viewer"] },
                "operator": { "actions": ["role:viewer", "role:operator"] },
                "admin": { "actions": ["role:viewer", "role:operator", "role:admin"] },
            })
        );
    }
}
