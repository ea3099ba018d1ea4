//! Knows lines that continue another line: frames of stack traces, names of exceptions, and what
//! is indented.

/// Whether a line begins like one that goes on from another, by the habits of many languages.
#[must_use]
pub fn continues(text: &[u8]) -> bool {
    const STARTS: [&[u8]; 12] = [
        b"at ",
        b"Caused by:",
        b"... ",
        b"Traceback (",
        b"Suppressed:",
        b"Exception in thread",
        b"During handling of",
        b"goroutine ",
        b"panic: ",
        b"[stacktrace]",
        b"}",
        b")",
    ];
    text.first().is_none_or(u8::is_ascii_whitespace)
        || STARTS.iter().any(|start| text.starts_with(start))
        || !text
            .iter()
            .any(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii())
        || is_numbered_frame(text)
        || is_call(text)
        || names_exception(text)
}

/// `main.(*Syncer).run(0xc000b01df2)`.
fn is_call(text: &[u8]) -> bool {
    text.ends_with(b")") && text.contains(&b'(') && !text.contains(&b' ')
}

/// `#3 /srv/app/Pipeline.php(12): handle()`.
#[must_use]
pub fn is_numbered_frame(text: &[u8]) -> bool {
    let digits = text
        .iter()
        .skip(1)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    text.first() == Some(&b'#') && (1..=3).contains(&digits) && text.get(1 + digits) == Some(&b' ')
}

/// `java.net.ConnectException: Connection refused`, `ValueError: bad`.
fn names_exception(text: &[u8]) -> bool {
    const ENDS: [&[u8]; 7] = [
        b"Exception",
        b"Error",
        b"Throwable",
        b"Timeout",
        b"Interrupt",
        b"Failure",
        b"Fault",
    ];
    let end = text
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'$')))
        .unwrap_or(text.len());
    let name = &text[..end];
    let ends = |suffix: &[u8]| name.len() > suffix.len() + 2 && name.ends_with(suffix);
    matches!(text.get(end), None | Some(b':' | b' ')) && ENDS.iter().any(|suffix| ends(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_go_on_from_others_are_known() {
        for line in [
            "",
            "\tat org.a.B.c(B.java:1)",
            "at org.a.B.c(B.java:1)",
            "Caused by: x",
            "java.net.ConnectException: refused",
            "ValueError: bad",
            "#3 /srv/a.php(12): run()",
            "main.(*A).run(0xc0)",
            "-----",
        ] {
            assert!(continues(line.as_bytes()), "{line}");
        }
        for line in ["attached", "An Error: x", "#tag x", "node (up)"] {
            assert!(!continues(line.as_bytes()), "{line}");
        }
    }
}
