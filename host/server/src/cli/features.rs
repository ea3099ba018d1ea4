//! Shows what feature identification found as a table: one system a row.

use serde_json::Value;
use taskhost_model::condition::Condition;

use super::condition::readable;
use super::table::{Medium, table};
use super::text;

/// The width of the table where there is no terminal.
const WIDTH_ELSEWHERE: u16 = 100;

/// How much of a system is shown.
struct Room {
    /// Characters of the filter.
    filter: usize,
    /// Lines of evidence, and characters of each.
    lines: usize,
    line: usize,
}

impl Room {
    /// Rows of a narrow terminal grow so high that nobody sees the table for them.
    fn on(medium: Medium) -> Self {
        match medium {
            Medium::Terminal(width) if width < 160 => Self {
                filter: 100,
                lines: 1,
                line: 70,
            },
            _ => Self {
                filter: 160,
                lines: 2,
                line: 90,
            },
        }
    }
}

/// The systems of a payload; `documents` is how many the stream holds.
pub(crate) fn systems(medium: Medium, payload: &Value, documents: u64) -> String {
    let features = payload["features"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    // Where there is no terminal people read it all the same, in a log.
    let medium = match medium {
        Medium::Plain => Medium::Terminal(WIDTH_ELSEWHERE),
        medium => medium,
    };
    let room = Room::on(medium);
    let rows: Vec<Vec<String>> = features
        .iter()
        .map(|feature| row(feature, documents, &room))
        .collect();
    let header = ["name", "filter", "share", "evidence", "confidence"];
    table(medium, &header, &rows)
}

fn row(feature: &Value, documents: u64, room: &Room) -> Vec<String> {
    let filter = match Condition::from_json(&feature["filter"]) {
        Ok(condition) => readable(&condition),
        Err(_) => feature["filter"].to_string(),
    };
    let evidence = feature["evidence"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let lines = evidence.iter().filter_map(Value::as_str).take(room.lines);
    let lines: Vec<String> = lines.map(|line| text::shortened(line, room.line)).collect();
    vec![
        text::shortened(feature["name"].as_str().unwrap_or_default(), 40),
        text::shortened(&filter, room.filter),
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
            "Accepted password\\nfor",
            "97",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains("third"), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
    }
}
