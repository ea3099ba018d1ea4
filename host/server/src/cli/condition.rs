//! A condition as people read it: `message contains "sshd" and not level = "debug"`.

use serde_json::Value;
use taskhost_model::condition::{Condition, Range, Test};

/// The condition on one line. Not escaped for a terminal.
pub(crate) fn readable(condition: &Condition) -> String {
    match condition {
        Condition::Always => "everything".to_owned(),
        Condition::Never => "nothing".to_owned(),
        Condition::And(all) if all.is_empty() => "everything".to_owned(),
        Condition::Or(any) if any.is_empty() => "nothing".to_owned(),
        Condition::And(all) => joined(all, " and "),
        Condition::Or(any) => joined(any, " or "),
        Condition::Not(inner) => format!("not {}", grouped(inner)),
        Condition::Field { field, test } => test_of(field, test),
    }
}

fn joined(parts: &[Condition], word: &str) -> String {
    match parts {
        [one] => readable(one),
        many => many.iter().map(grouped).collect::<Vec<_>>().join(word),
    }
}

/// In parentheses where a reader could group otherwise.
fn grouped(condition: &Condition) -> String {
    match condition {
        Condition::And(parts) | Condition::Or(parts) if parts.len() > 1 => {
            format!("({})", readable(condition))
        }
        _ => readable(condition),
    }
}

fn test_of(field: &str, test: &Test) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    match test {
        Test::Eq(value) => format!("{field} = {value}"),
        Test::Neq(value) => format!("{field} ≠ {value}"),
        Test::Lt(value) => format!("{field} < {value}"),
        Test::Lte(value) => format!("{field} ≤ {value}"),
        Test::Gt(value) => format!("{field} > {value}"),
        Test::Gte(value) => format!("{field} ≥ {value}"),
        Test::Contains(text) => format!("{field} contains {}", quoted(text)),
        Test::StartsWith(text) => format!("{field} starts with {}", quoted(text)),
        Test::EndsWith(text) => format!("{field} ends with {}", quoted(text)),
        Test::Exists(true) => format!("{field} exists"),
        Test::Exists(false) => format!("{field} is missing"),
        Test::Range(range) => range_of(field, range),
    }
}

fn range_of(field: &str, range: &Range) -> String {
    let bounds = [
        (">", &range.gt),
        ("≥", &range.gte),
        ("<", &range.lt),
        ("≤", &range.lte),
    ];
    let given = bounds.into_iter().filter_map(|(sign, bound)| {
        bound
            .as_ref()
            .map(|bound| format!("{field} {sign} {bound}"))
    });
    given.collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_read_as_sentences() {
        for (condition, expected) in [
            (json!({"always": {}}), "everything"),
            (json!({"and": []}), "everything"),
            (json!({"or": [{"field": "a", "eq": 1}]}), "a = 1"),
            (
                json!({"and": [{"field": "m", "contains": "a\"b"},
                    {"or": [{"field": "n", "exists": false}, {"field": "n", "lt": 3}]},
                    {"not": {"field": "m", "startsWith": "x"}}]}),
                "m contains \"a\\\"b\" and (n is missing or n < 3) and not m starts with \"x\"",
            ),
            (
                json!({"field": "n", "range": {"gte": 1, "lt": 2}}),
                "n ≥ 1 and n < 2",
            ),
        ] {
            let condition = Condition::from_json(&condition).unwrap();
            assert_eq!(readable(&condition), expected);
        }
    }
}
