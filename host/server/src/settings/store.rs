//! Where everything is kept: `store`, and how the cluster is reached: `[elasticsearch]`.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;
use taskhost_store::open::{Credentials, ElasticSettings};

use super::credentials::{PASSWORD_VARIABLE, STORE, USERNAME, credentials, file, unreadable};
use super::reader::Reader;
use crate::plain_file;

const URL: &str = "elasticsearch.url";
const AUTHORITY_FILE: &str = "elasticsearch.authority_file";
pub(super) const REQUEST_TIMEOUT: &str = "elasticsearch.request_timeout_s";
const PREFIX: &str = "elasticsearch.prefix";
const PLAIN_HTTP: &str = "elasticsearch.allow_plain_http";

/// What is read of a file that holds certificates.
const AUTHORITY_BYTES_MAX: u64 = 1024 * 1024;

/// Where everything is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreSettings {
    /// In the data folder, for this host alone.
    Embedded,
    /// In a cluster, for any number of hosts.
    Elasticsearch(ClusterSettings),
}

/// How the cluster is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Its nodes.
    pub urls: Vec<String>,
    /// As whom the host reads and writes what is its own.
    pub credentials: Credentials,
    /// Certificates (PEM) of authorities to trust besides those of the system.
    pub authority: Option<Vec<u8>>,
    /// How the names of all indices begin.
    pub prefix: String,
    /// After so long without an answer a request has failed.
    pub request_timeout: Duration,
    /// So long a request that is refused for the moment is repeated.
    pub retry_for: Duration,
}

impl StoreSettings {
    /// As the settings call it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Elasticsearch(_) => "elasticsearch",
        }
    }

    /// Whether everybody who asks is somebody.
    pub(super) fn has_people(&self) -> bool {
        matches!(self, Self::Elasticsearch(_))
    }
}

/// Every key is asked for, whichever store it is: a mistake is one before it counts.
pub(super) fn store(reader: &mut Reader<'_>) -> StoreSettings {
    let is_elastic = match reader.text(STORE, "embedded").as_str() {
        "embedded" => false,
        "elasticsearch" => true,
        other => {
            let problem = format!("has to be embedded or elasticsearch, and is {other:?}");
            reader.contradiction(STORE, problem);
            false
        }
    };
    if !is_elastic && reader.is_flag(URL) {
        let problem = "is of no use without `--store elasticsearch`".to_owned();
        reader.contradiction(URL, problem);
    }
    let urls = urls(reader);
    let authority = authority(reader);
    let prefix = prefix(reader);
    let mut seconds =
        |key, default, most| Duration::from_secs(reader.number(key, default, 1..=most));
    let request_timeout = seconds(REQUEST_TIMEOUT, 10, 600);
    let retry_for = seconds("elasticsearch.retry_for_s", 10, 600);
    let credentials = credentials(reader, is_elastic);
    if !is_elastic {
        return StoreSettings::Embedded;
    }
    StoreSettings::Elasticsearch(ClusterSettings {
        urls,
        // Without any there is a mistake, and what follows from the store is still checked.
        credentials: credentials.unwrap_or_else(|| Credentials::ApiKey(String::new())),
        authority,
        prefix,
        request_timeout,
        retry_for,
    })
}

/// A host whose one request hangs still says in time that it is alive.
pub(super) fn check_times(reader: &mut Reader<'_>, store: &StoreSettings, lease: Duration) {
    if let StoreSettings::Elasticsearch(cluster) = store
        && cluster.request_timeout * 3 > lease
    {
        let problem = format!(
            "has to be at most a third of `hosts.lease_s` ({})",
            lease.as_secs()
        );
        reader.contradiction(REQUEST_TIMEOUT, problem);
    }
}

fn urls(reader: &mut Reader<'_>) -> Vec<String> {
    let may_be_plain = reader.flag(PLAIN_HTTP, false);
    let text = reader.text(URL, "http://127.0.0.1:9200");
    let mut urls = Vec::new();
    for part in text.split(',') {
        match url(part.trim(), may_be_plain) {
            Ok(url) => urls.push(url),
            Err(problem) => reader.contradiction(URL, problem),
        }
    }
    urls
}

/// A user in it is not repeated: with him comes a password.
fn url(text: &str, may_be_plain: bool) -> Result<String, String> {
    let of_form = "an address such as \"https://10.0.0.5:9200\", several with commas between them";
    let url = Url::parse(text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url else {
        return Err(match text.contains('@') {
            true => format!("has to be {of_form}"),
            false => format!("has to be {of_form}, and {text:?} is none"),
        });
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "has a user in it, and this file may be read by others: his name goes to `{USERNAME}`, \
             his password to {PASSWORD_VARIABLE}"
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("has to be {of_form}, without `?` and `#`"));
    }
    if url.scheme() == "http" && !is_here(&url) && !may_be_plain {
        return Err(format!(
            "is {url}: everybody's passwords and keys would go there unencrypted. Use https://, \
             or say `allow_plain_http = true` in [elasticsearch] where nobody else is on the way"
        ));
    }
    Ok(text.to_owned())
}

