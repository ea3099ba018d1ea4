//! `taskhost check`: what a host would say to a component.

use std::path::PathBuf;

use reqwest::Method;
use serde_json::Value;
use taskhost_store::components::COMPONENT_BYTES_MAX;

use super::client::Client;
use super::failure::{Exit, Failure};
use super::serve::log_to_stderr;
use super::test::{client_of, push, said_of, start};
use super::{files, text};

/// Load a component into a host of its own that is gone afterwards, and tell what that host sees.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The component, a *.wasm file.
    pub component: PathBuf,
    /// The settings of the host that it is meant for [default: those of a new host].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON, as a host answers it.
    #[arg(long)]
    pub json: bool,
}

pub(crate) async fn run(command: &Check) -> Result<Exit, Failure> {
    log_to_stderr("error")?;
    let host = start(command.config.as_deref()).await?;
    let client = client_of(&host)?;
    let said = say_of(command, &client).await;
    host.stop().await;
    said.map(|()| Exit::Done)
}

async fn say_of(command: &Check, client: &Client) -> Result<(), Failure> {
    let pushed = push(client, &command.component).await?;
    let id = pushed["id"].as_str().unwrap_or_default();
    let view = client
        .call(client.request(Method::GET, &["v1", "task-types", id]))
        .await?;
    if command.json {
        say!("{}", text::json(&view));
        return Ok(());
    }
    said_of(&pushed);
    let version = &view["versions"][0];
    let bytes = version["bytes"].as_u64().unwrap_or(0);
    say!("  size       {}", text::bytes(bytes));
    for key in [
        "title",
        "stream",
        "limits",
        "collections",
        "wanted",
        "granted",
        "retry",
        "concurrency",
    ] {
        let value = Some(&view[key]).filter(|value| !value.is_null());
        if let Some(value) = value {
            say!("  {key:<10} {}", plain(value));
        }
    }
    imports(command)
}

/// What it needs of the contract, read from the file.
fn imports(command: &Check) -> Result<(), Failure> {
    let bytes = files::read(&command.component, COMPONENT_BYTES_MAX).map_err(Failure::wrong_use)?;
    let imports = taskhost_runtime::imports(&bytes).map_err(Failure::failed)?;
    say!("  imports    {}", imports.join(", "));
    Ok(())
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| text::json(value), text::shown)
}
