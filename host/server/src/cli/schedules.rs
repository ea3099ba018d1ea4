//! The commands for schedules: `schedules list`, `show`, `put`, `pause`, `resume`, `run`, `delete`.

use reqwest::Method;
use serde_json::{Map, Value, json};
use taskhost_model::ids::{ScheduleId, StreamName, TypeId};

use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::table::{Medium, table};
use super::tasks::params;
use super::text;

/// Schedules that one request asks for.
const PAGE: &str = "1000";

/// What to do with schedules.
#[derive(Debug, clap::Subcommand)]
pub enum Schedules {
    /// List the schedules of a space.
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Show a schedule, when it fires next, and what became of its latest fires.
    Show(OneSchedule),
    /// Make a schedule, or give one another form.
    Put(Box<Put>),
    /// Fire nothing until it is resumed; what runs goes on.
    Pause {
        /// The schedule.
        id: ScheduleId,
        /// Why, for whoever wonders.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Go on, with the first time that is due from now on.
    Resume(OneSchedule),
    /// Fire at once, whatever is due.
    Run(OneSchedule),
    /// Remove a schedule; the tasks that it has fired go on.
    Delete(OneSchedule),
}

/// A command about one schedule.
#[derive(Debug, clap::Args)]
pub struct OneSchedule {
    /// The schedule.
    id: ScheduleId,
    #[command(flatten)]
    target: Target,
}

/// Make a schedule, or give one another form.
#[derive(Debug, clap::Args)]
pub struct Put {
    /// The schedule.
    id: ScheduleId,
    /// The type of its tasks, as `taskhost types list` shows it.
    #[arg(value_name = "TYPE")]
    type_id: TypeId,
    #[command(flatten)]
    rule: RuleArgs,
    /// The stream to work on.
    #[arg(long)]
    stream: Option<StreamName>,
    /// Parameters: JSON, or @FILE that holds it.
    #[arg(long, value_name = "JSON|@FILE")]
    params: Option<String>,
    /// From -100 to 100; higher goes first.
    #[arg(long, allow_hyphen_values = true)]
    priority: Option<i32>,
    /// Where the clock is by which it fires, such as Europe/Berlin [default: UTC].
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Nothing is due before; intervals and recurrence rules count from it [default: now].
    #[arg(long, value_name = "TIME")]
    starts_at: Option<String>,
    /// Nothing is due after.
    #[arg(long, value_name = "TIME")]
    ends_at: Option<String>,
    /// Fire later than it is due by less than this, at random: 30s, 5m.
    #[arg(long, value_name = "SPAN")]
    jitter: Option<String>,
    /// What becomes of a fire while the task of an older one has not ended [default: skip].
    #[arg(long, value_name = "POLICY", value_parser = ["skip", "queue", "cancel_old"])]
    overlap: Option<String>,
    /// What becomes of times that have passed while no host was there [default: latest].
    #[arg(long, value_name = "POLICY", value_parser = ["none", "latest", "all"])]
    catch_up: Option<String>,
    /// With `--catch-up all`: so many at most [default: 100].
    #[arg(long, value_name = "NUMBER")]
    catch_up_max: Option<u32>,
    #[command(flatten)]
    target: Target,
}

/// When it is due.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct RuleArgs {
    /// Again and again after so long: 90s, 15m, 1h30m, 7d.
    #[arg(long, value_name = "SPAN")]
    interval: Option<String>,
    /// By a cron expression, such as '30 2 * * MON-FRI'.
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// By a recurrence rule of RFC 5545, such as 'FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17;BYMINUTE=0'.
    #[arg(long, value_name = "RULE")]
    rrule: Option<String>,
}

pub(crate) async fn run(command: &Schedules) -> Result<Exit, Failure> {
    match command {
        Schedules::List { target } => list(target).await,
        Schedules::Show(it) => show(it).await,
        Schedules::Put(it) => put(it).await,
        Schedules::Pause { id, reason, target } => {
            let body = reason.as_ref().map(|reason| json!({ "reason": reason }));
            let body = body.unwrap_or(json!({}));
            changed(id, target, "pause", &body, "paused").await
        }
        Schedules::Resume(it) => changed(&it.id, &it.target, "resume", &json!({}), "resumed").await,
        Schedules::Run(it) => run_now(it).await,
        Schedules::Delete(it) => delete(it).await,
    }
}

async fn list(target: &Target) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let request = client.in_space(Method::GET, &["schedules"]);
        let mut query = vec![("limit", PAGE.to_owned())];
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = client.call(request.query(&query)).await?;
        found.extend(page["schedules"].as_array().cloned().unwrap_or_default());
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    if target.json {
        say!("{}", text::json(&json!({ "schedules": found })));
        return Ok(Exit::Done);
    }
    if found.is_empty() {
        say!("no schedules: make one with `taskhost schedules put ID TYPE --cron '30 2 * * *'`");
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    let header = ["schedule", "state", "type", "when", "next fire", "last"];
    say!("{}", table(Medium::of_stdout(), &header, &rows));
    Ok(Exit::Done)
}

fn row(schedule: &Value) -> Vec<String> {
    vec![
        string(&schedule["id"]),
        string(&schedule["state"]),
        string(&schedule["type"]),
        when(schedule),
        string(&schedule["next_fires"][0]),
        fire(&schedule["last"]),
    ]
}