/// Whether what is sent there stays on this machine.
pub(crate) fn is_here(url: &Url) -> bool {
    let name = url.host_str().unwrap_or_default();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || bare.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

/// Elasticsearch takes no capitals in the name of an index, and no `*`, `,` and the like.
fn prefix(reader: &mut Reader<'_>) -> String {
    let prefix = reader.text(PREFIX, ElasticSettings::PREFIX);
    // Nobody's granted key reads what begins with a dot.
    let bare = prefix.strip_prefix('.').unwrap_or_default();
    let may_stand = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins_well = bare
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    let is_name = bare.bytes().all(|byte| may_stand(byte) || byte == b'-');
    if !begins_well || !is_name || prefix.len() > 64 {
        let wanted = "has to be a dot and then lower-case letters, digits, `_` and `-`, at most 64 \
                      characters";
        reader.contradiction(PREFIX, wanted.to_owned());
    }
    prefix
}

fn authority(reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    let file = file(reader, AUTHORITY_FILE)?;
    match plain_file::read_text(&file, AUTHORITY_BYTES_MAX) {
        Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => Some(text.into_bytes()),
        Ok(_) => {
            let problem = format!("is {}, which holds no certificate (PEM)", file.display());
            reader.contradiction(AUTHORITY_FILE, problem);
            None
        }
        Err(error) => {
            reader.contradiction(AUTHORITY_FILE, unreadable(&file, &error));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::credentials::API_KEY_VARIABLE;
    use super::super::{File, Flags, Mistake, Settings};
    use super::*;

    const PASSWORD: &str = "a-secret-password";
    /// The base64 of `id:secret`.
    const KEY: &str = "aWQ6c2VjcmV0";

    fn read(
        text: &str,
        environment: &[(&str, &str)],
        flags: Flags,
    ) -> Result<StoreSettings, Vec<String>> {
        let file = File {
            name: "t.toml".to_owned(),
            text: text.to_owned(),
        };
        let key = (
            "TASKHOST_KEY",
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        );
        let variable = |name: &str| {
            let mut all = environment.iter().chain([&key]);
            let found = all.find_map(|(of, value)| (*of == name).then_some(*value));
            found.map(str::to_owned)
        };
        let read = Settings::read(Some(&file), &variable, flags);
        let told = |mistakes: Vec<Mistake>| mistakes.iter().map(Mistake::to_string).collect();
        read.map(|settings| settings.store).map_err(told)
    }

    fn cluster(text: &str, environment: &[(&str, &str)]) -> ClusterSettings {
        match read(text, environment, Flags::default()) {
            Ok(StoreSettings::Elasticsearch(cluster)) => cluster,
            other => panic!("{other:?}"),
        }
    }

    const ELASTIC: &str = "store = \"elasticsearch\"\n";

    #[test]
    fn a_cluster_is_reached_with_a_password_or_a_key_that_nothing_shows() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let basic = Credentials::Basic {
            username: "host".to_owned(),
            password: PASSWORD.to_owned(),
        };
        let user = format!("{ELASTIC}elasticsearch.username = \"host\"\n");
        let given = cluster(&user, &[(PASSWORD_VARIABLE, PASSWORD)]);
        assert_eq!(given.credentials, basic);
        assert!(!format!("{given:?}").contains(PASSWORD));
        std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
        let in_file = cluster(
            &format!("{user}elasticsearch.password_file = {file:?}\n"),
            &[],
        );
        assert_eq!(in_file, given);
        let key = cluster(ELASTIC, &[(API_KEY_VARIABLE, KEY)]);
        assert_eq!(key.credentials, Credentials::ApiKey(KEY.to_owned()));
        std::fs::write(&file, KEY).unwrap();
        let text = format!("{ELASTIC}elasticsearch.api_key_file = {file:?}\n");
        assert_eq!(cluster(&text, &[]), key);
        assert!(!format!("{key:?}").contains(KEY));
    }

    #[test]
    fn flags_choose_the_cluster() {
        let flags = Flags {
            store: Some("elasticsearch".to_owned()),
            elasticsearch_url: Some("https://a:9200, http://[::1]:9201".to_owned()),
            ..Flags::default()
        };
        let text = "store = \"embedded\"\nelasticsearch.url = \"http://localhost:1\"\n";
        match read(text, &[(API_KEY_VARIABLE, KEY)], flags.clone()).unwrap() {
            StoreSettings::Elasticsearch(cluster) => {
                assert_eq!(cluster.urls, ["https://a:9200", "http://[::1]:9201"]);
            }
            StoreSettings::Embedded => panic!("the file has won"),
        }
        let alone = Flags {
            store: None,
            ..flags
        };
        let said = read("", &[], alone).unwrap_err();
        let expected = "--elasticsearch-url: `elasticsearch.url` is of no use without `--store";
        assert!(said[0].starts_with(expected), "{said:?}");
        // Whoever only names a cluster in the environment may mean other programs.
        let variable = [("TASKHOST_ELASTICSEARCH_URL", "http://127.0.0.1:1")];
        let store = read("", &variable, Flags::default()).unwrap();
        assert_eq!(store, StoreSettings::Embedded);
    }

    #[test]
    fn everything_that_a_cluster_lacks_is_told_at_once() {
        let file = File {
            name: "t.toml".to_owned(),
            text: "listen = \"0.0.0.0:7700\"\nstore = \"elasticsearch\"\n\
                   elasticsearch.url = \"http://10.0.0.5:9200\"\n"
                .to_owned(),
        };
        let mistakes = Settings::read(Some(&file), &|_| None, Flags::default()).unwrap_err();
        let said: Vec<_> = mistakes.iter().map(Mistake::to_string).collect();
        let expected = [
            "t.toml:1: `listen` is 0.0.0.0:7700, where people's passwords",
            "t.toml:2: `store` is elasticsearch, and the host has nothing to show it",
            "t.toml:2: `store` is elasticsearch, and there is no key",
            "t.toml:3: `elasticsearch.url` is http://10.0.0.5:9200/: everybody's passwords",
        ];
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{said}\nis not\n{expected}");
        }
    }

    #[test]
    fn what_the_host_shows_is_one_thing_and_whole() {
        let user = "elasticsearch.username = \"host\"\n";
        let (password, key) = ((PASSWORD_VARIABLE, PASSWORD), (API_KEY_VARIABLE, KEY));
        for (text, environment, expected) in [
            (
                "",
                vec![],
                "t.toml:1: `store` is elasticsearch, and the host has nothing to show",
            ),
            (
                user,
                vec![],
                "t.toml:2: `elasticsearch.username` has no password",
            ),
            (
                "",
                vec![password],
                "TASKHOST_ELASTICSEARCH_PASSWORD: holds a password, and",
            ),
            (
                user,
                vec![password, key],
                "TASKHOST_ELASTICSEARCH_API_KEY: stands beside a user",
            ),
            (
                "",
                vec![password, key],
                "TASKHOST_ELASTICSEARCH_API_KEY: stands beside a user",
            ),
            (
                "",
                vec![(API_KEY_VARIABLE, "id:key")],
                "TASKHOST_ELASTICSEARCH_API_KEY: holds no",
            ),
            (
                user,
                vec![(PASSWORD_VARIABLE, "")],
                "TASKHOST_ELASTICSEARCH_PASSWORD: has to be one",
            ),
            (
                "elasticsearch.api_key_file = \"no/such\"\n",
                vec![],
                "t.toml:2: `elasticsearch.api_key_file` is no/such, which cannot be read",
            ),
            (
                "elasticsearch.password_file = \"x\"\n",
                vec![password],
                "t.toml:2: `elasticsearch.password_file` and TASKHOST_ELASTICSEARCH_PASSWORD are",
            ),
        ] {
            let text = format!("{ELASTIC}{text}");
            let said = read(&text, &environment, Flags::default()).unwrap_err();
            assert_eq!(said.len(), 1, "{said:#?}");
            assert!(
                said[0].starts_with(expected),
                "{said:#?}\nis not\n{expected}"
            );
            assert!(
                !said[0].contains(PASSWORD) && !said[0].contains("id:key"),
                "{said:?}"
            );
        }
    }

    #[test]
    fn addresses_are_checked_and_show_no_password() {
        for (url, problem) in [
            ("", "has to be a text that is not empty"),
            ("10.0.0.5:9200", "has to be an address such as"),
            ("ftp://a", "has to be an address such as"),
            ("https://a,", "has to be an address such as"),
            ("https://host:s3cret@a", "has a user in it"),
            ("ftp://host:s3cret@a", "has to be an address such as"),
            ("https://a/?x=1", "without `?`"),
            ("http://10.0.0.5:9200", "everybody's passwords and keys"),
            (
                "http://localhost.example:9200",
                "everybody's passwords and keys",
            ),
        ] {
            let text = format!("[elasticsearch]\nurl = \"{url}\"\n");
            let said = read(&text, &[], Flags::default()).unwrap_err().join("\n");
            assert!(
                said.contains(problem) && !said.contains("s3cret"),
                "{url}: {said}"
            );
        }
        let open = "[elasticsearch]\nallow_plain_http = true\nurl = \"http://10.0.0.5:9200/es\"\n";
        assert!(read(open, &[], Flags::default()).is_ok());
    }

    #[test]
    fn other_mistakes_are_told_at_once() {
        let text = "store = \"memory\"\n[elasticsearch]\nprefix = \"Tasks*\"\n\
                    authority_file = \"no/such\"\nrequest_timeout_s = 0\npassword = \"x\"\n";
        let said = read(text, &[], Flags::default()).unwrap_err();
        let expected = [
            "t.toml:1: `store` has to be embedded or elasticsearch, and is \"memory\"",
            "t.toml:3: `elasticsearch.prefix` has to be a dot and then lower-case letters",
            "t.toml:4: `elasticsearch.authority_file` is no/such, which cannot be read",
            "t.toml:5: `elasticsearch.request_timeout_s` has to be a whole number",
            "t.toml:6: `elasticsearch.password` is no setting",
        ];
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{said}\nis not\n{expected}");
        }
    }
}
