//! How task types reach the outside: `[outbound]` and `[secrets.NAME]`.

use std::path::PathBuf;

use serde::Deserialize;
use taskhost_clients::http::{Range, origin};
use taskhost_clients::secrets::{KnownSecrets, Secret};
use taskhost_model::ids::Label;

use super::reader::Reader;
use crate::plain_file;

/// What is read of a file that holds one.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// What may be reached beyond public addresses, and with which secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboundSettings {
    /// Ranges of addresses that are not public, and may be reached all the same.
    pub open_networks: Vec<Range>,
    /// Read when the host starts.
    pub secrets: KnownSecrets,
}

/// One `[secrets.NAME]`. The value itself never stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    env: Option<String>,
    file: Option<PathBuf>,
    origins: Vec<String>,
}

pub(super) fn outbound(reader: &mut Reader<'_>) -> OutboundSettings {
    OutboundSettings {
        open_networks: open_networks(reader),
        secrets: secrets(reader),
    }
}

fn open_networks(reader: &mut Reader<'_>) -> Vec<Range> {
    const KEY: &str = "outbound.open_networks";
    let mut open = Vec::new();
    for (text, place) in reader.entries::<String>(KEY) {
        match text.parse() {
            Ok(range) => open.push(range),
            Err(problem) => reader.mistake_in_file(&place, KEY, problem),
        }
    }
    open
}

fn secrets(reader: &mut Reader<'_>) -> KnownSecrets {
    const KEY: &str = "secrets";
    let mut secrets = KnownSecrets::new();
    for (name, entry, place) in reader.tables::<Entry>(KEY) {
        let name_and_secret = Label::parse(&name)
            .map_err(|error| format!("has a wrong name: {error}"))
            .and_then(|label| Ok((label, secret(&entry, reader)?)));
        match name_and_secret {
            Ok((label, secret)) => drop(secrets.insert(label, secret)),
            Err(problem) => reader.mistake_in_file(&place, &format!("{KEY}.{name}"), problem),
        }
    }
    secrets
}

