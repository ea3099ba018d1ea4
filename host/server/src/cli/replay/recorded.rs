//! A recording, read from what a host sends or from a file, whoever wrote that.
//!
//! # Guarantees
//! 1. It takes no more memory than its text, whatever its lines hold.
//! 2. A replay has no more of anything than a host could allow it.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use taskhost_model::ids::Digest;
use taskhost_service::recording::{Head, LastLine, Limits, Outcome};

use super::super::failure::Failure;
use super::super::{files, text};
use super::ReplayRun;
use crate::memory::allowed_bytes;

const MIB: u64 = 1024 * 1024;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A recording.
pub(super) struct Recorded {
    pub(super) head: Head,
    /// Calls, one JSON object a line.
    pub(super) calls: String,
    /// None where the text has none.
    pub(super) last: Option<LastLine>,
}

impl Recorded {
    pub(super) fn read(bytes: Vec<u8>) -> Result<Self, Failure> {
        let wrong = |problem: String| {
            let message = format!("that is no recording that this taskhost can read: {problem}");
            Failure::failed(message)
        };
        let mut calls = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
        let head = calls.split('\n').next().unwrap_or_default();
        let head_bytes = (head.len() + 1).min(calls.len());
        let head = serde_json::from_str(head);
        let head = head.map_err(|error| wrong(format!("its first line has {error}")))?;
        calls.drain(..head_bytes);
        calls.truncate(calls.trim_ascii_end().len());
        let last_at = calls.rfind('\n').map_or(0, |at| at + 1);
        let last = serde_json::from_str(&calls[last_at..]).ok();
        if last.is_some() {
            calls.truncate(last_at);
        }
        Ok(Self { head, calls, last })
    }

    /// Whether calls may have followed that are not there.
    pub(super) fn is_open(&self) -> bool {
        match &self.last {
            Some(LastLine::End(end)) => {
                let is_stopped = matches!(end.outcome, Outcome::Stopped { .. });
                end.cut || end.lost.is_some() || is_stopped
            }
            Some(LastLine::BrokenOff(_)) | None => true,
        }
    }

    /// What the replay may use; what is less than was recorded is told.
    pub(super) fn limits(&self) -> Limits {
        let (limits, told) = bounded(self.head.limits, allowed_bytes());
        for told in told {
            eprintln!("note: {told}");
        }
        limits
    }

    pub(super) fn introduce(&self, command: &ReplayRun, digest: &Digest) {
        let Head {
            type_id,
            version,
            attempt,
            run,
            task,
            ..
        } = &self.head;
        let version = text::shown(version);
        say!("{task}: attempt {attempt} of run {run}, {type_id} {version}");
        if let Some(file) = command
            .component
            .as_ref()
            .filter(|_| *digest != self.head.digest)
        {
            let file = files::shown(file);
            say!("  component  {file}, which is another one than was recorded ({digest})");
        }
    }
}

/// The most that the settings of any host can allow, and half of this machine's memory.
fn bounded(recorded: Limits, machine_bytes: u64) -> (Limits, Vec<String>) {
    let mut told = Vec::new();
    let mut bound = |what: &str, recorded: u64, most: u64| {
        if recorded > most {
            told.push(format!(
                "the recorded run had {recorded} {what}; its replay has {most}, the most that is \
                 allowed here"
            ));
        }
        recorded.min(most)
    };
    let memory_max = (4096 * MIB).min(machine_bytes / 2);
    let limits = Limits {
        memory_bytes: bound("bytes of memory", recorded.memory_bytes, memory_max),
        cpu_ms: bound("ms to compute", recorded.cpu_ms, DAY_MS),
        wall_ms: bound("ms from its start", recorded.wall_ms, 30 * DAY_MS),
        output_bytes: bound("bytes for its result", recorded.output_bytes, 64 * MIB),
        grace_ms: bound("ms of grace", recorded.grace_ms, 3_600_000),
        log_bytes: bound("bytes for its log", recorded.log_bytes, 64 * MIB),
    };
    (limits, told)
}

