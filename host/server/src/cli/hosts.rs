//! `taskhost hosts`: who is on the store.

use reqwest::Method;
use serde_json::Value;

use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::table::{Medium, table};
use super::text;

/// List the hosts on the store.
#[derive(Debug, clap::Args)]
pub struct Hosts {
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(command: &Hosts) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    let request = client.request(Method::GET, &["v1", "hosts"]);
    let answer = client.call(request).await?;
    if command.target.json {
        say!("{}", text::json(&answer));
        return Ok(Exit::Done);
    }
    let hosts = answer["hosts"].as_array().cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = hosts.iter().map(row).collect();
    let header = [
        "host",
        "state",
        "heartbeat",
        "running",
        "memory",
        "version",
        "address",
        "claims nothing, since",
    ];
    say!("{}", table(Medium::of_stdout(), &header, &rows));
    Ok(Exit::Done)
}

fn row(host: &Value) -> Vec<String> {
    let text = |key: &str| host[key].as_str().unwrap_or_default().to_owned();
    let number = |key: &str| host[key].as_u64().unwrap_or_default();
    let age_s = number("heartbeat_age_ms") / 1000;
    let name = match host["this"].as_bool() {
        Some(true) => format!("{} (answers)", text("host")),
        _ => text("host"),
    };
    vec![
        name,
        text("state"),
        format!("{age_s} s ago"),
        format!("{} of {}", number("running"), number("slots")),
        format!("{} MiB", number("memory_bytes") / (1024 * 1024)),
        text("version"),
        text("address"),
        text("not_claiming"),
    ]
}
