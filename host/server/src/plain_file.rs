//! Opens files that a host is told of or looks for: a pipe or a device in their place holds it up
//! no longer than a file would, and fills no memory.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file to read it; links are followed.
///
/// # Errors
/// When it cannot be opened, or is something else than a file.
pub(crate) fn open(path: &Path) -> Result<File> {
    // Otherwise a pipe is opened once somebody writes.
    open_with(path, OFlags::NONBLOCK)
}

/// The same; a link is refused.
///
/// # Errors
/// The same.
pub(crate) fn open_here(path: &Path) -> Result<File> {
    open_with(path, OFlags::NONBLOCK | OFlags::NOFOLLOW)
}

fn open_with(path: &Path, flags: OFlags) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits().cast_signed());
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        let other = "it is no plain file, but a folder, a pipe or a device";
        return Err(Error::other(other));
    }
    Ok(file)
}

/// Reads a file of text that has at most `bytes_max`.
///
/// # Errors
/// When it cannot be opened or read, is something else, or has more.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String> {
    let mut bytes = Vec::new();
    open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let more = format!("it has more than {bytes_max} bytes, the most that is read");
        return Err(Error::new(ErrorKind::FileTooLarge, more));
    }
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn make_pipe(path: &Path) {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    #[test]
    fn only_files_are_opened_and_no_more_is_read_than_was_said() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a"), folder.path().join("link"));
        std::fs::write(&file, "abc").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read_text(&file, 3).unwrap(), "abc");
        assert_eq!(read_text(&link, 3).unwrap(), "abc");
        assert!(open_here(&link).is_err());
        assert_eq!(
            read_text(&file, 2).unwrap_err().kind(),
            ErrorKind::FileTooLarge
        );
        let pipe = folder.path().join("pipe");
        make_pipe(&pipe);
        for other in [&*pipe, folder.path(), Path::new("/dev/zero")] {
            let said = read_text(other, 3).unwrap_err().to_string();
            assert!(said.contains("no plain file"), "{said}");
        }
        std::fs::write(&file, b"\xff").unwrap();
        assert!(read_text(&file, 3).is_err());
    }
}
