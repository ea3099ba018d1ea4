//! What the host shows the cluster: a user's name and password, or an API key, from the environment
//! or from files. Nothing of a secret is in any mistake.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taskhost_store::open::Credentials;

use super::reader::Reader;
use crate::plain_file;

/// The variables that hold them.
pub(super) const PASSWORD_VARIABLE: &str = "TASKHOST_ELASTICSEARCH_PASSWORD";
pub(super) const API_KEY_VARIABLE: &str = "TASKHOST_ELASTICSEARCH_API_KEY";

pub(super) const STORE: &str = "store";
pub(super) const USERNAME: &str = "elasticsearch.username";
const PASSWORD_FILE: &str = "elasticsearch.password_file";
const API_KEY_FILE: &str = "elasticsearch.api_key_file";

/// What stands where there is nothing.
const NONE: &str = "none";
/// What is read of a file that holds a password or a key.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// None where there is a mistake, and for another store.
pub(super) fn credentials(reader: &mut Reader<'_>, is_elastic: bool) -> Option<Credentials> {
    let username = match reader.text(USERNAME, NONE) {
        name if name == NONE => None,
        name => Some(name),
    };
    let password = secret(reader, PASSWORD_FILE, PASSWORD_VARIABLE)?;
    let api_key = secret(reader, API_KEY_FILE, API_KEY_VARIABLE)?;
    if !is_elastic {
        return None;
    }
    match (username, password, api_key) {
        (Some(username), Some(password), None) => {
            if username.contains(':') {
                reader.contradiction(USERNAME, "may not have a colon in it".to_owned());
            }
            Some(Credentials::Basic { username, password })
        }
        (None, None, Some(key)) if is_encoded_key(&key) => Some(Credentials::ApiKey(key)),
        (None, None, Some(_)) => {
            reader.mistake_of_secret(
                API_KEY_FILE,
                API_KEY_VARIABLE,
                "holds no API key: it has to be what Elasticsearch calls `encoded`, the base64 of \
                 ID:KEY",
            );
            None
        }
        (None, None, None) => {
            let problem = format!(
                "is elasticsearch, and the host has nothing to show it: give {API_KEY_VARIABLE} \
                 (or `api_key_file` in [elasticsearch]), or `username` and {PASSWORD_VARIABLE} \
                 (or `password_file`)"
            );
            reader.contradiction(STORE, problem);
            None
        }
        (Some(_), None, None) => {
            let problem = format!("has no password: give {PASSWORD_VARIABLE} or `password_file`");
            reader.contradiction(USERNAME, problem);
            None
        }
        (None, Some(_), None) => {
            let problem = "holds a password, and `username` in [elasticsearch] names nobody";
            reader.mistake_of_secret(PASSWORD_FILE, PASSWORD_VARIABLE, problem);
            None
        }
        (_, _, Some(_)) => {
            let problem = "stands beside a user name or a password: which of them is it to be?";
            reader.mistake_of_secret(API_KEY_FILE, API_KEY_VARIABLE, problem);
            None
        }
    }
}

fn is_encoded_key(text: &str) -> bool {
    let decoded = STANDARD.decode(text).ok();
    decoded.is_some_and(|bytes| bytes.contains(&b':'))
}

/// A secret of a file or a variable; the outer none is a mistake that has been told.
#[expect(
    clippy::option_option,
    reason = "there may be none, which is no mistake"
)]
fn secret(
    reader: &mut Reader<'_>,
    key: &'static str,
    variable: &'static str,
) -> Option<Option<String>> {
    let file = file(reader, key);
    let value = match (reader.variable(variable), file) {
        (None, None) => return Some(None),
        (Some(_), Some(_)) => {
            let problem = format!("and {variable} are both set: which is it to be?");
            reader.contradiction(key, problem);
            return None;
        }
        (Some(value), None) => value,
        (None, Some(file)) => match plain_file::read_text(&file, SECRET_BYTES_MAX) {
            Ok(text) => text,
            Err(error) => {
                reader.contradiction(key, unreadable(&file, &error));
                return None;
            }
        },
    };
    // An editor ends a file with a line break.
    let value = value.trim_end_matches(['\r', '\n']).to_owned();
    if value.is_empty() || value.contains(['\r', '\n', '\0']) {
        let problem = "has to be one line of text that is not empty";
        reader.mistake_of_secret(key, variable, problem);
        return None;
    }
    Some(Some(value))
}

/// A file that a key names.
pub(super) fn file(reader: &mut Reader<'_>, key: &'static str) -> Option<PathBuf> {
    match reader.text(key, NONE) {
        file if file == NONE => None,
        file => Some(PathBuf::from(file)),
    }
}

pub(super) fn unreadable(file: &Path, error: &std::io::Error) -> String {
    format!("is {}, which cannot be read: {error}", file.display())
}
