//! Files of the watched folder: what they look like, and what they hold.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use taskhost_service::signatures::SIGNATURE_BYTES_MAX;
use taskhost_store::components::COMPONENT_BYTES_MAX;

use crate::plain_file;

/// What a file looked like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) modified: SystemTime,
    pub(super) bytes: u64,
    pub(super) is_file: bool,
    /// The signature beside it: one that comes later is another reason to judge the file.
    pub(super) signature: Option<Beside>,
}

/// What the signature beside a file looked like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beside {
    modified: SystemTime,
    bytes: u64,
    pub(super) is_file: bool,
}

/// Everything in the folder that is called `*.wasm`.
pub(super) fn present(folder: &Path) -> std::io::Result<Vec<(OsString, Stat)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_wasm = path
            .extension()
            .is_some_and(|extension| extension == "wasm");
        // Links are followed, where they lead somewhere; a file that is gone by now is none.
        let stat = std::fs::metadata(&path).or_else(|_| std::fs::symlink_metadata(&path));
        if let (true, Some(name), Ok(stat)) = (is_wasm, path.file_name(), stat) {
            files.push((name.to_owned(), Stat::of(&stat, &path)?));
        }
    }
    Ok(files)
}

impl Stat {
    fn of(metadata: &std::fs::Metadata, path: &Path) -> std::io::Result<Self> {
        let signature = std::fs::metadata(signature_path(path)).ok();
        Ok(Self {
            modified: metadata.modified()?,
            bytes: metadata.len(),
            is_file: metadata.is_file(),
            signature: match signature {
                Some(signature) => Some(Beside {
                    modified: signature.modified()?,
                    bytes: signature.len(),
                    is_file: signature.is_file(),
                }),
                None => None,
            },
        })
    }

    /// When the last of the two was modified.
    pub(super) fn modified_last(&self) -> SystemTime {
        let signature = self.signature.map(|signature| signature.modified);
        signature.map_or(self.modified, |modified| modified.max(self.modified))
    }
}

/// Where minisign puts the signature of a file.
fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".minisig");
    PathBuf::from(name)
}

/// What a file holds, with its signature.
pub(super) type Read = (Arc<[u8]>, Option<String>);

/// Reads a file that looks like `stat` before and after; none when it does not. What is larger
/// than any component, or than any signature, is cut just above the limit.
pub(super) async fn read(path: &Path, stat: Stat) -> std::io::Result<Option<Read>> {
    let path = path.to_owned();
    let read = move || {
        use std::io::Read;
        let mut file = plain_file::open(&path)?;
        let looks = |file: &std::fs::File| Stat::of(&file.metadata()?, &path);
        if looks(&file)? != stat {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.by_ref()
            .take(COMPONENT_BYTES_MAX + 1)
            .read_to_end(&mut bytes)?;
        let mut signature = None;
        if stat.signature.is_some() {
            let mut text = Vec::new();
            let most = SIGNATURE_BYTES_MAX as u64 + 1;
            let file = plain_file::open(&signature_path(&path))?;
            file.take(most).read_to_end(&mut text)?;
            signature = Some(String::from_utf8_lossy(&text).into_owned());
        }
        Ok((looks(&file)? == stat).then(|| (Arc::from(bytes), signature)))
    };
    tokio::task::spawn_blocking(read)
        .await
        .map_err(std::io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_called_wasm_counts() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.wasm", "b.wasm.part", "c.txt"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(folder.path().join("d.wasm")).unwrap();
        let present = present(folder.path()).unwrap();
        let mut names: Vec<_> = present
            .iter()
            .map(|(name, _)| name.to_str().unwrap())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["a.wasm", "d.wasm"]);
    }

    #[tokio::test]
    async fn a_file_that_changed_since_the_look_is_not_judged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        std::fs::write(&path, "abc").unwrap();
        let stat = Stat::of(&std::fs::metadata(&path).unwrap(), &path).unwrap();
        let (bytes, signature) = read(&path, stat).await.unwrap().unwrap();
        assert_eq!((bytes.as_ref(), signature), (&b"abc"[..], None));
        let other = Stat { bytes: 9, ..stat };
        assert!(read(&path, other).await.unwrap().is_none());
        std::fs::write(folder.path().join("a.wasm.minisig"), "signed").unwrap();
        assert!(
            read(&path, stat).await.unwrap().is_none(),
            "a signature came"
        );
        let stat = Stat::of(&std::fs::metadata(&path).unwrap(), &path).unwrap();
        let (_, signature) = read(&path, stat).await.unwrap().unwrap();
        assert_eq!(signature.as_deref(), Some("signed"));
    }

    #[tokio::test]
    async fn a_pipe_beside_a_file_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        std::fs::write(&path, "abc").unwrap();
        plain_file::tests::make_pipe(&folder.path().join("a.wasm.minisig"));
        let stat = Stat::of(&std::fs::metadata(&path).unwrap(), &path).unwrap();
        assert!(stat.signature.is_some_and(|signature| !signature.is_file));
        let said = read(&path, stat).await.unwrap_err().to_string();
        assert!(said.contains("no plain file"), "{said}");
    }
}
