//! The settings of a test's host: what the components ask for is set up from the fixtures, and
//! allowed, unless an operator's settings say what is.

use std::time::Duration;

use reqwest::Url;
use taskhost_clients::http::{Range, origin};
use taskhost_clients::inference::ConnectorLimits;
use taskhost_clients::secrets::Secret;
use taskhost_model::capabilities::{Capabilities, HttpRule};
use taskhost_model::ids::{Label, TypeId};
use taskhost_service::policy::Rule;

use super::fixtures::Fixtures;
use super::stand_in;
use crate::settings::{ConnectorSettings, Settings};

/// What one of the components asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) type_id: TypeId,
    pub(crate) wanted: Capabilities,
}

/// Completes settings so that the fixtures can be used.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) fixtures: &'a Fixtures,
    /// The tested one at the end.
    pub(crate) wishes: &'a [Wish],
    /// The settings are an operator's: nothing more is allowed than they say.
    pub(crate) is_operators: bool,
    /// Where models answer.
    pub(crate) model_url: &'a str,
}

impl Setup<'_> {
    /// # Errors
    /// A fixture that nobody asks for.
    pub(crate) fn complete(&self, settings: &mut Settings) -> Result<(), String> {
        self.check_children()?;
        let tested = self.wishes.last().map(|wish| &wish.type_id);
        self.secrets(settings)?;
        self.models(settings)?;
        if !self.is_operators {
            self.allow(settings)?;
        }
        for type_id in self.fixtures.children.keys() {
            settings.policy.rules.push(Rule {
                record: false,
                type_id: Some(stand_in::id_of(type_id, tested)),
                allowed: stand_in::wanted(),
            });
        }
        Ok(())
    }

    /// What components ask for and nobody has given them for this test, in sentences.
    pub(crate) fn lacking(&self, settings: &Settings) -> Vec<String> {
        let known = &settings.outbound.secrets;
        let wanted = self.wishes.iter().flat_map(|wish| {
            let names = wish.wanted.secrets.iter();
            names.map(move |name| (&wish.type_id, name))
        });
        let lacking = wanted.filter(|(_, name)| !known.contains_key(*name));
        let said = lacking.map(|(type_id, name)| {
            format!(
                "`{type_id}` asks for the secret `{name}`, of which this test has none: give \
                 one in secrets.json of --fixtures, or see what it does without"
            )
        });
        said.collect()
    }

    /// Everything that the components ask for.
    fn allow(&self, settings: &mut Settings) -> Result<(), String> {
        for Wish { type_id, wanted } in self.wishes {
            settings.policy.rules.push(Rule {
                record: false,
                type_id: Some(type_id.clone()),
                allowed: wanted.clone(),
            });
            for rule in &wanted.http {
                if let Some(range) = not_public(rule) {
                    settings.outbound.open_networks.push(range.parse()?);
                }
            }
        }
        Ok(())
    }

    fn models(&self, settings: &mut Settings) -> Result<(), String> {
        let url = |_| "the model's address is none".to_owned();
        let url: Url = self.model_url.parse().map_err(url)?;
        for connector in &mut settings.connectors {
            connector.url = url.clone();
            connector.key = None;
        }
        if self.is_operators {
            return Ok(());
        }
        for name in self.wishes.iter().flat_map(|wish| &wish.wanted.models) {
            if !settings.connectors.iter().any(|known| known.name == *name) {
                settings.connectors.push(connector(name, &url));
            }
        }
        Ok(())
    }

    fn secrets(&self, settings: &mut Settings) -> Result<(), String> {
        for (name, given) in &self.fixtures.secrets {
            let asks = |wish: &&Wish| wish.wanted.secrets.contains(name);
            let whose: Vec<&Wish> = self.wishes.iter().filter(asks).collect();
            let place = &given.place;
            if whose.is_empty() {
                return Err(format!(
                    "{place}: no component of this test asks for the secret `{name}`: ask for it \
                     in the descriptor, or leave it out"
                ));
            }
            let rules = whose.iter().flat_map(|wish| &wish.wanted.http);
            let origins: Result<Vec<_>, _> = rules.map(|rule| origin(&rule.origin)).collect();
            let secret = Secret::new(given.value.clone(), origins?);
            let secret = secret.map_err(|problem| format!("{place}: `{name}` {problem}"))?;
            settings.outbound.secrets.insert(name.clone(), secret);
        }
        Ok(())
    }

    fn check_children(&self) -> Result<(), String> {
        for type_id in self.fixtures.children.keys() {
            // What is tested may be a parent of its own kind: it is the root then, alone.
            let also = self.wishes.split_last().map_or(&[][..], |(_, also)| also);
            let is_given = also.iter().any(|wish| wish.type_id == *type_id);
            if is_given {
                return Err(format!(
                    "children/{type_id}.json: the type `{type_id}` is given as a component, and \
                     its runs are real: leave the file out, or the component of `--also`"
                ));
            }
            let asks = |wish: &Wish| wish.wanted.children.contains(type_id);
            if !self.wishes.iter().any(asks) {
                return Err(format!(
                    "children/{type_id}.json: no component of this test asks for children of the \
                     type `{type_id}`: ask for them in the descriptor, or leave the file out"
                ));
            }
        }
        Ok(())
    }
}

