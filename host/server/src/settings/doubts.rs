//! Settings that are right by themselves and do not fit together: what is allowed and not set up,
//! or set up and closed. A host starts with them.

use std::net::IpAddr;

use reqwest::Url;
use taskhost_clients::http::{range_of, refusal};
use taskhost_model::capabilities::{Capabilities, HttpRule};
use taskhost_model::ids::Label;
use taskhost_service::policy::Rule;

use super::Settings;

pub(super) fn doubts(settings: &Settings) -> Vec<String> {
    let rules = settings.policy.rules.iter();
    let mut found: Vec<String> = rules.flat_map(|rule| of_rule(rule, settings)).collect();
    // What all types are allowed and what one is may be the same.
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|doubt| seen.insert(doubt.clone()));
    found
}

fn of_rule(rule: &Rule, settings: &Settings) -> Vec<String> {
    let Capabilities {
        http,
        secrets,
        models,
        children: _,
        collections: _,
    } = &rule.allowed;
    let whose = match &rule.type_id {
        Some(type_id) => format!("`[[allow]]` of `{type_id}`"),
        None => "`[[allow]]` of all types".to_owned(),
    };
    let known = &settings.outbound.secrets;
    let unknown_secrets = secrets.iter().filter(|name| !known.contains_key(*name));
    let is_connector = |name: &Label| settings.connectors.iter().any(|each| each.name == *name);
    let unknown_models = models.iter().filter(|name| !is_connector(name));
    let closed = http.iter().filter_map(|rule| closed(rule, settings));
    let lacking = |kind: &str, table: &str, name: &Label| {
        format!(
            "{whose} lets it use the {kind} `{name}`, which is not set up: its runs are told so; \
             add [{table}.{name}]"
        )
    };
    unknown_secrets
        .map(|name| lacking("secret", "secrets", name))
        .chain(unknown_models.map(|name| lacking("model", "connectors", name)))
        .chain(closed.map(|closed| format!("{whose} {closed}")))
        .collect()
}

/// An address that is written out can be judged; where names lead is seen when they are asked for.
fn closed(rule: &HttpRule, settings: &Settings) -> Option<String> {
    let url = Url::parse(&rule.origin).ok()?;
    let address: IpAddr = url.host_str()?.trim_matches(['[', ']']).parse().ok()?;
    let why = refusal(address, &settings.outbound.open_networks)?;
    Some(format!(
        "lets it ask {}, which is {why} and closed: its requests are denied; to open it, put \
         open_networks = [\"{}\"] under [outbound]",
        rule.origin,
        range_of(address)
    ))
}

#[cfg(test)]
mod tests {
    use super::super::{File, Flags, Settings};

    fn doubts(text: &str) -> Vec<String> {
        let file = File {
            name: "t.toml".to_owned(),
            text: text.to_owned(),
        };
        let variable = |name: &str| (name == "A_SECRET").then(|| "long enough".to_owned());
        Settings::read(Some(&file), &variable, Flags::default())
            .unwrap()
            .doubts()
    }

    #[test]
    fn what_is_allowed_and_not_there_is_told_once() {
        let text = "[[allow]]\ntype = \"a\"\nsecrets = [\"there\", \"absent\"]\nmodels = [\"m\"]\n\
                    http = [{ origin = \"http://127.0.0.1:9\" }, { origin = \"http://[fd00::1]\" },\
                    { origin = \"https://a.example\" }]\n\
                    [[allow]]\ntype = \"a\"\nmodels = [\"m\"]\n\
                    [secrets.there]\nenv = \"A_SECRET\"\norigins = [\"https://a.example\"]\n\
                    [outbound]\nopen_networks = [\"fd00::/8\"]\n";
        let said = doubts(text);
        let expected = [
            "`[[allow]]` of `a` lets it use the secret `absent`, which is not set up",
            "`[[allow]]` of `a` lets it use the model `m`, which is not set up",
            "`[[allow]]` of `a` lets it ask http://127.0.0.1:9, which is an address of this \
             machine and closed",
        ];
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{said}");
        }
        assert!(said[2].ends_with("open_networks = [\"127.0.0.1/32\"] under [outbound]"));
        assert!(doubts("").is_empty());
    }
}
