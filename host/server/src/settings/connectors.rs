//! Language models: `[connectors.NAME]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use taskhost_clients::inference::{ConnectorLimits, Key, Url};
use taskhost_model::ids::Label;

use super::reader::{Fields, Reader};
use crate::plain_file;

/// What is read of a file that holds one.
const KEY_BYTES_MAX: u64 = 64 * 1024;

/// A connector as it is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorSettings {
    /// As task types name it.
    pub name: Label,
    /// Where the server's paths begin.
    pub url: Url,
    /// What the server calls the model.
    pub model: String,
    /// Read when the host starts.
    pub key: Option<Key>,
    /// How it is used.
    pub limits: ConnectorLimits,
}

/// What the server calls the most tokens of an answer.
#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AnswerLimit {
    #[default]
    MaxTokens,
    MaxCompletionTokens,
}

const KEY: &str = "connectors";
const DAY_S: u64 = 86_400;

/// `[connectors.NAME]`. The key itself never stands in the file.
pub(super) fn connectors(reader: &mut Reader<'_>) -> Vec<ConnectorSettings> {
    let mut connectors = Vec::new();
    for (name, mut fields) in reader.named(KEY) {
        let connector = connector(&name, &mut fields, reader);
        let is_right = reader.is_right(fields);
        connectors.extend(connector.filter(|_| is_right));
    }
    connectors
}

/// None where something is wrong, which is told then.
fn connector(
    name: &str,
    fields: &mut Fields,
    reader: &mut Reader<'_>,
) -> Option<ConnectorSettings> {
    let label = Label::parse(name).map_err(|error| format!("has a wrong name: {error}"));
    let label = reader.told(fields, label);
    let given: Option<String> = reader.needed(fields, "url");
    let url = given.and_then(|text| reader.told(fields, url(&text)));
    let model: Option<String> = reader.needed(fields, "model");
    let model = model.and_then(|model| {
        let is_named = !model.trim().is_empty();
        let empty = || "has an empty `model`: write what its server calls it".to_owned();
        reader.told(fields, is_named.then_some(model).ok_or_else(empty))
    });
    let key_env = reader.field(fields, "key_env");
    let key_file = reader.field(fields, "key_file");
    let key = key(key_env, key_file, reader);
    let key = reader.told(fields, key);
    let limits = limits(fields, reader);
    Some(ConnectorSettings {
        name: label?,
        url: url?,
        key: key?,
        model: model?,
        limits,
    })
}

fn limits(fields: &mut Fields, reader: &mut Reader<'_>) -> ConnectorLimits {
    let mut number = |key: &'static str, most: u64| -> Option<u64> {
        let number: u64 = reader.field(fields, key)?;
        let checked = match most {
            _ if (1..=most).contains(&number) => Ok(number),
            u64::MAX => Err(format!("has `{key}` = 0: leave it out for no limit")),
            most => Err(format!(
                "has `{key}` = {number}: it has to be from 1 to {most}"
            )),
        };
        reader.told(fields, checked)
    };
    let requests_at_once = number("requests_at_once", 1_000).unwrap_or(4);
    let timeout_s = number("timeout_s", DAY_S).unwrap_or(120);
    let tokens_per_run = number("tokens_per_run", u64::MAX);
    let tokens_per_space_per_day = number("tokens_per_space_per_day", u64::MAX);
    let answer_limit = reader.field(fields, "answer_limit").unwrap_or_default();
    ConnectorLimits {
        requests_at_once: usize::try_from(requests_at_once).unwrap_or(usize::MAX),
        tokens_per_run,
        tokens_per_space_per_day,
        answer_tokens_name: match answer_limit {
            AnswerLimit::MaxTokens => "max_tokens",
            AnswerLimit::MaxCompletionTokens => "max_completion_tokens",
        },
        timeout: Duration::from_secs(timeout_s),
    }
}

