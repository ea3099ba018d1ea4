//! What somebody comes with, as Elasticsearch wants it for a grant.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use taskhost_model::requester::Authorization;

/// The beginning of the request for a key in somebody's name; none for whoever can be granted none.
pub(super) fn grant(authorization: &Authorization) -> Option<Value> {
    let (scheme, rest) = authorization.header().split_once(' ')?;
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (username, password) = decoded.split_once(':')?;
        let is_whole = !username.is_empty() && !password.is_empty();
        return is_whole.then(|| {
            json!({
                "grant_type": "password", "username": username, "password": password,
            })
        });
    }
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| json!({ "grant_type": "access_token", "access_token": rest }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &str) -> Option<Value> {
        grant(&Authorization::parse(header).unwrap())
    }

    #[test]
    fn a_password_and_a_token_are_taken_apart() {
        // ann:a:b
        let password = json!({"grant_type": "password", "username": "ann", "password": "a:b"});
        assert_eq!(of("Basic YW5uOmE6Yg=="), Some(password.clone()));
        assert_eq!(of("bAsIc YW5uOmE6Yg=="), Some(password));
        let token = json!({"grant_type": "access_token", "access_token": "x.y"});
        assert_eq!(of("Bearer x.y"), Some(token));
        for none in [
            "ApiKey eDp5",
            "Basic %%%",
            "Basic YW5u",
            "Basic YW5uOg==",
            "Negotiate x",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
