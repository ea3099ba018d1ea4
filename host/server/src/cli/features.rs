//! Shows what feature identification found as a table: one system a row.

use serde_json::Value;
use taskhost_model::condition::Condition;

use super::condition::readable;
use super::table::{Medium, table};
use super::text;

/// Cells that are longer than this on a terminal hide the others.
const FILTER_MAX: usize = 160;
const EVIDENCE_MAX: usize = 90;
/// Lines of evidence in a row.
const EVIDENCE_LINES: usize = 2;

/// The systems of a payload; `documents` is how many the stream holds.
pub(crate) fn systems(medium: Medium, payload: &Value, documents: u64) -> String {
    let features = payload["features"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let rows: Vec<Vec<String>> = features
        .iter()
        .map(|feature| row(feature, documents))
        .collect();
    let header = ["name", "filter", "share", "evidence", "confidence"];
    table(medium, &header, &rows)
}

fn row(feature: &Value, documents: u64) -> Vec<String> {
    let filter = match Condition::from_json(&feature["filter"]) {
        Ok(condition) => readable(&condition),
        Err(_) => feature["filter"].to_string(),
    };
    let evidence = feature["evidence"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let lines = evidence
        .iter()
        .filter_map(Value::as_str)
        .take(EVIDENCE_LINES);
    let lines: Vec<String> = lines
        .map(|line| text::shortened(line, EVIDENCE_MAX))
        .collect();
    vec![
        text::shortened(feature["name"].as_str().unwrap_or_default(), 40),
        text::shortened(&filter, FILTER_MAX),
        text::percent(feature["count"].as_u64().unwrap_or(0), documents),
        lines.join("\n"),
        feature["confidence"].to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_system_is_a_row() {
        let feature = json!({"name": "sshd\u{1b}", "count": 250, "confidence": 97,
            "filter": {"field": "message", "contains": "sshd["},
            "evidence": ["50 % like: Accepted password\nfor you", "9 % like: x", "third"]});
        let payload = json!({"features": [feature]});
        let text = systems(Medium::Plain, &payload, 1000);
        for part in [
            "sshd\\u{1b}",
            "message contains \"sshd[\"",
            "25.0 %",
            "Accepted password\\nfor you; 9 % like: x",
            "97",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains("third"), "{text}");
    }
}
