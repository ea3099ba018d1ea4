//! What it costs to check a value against a schema, known before it is checked.

use serde_json::Value;

/// Steps of a pattern for one byte: an automaton whose states do not fit its cache is run state
/// by state.
const PATTERN_STEPS: u64 = 100;
/// Bytes of a subschema's own texts and numbers that cost as much as one step.
const BYTES_A_STEP: usize = 64;

/// What a check of a value costs, in steps of some nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// For each value in it, and each piece of a long text.
    pub(super) steps: u64,
    /// For each byte of text and of keys.
    pub(super) patterns: u64,
    /// For each pair of arrays and objects in one array: two may look the same until they are
    /// compared.
    pub(super) unique: u64,
}

impl Cost {
    /// The steps for `value`.
    pub(super) fn of(&self, value: &Value) -> u64 {
        let size = Extent::of(value);
        let texts = size
            .bytes
            .saturating_mul(self.patterns.saturating_mul(PATTERN_STEPS));
        let pairs = size.pairs.saturating_mul(self.unique);
        let values = size.steps.saturating_mul(self.steps);
        values.saturating_add(texts).saturating_add(pairs)
    }

    /// Of two schemas for one value.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            steps: self.steps.saturating_add(other.steps),
            patterns: self.patterns.saturating_add(other.patterns),
            unique: self.unique.saturating_add(other.unique),
        }
    }
}

/// How large a value is.
#[derive(Default)]
pub(super) struct Extent {
    pub(super) steps: u64,
    bytes: u64,
    pairs: u64,
}

impl Extent {
    pub(super) fn of(value: &Value) -> Self {
        let mut extent = Self::default();
        extent.add(value);
        extent
    }

    fn add(&mut self, value: &Value) {
        self.steps += 1;
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => self.add_text(text),
            Value::Array(items) => {
                let nested = items
                    .iter()
                    .filter(|item| item.is_array() || item.is_object());
                let nested = nested.count() as u64;
                self.pairs = self.pairs.saturating_add(nested.saturating_mul(nested));
                items.iter().for_each(|item| self.add(item));
            }
            Value::Object(entries) => {
                for (key, item) in entries {
                    self.add_text(key);
                    self.add(item);
                }
            }
        }
    }

    fn add_text(&mut self, text: &str) {
        self.bytes += text.len() as u64;
        self.steps += (text.len() / BYTES_A_STEP) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns_and_unique_items_have_their_price() {
        let plain = Cost {
            steps: 1,
            patterns: 0,
            unique: 0,
        };
        let text = json!("a".repeat(1_000_000));
        let pattern = Cost {
            patterns: 1,
            ..plain
        };
        assert!(pattern.of(&text) > 100 * plain.of(&text));
        let unique = Cost { unique: 1, ..plain };
        let nested = Value::Array((0..10_000).map(|_| json!([])).collect());
        assert!(unique.of(&nested) > 100_000_000);
        let flat = Value::Array((0..10_000).map(|n| json!(n)).collect());
        assert!(unique.of(&flat) < 100_000);
    }
}