/// Its rule, in words where there are any.
fn when(schedule: &Value) -> String {
    let rules = ["interval", "cron", "rrule"].map(|rule| string(&schedule[rule]));
    let rule = rules.into_iter().find(|rule| !rule.is_empty());
    let words = schedule["in_words"].as_str().map(str::to_owned);
    let when = words.or(rule).unwrap_or_default();
    match string(&schedule["time_zone"]).as_str() {
        "UTC" => when,
        zone => format!("{when} ({zone})"),
    }
}

fn fire(fire: &Value) -> String {
    if fire.is_null() {
        return "none yet".to_owned();
    }
    let outcome = string(&fire["outcome"]);
    let what = match fire["reason"].as_str() {
        Some(reason) => format!("{outcome}: {reason}"),
        None => {
            let status = fire["status"].as_str().unwrap_or_default();
            let task = string(&fire["task"]);
            format!("{outcome} {task} {status}").trim_end().to_owned()
        }
    };
    format!("{} {what}", string(&fire["due_at"]))
}

async fn show(command: &OneSchedule) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    let path = ["schedules", command.id.as_str()];
    let schedule = client.call(client.in_space(Method::GET, &path)).await?;
    if command.target.json {
        say!("{}", text::json(&schedule));
        return Ok(Exit::Done);
    }
    let shown = |key: &str| text::shown(&string(&schedule[key]));
    say!("{}: {}", shown("id"), shown("state"));
    say!("type: {}", shown("type"));
    say!("when: {}", text::shown(&when(&schedule)));
    say!(
        "overlap: {}, catch-up: {}",
        shown("overlap"),
        shown("catch_up")
    );
    let paused = &schedule["paused"];
    if paused.is_object() {
        let by = paused["by"].as_str().unwrap_or("the host");
        let reason = paused["reason"].as_str().unwrap_or("no reason given");
        let (by, reason) = (text::shown(by), text::shown(reason));
        say!(
            "paused since {} by {by}: {reason}",
            text::shown(&string(&paused["at"]))
        );
    }
    for at in schedule["next_fires"].as_array().into_iter().flatten() {
        say!("fires at {}", text::shown(&string(at)));
    }
    let counts = &schedule["counts"];
    let count = |key: &str| counts[key].as_u64().unwrap_or_default();
    say!(
        "so far: {} fired, {} failed, {} skipped, {} missed; {} waiting",
        count("fired"),
        count("failed"),
        count("skipped"),
        count("missed"),
        schedule["waiting"].as_u64().unwrap_or_default()
    );
    for past in schedule["fires"].as_array().into_iter().flatten() {
        say!("  {}", text::shown(&fire(past)));
    }
    Ok(Exit::Done)
}

async fn put(command: &Put) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    let mut body = Map::new();
    body.insert("type".to_owned(), json!(command.type_id));
    body.insert("params".to_owned(), params(command.params.as_deref())?);
    let texts = [
        ("interval", &command.rule.interval),
        ("cron", &command.rule.cron),
        ("rrule", &command.rule.rrule),
        ("time_zone", &command.time_zone),
        ("starts_at", &command.starts_at),
        ("ends_at", &command.ends_at),
        ("jitter", &command.jitter),
        ("overlap", &command.overlap),
        ("catch_up", &command.catch_up),
    ];
    for (name, text) in texts {
        body.extend(text.iter().map(|text| (name.to_owned(), json!(text))));
    }
    let others = [
        ("stream", command.stream.as_ref().map(|it| json!(it))),
        ("priority", command.priority.map(|it| json!(it))),
        ("catch_up_max", command.catch_up_max.map(|it| json!(it))),
    ];
    for (name, value) in others {
        body.extend(value.map(|value| (name.to_owned(), value)));
    }
    let path = ["schedules", command.id.as_str()];
    let request = client.in_space(Method::PUT, &path).json(&body);
    let schedule = client.call(request).await?;
    if command.target.json {
        say!("{}", text::json(&schedule));
        return Ok(Exit::Done);
    }
    say!("{}: {}", command.id, text::shown(&when(&schedule)));
    for at in schedule["next_fires"].as_array().into_iter().flatten() {
        say!("fires at {}", text::shown(&string(at)));
    }
    Ok(Exit::Done)
}

async fn changed(
    id: &ScheduleId,
    target: &Target,
    verb: &str,
    body: &Value,
    done: &str,
) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    let request = client.in_space(Method::POST, &["schedules", id.as_str(), verb]);
    let schedule = client.call(request.json(body)).await?;
    if target.json {
        say!("{}", text::json(&schedule));
        return Ok(Exit::Done);
    }
    say!("{id}: {done}");
    if let Some(at) = schedule["next_fires"][0].as_str() {
        say!("fires at {}", text::shown(at));
    }
    Ok(Exit::Done)
}

async fn run_now(command: &OneSchedule) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    let path = ["schedules", command.id.as_str(), "run"];
    let request = client.in_space(Method::POST, &path).json(&json!({}));
    let answer = client.call(request).await?;
    if command.target.json {
        say!("{}", text::json(&answer));
        return Ok(Exit::Done);
    }
    let task = text::shown(&string(&answer["task"]));
    match answer["outcome"].as_str() {
        Some("waiting") => say!("{task}: waits for an older fire to end"),
        _ => say!("{task}: fired; follow it with `taskhost watch {task}`"),
    }
    Ok(Exit::Done)
}

async fn delete(command: &OneSchedule) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    let path = ["schedules", command.id.as_str()];
    client.call(client.in_space(Method::DELETE, &path)).await?;
    if !command.target.json {
        say!("{}: removed; the tasks that it has fired go on", command.id);
    }
    Ok(Exit::Done)
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
