//! As whom a client comes: from the environment or from a file, never from an argument, which
//! others on the machine can see.

use std::ffi::OsString;
use std::path::Path;

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::failure::Failure;
use crate::plain_file;

const TOKEN: &str = "TASKHOST_TOKEN";
const API_KEY: &str = "TASKHOST_API_KEY";
const USERNAME: &str = "TASKHOST_USERNAME";
const PASSWORD: &str = "TASKHOST_PASSWORD";

/// What is read of a file that holds a token.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

/// The value of the `Authorization` header; none where nothing is set, which a host of a single
/// user does not ask for.
pub(crate) fn of(
    token_file: Option<&Path>,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Option<HeaderValue>, Failure> {
    let variable = |name: &str| {
        let value = environment(name).filter(|value| !value.is_empty());
        let text = value.map(|value| value.into_string());
        text.transpose()
            .map_err(|_| Failure::wrong_use(format!("{name} is not UTF-8")))
    };
    let token = match token_file {
        Some(file) => Some(in_file(file)?),
        None => variable(TOKEN)?,
    };
    let api_key = variable(API_KEY)?;
    let header = match (token, api_key, variable(USERNAME)?, variable(PASSWORD)?) {
        (None, None, None, None) => return Ok(None),
        (Some(token), None, None, None) => format!("Bearer {token}"),
        (None, Some(key), None, None) => format!("ApiKey {key}"),
        (None, None, Some(username), Some(password)) if !username.contains(':') => {
            format!(
                "Basic {}",
                STANDARD.encode(format!("{username}:{password}"))
            )
        }
        (None, None, _, _) => {
            let message = format!("{USERNAME}, without a colon, and {PASSWORD} go together");
            return Err(Failure::wrong_use(message));
        }
        _ => {
            let message = format!(
                "more than one credential is set: unset all but one of {TOKEN} (or --token-file), \
                 {API_KEY}, and {USERNAME} with {PASSWORD}"
            );
            return Err(Failure::wrong_use(message));
        }
    };
    let mut value = HeaderValue::from_str(&header)
        .map_err(|_| Failure::wrong_use("the credential has characters that none can have"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn in_file(file: &Path) -> Result<String, Failure> {
    let text = plain_file::read_text(file, TOKEN_BYTES_MAX).map_err(|error| {
        let shown = file.display();
        Failure::wrong_use(format!("--token-file {shown} cannot be read: {error}"))
    })?;
    match text.trim() {
        "" => Err(Failure::wrong_use(format!(
            "--token-file {} holds no token",
            file.display()
        ))),
        token => Ok(token.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Option<HeaderValue>, Failure> {
        let environment = |name: &str| {
            let found = set.iter().find(|(of, _)| *of == name);
            found.map(|(_, value)| OsString::from(value))
        };
        of(None, &environment)
    }

    #[test]
    fn one_credential_becomes_a_header_that_is_not_shown() {
        for (set, header) in [
            (vec![(TOKEN, "t0k")], "Bearer t0k"),
            (vec![(API_KEY, "aWQ6a2V5")], "ApiKey aWQ6a2V5"),
            (
                vec![(USERNAME, "ann"), (PASSWORD, "a:b")],
                "Basic YW5uOmE6Yg==",
            ),
        ] {
            let value = read(&set).unwrap().unwrap();
            assert_eq!(value, header);
            assert!(!format!("{value:?}").contains(header));
        }
        assert_eq!(read(&[(TOKEN, "")]).unwrap(), None);
    }

    #[test]
    fn a_token_can_lie_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "t0k\n").unwrap();
        assert_eq!(of(Some(&file), &|_| None).unwrap().unwrap(), "Bearer t0k");
        std::fs::write(&file, "\n").unwrap();
        assert!(of(Some(&file), &|_| None).is_err());
    }

    #[test]
    fn what_is_unclear_is_refused_without_a_secret() {
        for set in [
            vec![(TOKEN, "s3cret"), (API_KEY, "s3cret")],
            vec![(PASSWORD, "s3cret")],
            vec![(USERNAME, "ann")],
            vec![(USERNAME, "a:b"), (PASSWORD, "s3cret")],
            vec![(TOKEN, "s3cret\n")],
        ] {
            let said = read(&set).unwrap_err().to_string();
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
}
