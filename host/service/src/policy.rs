//! What the operator allows task types: the settings' `[[allow]]`.

use taskhost_model::capabilities::Capabilities;
use taskhost_model::ids::TypeId;

/// Nothing is allowed that no rule allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Each adds to what is allowed.
    pub rules: Vec<Rule>,
}

/// What one type, or every one, may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// None: every type.
    pub type_id: Option<TypeId>,
    /// What it may reach.
    pub allowed: Capabilities,
}

impl Policy {
    /// Everything that a type may reach.
    #[must_use]
    pub fn allowed(&self, type_id: &TypeId) -> Capabilities {
        let rules = self.rules.iter();
        let of_type = rules.filter(|rule| rule.type_id.as_ref().is_none_or(|id| id == type_id));
        of_type.fold(Capabilities::default(), |all, rule| all.and(&rule.allowed))
    }
}
