//! Which tasks a command is about: one by its id, or all that a filter finds.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Map, Value, json};
use taskhost_model::error::ErrorKind;
use taskhost_model::ids::{StreamName, TaskId, TypeId};
use taskhost_model::status::Status;
use taskhost_model::time::{Clock, Timestamp};

use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::text;

/// Filters of tasks; a task has to meet all of them.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Filter {
    /// Only of this status; may be given several times.
    #[arg(long, value_parser = status_of)]
    pub status: Vec<Status>,
    /// Only of this type.
    #[arg(long = "type")]
    pub type_id: Option<TypeId>,
    /// Only on this stream.
    #[arg(long)]
    pub stream: Option<StreamName>,
    /// Only those that failed with an error of this kind (`deadline`, `trap`, …); may be given
    /// several times.
    #[arg(long, value_name = "KIND", value_parser = error_kind_of)]
    pub error_kind: Vec<ErrorKind>,
    /// Only those that this person has scheduled.
    #[arg(long, value_name = "WHO")]
    pub requested_by: Option<String>,
    /// Only those scheduled after that: a time (RFC 3339), or how long ago (30m, 2h, 1d).
    #[arg(long, value_name = "TIME", value_parser = time_of)]
    pub since: Option<Timestamp>,
    /// Only those scheduled before that: a time (RFC 3339), or how long ago (30m, 2h, 1d).
    #[arg(long, value_name = "TIME", value_parser = time_of)]
    pub before: Option<Timestamp>,
    /// Only those with this text in their id.
    #[arg(long, value_name = "TEXT")]
    pub q: Option<String>,
}

/// One task, or those that a filter finds.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Chosen {
    /// The task's id; without it the filters say which tasks are meant.
    pub id: Option<TaskId>,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Every task of the space, where no filter is given.
    #[arg(long)]
    pub all: bool,
    /// Only tell which tasks the filters find.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// A command about one task, or about many.
#[derive(Debug, clap::Args)]
pub struct SomeTasks {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
}

impl Filter {
    fn is_empty(&self) -> bool {
        self.pairs().is_empty()
    }

    /// As a query has them.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        let status = self.status.iter().map(|it| it.as_str().to_owned());
        pairs.extend(status.map(|it| ("status", it)));
        let kinds = self.error_kind.iter().map(|it| it.as_str().to_owned());
        pairs.extend(kinds.map(|it| ("error_kind", it)));
        for (name, value) in [
            ("type", self.type_id.as_ref().map(ToString::to_string)),
            ("stream", self.stream.as_ref().map(ToString::to_string)),
            ("requested_by", self.requested_by.clone()),
            ("created_after", self.since.map(|it| it.to_string())),
            ("created_before", self.before.map(|it| it.to_string())),
            ("q", self.q.clone()),
        ] {
            pairs.extend(value.map(|value| (name, value)));
        }
        pairs
    }

    /// As a body has them.
    fn to_json(&self) -> Map<String, Value> {
        let mut body = Map::new();
        for (name, value) in self.pairs() {
            match name {
                "status" | "error_kind" => match body.get_mut(name) {
                    Some(Value::Array(all)) => all.push(json!(value)),
                    _ => drop(body.insert(name.to_owned(), json!([value]))),
                },
                _ => drop(body.insert(name.to_owned(), json!(value))),
            }
        }
        body
    }
}

impl Chosen {
    /// The one task; none where filters say which ones are meant.
    pub(crate) fn one(&self) -> Result<Option<&TaskId>, Failure> {
        let filters = !self.filter.is_empty() || self.all;
        match &self.id {
            Some(_) if filters => Err(Failure::wrong_use(
                "give the id of one task, or filters that say which tasks are meant, not both",
            )),
            Some(_) if self.dry_run => Err(Failure::wrong_use(
                "--dry-run tells which tasks filters find: for one task see `taskhost status ID`",
            )),
            None if !filters => Err(Failure::wrong_use(
                "which tasks? Give an id, or filters such as --type and --status, or --all; with \
                 --dry-run nothing is done",
            )),
            one => Ok(one.as_ref()),
        }
    }