/// The value is read here, once, and is in no mistake.
fn secret(entry: &Entry, reader: &Reader<'_>) -> Result<Secret, String> {
    let value = match (&entry.env, &entry.file) {
        (Some(variable), None) => reader
            .variable(variable)
            .ok_or_else(|| format!("is to come from {variable:?}, which is not set"))?,
        (None, Some(file)) => {
            let read = plain_file::read_text(file, SECRET_BYTES_MAX);
            read.map_err(|error| format!("cannot be read from {}: {error}", file.display()))?
        }
        _ => return Err("needs either `env` or `file`, where its value is".to_owned()),
    };
    if entry.origins.is_empty() {
        return Err("has no `origins`: it could be sent nowhere".to_owned());
    }
    let origins: Result<_, _> = entry.origins.iter().map(|text| origin(text)).collect();
    let origins = origins.map_err(|problem| format!("has an origin that {problem}"))?;
    // An editor ends a file with a line break.
    let value = value.trim_end_matches(['\r', '\n']).to_owned();
    Secret::new(value, origins)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{File, Flags, Mistake, Settings};
    use super::*;

    const VALUE: &str = "a-secret-value";

    fn read(text: &str) -> Result<OutboundSettings, Vec<String>> {
        let file = File {
            name: "t.toml".to_owned(),
            text: text.to_owned(),
        };
        let variable = |name: &str| match name {
            "API_TOKEN" => Some(VALUE.to_owned()),
            "SHORT" => Some("short".to_owned()),
            "BROKEN" => Some("line\nbreaks\nwithin".to_owned()),
            _ => None,
        };
        let read = Settings::read(Some(&file), &variable, Flags::default());
        read.map(|settings| settings.outbound)
            .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
    }

    fn secret(name: &str, more: &str) -> String {
        format!("[secrets.{name}]\n{more}\n")
    }

    const ORIGINS: &str = "origins = [\"https://A.example:443\"]";

    #[test]
    fn secrets_come_from_the_environment_or_a_file_and_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("value");
        fs::write(&file, format!("{VALUE}\r\n")).unwrap();
        let text = secret("of-env", &format!("env = \"API_TOKEN\"\n{ORIGINS}"))
            + &secret("of-file", &format!("file = {file:?}\n{ORIGINS}"));
        let outbound = read(&text).unwrap();
        let origins = vec!["https://a.example".to_owned()];
        let expected = Secret::new(VALUE.to_owned(), origins).unwrap();
        for name in ["of-env", "of-file"] {
            let name = Label::parse(name).unwrap();
            assert_eq!(outbound.secrets[&name], expected);
        }
        let shown = format!("{outbound:?}");
        assert!(
            shown.contains("https://a.example") && !shown.contains(VALUE),
            "{shown}"
        );
    }

    #[test]
    fn ranges_are_opened_by_name() {
        let text = "[outbound]\nopen_networks = [\"127.0.0.0/8\", \"fd00::/8\", \"10.0.0.1\"]\n";
        assert_eq!(read(text).unwrap().open_networks.len(), 3);
        assert_eq!(read("").unwrap(), OutboundSettings::default());
    }

    #[test]
    fn mistakes_have_their_line_and_no_value() {
        let text = [
            secret("a", ORIGINS),
            secret(
                "b",
                &format!("env = \"API_TOKEN\"\nfile = \"x\"\n{ORIGINS}"),
            ),
            secret("c", &format!("env = \"UNSET\"\n{ORIGINS}")),
            secret("d", &format!("file = \"no/such/file\"\n{ORIGINS}")),
            secret("e", "env = \"API_TOKEN\"\norigins = []"),
            secret(
                "f",
                "env = \"API_TOKEN\"\norigins = [\"https://a.example/x\"]",
            ),
            secret("g", &format!("env = \"SHORT\"\n{ORIGINS}")),
            secret("h", &format!("env = \"BROKEN\"\n{ORIGINS}")),
            secret("i", &format!("value = \"{VALUE}\"\n{ORIGINS}")),
            secret("\"J j\"", &format!("env = \"API_TOKEN\"\n{ORIGINS}")),
            "[outbound]\nopen_networks = [\"10.0.0.0/33\", \"::ffff:10.0.0.0/104\", \"x\"]\n"
                .to_owned(),
        ]
        .concat();
        let mistakes = read(&text).unwrap_err();
        let expected = [
            ("t.toml:1: `secrets.a`", "needs either `env` or `file`"),
            ("t.toml:3: `secrets.b`", "needs either `env` or `file`"),
            ("t.toml:7: `secrets.c`", "\"UNSET\", which is not set"),
            ("t.toml:10: `secrets.d`", "cannot be read from no/such/file"),
            ("t.toml:13: `secrets.e`", "no `origins`"),
            ("t.toml:16: `secrets.f`", "has to be an origin"),
            ("t.toml:19: `secrets.g`", "has 5 bytes"),
            ("t.toml:22: `secrets.h`", "line break"),
            ("t.toml:26: `secrets.i`", "unknown field `value`"),
            ("t.toml:28: `secrets.J j`", "has a wrong name"),
            (
                "t.toml:32: `outbound.open_networks` is \"10.0.0.0/33\"",
                "a range such as",
            ),
            ("t.toml:32: `outbound.open_networks`", "as the IPv4 range"),
            (
                "t.toml:32: `outbound.open_networks` is \"x\"",
                "a range such as",
            ),
        ];
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
        for (mistake, (place, problem)) in mistakes.iter().zip(expected) {
            assert!(mistake.starts_with(place), "{mistake}\nis not\n{place}");
            assert!(mistake.contains(problem), "{mistake}\nhas not\n{problem}");
            assert!(!mistake.contains(VALUE), "{mistake}");
        }
    }
}
