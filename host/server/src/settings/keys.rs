//! The key that all hosts of a store share, and those that it has taken the place of: `key_file`
//! and `former_key_files`.

use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taskhost_service::host_key::KEY_BYTES;
use taskhost_service::key_ring::KeyRing;

use super::reader::Reader;
use crate::plain_file;

/// The variable that holds the key itself.
pub(super) const KEY_VARIABLE: &str = "TASKHOST_KEY";
const KEY_FILE: &str = "key_file";
const FORMER_KEY_FILES: &str = "former_key_files";
/// Of a file with a key: more is none.
const KEY_FILE_BYTES_MAX: u64 = 1024;

type Key = [u8; KEY_BYTES];

/// None where there is none, which a store with people does not allow. No key is in a mistake.
pub(super) fn key_ring(reader: &mut Reader<'_>, is_required: bool) -> Option<KeyRing> {
    let file = match reader.text(KEY_FILE, "none") {
        file if file == "none" => None,
        file => Some(PathBuf::from(file)),
    };
    let former = former(reader);
    let variable = reader.variable(KEY_VARIABLE);
    let read = match (&variable, &file) {
        (None, None) => {
            if is_required {
                let problem = format!(
                    "is elasticsearch, and there is no key, the same on all hosts of the store, \
                     with which they seal what runs hold: give {KEY_VARIABLE} or `{KEY_FILE}`; \
                     `openssl rand -base64 {KEY_BYTES}` makes one"
                );
                reader.contradiction("store", problem);
            } else if !former.is_empty() {
                let problem = format!("has keys, and there is none now: `{KEY_FILE}` is missing");
                reader.contradiction(FORMER_KEY_FILES, problem);
            }
            return None;
        }
        (Some(_), Some(_)) => {
            let problem = format!("and {KEY_VARIABLE} are both set: which key is it to be?");
            reader.contradiction(KEY_FILE, problem);
            return None;
        }
        (Some(text), None) => key_of(text.as_bytes()),
        (None, Some(file)) => key_in(file),
    };
    match read {
        Ok(key) => Some(KeyRing::new(key, former)),
        Err(problem) => {
            reader.mistake_of_secret(KEY_FILE, KEY_VARIABLE, &problem);
            None
        }
    }
}

fn former(reader: &mut Reader<'_>) -> Vec<Key> {
    let mut keys = Vec::new();
    for (file, place) in reader.entries::<PathBuf>(FORMER_KEY_FILES) {
        match key_in(&file) {
            Ok(key) => keys.push(key),
            Err(problem) => {
                let problem = format!("has one that {problem}");
                reader.mistake_in_file(&place, FORMER_KEY_FILES, problem);
            }
        }
    }
    keys
}

fn key_in(file: &Path) -> Result<Key, String> {
    let read = || {
        let mut bytes = Vec::new();
        let file = plain_file::open(file)?;
        file.take(KEY_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error: std::io::Error| {
        format!("is {}, which cannot be read: {error}", file.display())
    })?;
    match <[u8; KEY_BYTES]>::try_from(bytes.as_slice()) {
        Ok(key) => Ok(key),
        Err(_) => key_of(&bytes),
    }
}

/// From base64 or hexadecimal digits.
fn key_of(text: &[u8]) -> Result<Key, String> {
    let text = text.trim_ascii();
    let bytes = match text.len() {
        length if length == 2 * KEY_BYTES => of_hex(text),
        _ => STANDARD.decode(text).ok(),
    };
    let key = bytes.and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok());
    key.ok_or_else(|| {
        format!(
            "holds no key: it has to be {KEY_BYTES} bytes, in base64 or as hexadecimal digits; \
             `openssl rand -base64 {KEY_BYTES}` makes one"
        )
    })
}

fn of_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = text.chunks(2).map(|pair| {
        let value = digit(pair.first()?)? * 16 + digit(pair.get(1)?)?;
        u8::try_from(value).ok()
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::super::{File, Flags, Mistake, Settings};
    use super::*;

    fn read(text: &str, key: Option<&str>) -> Result<Option<KeyRing>, Vec<String>> {
        let file = File {
            name: "t.toml".to_owned(),
            text: text.to_owned(),
        };
        let key = key.map(str::to_owned);
        let variable = |name: &str| match name {
            KEY_VARIABLE => key.clone(),
            "TASKHOST_ELASTICSEARCH_API_KEY" => Some("aWQ6a2V5".to_owned()),
            _ => None,
        };
        let read = Settings::read(Some(&file), &variable, Flags::default());
        read.map(|settings| settings.keys)
            .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
    }

    #[test]
    fn the_key_is_read_however_it_is_written_and_never_shown() {
        let ring = Some(KeyRing::new([0xab; KEY_BYTES], Vec::new()));
        let base64 = STANDARD.encode([0xab; KEY_BYTES]);
        let hex = "aB".repeat(KEY_BYTES);
        for text in [&base64, &hex, &format!(" {base64}\n")] {
            let read = read("", Some(text)).unwrap();
            assert_eq!(read, ring);
            assert!(!format!("{read:?}").contains("171"));
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        for bytes in [&[0xab; KEY_BYTES][..], base64.as_bytes(), hex.as_bytes()] {
            std::fs::write(&file, bytes).unwrap();
            let read = read(&format!("key_file = {file:?}"), None).unwrap();
            assert_eq!(read, ring);
        }
        assert_eq!(read("", None).unwrap(), None);
        let former = read(
            &format!("former_key_files = [{file:?}]"),
            Some(&"00".repeat(32)),
        );
        let expected = KeyRing::new([0; KEY_BYTES], vec![[0xab; KEY_BYTES]]);
        assert_eq!(former.unwrap(), Some(expected));
    }

    #[test]
    fn mistakes_name_their_place_and_no_key() {
        let key = "00".repeat(KEY_BYTES);
        for (text, variable, expected) in [
            (
                "",
                Some("c2VjcmV0"),
                "TASKHOST_KEY: holds no key: it has to be 32 bytes",
            ),
            (
                "key_file = \"no/such\"",
                None,
                "t.toml:1: `key_file` is no/such, which cannot be",
            ),
            (
                "key_file = \"x\"",
                Some("y"),
                "t.toml:1: `key_file` and TASKHOST_KEY are both set",
            ),
            (
                "former_key_files = [\"no/such\"]",
                Some(&*key),
                "t.toml:1: `former_key_files` has one that is no/such, which cannot be read",
            ),
            (
                "store = \"elasticsearch\"",
                None,
                "t.toml:1: `store` is elasticsearch, and there is no key",
            ),
        ] {
            let said = read(text, variable).unwrap_err();
            assert_eq!(said.len(), 1, "{said:#?}");
            assert!(
                said[0].starts_with(expected),
                "{said:#?}\nis not\n{expected}"
            );
            assert!(!said[0].contains("c2V"), "{said:?}");
        }
    }
}
