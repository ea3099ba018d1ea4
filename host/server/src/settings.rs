//! The host's settings: flags win over `TASKHOST_*` in the environment, which wins over the
//! settings file, which wins over the defaults.
//!
//! Each part of the host gets a checked struct of its own; all mistakes are told at once.

mod reader;
mod connectors;
mod outbound;
mod hosts;
mod telemetry;
mod policy;
mod credentials;
mod store;
mod keys;
mod tls;
mod http;
mod identity;
mod runs;
mod audit;
mod types;
mod doubts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use directories::ProjectDirs;
use taskhost_model::descriptor::Bounds;
use taskhost_model::ids::TypeId;
use taskhost_service::key_ring::KeyRing;
use taskhost_service::policy::Policy;
use taskhost_service::settings::AuditBounds;
use taskhost_service::settings::TypeSettings;

pub use connectors::ConnectorSettings;
pub use hosts::HostSettings;
pub use http::HttpSettings;
pub use outbound::OutboundSettings;
use reader::Reader;
pub(crate) use reader::nearest;
pub use reader::{Environment, File, Mistake};
pub use runs::{LimitSettings, RunSettings};
pub(crate) use store::is_here;
pub use store::{ClusterSettings, StoreSettings};
pub use telemetry::TelemetrySettings;
pub use tls::TlsSettings;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The HTTP interface.
    pub http: HttpSettings,
    /// Where everything is kept.
    pub store: StoreSettings,
    /// Whether the embedded store has people, who come with its tokens.
    pub has_tokens: bool,
    /// The data folder: of the embedded store, or with this host's name and its lock alone.
    pub data: PathBuf,
    /// The watched folder.
    pub folder: FolderSettings,
    /// Where compiled components are kept.
    pub component_cache: PathBuf,
    /// How long runs get when the host is asked to stop; cuts every type's own grace.
    pub shutdown_grace: Duration,
    /// How tasks are run.
    pub runs: RunSettings,
    /// How large what is kept may be.
    pub limits: LimitSettings,
    /// Features are kept for so many days that are not found again.
    pub features_keep_days: u32,
    /// The most that a task type's descriptor may ask for.
    pub bounds: Bounds,
    /// What is decided of single task types.
    pub types: BTreeMap<TypeId, TypeSettings>,
    /// What task types may reach, and whose are taken in.
    pub policy: Policy,
    /// Language models that they may ask.
    pub connectors: Vec<ConnectorSettings>,
    /// How they reach the outside.
    pub outbound: OutboundSettings,
    /// How it lives with other hosts on one store.
    pub hosts: HostSettings,
    /// How long the audit log is kept.
    pub audit: AuditBounds,
    /// Where traces go.
    pub telemetry: TelemetrySettings,
    /// The key that they share; never none where the store has people.
    pub keys: Option<KeyRing>,
}

/// The watched folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderSettings {
    /// Where it is.
    pub folder: PathBuf,
    /// It is the default one, which is made when it is missing.
    pub is_default: bool,
    /// How often the folder is looked through, besides what the system tells.
    pub rescan_interval: Duration,
}

/// What the command line says; it wins over everything else.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<String>,
    /// `--data`
    pub data: Option<String>,
    /// `--task-types`
    pub task_types: Option<String>,
    /// `--store`
    pub store: Option<String>,
    /// `--elasticsearch-url`
    pub elasticsearch_url: Option<String>,
    /// `--key-file`
    pub key_file: Option<String>,
    /// `--identity`
    pub identity: Option<String>,
}

/// Variables that are no keys of the file.
const OTHER_VARIABLES: [&str; 12] = [
    keys::KEY_VARIABLE,
    credentials::API_KEY_VARIABLE,
    credentials::PASSWORD_VARIABLE,
    "TASKHOST_API_KEY",
    "TASKHOST_CONFIG",
    "TASKHOST_CRASH_AT",
    "TASKHOST_LOG",
    "TASKHOST_LOG_FORMAT",
    "TASKHOST_PASSWORD",
    "TASKHOST_TOKEN",
    "TASKHOST_URL",
    "TASKHOST_USERNAME",
];

