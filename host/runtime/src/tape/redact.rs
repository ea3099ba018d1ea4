//! What no recording has: the values of headers that let somebody in.

use serde_json::Value;

/// In lower case; a header whose name has one of them in it is hidden. Nobody knows all names of
/// such headers, and what is hidden too much is missed by nobody.
const HIDDEN: [&str; 8] = [
    "auth",
    "cookie",
    "key",
    "password",
    "secret",
    "session",
    "signature",
    "token",
];

/// Overwrites them wherever `headers` stand in a call of `http`.
pub(super) fn redact(call: &str, value: &mut Value) {
    if call.starts_with("http.") {
        in_headers(value);
    }
}

fn in_headers(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(in_headers),
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::Array(headers) if key == "headers" => headers.iter_mut().for_each(hide),
                    value => in_headers(value),
                }
            }
        }
        _ => {}
    }
}

/// A header is a pair of name and value.
fn hide(header: &mut Value) {
    let name = header[0].as_str().unwrap_or_default().to_ascii_lowercase();
    if HIDDEN.iter().any(|word| name.contains(word))
        && let Some(value) = header.get_mut(1)
    {
        *value = Value::from("*");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_header_is_known_by_a_word_in_its_name() {
        let hidden = [
            "Proxy-Authorization",
            "X-Vault-Token",
            "x-goog-api-key",
            "Ocp-Apim-Subscription-Key",
            "X-Client-Secret",
            "X-Password",
            "X-Session-Id",
            "X-Hub-Signature-256",
            "X-CSRF-Token",
            "Set-Cookie2",
            "WWW-Authenticate",
        ];
        for name in hidden {
            let mut request = json!([{"headers": [[name, "v"]]}]);
            redact("http.send", &mut request);
            assert_eq!(request, json!([{"headers": [[name, "*"]]}]));
        }
        for name in ["accept", "content-type", "etag", "x-request-id"] {
            let mut request = json!([{"headers": [[name, "v"]]}]);
            redact("http.send", &mut request);
            assert_eq!(request, json!([{"headers": [[name, "v"]]}]));
        }
    }

    #[test]
    fn headers_that_let_somebody_in_are_hidden_in_both_directions() {
        let headers = json!([
            ["Authorization", "Bearer abc"],
            ["accept", "*/*"],
            ["cookie", "a=b"],
            ["x-api-key", "k"]
        ]);
        let hidden = json!([
            ["Authorization", "*"],
            ["accept", "*/*"],
            ["cookie", "*"],
            ["x-api-key", "*"]
        ]);
        let mut request = json!([{"url": "https://a.example", "headers": headers}]);
        redact("http.send", &mut request);
        assert_eq!(request[0]["headers"], hidden);
        let mut answers = json!({"Ok": [{"Ok": {"headers": [["set-cookie", "s"]]}}, {"Err": 7}]});
        redact("http.send-many", &mut answers);
        let expected = json!({"Ok": [{"Ok": {"headers": [["set-cookie", "*"]]}}, {"Err": 7}]});
        assert_eq!(answers, expected);
        // Elsewhere it is the task's own word.
        let mut other = json!([{"headers": headers}]);
        redact("state.save", &mut other);
        assert_eq!(other[0]["headers"], headers);
    }
}
