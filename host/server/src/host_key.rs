//! The host's key in its data folder: made at first use, for its owner alone, and never shown.

use std::fs::Permissions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use taskhost_service::host_key::{HostKey, KEY_BYTES};

use crate::plain_file;

const NAME: &str = "host.key";

/// `DATA/host.key`. Read each time it is needed, which is seldom.
#[derive(Debug)]
pub(crate) struct KeyFile(PathBuf);

impl KeyFile {
    pub(crate) fn beside(data: &Path) -> Self {
        Self(data.join(NAME))
    }

    /// None where there is no file. What is no key, or is one that others know, is not used.
    fn read(&self) -> Result<Option<[u8; KEY_BYTES]>, String> {
        let shown = self.0.display();
        let unread = |error| format!("the host's key {shown} cannot be read ({error})");
        let file = match plain_file::open_here(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                return Err(format!(
                    "the host's key {shown} is a link, which is not followed: put the file itself \
                     there"
                ));
            }
            Err(error) => return Err(unread(error)),
        };
        let mode = file.metadata().map_err(unread)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(format!(
                "the host's key {shown} is open to others than its owner (mode {mode:03o}): \
                 `chmod 600` it; where somebody may have read it, remove it, and what was sealed \
                 with it"
            ));
        }
        let mut bytes = Vec::new();
        let most = KEY_BYTES as u64 + 1;
        file.take(most).read_to_end(&mut bytes).map_err(unread)?;
        let length = match bytes.len() {
            length if length > KEY_BYTES => "more".to_owned(),
            length => length.to_string(),
        };
        let key = <[u8; KEY_BYTES]>::try_from(bytes);
        key.map(Some).map_err(|_| {
            format!(
                "the host's key {shown} has {length} bytes, and should have {KEY_BYTES}: put the \
                 right one back, or remove it, and what was sealed with it cannot be read"
            )
        })
    }

    /// Whole or not at all; whoever is faster is the one whose key counts.
    fn make(&self) -> std::io::Result<()> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(folder)?;
        file.write_all(&rand::random::<[u8; KEY_BYTES]>())?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(&self.0) {
            Ok(_) => std::fs::File::open(folder)?.sync_all(),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error.error),
        }
    }
}

impl HostKey for KeyFile {
    fn to_seal(&self) -> Result<[u8; KEY_BYTES], String> {
        if let Some(key) = self.read()? {
            return Ok(key);
        }
        let made = self.make();
        made.map_err(|error| {
            format!(
                "the host's key {} cannot be made ({error})",
                self.0.display()
            )
        })?;
        self.to_open()
    }

    fn to_open(&self) -> Result<[u8; KEY_BYTES], String> {
        let missing = || {
            format!(
                "the host's key {} is missing: put the file of that time back, or schedule the \
                 task anew",
                self.0.display()
            )
        };
        self.read()?.ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::beside(folder.path());
        let said = file.to_open().unwrap_err();
        assert!(said.contains("host.key is missing: put"), "{said}");
        let key = file.to_seal().unwrap();
        assert_eq!(
            (file.to_seal().unwrap(), file.to_open().unwrap()),
            (key, key)
        );
        assert_ne!(key, [0; KEY_BYTES]);
        let mode = std::fs::metadata(&file.0).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(KeyFile::beside(other.path()).to_seal().unwrap(), key);
    }

    #[test]
    fn a_key_that_is_none_is_told_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::beside(folder.path());
        std::fs::write(&file.0, "short").unwrap();
        std::fs::set_permissions(&file.0, Permissions::from_mode(0o600)).unwrap();
        for said in [file.to_seal().unwrap_err(), file.to_open().unwrap_err()] {
            assert!(said.contains("has 5 bytes, and should have 32"), "{said}");
        }
        assert_eq!(std::fs::read(&file.0).unwrap(), b"short");
        std::fs::write(&file.0, [7; 1_000_000]).unwrap();
        let said = file.to_open().unwrap_err();
        assert!(
            said.contains("has more bytes, and should have 32"),
            "{said}"
        );
    }

    #[test]
    fn what_is_no_file_or_not_the_owners_alone_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::beside(folder.path());
        let refused = |words: &str| {
            for said in [file.to_seal().unwrap_err(), file.to_open().unwrap_err()] {
                assert!(said.contains(words), "{said}");
            }
        };
        std::os::unix::fs::symlink("/dev/zero", &file.0).unwrap();
        refused("is a link");
        std::fs::remove_file(&file.0).unwrap();
        plain_file::tests::make_pipe(&file.0);
        refused("no plain file");
        std::fs::remove_file(&file.0).unwrap();
        std::fs::create_dir(&file.0).unwrap();
        refused("no plain file");
        std::fs::remove_dir(&file.0).unwrap();
        std::fs::write(&file.0, [7; KEY_BYTES]).unwrap();
        for (mode, words) in [
            (0o666, "(mode 666)"),
            (0o640, "(mode 640)"),
            (0o604, "chmod 600"),
        ] {
            std::fs::set_permissions(&file.0, Permissions::from_mode(mode)).unwrap();
            refused(words);
        }
        std::fs::set_permissions(&file.0, Permissions::from_mode(0o400)).unwrap();
        assert_eq!(file.to_open(), Ok([7; KEY_BYTES]));
    }
}
