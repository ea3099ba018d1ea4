//! What a host that runs says: whether it is ready, its task types, the other hosts, what waits.

use reqwest::Method;
use serde_json::Value;
use taskhost_model::time::{Clock, Timestamp};

use super::super::client::{Client, Target};
use super::super::failure::{Exit, Failure};
use super::super::text;
use super::Findings;
use crate::settings::Settings;

/// A run that is due for longer is told of.
const WAITS_LONG_S: u64 = 60;
/// So many of them at most.
const TOLD_MAX: usize = 3;

/// # Errors
/// Wrong use alone: whatever a host says, or does not say, is a finding.
pub(super) async fn look(
    findings: &mut Findings,
    target: &Target,
    settings: Option<&Settings>,
) -> Result<(), Failure> {
    let client = Client::new(target)?;
    match client
        .answer(client.request(Method::GET, &["readyz"]))
        .await
    {
        Err(failure) if failure.exit == Exit::Unreachable => {
            // Without settings that can be used nobody can tell whether one should.
            let what = format!("none answers at {}", text::shown(&target.url));
            let why = match settings {
                Some(_) => "none runs on this data folder, or it does not listen yet",
                None => "its settings cannot be used",
            };
            findings.warn("host", what, why, "start it with `taskhost serve`");
            return Ok(());
        }
        Err(failure) => return Err(failure),
        Ok((status, _)) if status.is_success() => {
            findings.ok("host", format!("ready at {}", text::shown(&target.url)));
        }
        Ok((_, problem)) => {
            let why = problem["detail"].as_str().unwrap_or("it does not say why");
            let deed = "what it says has to end; its log says more";
            findings.problem("host", "it is not ready", why, deed);
        }
    }
    task_types(findings, &client).await;
    hosts(findings, &client).await;
    waiting(findings, &client).await;
    Ok(())
}

/// What the host answers, unless it does not want to.
async fn asked(
    findings: &mut Findings,
    client: &Client,
    about: &'static str,
    request: reqwest::RequestBuilder,
) -> Option<Value> {
    match client.call(request).await {
        Ok(answer) => Some(answer),
        Err(failure) => {
            let deed = "come with a credential that may see it, as clients do";
            findings.warn(about, "the host does not tell", failure.message, deed);
            None
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

async fn task_types(findings: &mut Findings, client: &Client) {
    const ABOUT: &str = "task types";
    let request = client.request(Method::GET, &["v1", "task-types"]);
    let Some(answer) = asked(findings, client, ABOUT, request).await else {
        return;
    };
    let types = list(&answer["task_types"]);
    let active = types.iter().filter(|it| it["active"].is_string()).count();
    if active == 0 {
        let deed = "put a component into the watched folder, or `taskhost types push` one";
        findings.warn(ABOUT, "none is active", "nothing can be scheduled", deed);
    } else {
        findings.ok(ABOUT, format!("{active} active"));
    }
    for one in types {
        let id = word(one, "id");
        for version in list(&one["versions"]) {
            if word(version, "state") == "pending_approval" {
                let what = format!(
                    "version {} of `{id}` waits for approval",
                    word(version, "version")
                );
                let wants: Vec<&str> = list(&version["needs_approval"])
                    .iter()
                    .filter_map(Value::as_str)
                    .collect();
                let deed = format!("taskhost types approve {id} {}", word(version, "digest"));
                findings.warn(ABOUT, what, format!("it wants {}", wants.join("; ")), deed);
            }
        }
        if one["paused"].is_object() {
            let paused = &one["paused"];
            let why = format!(
                "{} has paused it: {}",
                word(paused, "by"),
                paused["reason"].as_str().unwrap_or("no reason was given")
            );
            let deed = format!("taskhost types resume {id}");
            findings.warn(ABOUT, format!("`{id}` is paused"), why, deed);
        }
    }
    for file in list(&answer["rejected"]) {
        let what = format!("the file `{}` is refused", word(file, "file"));
        let deed = "mend it (`taskhost check FILE` says the same), or take it away";
        findings.problem(ABOUT, what, word(file, "reason"), deed);
    }
}

async fn hosts(findings: &mut Findings, client: &Client) {
    const ABOUT: &str = "hosts";
    let request = client.request(Method::GET, &["v1", "hosts"]);
    let Some(answer) = asked(findings, client, ABOUT, request).await else {
        return;
    };
    for host in list(&answer["hosts"]) {
        let name = word(host, "host");
        let running = format!(
            "{name}: {} of {} slots used",
            host["running"], host["slots"]
        );
        let version = word(host, "version");
        if word(host, "state") == "lost" {
            let deed = "look why it ended; what it ran goes on elsewhere";
            findings.warn(
                ABOUT,
                format!("{name} is lost"),
                "it gives no sign of life",
                deed,
            );
        } else if let Some(why) = host["not_claiming"].as_str() {
            let deed = "nothing, if that is meant";
            findings.warn(ABOUT, format!("{running}; it claims nothing"), why, deed);
        } else {
            findings.ok(ABOUT, format!("{running}, version {version}"));
        }
    }
}

async fn waiting(findings: &mut Findings, client: &Client) {
    const ABOUT: &str = "tasks";
    let request = client.in_space(Method::GET, &["tasks"]);
    let request = request.query(&[("status", "in_progress,being_canceled"), ("limit", "1000")]);
    let Some(answer) = asked(findings, client, ABOUT, request).await else {
        return;
    };
    let now = Clock::System.now();
    let due_for_s = |task: &Value| {
        let due_at = Timestamp::parse(word(&task["run"], "due_at")).ok()?;
        (word(&task["run"], "state") == "queued").then(|| now.since(due_at).as_secs())
    };
    let tasks = list(&answer["tasks"]);
    let mut long: Vec<(u64, &Value)> = tasks
        .iter()
        .filter_map(|task| Some((due_for_s(task)?, task)))
        .filter(|(due_for_s, _)| *due_for_s > WAITS_LONG_S)
        .collect();
    long.sort_by_key(|(due_for_s, _)| std::cmp::Reverse(*due_for_s));
    for (due_for_s, task) in long.iter().take(TOLD_MAX) {
        let what = format!("`{}` is due for {due_for_s} s", word(task, "id"));
        let why = match word(&task["run"], "waiting_for") {
            "" => "other runs have the slots, or no host claims its type".to_owned(),
            why => format!("it waits for {why}"),
        };
        let deed = "more slots (`runs.slots`), a version of its type that is active, or patience";
        findings.warn(ABOUT, what, why, deed);
    }
    for task in tasks.iter().filter(|task| word(task, "status") == "stale") {
        let what = format!("`{}` is stale", word(task, "id"));
        let deed = format!(
            "taskhost watch {0}, or taskhost cancel {0}",
            word(task, "id")
        );
        findings.warn(
            ABOUT,
            what,
            "its run has not been live for longer than its type allows",
            deed,
        );
    }
    if long.is_empty() {
        let count = tasks.len();
        findings.ok(
            ABOUT,
            format!("{count} unfinished of the newest, none is due for long"),
        );
    }
}
