//! How this host lives with others on one store: `[hosts]`, and the key that they share.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use taskhost_service::host_key::KEY_BYTES;

use super::reader::Reader;
use crate::plain_file;

/// The variable that holds the key itself.
pub(super) const KEY_VARIABLE: &str = "TASKHOST_KEY";
const KEY_FILE: &str = "key_file";
/// Of a file with a key: more is none.
const KEY_FILE_BYTES_MAX: u64 = 1024;

/// How a host lives with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSettings {
    /// Where others reach it; none: where it listens.
    pub advertise: Option<String>,
    /// How often it says that it is alive.
    pub beat_interval: Duration,
    /// A host that says nothing for so long is lost.
    pub lease: Duration,
    /// What all hosts of a store share.
    pub key: Option<SharedKey>,
}

/// A key, which nothing shows.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedKey(pub [u8; KEY_BYTES]);

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey")
    }
}

pub(super) fn hosts(reader: &mut Reader<'_>) -> HostSettings {
    let beat_s = reader.number("hosts.beat_interval_s", 5, 1..=60);
    let lease_s = reader.number("hosts.lease_s", 30, 15..=600);
    if lease_s < 3 * beat_s {
        let problem = format!("has to be at least three times `hosts.beat_interval_s` ({beat_s})");
        reader.contradiction("hosts.lease_s", problem);
    }
    HostSettings {
        advertise: advertise(reader),
        beat_interval: Duration::from_secs(beat_s),
        lease: Duration::from_secs(lease_s),
        key: shared_key(reader),
    }
}

fn advertise(reader: &mut Reader<'_>) -> Option<String> {
    const KEY: &str = "hosts.advertise";
    let text = reader.text(KEY, "auto");
    if text == "auto" {
        return None;
    }
    let url = Url::parse(&text).ok();
    let is_base = |url: &Url| {
        url.scheme() == "http" && url.has_host() && url.path() == "/" && url.query().is_none()
    };
    match url.filter(is_base) {
        Some(_) => Some(text.trim_end_matches('/').to_owned()),
        None => {
            let wanted = "has to be an address such as \"http://10.0.0.5:7700\", or \"auto\"";
            reader.contradiction(KEY, wanted.to_owned());
            None
        }
    }
}

/// The key is in no mistake.
fn shared_key(reader: &mut Reader<'_>) -> Option<SharedKey> {
    let file = match reader.text(KEY_FILE, "none") {
        file if file == "none" => None,
        file => Some(PathBuf::from(file)),
    };
    let variable = reader.variable(KEY_VARIABLE);
    let read = match (&variable, &file) {
        (None, None) => return None,
        (Some(_), Some(_)) => {
            let problem = format!("and {KEY_VARIABLE} are both set: which key is it to be?");
            reader.contradiction(KEY_FILE, problem);
            return None;
        }
        (Some(text), None) => key_of(text.as_bytes()),
        (None, Some(file)) => key_in(file),
    };
    match read {
        Ok(key) => Some(key),
        Err(problem) if file.is_some() => {
            reader.contradiction(KEY_FILE, problem);
            None
        }
        Err(problem) => {
            reader.mistake_in_variable(KEY_VARIABLE, problem);
            None
        }
    }
}

fn key_in(file: &Path) -> Result<SharedKey, String> {
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
        Ok(key) => Ok(SharedKey(key)),
        Err(_) => key_of(&bytes),
    }
}

/// From base64 or hexadecimal digits.
fn key_of(text: &[u8]) -> Result<SharedKey, String> {
    let text = text.trim_ascii();
    let bytes = match text.len() {
        length if length == 2 * KEY_BYTES => of_hex(text),
        _ => STANDARD.decode(text).ok(),
    };
    let key = bytes.and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok());
    key.map(SharedKey).ok_or_else(|| {
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

    fn read(text: &str, key: Option<&str>) -> Result<HostSettings, Vec<String>> {
        let file = File {
            name: "t.toml".to_owned(),
            text: text.to_owned(),
        };
        let key = key.map(str::to_owned);
        let variable = |name: &str| key.clone().filter(|_| name == KEY_VARIABLE);
        let read = Settings::read(Some(&file), &variable, Flags::default());
        read.map(|settings| settings.hosts)
            .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
    }

    #[test]
    fn the_key_is_read_however_it_is_written_and_never_shown() {
        let key = SharedKey([0xab; KEY_BYTES]);
        let base64 = STANDARD.encode([0xab; KEY_BYTES]);
        let hex = "aB".repeat(KEY_BYTES);
        for text in [&base64, &hex, &format!(" {base64}\n")] {
            let settings = read("", Some(text)).unwrap();
            assert_eq!(settings.key.as_ref(), Some(&key));
            assert!(!format!("{settings:?}").contains("171"));
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        for bytes in [&[0xab; KEY_BYTES][..], base64.as_bytes(), hex.as_bytes()] {
            std::fs::write(&file, bytes).unwrap();
            let settings = read(&format!("key_file = {file:?}"), None).unwrap();
            assert_eq!(settings.key.as_ref(), Some(&key));
        }
        assert_eq!(read("", None).unwrap().key, None);
    }

    #[test]
    fn mistakes_name_their_place_and_no_key() {
        let said = read("", Some("c2VjcmV0")).unwrap_err();
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("TASKHOST_KEY: "), "{said:?}");
        assert!(
            said[0].contains("holds no key") && !said[0].contains("c2V"),
            "{said:?}"
        );
        let text = "key_file = \"no/such/file\"\n[hosts]\nbeat_interval_s = 10\nlease_s = 20\n\
                    advertise = \"https://a/x\"\n";
        let said = read(text, None).unwrap_err();
        let expected = [
            "t.toml:1: `key_file` is no/such/file, which cannot be read",
            "t.toml:4: `hosts.lease_s` has to be at least three times",
            "t.toml:5: `hosts.advertise` has to be an address such as",
        ];
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{said}");
        }
        let both = read("key_file = \"x\"", Some("y")).unwrap_err();
        assert!(
            both[0].contains("`key_file` and TASKHOST_KEY are both set"),
            "{both:?}"
        );
    }

    #[test]
    fn an_address_is_told_without_its_last_slash() {
        let settings = read("[hosts]\nadvertise = \"http://10.0.0.5:7700/\"\n", None).unwrap();
        assert_eq!(settings.advertise.as_deref(), Some("http://10.0.0.5:7700"));
        assert_eq!(read("", None).unwrap().advertise, None);
    }
}