/// What to say of a variable of the environment that looks like a setting and is none: mostly a
/// typing error.
#[must_use]
pub fn unknown_variable(name: &str) -> Option<String> {
    reader::unknown_variable(name, &Settings::keys(), &OTHER_VARIABLES)
}

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn read(
        file: Option<&File>,
        environment: Environment<'_>,
        flags: Flags,
    ) -> Result<Self, Vec<Mistake>> {
        let mut reader = Reader::new(file, environment, given(flags));
        let settings = Self::from_reader(&mut reader);
        let mistakes = reader.finish();
        if mistakes.is_empty() {
            Ok(settings)
        } else {
            Err(mistakes)
        }
    }

    /// What is no mistake in writing and yet will not do what somebody wants of it, in sentences.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        doubts::doubts(self)
    }

    /// Every key, with its section: `runs.slots`.
    #[must_use]
    pub fn keys() -> Vec<&'static str> {
        let nothing = |_: &str| None;
        let mut reader = Reader::new(None, &nothing, Vec::new());
        Self::from_reader(&mut reader);
        reader.asked()
    }

    fn from_reader(reader: &mut Reader<'_>) -> Self {
        let data = PathBuf::from(reader.text("data", "./taskhost-data"));
        let store = store::store(reader);
        let hosts = hosts::hosts(reader);
        store::check_times(reader, &store, hosts.lease);
        let has_tokens = identity::has_tokens(reader, &store);
        let people = match has_tokens || store.has_people() {
            true => http::People::Known,
            false => http::People::One,
        };
        let bounds = runs::bounds(reader);
        Self {
            http: http::http(reader, people),
            has_tokens,
            keys: keys::key_ring(reader, store.has_people()),
            store,
            folder: FolderSettings::from_reader(reader, &data),
            component_cache: component_cache(reader, &data),
            data,
            shutdown_grace: seconds(reader, "shutdown_grace_s", 10, 3600),
            runs: RunSettings::from_reader(reader),
            limits: LimitSettings::from_reader(reader),
            features_keep_days: runs::features_keep_days(reader),
            types: types::types(reader, &bounds),
            bounds,
            policy: policy::policy(reader),
            connectors: connectors::connectors(reader),
            outbound: outbound::outbound(reader),
            audit: audit::audit(reader),
            hosts,
            telemetry: telemetry::telemetry(reader),
        }
    }
}

impl FolderSettings {
    fn from_reader(reader: &mut Reader<'_>, data: &Path) -> Self {
        let default = data.join("task-types");
        let folder = PathBuf::from(reader.text("task_types", &default.to_string_lossy()));
        Self {
            is_default: folder == default,
            folder,
            rescan_interval: seconds(reader, "task_types_rescan_s", 5, 3600),
        }
    }
}

/// `user` is the user's own cache folder, so that a new data folder is no cold start.
fn component_cache(reader: &mut Reader<'_>, data: &Path) -> PathBuf {
    match reader.text("component_cache", "user").as_str() {
        "user" => user_cache(ProjectDirs::from("", "", "taskhost"), data),
        folder => PathBuf::from(folder),
    }
}

/// A user without a home gets a folder where nobody else writes: what is in it is executed.
fn user_cache(folders: Option<ProjectDirs>, data: &Path) -> PathBuf {
    folders.map_or_else(
        || data.join("component-cache"),
        |folders| folders.cache_dir().join("components"),
    )
}

fn given(flags: Flags) -> Vec<(&'static str, &'static str, String)> {
    let all = [
        ("listen", "--listen", flags.listen),
        ("data", "--data", flags.data),
        ("task_types", "--task-types", flags.task_types),
        ("store", "--store", flags.store),
        ("key_file", "--key-file", flags.key_file),
        ("identity", "--identity", flags.identity),
        (
            "elasticsearch.url",
            "--elasticsearch-url",
            flags.elasticsearch_url,
        ),
    ];
    all.into_iter()
        .filter_map(|(key, flag, value)| Some((key, flag, value?)))
        .collect()
}

fn seconds(reader: &mut Reader<'_>, key: &'static str, default: u64, most: u64) -> Duration {
    Duration::from_secs(reader.number(key, default, 1..=most))
}

