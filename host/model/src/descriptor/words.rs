//! What serde says of a value, in words of JSON.

/// What the parser says of a value, for somebody who knows JSON and not Rust. Where in the text it
/// stands helps nobody: the text is made by a program.
pub(super) fn of(said: &str) -> String {
    let said = said.rfind(" at line ").map_or(said, |at| &said[..at]);
    let parts = said
        .split_once(": ")
        .filter(|(kind, _)| matches!(*kind, "invalid type" | "invalid value" | "invalid length"));
    let Some((is, wanted)) = parts.and_then(|(_, rest)| rest.rsplit_once(", expected ")) else {
        return format!("is not right: {said}");
    };
    let is = match is.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some((_, value)) => value.trim_matches('`').to_owned(),
        None if is == "map" => "an object".to_owned(),
        None if is == "sequence" => "a list".to_owned(),
        None => is.to_owned(),
    };
    let wanted = match wanted {
        "u64" | "u32" => "a whole number that is not negative",
        "a sequence" => "a list",
        "a map" => "an object",
        wanted if wanted.starts_with("struct ") => "an object",
        wanted => wanted,
    };
    format!("is {is}, and has to be {wanted}")
}

#[cfg(test)]
mod tests {
    use super::super::{Bounds, Descriptor};

    fn mistakes(more: &str) -> Vec<String> {
        let text = format!(r#"{{"id":"a","version":"1","title":"A",{more}}}"#);
        Descriptor::parse(&text, &Bounds::default()).unwrap_err()
    }

    #[test]
    fn a_value_of_another_type_is_told_without_words_of_rust() {
        for (keys, said) in [
            (
                r#""limits":{"cpu_ms":"10s"}"#,
                "`limits.cpu_ms` is the text \"10s\", and has to be a whole number that is not \
                 negative",
            ),
            (
                r#""grace_ms":-1"#,
                "`grace_ms` is -1, and has to be a whole number that is not negative",
            ),
            (
                r#""capabilities":{"http":["https://a.example"]}"#,
                "`capabilities.http[0]` is the text \"https://a.example\", and has to be an object",
            ),
            (
                r#""capabilities":{"secrets":[{}]}"#,
                "`capabilities.secrets[0]` is an object, and has to be a string",
            ),
            (
                r#""limits":[]"#,
                "`limits` is a list, and has to be an object",
            ),
        ] {
            assert_eq!(mistakes(keys), [said]);
        }
        let none = Descriptor::parse("[1", &Bounds::default()).unwrap_err();
        assert!(
            none[0].contains("did not return a descriptor: "),
            "{none:?}"
        );
    }
}
