//! What the operator allows task types: the settings' `[[allow]]` and `require_signature`.

use taskhost_model::capabilities::Capabilities;
use taskhost_model::ids::TypeId;
use taskhost_store::components::Version;

use crate::signatures::Signatures;

/// Nothing is allowed that neither a rule nor an approval allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Each adds to what is allowed.
    pub rules: Vec<Rule>,
    /// Whose components are taken in.
    pub signatures: Signatures,
}

/// What one type, or every one, may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// None: every type.
    pub type_id: Option<TypeId>,
    /// What it may reach.
    pub allowed: Capabilities,
    /// Whether its runs may be recorded.
    pub record: bool,
}

impl Policy {
    /// Everything that the rules let a type reach.
    #[must_use]
    pub fn allowed(&self, type_id: &TypeId) -> Capabilities {
        let rules = self.of_type(type_id);
        rules.fold(Capabilities::default(), |all, rule| all.and(&rule.allowed))
    }

    /// The same with what an operator has approved for this very version.
    #[must_use]
    pub fn allowed_to(&self, version: &Version) -> Capabilities {
        let allowed = self.allowed(&version.type_id);
        match &version.approval {
            Some(approval) => allowed.and(&approval.allowed),
            None => allowed,
        }
    }

    /// Whether runs of a type may be recorded.
    #[must_use]
    pub fn may_record(&self, type_id: &TypeId) -> bool {
        self.of_type(type_id).any(|rule| rule.record)
    }

    fn of_type(&self, type_id: &TypeId) -> impl Iterator<Item = &Rule> {
        let is_meant = move |rule: &&Rule| rule.type_id.as_ref().is_none_or(|id| id == type_id);
        self.rules.iter().filter(is_meant)
    }
}

#[cfg(test)]
mod tests {
    use taskhost_model::ids::{Digest, Label};
    use taskhost_model::time::Timestamp;
    use taskhost_store::components::{Approval, VersionState};

    use super::*;

    fn secret(name: &str) -> Capabilities {
        Capabilities {
            secrets: vec![Label::parse(name).unwrap()],
            ..Capabilities::default()
        }
    }

    #[test]
    fn a_version_may_what_its_rules_and_its_approval_allow() {
        let rule = |type_id: Option<&str>, name: &str| Rule {
            type_id: type_id.map(|id| TypeId::parse(id).unwrap()),
            allowed: secret(name),
            record: type_id == Some("b"),
        };
        let policy = Policy {
            rules: vec![
                rule(None, "for-all"),
                rule(Some("a"), "for-a"),
                rule(Some("b"), "for-b"),
            ],
            ..Policy::default()
        };
        let may_record = |id: &str| policy.may_record(&TypeId::parse(id).unwrap());
        assert!(may_record("b") && !may_record("a"));
        let at = Timestamp::from_ms(1);
        let mut version = Version {
            digest: Digest::parse(&"0".repeat(64)).unwrap(),
            type_id: TypeId::parse("a").unwrap(),
            descriptor: String::new(),
            state: VersionState::Active,
            bytes: 0,
            uploaded_at: at,
            activated_at: None,
            approval: None,
            signed_by: None,
        };
        let words = |version: &Version| policy.allowed_to(version).words();
        assert_eq!(words(&version), ["secret for-all", "secret for-a"]);
        version.approval = Some(Approval {
            by: "bob".to_owned(),
            at,
            allowed: secret("approved"),
        });
        let expected = ["secret for-all", "secret for-a", "secret approved"];
        assert_eq!(words(&version), expected);
    }
}
