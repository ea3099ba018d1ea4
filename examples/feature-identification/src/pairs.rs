//! Reads the named values of lines that have them: JSON objects and `key=value` lines. Only the
//! outermost level, and without judging whether the JSON is sound: a log may cut it off.

/// One named value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The name.
    pub key: &'a str,
    /// The value as written, without quotes.
    pub value: &'a str,
    /// `s` text, `n` number or a bare word, `o` object, `a` array.
    pub form: char,
}

/// The named values of a line: at most `count` of them, within its first `bytes_max` bytes.
#[must_use]
pub fn pairs(line: &str, bytes_max: usize, count: usize) -> Vec<Pair<'_>> {
    let mut end = line.len().min(bytes_max);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let line = &line[..end];
    if line.starts_with('{') {
        json_pairs(line, count)
    } else {
        equal_pairs(line, count)
    }
}

/// How a line of JSON opens: its first two names with the forms of their values.
#[must_use]
pub fn signature(line: &str, bytes_max: usize) -> String {
    pairs(line, bytes_max, 2)
        .iter()
        .map(|pair| format!("{}:{} ", pair.key, pair.form))
        .collect()
}

fn json_pairs(line: &str, count: usize) -> Vec<Pair<'_>> {
    let bytes = line.as_bytes();
    let mut found = Vec::new();
    let mut at = 1;
    while found.len() < count {
        at = skip(bytes, at, |byte| byte.is_ascii_whitespace() || byte == b',');
        let Some(key_end) = quoted(bytes, at) else {
            break;
        };
        let key = &line[at + 1..key_end - 1];
        at = skip(bytes, key_end, |byte| {
            byte.is_ascii_whitespace() || byte == b':'
        });
        let Some(first) = bytes.get(at) else {
            break;
        };
        let (form, start, end, next) = match first {
            b'"' => match quoted(bytes, at) {
                Some(end) => ('s', at + 1, end - 1, end),
                None => ('s', at + 1, bytes.len(), bytes.len()),
            },
            b'{' | b'[' => {
                let end = nested(bytes, at);
                (if *first == b'{' { 'o' } else { 'a' }, at, end, end)
            }
            _ => {
                let end = skip(bytes, at, |byte| !matches!(byte, b',' | b'}'));
                ('n', at, end, end)
            }
        };
        found.push(Pair {
            key,
            value: line.get(start..end).unwrap_or(""),
            form,
        });
        at = next;
    }
    found
}

fn equal_pairs(line: &str, count: usize) -> Vec<Pair<'_>> {
    let bytes = line.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() && found.len() < count {
        at = skip(bytes, at, |byte| byte.is_ascii_whitespace());
        let key_end = skip(bytes, at, |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@')
        });
        if key_end == at || bytes.get(key_end) != Some(&b'=') {
            at = skip(bytes, at, |byte| !byte.is_ascii_whitespace());
            continue;
        }
        let start = key_end + 1;
        let (from, to, next) = match quoted(bytes, start) {
            Some(end) => (start + 1, end - 1, end),
            None => {
                let end = skip(bytes, start, |byte| !byte.is_ascii_whitespace());
                (start, end, end)
            }
        };
        found.push(Pair {
            key: &line[at..key_end],
            value: line.get(from..to).unwrap_or(""),
            form: 's',
        });
        at = next.max(key_end + 1);
    }
    found
}

fn skip(bytes: &[u8], from: usize, test: impl Fn(u8) -> bool) -> usize {
    let rest = &bytes[from.min(bytes.len())..];
    from.min(bytes.len()) + rest.iter().take_while(|byte| test(**byte)).count()
}

/// The offset after the closing quote of a text that opens at `at`.
fn quoted(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut escaped = false;
    for (offset, byte) in bytes[at + 1..].iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + offset + 2),
            _ => {}
        }
    }
    None
}

/// The offset after the bracket that closes the one at `at`.
fn nested(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for (offset, byte) in bytes[at..].iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + offset + 1;
                }
            }
            _ => {}
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_equal_signs_are_read() {
        let line = r#"{"level":"info","ts":1.5,"req":{"a":[1,"}"]},"msg":"a \"b\"","cut":"of"#;
        let keys: Vec<(&str, &str, char)> = pairs(line, 500, 9)
            .into_iter()
            .map(|pair| (pair.key, pair.value, pair.form))
            .collect();
        assert_eq!(
            keys,
            [
                ("level", "info", 's'),
                ("ts", "1.5", 'n'),
                ("req", r#"{"a":[1,"}"]}"#, 'o'),
                ("msg", r#"a \"b\""#, 's'),
                ("cut", "of", 's'),
            ]
        );
        assert_eq!(signature(line, 500), "level:s ts:n ");
        let line = "ts=2024 caller=a.go:1 noise msg=\"two words\" n=1";
        let keys: Vec<(&str, &str)> = pairs(line, 500, 9)
            .into_iter()
            .map(|p| (p.key, p.value))
            .collect();
        assert_eq!(
            keys,
            [
                ("ts", "2024"),
                ("caller", "a.go:1"),
                ("msg", "two words"),
                ("n", "1")
            ]
        );
    }

    #[test]
    fn broken_lines_end_the_reading() {
        for line in [
            "{", "{\"", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":{", "{\"é", "=", "a=", "{]",
        ] {
            let _ = pairs(line, 3, 9);
            let _ = pairs(line, 500, 9);
        }
    }
}
