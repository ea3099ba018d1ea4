//! Cursors of lists and searches: where the last page ended, as an opaque text.

use crate::error::StoreError;

/// A cursor after the entry with these two sort keys, for lists of one `kind`.
pub(crate) fn encode(kind: &str, major: i64, minor: i64) -> String {
    format!("{kind}.{major:x}.{minor:x}")
}

/// Reads what [`encode`] wrote for the same kind of list.
pub(crate) fn decode(kind: &str, cursor: &str) -> Result<(i64, i64), StoreError> {
    let read = || {
        let (major, minor) = cursor
            .strip_prefix(kind)?
            .strip_prefix('.')?
            .split_once('.')?;
        Some((number(major)?, number(minor)?))
    };
    read().ok_or(StoreError::InvalidCursor)
}

fn number(text: &str) -> Option<i64> {
    // Negative numbers are written in two's complement; a sign is not ours.
    let ours = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bits = u64::from_str_radix(text, 16).ok().filter(|_| ours)?;
    Some(bits.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_as_written_and_nothing_else() {
        for (major, minor) in [(0, 0), (-1, 7), (i64::MAX, i64::MIN)] {
            let cursor = encode("tasks", major, minor);
            assert_eq!(decode("tasks", &cursor).unwrap(), (major, minor));
            assert!(decode("asc", &cursor).is_err());
        }
        for bad in [
            "",
            "tasks",
            "tasks.",
            "tasks.1",
            "tasks.1.",
            "tasks.-1.2",
            "tasks.1.2.3",
        ] {
            assert!(decode("tasks", bad).is_err(), "{bad}");
        }
    }
}
