//! `taskhost doctor`: looks whether a host and what it needs is well. Each finding says what was
//! looked at; one that is not well says why as well, and what to do. Nothing is changed.

mod here;
mod host;

use serde::Serialize;

use super::backup::DataFolder;
use super::client::Target;
use super::failure::{Exit, Failure};
use super::text;

/// Look whether a host and what it needs is well, and say what to do where it is not. Works on a
/// host that runs and on one that does not.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code 0: nothing stands against running tasks; 1: something does.")]
pub struct Doctor {
    #[command(flatten)]
    folder: DataFolder,
    #[command(flatten)]
    target: Target,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Well.
    Ok,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    state: State,
    /// What was looked at, in a word or two.
    about: &'static str,
    /// What was found.
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// What to do about it.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    deed: Option<String>,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, about: &'static str, what: impl Into<String>) {
        self.0.push(Finding {
            state: State::Ok,
            about,
            what: what.into(),
            why: None,
            deed: None,
        });
    }

    fn warn(
        &mut self,
        about: &'static str,
        what: impl Into<String>,
        why: impl Into<String>,
        deed: impl Into<String>,
    ) {
        self.not_well(
            State::Warning,
            about,
            (what.into(), why.into(), deed.into()),
        );
    }

    fn problem(
        &mut self,
        about: &'static str,
        what: impl Into<String>,
        why: impl Into<String>,
        deed: impl Into<String>,
    ) {
        self.not_well(
            State::Problem,
            about,
            (what.into(), why.into(), deed.into()),
        );
    }

    fn not_well(
        &mut self,
        state: State,
        about: &'static str,
        (what, why, deed): (String, String, String),
    ) {
        self.0.push(Finding {
            state,
            about,
            what,
            why: Some(why),
            deed: Some(deed),
        });
    }
}

pub(crate) async fn run(command: &Doctor) -> Result<Exit, Failure> {
    let mut findings = Findings::default();
    findings.ok("version", format!("taskhost {}", env!("CARGO_PKG_VERSION")));
    let settings = here::settings(&mut findings, &command.folder);
    let mut address = None;
    if let Some(settings) = &settings {
        address = here::look(&mut findings, settings).await;
    }
    // The host of this folder, or the one that was named.
    let target = Target {
        url: address.unwrap_or_else(|| command.target.url.clone()),
        ..command.target.clone()
    };
    host::look(&mut findings, &target, settings.as_ref()).await?;
    Ok(shown(&findings, command.target.json))
}

fn shown(findings: &Findings, as_json: bool) -> Exit {
    let is_well = findings.0.iter().all(|one| one.state != State::Problem);
    if as_json {
        let findings = serde_json::to_value(&findings.0).unwrap_or_default();
        let answer = serde_json::json!({ "well": is_well, "findings": findings });
        say!("{}", text::json(&answer));
    } else {
        for finding in &findings.0 {
            let state = match finding.state {
                State::Ok => "ok",
                State::Warning => "warning",
                State::Problem => "PROBLEM",
            };
            say!(
                "{state:8} {}: {}",
                finding.about,
                text::shown(&finding.what)
            );
            if let Some(why) = &finding.why {
                say!("         why: {}", text::shown(why));
            }
            if let Some(deed) = &finding.deed {
                say!("         do:  {}", text::shown(deed));
            }
        }
    }
    if is_well { Exit::Done } else { Exit::Failed }
}
