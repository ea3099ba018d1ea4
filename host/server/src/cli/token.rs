//! `taskhost token`: makes, lists and revokes tokens, over HTTP as an admin; or, on a folder that
//! no host uses now, as its owner, who may have lost the last admin's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Map, Value, json};
use taskhost_model::ids::Space;
use taskhost_model::rights::{Rights, Role, names_streams};
use taskhost_model::time::{Clock, Timestamp};
use taskhost_model::token::is_name;

use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::table::{Medium, table};
use super::text;
use crate::first_token;

/// What there is to do with tokens.
#[derive(Debug, clap::Subcommand)]
pub enum Token {
    /// Make a token. It is printed once, alone, and kept nowhere else.
    Create(Create),
    /// List tokens, without their secrets.
    List(List),
    /// Revoke a token: it counts at once, also for what it watches and for runs that have not
    /// begun.
    Revoke(Revoke),
}

/// Make a token.
#[derive(Debug, clap::Args)]
pub struct Create {
    #[command(flatten)]
    target: Target,
    /// Whose it is to be, as in `requested_by`.
    name: String,
    /// What they may do: viewer, operator or admin.
    #[arg(long, value_parser = role)]
    role: Role,
    /// In this space; may be given several times.
    #[arg(
        long = "in",
        value_name = "SPACE",
        required_unless_present = "everywhere"
    )]
    spaces: Vec<Space>,
    /// In every space; an admin everywhere manages task types and tokens.
    #[arg(long, conflicts_with = "spaces")]
    everywhere: bool,
    /// A stream that they may read, or the beginning of names with a `*` behind; may be given
    /// several times. All streams of their spaces where it is left out.
    #[arg(long = "stream", value_name = "NAME")]
    streams: Vec<String>,
    /// It ends by itself after so long: 12h, 30d.
    #[arg(long, value_name = "TIME", value_parser = span)]
    expires_in: Option<Duration>,
    /// Make it in this data folder, which no host may use meanwhile: for its owner, who has lost
    /// the last admin's token.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

/// List tokens.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    target: Target,
}

/// Revoke a token.
#[derive(Debug, clap::Args)]
pub struct Revoke {
    #[command(flatten)]
    target: Target,
    /// Its id, as `taskhost token list` shows it. Never the token itself.
    id: String,
}

pub(crate) async fn run(command: &Token) -> Result<Exit, Failure> {
    match command {
        Token::Create(command) => match &command.data {
            Some(folder) => create_in(command, folder).await,
            None => create(command).await,
        },
        Token::List(command) => list(command).await,
        Token::Revoke(command) => revoke(command).await,
    }
}

async fn create(command: &Create) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    let mut roles = Map::new();
    if command.everywhere {
        roles.insert("*".to_owned(), json!(command.role));
    }
    for space in &command.spaces {
        roles.insert(space.to_string(), json!(command.role));
    }
    let mut wanted = json!({ "name": command.name, "roles": roles });
    if !command.streams.is_empty() {
        wanted["streams"] = json!(command.streams);
    }
    if let Some(at) = command.expires_at() {
        wanted["expires_at"] = json!(at);
    }
    let request = client
        .request(Method::POST, &["v1", "tokens"])
        .json(&wanted);
    let created = client.call(request).await?;
    if command.target.json {
        say!("{}", text::json(&created));
        return Ok(Exit::Done);
    }
    told(
        created["id"].as_str().unwrap_or_default(),
        created["token"].as_str().unwrap_or_default(),
    );
    Ok(Exit::Done)
}

async fn create_in(command: &Create, folder: &Path) -> Result<Exit, Failure> {
    let wrong = |why: String| Err(Failure::wrong_use(why));
    if !is_name(&command.name) {
        return wrong("a name has letters, digits and `. _ @ + -`, 64 at most".to_owned());
    }
    if let Some(stream) = command.streams.iter().find(|text| !names_streams(text)) {
        return wrong(format!("--stream {stream} names no streams"));
    }
    if !folder.join("tasks.sqlite").is_file() {
        return wrong(format!(
            "{} is no data folder of a host that has been started",
            folder.display()
        ));
    }
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    let stores = first_token::opened(folder)
        .await
        .map_err(|error| failed(&error))?;
    let people = stores.people.as_ref();
    let tokens = people.and_then(|people| people.tokens.as_ref());
    let tokens = tokens.ok_or_else(|| Failure::failed("there are no tokens in this store"))?;
    let (name, rights) = (&command.name, command.rights());
    let made = first_token::create(
        &stores,
        &**tokens,
        &Clock::System,
        name,
        rights,
        command.expires_at(),
    );
    let made = made.await;
    stores.close().await;
    let created = made.map_err(|error| failed(&error))?;
    told(created.token.id.as_str(), &created.secret);
    Ok(Exit::Done)
}

