//! `taskhost submit FILE`: schedules each line of a file as a task.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::text;

/// Lines of one request, well below what the host takes: what it refuses is seen early.
const LINES: u64 = 5_000;
/// And so many bytes of them, unless one line has more.
const BYTES: usize = 8 * 1024 * 1024;
/// A longer line is not even sent.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Refused lines that are listed.
const LISTED_MAX: u64 = 20;

/// Schedule many tasks.
#[derive(Debug, clap::Args)]
pub struct Submit {
    /// The file; `-` is standard input. Each line is one task, as JSON: `{"type": "hello",
    /// "params": {"name": "you"}}`, with an `id` where the task is to have one of its own.
    pub file: PathBuf,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// What became of the lines so far.
#[derive(Debug, Default)]
struct Submitted {
    accepted: u64,
    refused: u64,
}

pub(crate) async fn run(command: &Submit) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    let mut source = opened(&command.file)?;
    let (mut submitted, mut before) = (Submitted::default(), 0);
    loop {
        let (body, lines) = next_lines(&mut *source, &command.file)?;
        if lines == 0 {
            break;
        }
        let request = client
            .in_space(Method::POST, &["tasks", "bulk"])
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(body);
        let answer = client.call(request).await?;
        submitted.add(&answer, before, command.target.json);
        before += lines;
    }
    let Submitted { accepted, refused } = submitted;
    if command.target.json {
        say!("{}", json!({"accepted": accepted, "refused": refused}));
    } else {
        say!("{accepted} tasks accepted, {refused} lines refused");
    }
    Ok(if refused == 0 {
        Exit::Done
    } else {
        Exit::Failed
    })
}

impl Submitted {
    /// Adds what came of a request, before whose lines there were so many.
    fn add(&mut self, answer: &Value, before: u64, json: bool) {
        self.accepted += answer["accepted"].as_u64().unwrap_or_default();
        for result in answer["results"].as_array().into_iter().flatten() {
            let line = before + result["line"].as_u64().unwrap_or_default();
            if json {
                let mut result = result.clone();
                result["line"] = json!(line);
                say!("{}", text::json(&result));
            }
            let Some(problem) = result.get("problem") else {
                continue;
            };
            self.refused += 1;
            if !json && self.refused <= LISTED_MAX {
                let detail = problem["detail"].as_str().map(text::shown);
                eprintln!("line {line}: {}", detail.unwrap_or_default());
            }
        }
    }
}

fn opened(file: &Path) -> Result<Box<dyn BufRead + Send>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let opened = std::fs::File::open(file).map_err(|error| unread(file, &error))?;
    Ok(Box::new(BufReader::new(opened)))
}

/// The lines of the next request, and how many they are.
fn next_lines(source: &mut dyn BufRead, file: &Path) -> Result<(Vec<u8>, u64), Failure> {
    let (mut body, mut lines) = (Vec::new(), 0);
    while lines < LINES && body.len() < BYTES {
        let mut line = source.take(LINE_BYTES_MAX);
        let read = line.read_until(b'\n', &mut body);
        let read = read.map_err(|error| unread(file, &error))? as u64;
        if read == 0 {
            break;
        }
        lines += 1;
        if body.last() != Some(&b'\n') {
            if read == LINE_BYTES_MAX {
                let message = format!("{}: a line is longer than 64 MiB", file.display());
                return Err(Failure::wrong_use(message));
            }
            body.push(b'\n');
        }
    }
    Ok((body, lines))
}

fn unread(file: &Path, error: &std::io::Error) -> Failure {
    Failure::wrong_use(format!("{} cannot be read: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_whole_lines_and_not_too_many() {
        let text = "{}\n".repeat(7_000) + "{\"last\":1}";
        let mut source = text.as_bytes();
        let (body, lines) = next_lines(&mut source, Path::new("x")).unwrap();
        assert_eq!((body.len(), lines), (15_000, 5_000));
        let (body, lines) = next_lines(&mut source, Path::new("x")).unwrap();
        assert_eq!(lines, 2_001);
        assert!(body.ends_with(b"{}\n{\"last\":1}\n"));
        assert_eq!(next_lines(&mut source, Path::new("x")).unwrap().1, 0);
    }
}