/// The text itself is in no mistake: people write keys into addresses.
fn url(text: &str) -> Result<Url, String> {
    let wanted = "it has to be an address such as \"https://api.openai.com/v1\"";
    let url = Url::parse(text).map_err(|error| format!("has a wrong `url` ({error}): {wanted}"))?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !is_plain {
        return Err(format!(
            "has a `url` with a user, a password, `?` or `#`: {wanted}, and the key belongs where \
             `key_env` or `key_file` lead"
        ));
    }
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(format!(
            "has a `url` that is neither http nor https: {wanted}"
        )),
    }
}

/// The value is read here, once, and is in no mistake.
fn key(
    variable: Option<String>,
    file: Option<PathBuf>,
    reader: &Reader<'_>,
) -> Result<Option<Key>, String> {
    let (secret, setting) = match (variable, file) {
        (None, None) => return Ok(None),
        (Some(variable), None) => {
            let secret = reader.variable(&variable).ok_or_else(|| {
                format!("has `key_env` = {variable:?}, which is not set: set it, or leave it out")
            })?;
            (secret, format!("`key_env` = {variable:?}"))
        }
        (None, Some(file)) => {
            let secret = plain_file::read_text(&file, KEY_BYTES_MAX).map_err(|error| {
                format!(
                    "has `key_file` = {:?}, which cannot be read: {error}",
                    file.display()
                )
            })?;
            (secret, format!("`key_file` = {:?}", file.display()))
        }
        (Some(_), Some(_)) => return Err("has `key_env` and `key_file`: keep one".to_owned()),
    };
    let secret = secret.trim();
    if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "has a key ({setting}) that is empty, or has other characters than visible ASCII"
        ));
    }
    Ok(Some(Key::new(secret, setting)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{File, Flags, Mistake, Settings};
    use super::*;

    const SECRET: &str = "sk-nobody-shall-see-this";

    fn read(text: &str) -> Result<Vec<ConnectorSettings>, Vec<String>> {
        let file = File {
            name: "t.toml".to_owned(),
            text: text.to_owned(),
        };
        let variable = |name: &str| match name {
            "MODEL_KEY" => Some(SECRET.to_owned()),
            "BROKEN" => Some("a\u{7f}b".to_owned()),
            _ => None,
        };
        Settings::read(Some(&file), &variable, Flags::default())
            .map(|settings| settings.connectors)
            .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
    }

    #[test]
    fn a_connector_has_its_defaults_and_shows_no_key() {
        let text = "[connectors.small]\nurl = \"http://127.0.0.1:11434/v1\"\nmodel = \"m\"\n\
                    key_env = \"MODEL_KEY\"\n";
        let all = read(text).unwrap();
        let [small] = all.as_slice() else {
            panic!("{all:?}")
        };
        assert_eq!((small.name.as_str(), small.model.as_str()), ("small", "m"));
        let expected = ConnectorLimits {
            requests_at_once: 4,
            tokens_per_run: None,
            tokens_per_space_per_day: None,
            answer_tokens_name: "max_tokens",
            timeout: Duration::from_secs(120),
        };
        assert_eq!(small.limits, expected);
        assert_eq!(
            small.key,
            Some(Key::new(SECRET, "`key_env` = \"MODEL_KEY\""))
        );
        let shown = format!("{all:?}");
        assert!(
            shown.contains("MODEL_KEY") && !shown.contains(SECRET),
            "{shown}"
        );
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn everything_may_be_set_and_the_key_may_lie_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, format!("{SECRET}\n")).unwrap();
        let text = format!(
            "[connectors.a]\nurl = \"https://a.example/v1\"\nmodel = \"m\"\nkey_file = {file:?}\n\
             requests_at_once = 9\ntokens_per_run = 5\ntokens_per_space_per_day = 7\n\
             timeout_s = 3\nanswer_limit = \"max_completion_tokens\"\n\
             [connectors.b]\nurl = \"https://b.example\"\nmodel = \"n\"\n"
        );
        let all = read(&text).unwrap();
        let expected = ConnectorLimits {
            requests_at_once: 9,
            tokens_per_run: Some(5),
            tokens_per_space_per_day: Some(7),
            answer_tokens_name: "max_completion_tokens",
            timeout: Duration::from_secs(3),
        };
        assert_eq!(all[0].limits, expected);
        assert!(all[0].key.is_some() && all[1].key.is_none());
    }

    #[test]
    fn every_mistake_of_one_connector_is_told() {
        let text = "[connectors.Big]\nurl = \"ftp://a.example\"\nmodel = \" \"\n\
            requests_at_once = 0\ntimeout_s = \"long\"\nkey_env = \"UNSET\"\nky = 1\n";
        let mistakes = read(text).unwrap_err();
        for words in [
            "has a wrong name",
            "neither http nor https",
            "empty `model`",
            "`requests_at_once` = 0",
            "t.toml:5: `connectors.Big` is not right: `timeout_s`: ",
            "which is not set",
            "t.toml:7: `connectors.Big` is not right: unknown field `ky`",
        ] {
            assert!(
                mistakes.iter().any(|it| it.contains(words)),
                "{words}: {mistakes:#?}"
            );
        }
        assert_eq!(mistakes.len(), 7, "{mistakes:#?}");
    }

    /// What is said of the only mistake in the settings of a connector.
    fn mistake_of(name: &str, text: &str) -> String {
        let mut mistakes = read(&format!("\n[connectors.{name}]\n{text}\n")).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
        let mistake = mistakes.remove(0);
        let whose = format!("`connectors.{name}`");
        assert!(mistake.starts_with("t.toml:"), "{mistake}");
        assert!(mistake.contains(&whose), "{mistake}");
        assert!(!mistake.contains(SECRET), "{mistake}");
        mistake
    }

    #[test]
    fn a_wrong_address_is_said_without_a_key_in_it() {
        for (url, problem) in [
            ("a.example", "has a wrong `url`"),
            ("ftp://a.example", "neither http nor https"),
            (&format!("https://a.example/?k={SECRET}"), "belongs where"),
            (&format!("https://u:{SECRET}@a.example"), "belongs where"),
        ] {
            let mistake = mistake_of("a", &format!("url = \"{url}\"\nmodel = \"m\""));
            assert!(mistake.contains(problem), "{mistake} has not {problem}");
        }
    }

    #[test]
    fn mistakes_have_their_line_and_no_key() {
        let least = "url = \"https://a.example/v1\"\nmodel = \"m\"";
        for (rest, problem) in [
            (&*format!("key = \"{SECRET}\""), "unknown field `key`"),
            ("key_env = \"UNSET\"", "which is not set"),
            ("key_env = \"BROKEN\"", "visible ASCII"),
            ("key_file = \"no/such\"", "cannot be read"),
            ("key_env = \"MODEL_KEY\"\nkey_file = \"x\"", "keep one"),
            ("requests_at_once = 0", "from 1 to 1000"),
            ("tokens_per_run = 0", "leave it out"),
            ("answer_limit = \"x\"", "unknown variant"),
        ] {
            let mistake = mistake_of("a", &format!("{least}\n{rest}"));
            assert!(mistake.contains(problem), "{mistake} has not {problem}");
        }
        let mistake = mistake_of("Big", least);
        assert!(mistake.contains("has a wrong name"), "{mistake}");
        let url = "url = \"https://a.example\"";
        let mistake = mistake_of("a", url);
        assert!(mistake.contains("missing field `model`"), "{mistake}");
        let mistake = mistake_of("a", &format!("{url}\nmodel = \" \""));
        assert!(mistake.contains("empty `model`"), "{mistake}");
        for text in ["connectors = 7\n", "[[connectors]]\nname = \"a\"\n"] {
            let mistakes = read(text).unwrap_err();
            assert!(mistakes[0].contains("[connectors.NAME]"), "{mistakes:?}");
        }
        let mistakes = read("[connectors]\na = 7\n").unwrap_err();
        assert!(
            mistakes[0].starts_with("t.toml:2: `connectors.a`"),
            "{mistakes:?}"
        );
    }
}
