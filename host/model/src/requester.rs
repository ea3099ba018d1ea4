//! Who asks. Reads of stream data take it as an argument, so that a task sees exactly what
//! whoever scheduled it may see.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Longer than any credential that a server takes in one header.
const AUTHORIZATION_BYTES_MAX: usize = 16 * 1024;

/// Somebody with an identity. No identity, no run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// As it stands in `requested_by` and the like.
    pub name: String,
    /// What the right to read stream data rests on.
    pub credential: Credential,
    /// Where they come from, for the audit log.
    pub origin: Origin,
}

/// Where somebody comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The machine; none for what the host itself does.
    pub address: Option<IpAddr>,
    /// Which of their tokens they have shown: its id, which is no secret.
    pub token: Option<String>,
}

/// What a right rests on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// The host listens on loopback for the one person at the machine, who may do everything.
    SingleUser,
    /// The requester's own credential, for a store that knows it; the embedded store has no
    /// users of its own.
    Own(Authorization),
}

/// A secret: the value of an `Authorization` header. It is shown nowhere, and neither written
/// nor read by serde, so it can get into no document and no log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Authorization(Arc<str>);

/// Why a text is no value of an `Authorization` header. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no `Authorization`: it has to be a scheme, a space and the credential, of at most \
     {AUTHORIZATION_BYTES_MAX} visible ASCII characters"
)]
pub struct InvalidAuthorization;

impl Authorization {
    /// Checks that `header` can stand in a request.
    ///
    /// # Errors
    /// [`InvalidAuthorization`] when it is not `SCHEME CREDENTIAL` in visible ASCII.
    pub fn parse(header: &str) -> Result<Self, InvalidAuthorization> {
        let visible = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        match header.split_once(' ') {
            Some((scheme, rest))
                if header.len() <= AUTHORIZATION_BYTES_MAX && visible(scheme) && visible(rest) =>
            {
                Ok(Self(Arc::from(header)))
            }
            _ => Err(InvalidAuthorization),
        }
    }

    /// The secret itself, for the request that is made with it.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(hidden)")
    }
}

impl Requester {
    /// The one person of single-user mode.
    #[must_use]
    pub fn single_user() -> Self {
        Self {
            name: "local".to_owned(),
            credential: Credential::SingleUser,
            origin: Origin::default(),
        }
    }

    /// The host itself, where it does something that nobody has asked for.
    #[must_use]
    pub fn host() -> Self {
        Self {
            name: "host".to_owned(),
            ..Self::single_user()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_not_shown() {
        let requester = Requester {
            name: "ann".to_owned(),
            credential: Credential::Own(Authorization::parse("ApiKey c2VjcmV0").unwrap()),
            origin: Origin::default(),
        };
        let shown = format!("{requester:?}");
        assert!(shown.contains("ann") && shown.contains("hidden"), "{shown}");
        assert!(
            !shown.contains("c2Vj") && !shown.contains("ApiKey"),
            "{shown}"
        );
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_refused_unseen() {
        for good in ["Basic YTpi", "Bearer a.b-c_d~+/="] {
            assert_eq!(Authorization::parse(good).unwrap().header(), good);
        }
        let long = format!("Basic {}", "x".repeat(AUTHORIZATION_BYTES_MAX));
        for bad in [
            "",
            "Basic",
            "Basic ",
            " x",
            "a b c",
            "Basic x\r\ny: z",
            "Basic \u{e9}",
            &long,
        ] {
            let refused = Authorization::parse(bad).unwrap_err().to_string();
            assert!(bad.len() < 6 || !refused.contains(bad), "{refused}");
        }
    }
}
