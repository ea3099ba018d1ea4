//! How this host lives with others on one store: `[hosts]`.

use std::time::Duration;

use reqwest::Url;

use super::reader::Reader;

/// How a host lives with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSettings {
    /// Where others reach it; none: where it listens.
    pub advertise: Option<String>,
    /// How often it says that it is alive.
    pub beat_interval: Duration,
    /// A host that says nothing for so long is lost.
    pub lease: Duration,
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

#[cfg(test)]
mod tests {
    use super::super::{File, Flags, Mistake, Settings};
    use super::*;

    fn read(text: &str) -> Result<HostSettings, Vec<String>> {
        let file = File {
            name: "t.toml".to_owned(),
            text: text.to_owned(),
        };
        let read = Settings::read(Some(&file), &|_| None, Flags::default());
        read.map(|settings| settings.hosts)
            .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
    }

    #[test]
    fn mistakes_name_their_place() {
        let text = "[hosts]\nbeat_interval_s = 10\nlease_s = 20\nadvertise = \"https://a/x\"\n";
        let said = read(text).unwrap_err();
        let expected = [
            "t.toml:3: `hosts.lease_s` has to be at least three times",
            "t.toml:4: `hosts.advertise` has to be an address such as",
        ];
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{said}");
        }
    }

    #[test]
    fn an_address_is_told_without_its_last_slash() {
        let settings = read("[hosts]\nadvertise = \"http://10.0.0.5:7700/\"\n").unwrap();
        assert_eq!(settings.advertise.as_deref(), Some("http://10.0.0.5:7700"));
        assert_eq!(read("").unwrap().advertise, None);
    }
}
