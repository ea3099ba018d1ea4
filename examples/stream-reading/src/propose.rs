//! Queries without a language model: from signs of trouble in a feature's lines.

use taskhost_sdk::{Error, Stream};

use crate::event::{EventQuery, Ground, Source, Thought};
use crate::range::Range;
use crate::signs::Sign;
use crate::text::cut;

/// At most so many queries from the signs that were found, the worst first; each holds in the data.
///
/// # Errors
/// Those of [`Stream`].
pub fn from_signs(
    ground: &Ground,
    queries_max: usize,
    stream: &Stream,
    range: Range,
) -> Result<Vec<EventQuery>, Error> {
    let mut queries: Vec<EventQuery> = Vec::new();
    let Some(field) = &ground.field else {
        return Ok(queries);
    };
    for sign in &ground.signs {
        if queries.len() >= queries_max {
            break;
        }
        let thought = thought(&ground.feature.name, sign, field);
        if let Ok(query) = ground.check(thought, stream, range)? {
            queries.push(query);
        }
    }
    Ok(queries)
}

fn thought(feature: &str, sign: &Sign, field: &str) -> Thought {
    let text = cut(&sign.name, 60);
    let (title, why) = if sign.is_word {
        let why = format!(
            "Lines with “{text}” tell of trouble, like: {}",
            sign.example
        );
        (format!("“{text}” in {feature}"), why)
    } else {
        let why = format!("Hardly any line of it is like: {}", sign.example);
        (format!("Rare line of {feature}: “{text}”"), why)
    };
    Thought {
        title,
        severity: sign.severity,
        why,
        test: sign.condition(field),
        source: Source::Computed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signs::signs;

    #[test]
    fn a_sign_becomes_a_query_in_words() {
        let mut lines = vec!["opened"; 20];
        lines.push("login FAILED for bob");
        let signs = signs(&lines);
        let thought = thought("sshd", &signs[0], "message");
        assert_eq!(thought.title, "“fail” in sshd");
        assert!(
            thought.why.ends_with("login FAILED for bob"),
            "{}",
            thought.why
        );
        let filter = thought.test.to_json().to_string();
        assert_eq!(filter, r#"{"contains":"fail","field":"message"}"#);
    }
}
