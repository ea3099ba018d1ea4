//! Which names a person would accept for which source: a fixed list, in `names.json`.

use std::collections::BTreeMap;

use serde_json::Value;

/// The accepted names of each source, in words.
#[derive(Debug, Clone)]
pub struct Accepted(BTreeMap<String, Vec<String>>);

impl Accepted {
    /// Reads the list.
    #[must_use]
    pub fn read() -> Self {
        let list: Value = serde_json::from_str(include_str!("../names.json")).unwrap_or_default();
        // Of a list that is none no name is accepted, and the tests say so.
        Self(serde_json::from_value(list["names"].clone()).unwrap_or_default())
    }

    /// Whether a person would call the source so.
    #[must_use]
    pub fn accepts(&self, source: &str, name: &str) -> bool {
        let name = words(name);
        let accepted = self.0.get(source).into_iter().flatten();
        let stands = |one: &String| name.contains(&words(one));
        accepted.into_iter().any(stands)
    }
}

/// ` one two `, so that whole words are found as text.
fn words(text: &str) -> String {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    format!(" {} ", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_accepted_by_whole_words() {
        let accepted = Accepted::read();
        for (source, name, expected) in [
            ("openssh", "sshd on LabSZ", true),
            ("zookeeper", "org.apache.ZooKeeper", true),
            ("apache", "Apache HTTP Server", true),
            ("redis", "redistribution", false),
            ("nginx", "access log", false),
            ("nowhere", "nginx", false),
        ] {
            assert_eq!(accepted.accepts(source, name), expected, "{source}: {name}");
        }
    }
}