/// The token alone goes to standard output, so that it can go on into a file.
fn told(id: &str, token: &str) {
    eprintln!(
        "The token {} follows; it is shown this once. Keep it in a file of its owner's alone, or \
         in TASKHOST_TOKEN.",
        text::shown(id)
    );
    say!("{}", text::shown(token));
}

async fn list(command: &List) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    let request = client.request(Method::GET, &["v1", "tokens"]);
    let answer = client.call(request).await?;
    if command.target.json {
        say!("{}", text::json(&answer));
        return Ok(Exit::Done);
    }
    let tokens = answer["tokens"].as_array().cloned().unwrap_or_default();
    let now = Clock::System.now();
    let rows: Vec<Vec<String>> = tokens.iter().map(|token| row(token, now)).collect();
    let header = ["id", "name", "roles", "streams", "created", "state"];
    say!("{}", table(Medium::of_stdout(), &header, &rows));
    Ok(Exit::Done)
}

fn row(token: &Value, now: Timestamp) -> Vec<String> {
    let text = |key: &str| token[key].as_str().unwrap_or_default().to_owned();
    let roles = token["roles"].as_object().into_iter().flatten();
    let roles = roles.map(|(space, role)| format!("{space}: {}", role.as_str().unwrap_or("?")));
    let streams = token["streams"].as_array().into_iter().flatten();
    let streams: Vec<&str> = streams.filter_map(Value::as_str).collect();
    let expires = token["expires_at"].as_str();
    let is_over = expires.is_some_and(|at| Timestamp::parse(at).is_ok_and(|at| at <= now));
    let state = match (token["revoked_at"].as_str(), expires) {
        (Some(at), _) => format!("revoked {at} by {}", text("revoked_by")),
        (None, Some(at)) if is_over => format!("expired {at}"),
        (None, Some(at)) => format!("until {at}"),
        (None, None) => "accepted".to_owned(),
    };
    vec![
        text("id"),
        text("name"),
        roles.collect::<Vec<_>>().join(", "),
        streams.join(", "),
        format!("{} by {}", text("created_at"), text("created_by")),
        state,
    ]
}

async fn revoke(command: &Revoke) -> Result<Exit, Failure> {
    if command.id.starts_with("tkh_") {
        return Err(Failure::wrong_use(
            "name the token by its id, and never put a token itself into an argument, which others \
             on the machine can see: revoke it now, by the digits between its first two `_`",
        ));
    }
    let client = Client::new(&command.target)?;
    let request = client.request(Method::DELETE, &["v1", "tokens", &command.id]);
    let revoked = client.call(request).await?;
    if command.target.json {
        say!("{}", text::json(&revoked));
        return Ok(Exit::Done);
    }
    say!("revoked {}", text::shown(&command.id));
    if revoked["admins_left"].as_u64() == Some(0) {
        eprintln!(
            "warning: no token of an admin is left: stop the host, and make one with `taskhost \
             token create NAME --role admin --everywhere --data FOLDER`"
        );
    }
    Ok(Exit::Done)
}

impl Create {
    fn expires_at(&self) -> Option<Timestamp> {
        self.expires_in.map(|time| Clock::System.now().plus(time))
    }

    fn rights(&self) -> Rights {
        let streams = match self.streams.is_empty() {
            true => vec!["*".to_owned()],
            false => self.streams.clone(),
        };
        Rights {
            everywhere: self.everywhere.then_some(self.role),
            spaces: self
                .spaces
                .iter()
                .map(|space| (space.clone(), self.role))
                .collect(),
            streams,
        }
    }
}

fn role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.into_iter().find(|role| role.name() == text);
    found.ok_or_else(|| "it is one of viewer, operator and admin".to_owned())
}

fn span(text: &str) -> Result<Duration, String> {
    let wanted = || "it is a number with s, m, h or d, such as 12h or 30d".to_owned();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .ok_or_else(wanted)?;
    let number: u64 = text[..end].parse().map_err(|_| wanted())?;
    let unit_s: u64 = match &text[end..] {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wanted()),
    };
    let seconds = number.checked_mul(unit_s).filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read() {
        assert_eq!(span("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        for bad in ["", "0d", "d", "30", "-1d", "1w", "99999999999999999999d"] {
            assert!(span(bad).is_err(), "{bad}");
        }
        assert_eq!(role("operator"), Ok(Role::Operator));
        assert!(role("root").is_err());
    }
}