/// As an operator would set it up who says nothing more than has to be said.
fn connector(name: &Label, url: &Url) -> ConnectorSettings {
    ConnectorSettings {
        name: name.clone(),
        url: url.clone(),
        model: name.to_string(),
        key: None,
        limits: ConnectorLimits {
            requests_at_once: 4,
            tokens_per_run: None,
            tokens_per_space_per_day: None,
            answer_tokens_name: "max_tokens",
            timeout: Duration::from_secs(120),
        },
    }
}

/// The address of an origin that is written as one, or is this machine: an operator has to open it.
fn not_public(rule: &HttpRule) -> Option<String> {
    let url: Url = rule.origin.parse().ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']);
    if host == "localhost" || host.ends_with(".localhost") {
        return Some("127.0.0.1".to_owned());
    }
    let address: std::net::IpAddr = host.parse().ok()?;
    let address = address.to_canonical().to_string();
    // A range, if it is one.
    address.parse::<Range>().ok().map(|_| address)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::Flags;

    fn wish(type_id: &str, wanted: &str) -> Wish {
        Wish {
            type_id: TypeId::parse(type_id).unwrap(),
            wanted: serde_json::from_str(wanted).unwrap(),
        }
    }

    fn fixtures(files: &[(&str, &str)]) -> Fixtures {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap_or(Path::new("."))).unwrap();
            std::fs::write(file, text).unwrap();
        }
        Fixtures::read(folder.path()).unwrap()
    }

    fn completed(
        files: &[(&str, &str)],
        wishes: &[Wish],
        is_operators: bool,
    ) -> Result<Settings, String> {
        let mut settings = Settings::read(None, &|_: &str| None, Flags::default()).unwrap();
        let setup = Setup {
            fixtures: &fixtures(files),
            wishes,
            is_operators,
            model_url: "http://127.0.0.1:1/v1",
        };
        setup.complete(&mut settings).map(|()| settings)
    }

    #[test]
    fn what_is_asked_for_is_set_up_and_allowed() {
        let wanted = r#"{"http": [{"origin": "https://a.example"},
            {"origin": "http://127.0.0.1:9"}], "secrets": ["key"], "models": ["small"],
            "children": ["kid"]}"#;
        let wishes = [wish("a", wanted)];
        let files = [
            ("secrets.json", "{\"key\": \"not-a-secret\"}"),
            ("children/kid.json", "{\"result\": 1}"),
        ];
        let settings = completed(&files, &wishes, false).unwrap();
        let (a, kid) = (&wishes[0].type_id, TypeId::parse("kid").unwrap());
        assert_eq!(settings.policy.allowed(a), wishes[0].wanted);
        assert_eq!(settings.policy.allowed(&kid), stand_in::wanted());
        assert_eq!(
            settings.outbound.open_networks,
            ["127.0.0.1".parse().unwrap()]
        );
        assert_eq!(settings.connectors[0].name.as_str(), "small");
        let secret = &settings.outbound.secrets[&Label::parse("key").unwrap()];
        let shown = format!("{secret:?}");
        assert!(shown.contains("https://a.example"), "{shown}");
        assert!(shown.contains("http://127.0.0.1:9"), "{shown}");
        let settings = completed(&files, &wishes, true).unwrap();
        assert!(settings.policy.allowed(a).is_empty());
        assert!(settings.connectors.is_empty() && settings.outbound.open_networks.is_empty());
        assert_eq!(settings.policy.allowed(&kid), stand_in::wanted());
    }

    #[test]
    fn a_secret_that_the_test_lacks_is_told() {
        let fixtures = Fixtures::default();
        let setup = Setup {
            fixtures: &fixtures,
            wishes: &[wish("a", r#"{"secrets": ["key"]}"#)],
            is_operators: false,
            model_url: "http://127.0.0.1:1/v1",
        };
        let mut settings = Settings::read(None, &|_: &str| None, Flags::default()).unwrap();
        let said = setup.lacking(&settings);
        assert_eq!(said.len(), 1);
        assert!(
            said[0].starts_with("`a` asks for the secret `key`"),
            "{said:?}"
        );
        let secret = Secret::new("long enough".to_owned(), Vec::new()).unwrap();
        let name = Label::parse("key").unwrap();
        settings.outbound.secrets.insert(name, secret);
        assert!(setup.lacking(&settings).is_empty());
    }

    #[test]
    fn the_tested_type_may_have_children_of_its_own_kind_from_a_file() {
        let wishes = [wish("a", r#"{"children": ["a"]}"#)];
        let files = [("children/a.json", "{\"result\": 1}")];
        let settings = completed(&files, &wishes, false).unwrap();
        let a = &wishes[0].type_id;
        assert_eq!(settings.policy.allowed(a), wishes[0].wanted);
        let stand_in = stand_in::id_of(a, Some(a));
        assert_eq!(settings.policy.allowed(&stand_in), stand_in::wanted());
    }

    #[test]
    fn a_fixture_that_nobody_asks_for_is_a_mistake() {
        let wishes = [wish("also", "{}"), wish("a", "{}")];
        for (file, text, words) in [
            (
                "secrets.json",
                "{\n\"key\": \"not-a-secret\"}",
                "secrets.json:2: no component",
            ),
            (
                "children/kid.json",
                "{\"result\": 1}",
                "children/kid.json: no component",
            ),
            (
                "children/a.json",
                "{\"result\": 1}",
                "children/a.json: no component",
            ),
            (
                "children/also.json",
                "{\"result\": 1}",
                "`also` is given as a component",
            ),
        ] {
            let said = completed(&[(file, text)], &wishes, false).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }
}
