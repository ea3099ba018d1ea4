//! Tokens: by what the people of the embedded store are known.
//!
//! A token is `tkh_ID_SECRET`. The id is no secret: it finds the token, and stands in lists and in
//! the audit log. The secret has 256 random bits.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::rights::{Rights, Role};
use crate::time::Timestamp;

/// How each token begins, so that one that lies about is recognized.
const BEGINNING: &str = "tkh_";
/// Digits of an id, and of a secret.
const ID_DIGITS: usize = 16;
const SECRET_DIGITS: usize = 64;

/// The id of a token. It is no secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(String);

/// The secret part of a token, shown and written by nothing here.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret(String);

/// What is known of a token. Its rights never change: for others there is another token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// By what it is found.
    pub id: TokenId,
    /// Whose it is, as in `requested_by`: several tokens of one name are one person's.
    pub name: String,
    /// What whoever comes with it may do.
    #[serde(flatten)]
    pub rights: Rights,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// It is not accepted from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When somebody has ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Who that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<String>,
}

impl Token {
    /// Whether it is accepted.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }

    /// Whether whoever comes with it may manage tokens.
    #[must_use]
    pub fn is_admins(&self) -> bool {
        self.rights.everywhere == Some(Role::Admin)
    }

    /// When it has ended, if it has.
    #[must_use]
    pub fn ended_at(&self, now: Timestamp) -> Option<Timestamp> {
        let expired = self.expires_at.filter(|at| *at <= now);
        [self.revoked_at, expired].into_iter().flatten().min()
    }
}

impl TokenId {
    /// From random bytes.
    #[must_use]
    pub fn of(bytes: [u8; ID_DIGITS / 2]) -> Self {
        Self(hex(&bytes))
    }

    /// Reads an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_hex(text, ID_DIGITS).then(|| Self(text.to_owned()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TokenSecret {
    /// From random bytes.
    #[must_use]
    pub fn of(bytes: [u8; SECRET_DIGITS / 2]) -> Self {
        Self(hex(&bytes))
    }

    /// The secret itself, for its digest.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Takes a whole token apart.
#[must_use]
pub fn taken_apart(token: &str) -> Option<(TokenId, TokenSecret)> {
    let (id, secret) = token.strip_prefix(BEGINNING)?.split_once('_')?;
    let secret = is_hex(secret, SECRET_DIGITS).then(|| TokenSecret(secret.to_owned()));
    Some((TokenId::parse(id)?, secret?))
}

/// The whole token: a secret, for whoever is to have it.
#[must_use]
pub fn whole(id: &TokenId, secret: &TokenSecret) -> String {
    format!("{BEGINNING}{id}_{}", secret.0)
}

/// Whether a text can be the name of whoever has a token.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let may_stand = |c: char| c.is_ascii_alphanumeric() || "._@+-".contains(c);
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(may_stand)
}

fn is_hex(text: &str, digits: usize) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == digits && text.bytes().all(is_digit)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(hidden)")
    }
}

impl Serialize for TokenId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TokenId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("is no id of a token"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_apart_and_shows_no_secret() {
        let (id, secret) = (TokenId::of([7; 8]), TokenSecret::of([9; 32]));
        let token = whole(&id, &secret);
        assert_eq!(token, format!("tkh_{}_{}", "07".repeat(8), "09".repeat(32)));
        assert_eq!(taken_apart(&token), Some((id.clone(), secret.clone())));
        assert!(!format!("{secret:?}").contains("09"));
        for bad in [
            "",
            "tkh_",
            "tkh_0707070707070707",
            &token[1..],
            &token[..token.len() - 1],
            &format!("{token}0"),
            &token.to_uppercase(),
            &token.replace("tkh", "xyz"),
        ] {
            assert_eq!(taken_apart(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_are_such_as_people_and_programs_have() {
        for good in ["ann", "ann@example.org", "ci-7", "a.b_c+d", &"x".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", " a", "-a", "a b", "a\n", "ä", "a/b", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_token_ends_by_its_time_or_by_somebody() {
        let at = Timestamp::from_ms;
        let token = |expires: Option<i64>, revoked: Option<i64>| Token {
            id: TokenId::of([7; 8]),
            name: "ann".to_owned(),
            rights: Rights::default(),
            created_at: at(0),
            created_by: "host".to_owned(),
            expires_at: expires.map(at),
            revoked_at: revoked.map(at),
            revoked_by: None,
        };
        assert!(token(None, None).is_alive(at(9)));
        assert!(token(Some(10), None).is_alive(at(9)));
        assert!(!token(Some(9), None).is_alive(at(9)));
        assert!(!token(Some(10), Some(1)).is_alive(at(9)));
        assert_eq!(token(Some(10), None).ended_at(at(9)), None);
        assert_eq!(token(Some(8), Some(5)).ended_at(at(9)), Some(at(5)));
    }
}
