//! The name of this host among others on a store: of its data folder, so that whoever holds the
//! folder's lock is the host of that name.

use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use crate::plain_file;

const NAME: &str = "host.name";
const NAME_BYTES_MAX: u64 = 512;

/// `MACHINE-XXXXXXXX`, read from the data folder, where it is made at first use. A folder that was
/// copied to another machine gets another name there.
///
/// # Errors
/// When the file cannot be read or made.
pub(crate) fn of_folder(data: &Path, machine: &str) -> std::io::Result<String> {
    let path = data.join(NAME);
    let prefix = format!("{machine}-");
    match plain_file::open(&path) {
        Ok(file) => {
            let mut text = String::new();
            file.take(NAME_BYTES_MAX).read_to_string(&mut text)?;
            let name = text.trim();
            if name.strip_prefix(&prefix).is_some_and(|end| end.len() == 8) {
                return Ok(name.to_owned());
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let name = format!("{prefix}{:08x}", rand::random::<u32>());
    let mut file = tempfile::NamedTempFile::new_in(data)?;
    writeln!(file, "{name}")?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_name_on_its_machine() {
        let folder = tempfile::tempdir().unwrap();
        let name = of_folder(folder.path(), "m").unwrap();
        assert!(name.starts_with("m-") && name.len() == 10, "{name}");
        assert_eq!(of_folder(folder.path(), "m").unwrap(), name);
        let copied = of_folder(folder.path(), "other").unwrap();
        assert!(copied.starts_with("other-"), "{copied}");
        let another = tempfile::tempdir().unwrap();
        assert_ne!(of_folder(another.path(), "m").unwrap(), name);
        std::fs::write(folder.path().join(NAME), "nonsense").unwrap();
        assert!(of_folder(folder.path(), "m").unwrap().starts_with("m-"));
    }
}