/// Readable by its owner alone: the host keeps the same encrypted. Written beside and renamed, so
/// that what was there before stays or is replaced as a whole, its mode as well.
pub(super) fn save(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let shown = files::shown(file);
    let is_other = std::fs::symlink_metadata(file).is_ok_and(|found| !found.is_file());
    if is_other {
        return Err(Failure::wrong_use(format!(
            "{shown} is a link, a folder, a pipe or a device: name a file for --save"
        )));
    }
    let parent = file.parent().filter(|parent| *parent != Path::new(""));
    let written = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(parent.unwrap_or(Path::new(".")))
        .and_then(|mut beside| {
            beside.write_all(bytes)?;
            beside.persist(file).map_err(|error| error.error)
        });
    written
        .map(drop)
        .map_err(|error| Failure::failed(format!("{shown} cannot be written: {error}")))
}

/// For `--json`: how it ended, or why that is not known.
impl From<&Recorded> for Value {
    fn from(recorded: &Recorded) -> Self {
        match &recorded.last {
            Some(LastLine::End(end)) => serde_json::to_value(end).unwrap_or_default(),
            Some(LastLine::BrokenOff(reason)) => serde_json::json!({"broken_off": reason}),
            None => Self::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> String {
        serde_json::json!({
            "run": taskhost_model::ids::RunId::new(), "task": "t", "type": "a",
            "digest": "0".repeat(64), "version": "1.0.0", "space": "default", "attempt": 1,
            "params": "{}", "limits": {
                "memory_bytes": u64::MAX, "cpu_ms": u64::MAX, "wall_ms": u64::MAX,
                "output_bytes": u64::MAX, "grace_ms": u64::MAX, "log_bytes": 1,
            }, "context": {"requested_by": "you", "scheduled_at": "2026-01-01T00:00:00Z"}
        })
        .to_string()
    }

    fn read(rest: &str) -> Recorded {
        Recorded::read(format!("{}\n{rest}", head()).into_bytes()).unwrap()
    }

    #[test]
    fn the_last_line_says_how_it_ended_or_why_it_breaks_off() {
        let call = r#"{"call":"a.b"}"#;
        let end = r#"{"end":{"status":"stopped","reason":"canceled"}}"#;
        let ended = read(&format!("{call}\n{end}\n"));
        assert!(matches!(ended.last, Some(LastLine::End(_))));
        assert_eq!(ended.calls, format!("{call}\n"));
        let broken = read(&format!("{call}\n{{\"ca\n{{\"broken_off\":\"why\"}}\n"));
        assert_eq!(broken.last, Some(LastLine::BrokenOff("why".to_owned())));
        assert_eq!(broken.calls, format!("{call}\n{{\"ca\n"));
        assert!(broken.is_open());
        for rest in ["", "\n\n", call] {
            let open = read(rest);
            assert_eq!((open.calls.trim(), open.last), (rest.trim(), None));
        }
        for none in ["", "\n", "{}"] {
            assert!(Recorded::read(none.into()).is_err(), "{none:?}");
        }
    }

    #[test]
    fn a_replay_has_no_more_than_a_host_could_allow() {
        let (limits, told) = bounded(read("").head.limits, 2048 * MIB);
        let expected = Limits {
            memory_bytes: 1024 * MIB,
            cpu_ms: DAY_MS,
            wall_ms: 30 * DAY_MS,
            output_bytes: 64 * MIB,
            grace_ms: 3_600_000,
            log_bytes: 1,
        };
        assert_eq!(limits, expected);
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told[0].contains("bytes of memory; its replay has 1073741824"));
        assert_eq!(bounded(limits, 2048 * MIB), (limits, Vec::new()));
    }

    #[test]
    fn a_saved_file_is_its_owners_alone_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kept");
        std::fs::write(&file, "before").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        save(&file, b"now").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"now");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let said = save(&link, b"through it").unwrap_err().message;
        assert!(said.contains("link is a link"), "{said}");
        assert_eq!(std::fs::read(&file).unwrap(), b"now");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
