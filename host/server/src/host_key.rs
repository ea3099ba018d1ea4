//! The host's key in its data folder: made at first use, for its owner alone, and never shown.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use taskhost_service::host_key::{HostKey, KEY_BYTES};

const NAME: &str = "host.key";

/// `DATA/host.key`. Read each time it is needed, which is seldom.
#[derive(Debug)]
pub(crate) struct KeyFile(PathBuf);

impl KeyFile {
    pub(crate) fn beside(data: &Path) -> Self {
        Self(data.join(NAME))
    }

    /// None where there is no file.
    fn read(&self) -> Result<Option<[u8; KEY_BYTES]>, String> {
        let shown = self.0.display();
        let bytes = match std::fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("the host's key {shown} cannot be read ({error})")),
        };
        let length = bytes.len();
        let key = <[u8; KEY_BYTES]>::try_from(bytes);
        key.map(Some).map_err(|_| {
            format!("the host's key {shown} has {length} bytes, and should have {KEY_BYTES}")
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
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
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
        let missing = || format!("the host's key {} is missing", self.0.display());
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
        assert!(said.ends_with("host.key is missing"), "{said}");
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
        for said in [file.to_seal().unwrap_err(), file.to_open().unwrap_err()] {
            assert!(said.contains("has 5 bytes, and should have 32"), "{said}");
        }
        assert_eq!(std::fs::read(&file.0).unwrap(), b"short");
    }
}
