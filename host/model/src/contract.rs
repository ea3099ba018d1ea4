//! The contract's versions: which one this host has, and which one a component wants.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Deserializer;
use serde::{Deserialize, Serialize, Serializer};

/// A version of the contract, without what makes no difference: written `1.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContractVersion {
    /// Of another major version nothing links.
    pub major: u32,
    /// A later minor version has more.
    pub minor: u32,
}

/// The contract of this host, `wit/v1`.
pub const CONTRACT: ContractVersion = ContractVersion { major: 1, minor: 0 };

impl fmt::Display for ContractVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl JsonSchema for ContractVersion {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ContractVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]+\\.[0-9]+$"})
    }
}

impl FromStr for ContractVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| {
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| digits.parse().ok()).flatten()
        };
        let parts = text.split_once('.');
        let parts = parts.and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
        let (major, minor) = parts.ok_or_else(|| {
            format!(
                "`{text}` is no version of the contract: write two numbers, as in \"{CONTRACT}\""
            )
        })?;
        Ok(Self { major, minor })
    }
}

impl Serialize for ContractVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContractVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Of a component that needs a newer host, whatever else is in its descriptor.
pub(crate) fn min_host_problem(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Wanted {
        min_host: ContractVersion,
    }
    let Wanted { min_host } = serde_json::from_str(text).ok()?;
    let is_had = min_host.major == CONTRACT.major && min_host <= CONTRACT;
    (!is_had).then(|| {
        format!(
            "`min_host` asks for a host with the contract {min_host}, and this one has \
             {CONTRACT}: it needs another version of taskhost, or be built for this one"
        )
    })
}