fn size(reader: &mut Reader<'_>, key: &'static str, default: u64, most: u64) -> usize {
    usize::try_from(reader.number(key, default, 1..=most)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../examples/taskhost.toml");

    fn read(
        text: &str,
        environment: &[(&str, &str)],
        flags: Flags,
    ) -> Result<Settings, Vec<String>> {
        let file = File {
            name: "t.toml".to_owned(),
            text: text.to_owned(),
        };
        let variable = |name: &str| {
            let found = environment.iter().find(|(of, _)| *of == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::read(Some(&file), &variable, flags)
            .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
    }

    fn default() -> Settings {
        Settings::read(None, &|_| None, Flags::default()).unwrap()
    }

    /// The example with its keys made effective.
    fn uncommented() -> String {
        let line = |line: &'static str| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => key,
            _ => line,
        };
        EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_changes_nothing_and_states_every_key_with_its_default() {
        assert_eq!(read(EXAMPLE, &[], Flags::default()).unwrap(), default());
        let text = uncommented();
        assert_eq!(read(&text, &[], Flags::default()).unwrap(), default());
        let table: toml::Table = text.parse().unwrap();
        for key in Settings::keys() {
            let value = match key.split_once('.') {
                Some((section, key)) => table.get(section).and_then(|section| section.get(key)),
                None => table.get(key),
            };
            assert!(
                value.is_some(),
                "examples/taskhost.toml does not have `{key}`"
            );
        }
    }

    #[test]
    fn every_key_of_the_example_is_commented() {
        let lines: Vec<&str> = EXAMPLE.lines().collect();
        for pair in lines.windows(2) {
            let is_key = |line: &str| {
                line.strip_prefix('#')
                    .is_some_and(|l| l.starts_with(|c: char| c.is_lowercase()))
            };
            if is_key(pair[1]) {
                assert!(pair[0].starts_with("# "), "no comment above: {}", pair[1]);
            }
        }
    }

    #[test]
    fn flags_win_over_environment_over_file_over_default() {
        let text = "data = \"file\"\nlisten = \"127.0.0.1:1\"\ntask_types = \"file-types\"\n";
        let environment = [("TASKHOST_DATA", "env"), ("TASKHOST_LISTEN", "localhost:2")];
        let flags = Flags {
            data: Some("flag".to_owned()),
            ..Flags::default()
        };
        let settings = read(text, &environment, flags).unwrap();
        assert_eq!(settings.data, Path::new("flag"));
        assert_eq!(settings.http.listen.port(), 2);
        assert_eq!(settings.folder.folder, Path::new("file-types"));
        assert_eq!(settings.runs.slots, 64);
    }

    #[test]
    fn the_default_folder_of_task_types_follows_the_data_folder() {
        let settings = read("data = \"d\"", &[], Flags::default()).unwrap();
        assert_eq!(settings.folder.folder, Path::new("d/task-types"));
        assert!(settings.folder.is_default);
        assert!(
            !read("task_types = \"t\"", &[], Flags::default())
                .unwrap()
                .folder
                .is_default
        );
    }

    #[test]
    fn compiled_components_stay_in_the_data_folder_of_a_user_without_a_home() {
        let data = Path::new("d");
        assert_eq!(user_cache(None, data), Path::new("d/component-cache"));
        let home = ProjectDirs::from_path(PathBuf::from("of-the-user")).unwrap();
        assert!(user_cache(Some(home), data).ends_with("of-the-user/components"));
        let settings = read("component_cache = \"c\"", &[], Flags::default()).unwrap();
        assert_eq!(settings.component_cache, Path::new("c"));
    }

    #[test]
    fn all_mistakes_at_once_each_with_line_and_key() {
        let text = "listen = \"0.0.0.0:7700\"\ndatta = 1\n\n\
                    [runs]\nslots = 0\ncrashes_max = \"x\"\n\
                    [http]\nconnections_max = 99999999999999999999999\n\
                    [limits]\nslots = 1\n\
                    [nonsense]\na = 1\n[[task_type_limits]]\n";
        let environment = [("TASKHOST_RUNS_SWEEP_INTERVAL_S", "soon")];
        let mistakes = read(text, &environment, Flags::default()).unwrap_err();
        let expected = [
            "TASKHOST_RUNS_SWEEP_INTERVAL_S: `runs.sweep_interval_s`",
            "t.toml:1: `listen` is 0.0.0.0:7700, and has to be a loopback address",
            "t.toml:2: `datta` is no setting: did you mean `data`?",
            "t.toml:5: `runs.slots` has to be a whole number from 1 to 10000, and is 0",
            "t.toml:6: `runs.crashes_max` has to be a whole number from 1 to 100, and is \"x\"",
            "t.toml:8: `http.connections_max`",
            "t.toml:10: `limits.slots` is no setting: did you mean `runs.slots`?",
            "t.toml:11: `nonsense` is no setting",
            "t.toml:13: `task_type_limits` is a section",
        ];
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
        for (mistake, expected) in mistakes.iter().zip(expected) {
            assert!(
                mistake.starts_with(expected),
                "{mistake}\nis not\n{expected}"
            );
        }
    }

    #[test]
    fn mistakes_of_syntax_stand_beside_the_others() {
        let text = "listen = \"127.0.0.1:1\ndata = 7\n[runs]\nslots = = 3\nslots = 0\n";
        let mistakes = read(text, &[], Flags::default()).unwrap_err();
        assert!(
            mistakes[0].starts_with("t.toml:1: is not TOML"),
            "{mistakes:#?}"
        );
        let of = |line: &str| mistakes.iter().filter(|m| m.starts_with(line)).count();
        assert_eq!(of("t.toml:2: `data`"), 1, "{mistakes:#?}");
        assert!(of("t.toml:4: is not TOML") >= 1, "{mistakes:#?}");
    }

    #[test]
    fn a_path_with_nul_is_refused() {
        let mistakes = read("\n[runs]\n", &[("TASKHOST_DATA", "")], Flags::default());
        assert!(mistakes.unwrap_err()[0].starts_with("TASKHOST_DATA: `data`"));
        for key in ["data", "task_types", "component_cache"] {
            let text = format!("# first\n{key} = \"a\\u0000b\"\n");
            let mistakes = read(&text, &[], Flags::default()).unwrap_err();
            let expected = format!("t.toml:2: `{key}` has to be a text that is not empty");
            assert!(mistakes[0].starts_with(&expected), "{mistakes:#?}");
        }
    }

    #[test]
    fn contradictions_between_keys_are_told() {
        let text = "[runs]\nretry_backoff_ms = 5000\nretry_backoff_max_s = 1\n";
        let mistakes = read(text, &[], Flags::default()).unwrap_err();
        assert_eq!(
            mistakes,
            ["t.toml:2: `runs.retry_backoff_ms` is longer than `runs.retry_backoff_max_s`"]
        );
    }
}
