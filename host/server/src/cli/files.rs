//! Reads files that the user names: whole, up to a limit, and with words for what is wrong.

use std::io::Read;
use std::path::Path;

use super::text;

/// The file's name for people.
pub(crate) fn shown(file: &Path) -> String {
    text::shown(&file.to_string_lossy())
}

/// Opens a file; a folder is refused.
///
/// # Errors
/// A sentence that names the file.
pub(crate) fn open(file: &Path) -> Result<std::fs::File, String> {
    let cannot = |error| format!("{} cannot be read: {error}", shown(file));
    let opened = std::fs::File::open(file).map_err(cannot)?;
    if opened.metadata().map_err(cannot)?.is_dir() {
        return Err(format!("{} is a folder: name a file", shown(file)));
    }
    Ok(opened)
}

/// Reads a file that has at most `bytes_max`; what goes on for ever is read no further.
///
/// # Errors
/// A sentence that names the file.
pub(crate) fn read(file: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    open(file)?
        .take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{} cannot be read: {error}", shown(file)))?;
    if bytes.len() as u64 > bytes_max {
        let most = text::bytes(bytes_max);
        return Err(format!(
            "{} has more than {most}, the most that is read",
            shown(file)
        ));
    }
    Ok(bytes)
}

/// Reads a file of text.
///
/// # Errors
/// A sentence that names the file.
pub(crate) fn read_text(file: &Path, bytes_max: u64) -> Result<String, String> {
    String::from_utf8(read(file, bytes_max)?)
        .map_err(|_| format!("{} is no text: it is not UTF-8", shown(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_their_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "abc").unwrap();
        assert_eq!(read(&file, 3).unwrap(), b"abc");
        for (file, bytes_max, words) in [
            (file.as_path(), 2, "more than 2 B"),
            (Path::new("/dev/zero"), 1 << 20, "more than 1.0 MiB"),
            (folder.path(), 9, "is a folder"),
            (
                Path::new("/no/such\u{1b}"),
                9,
                "/no/such\\u{1b} cannot be read",
            ),
        ] {
            let said = read(file, bytes_max).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
        assert_eq!(read_text(&file, 3).unwrap(), "abc");
        std::fs::write(&file, b"\xff").unwrap();
        assert!(read_text(&file, 3).unwrap_err().contains("not UTF-8"));
    }
}