    /// Does something to all that the filters find, a call at a time.
    pub(crate) async fn each(&self, op: &str, more: Value) -> Result<Exit, Failure> {
        let client = Client::new(&self.target)?;
        let mut filter = self.filter.to_json();
        if self.all {
            filter.insert("all".to_owned(), json!(true));
        }
        let mut body = json!({"op": op, "filter": filter, "dry_run": self.dry_run});
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let (mut matched, mut failed) = (0, 0);
        loop {
            let request = client.in_space(Method::POST, &["bulk"]).json(&body);
            let answer = client.call(request).await?;
            if self.target.json {
                say!("{}", text::json(&answer));
            }
            for result in answer["results"].as_array().into_iter().flatten() {
                matched += 1;
                failed += u64::from(result.get("problem").is_some());
                if !self.target.json {
                    say!("{}", line(result));
                }
            }
            match answer.get("next") {
                Some(next) => body["cursor"] = next.clone(),
                None => break,
            }
        }
        if !self.target.json {
            say!("{}", sum(op, self.dry_run, matched, failed));
        }
        Ok(if failed == 0 {
            Exit::Done
        } else {
            Exit::Failed
        })
    }
}

fn line(result: &Value) -> String {
    let text = |key: &str| result[key].as_str().map(text::shown).unwrap_or_default();
    let (id, found) = (text("id"), text("found"));
    if let Some(problem) = result.get("problem") {
        let why = problem["detail"].as_str().map(text::shown);
        return format!("{id}: {found}, and stays so: {}", why.unwrap_or_default());
    }
    match (text("outcome").as_str(), text("status")) {
        ("would_be_done", _) => format!("{id}: {found}"),
        ("changed_meanwhile", _) => format!("{id}: left alone, it has changed meanwhile"),
        ("deleted", _) => format!("{id}: deleted"),
        (_, now) => format!("{id}: {now}"),
    }
}

fn sum(op: &str, dry_run: bool, matched: u64, failed: u64) -> String {
    let tasks = if matched == 1 { "task" } else { "tasks" };
    match (dry_run, failed) {
        (true, _) => {
            format!("{matched} {tasks} found; nothing was done. Without --dry-run it is: {op}")
        }
        (false, 0) => format!("{matched} {tasks} found"),
        (false, _) => format!("{matched} {tasks} found, of which {failed} could not be changed"),
    }
}

fn status_of(text: &str) -> Result<Status, String> {
    let all = || Status::ALL.map(Status::as_str).join(", ");
    Status::parse(text).ok_or_else(|| format!("a status is one of {}", all()))
}

fn error_kind_of(text: &str) -> Result<ErrorKind, String> {
    let all = || ErrorKind::ALL.map(ErrorKind::as_str).join(", ");
    ErrorKind::parse(text).ok_or_else(|| format!("a kind of error is one of {}", all()))
}

fn time_of(text: &str) -> Result<Timestamp, String> {
    let wanted = || {
        "a time is written as 2026-11-29T03:00:00Z, or as how long ago: 90s, 30m, 2h, 1d".to_owned()
    };
    if let Ok(time) = Timestamp::parse(text) {
        return Ok(time);
    }
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .ok_or_else(wanted)?;
    let number: u64 = text[..end].parse().map_err(|_| wanted())?;
    let seconds = match &text[end..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wanted()),
    };
    let ago = Duration::from_secs(number.saturating_mul(seconds));
    Ok(Clock::System.now().minus(ago))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        chosen: Chosen,
    }

    fn read(arguments: &[&str]) -> Chosen {
        let line = Line::try_parse_from([&["x"], arguments].concat());
        line.unwrap().chosen
    }

    #[test]
    fn it_is_one_task_or_those_that_are_described() {
        assert!(read(&["t"]).one().unwrap().is_some());
        assert!(read(&["--type", "hello"]).one().unwrap().is_none());
        assert!(read(&["--all", "--dry-run"]).one().unwrap().is_none());
        for wrong in [
            &[][..],
            &["t", "--type", "hello"],
            &["t", "--dry-run"],
            &["--dry-run"],
        ] {
            assert_eq!(
                read(wrong).one().unwrap_err().exit,
                Exit::WrongUse,
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn filters_are_sent_as_they_were_given() {
        let chosen = read(&[
            "--status",
            "failed",
            "--status",
            "canceled",
            "--type",
            "hello",
            "--error-kind",
            "trap",
        ]);
        let expected = json!({"status": ["failed", "canceled"], "type": "hello",
            "error_kind": ["trap"]});
        assert_eq!(Value::Object(chosen.filter.to_json()), expected);
    }

    #[test]
    fn times_are_absolute_or_ago() {
        let now = Clock::System.now();
        let ago = now.since(time_of("2h").unwrap()).as_secs();
        assert!((7_199..=7_201).contains(&ago), "{ago}");
        let time = "2026-11-29T03:00:00.000Z";
        assert_eq!(time_of(time).unwrap().to_string(), time);
        for wrong in ["", "2", "h", "2w", "yesterday"] {
            assert!(time_of(wrong).is_err(), "{wrong}");
        }
    }
}
