//! `taskhost ingest STREAM FILE`: makes the stream and sends it the file's lines.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use taskhost_model::ids::StreamName;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::batches::{Batch, Batches, Format, LINE_BYTES_MAX};
use super::client::{Client, Target};
use super::failure::{Exit, Failure};
use super::files;
use super::progress::Progress;
use super::text;

/// A body has so many bytes, well below what the host takes: progress stays visible.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Lines of a slow pipe are sent after so long, however few they are.
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// Lines that are read ahead, and bytes of them.
const AHEAD: usize = 10_000;
const AHEAD_BYTES: usize = 2 * LINE_BYTES_MAX;
/// Rejected lines that are listed.
const LISTED_MAX: usize = 20;

/// Send the lines of a file to a stream, which is made when it does not exist.
#[derive(Debug, clap::Args)]
pub struct Ingest {
    /// The stream.
    pub stream: StreamName,
    /// The file; `-` is standard input.
    pub file: PathBuf,
    /// How lines are read [default: NDJSON when the first line is a JSON object].
    #[arg(long)]
    pub format: Option<Format>,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// What became of the lines.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ingested {
    pub(crate) accepted: u64,
    pub(crate) rejected: Vec<RejectedLine>,
    #[serde(default)]
    pub(crate) more_rejected: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RejectedLine {
    pub(crate) line: u64,
    pub(crate) reason: String,
}

impl Ingested {
    fn rejected_count(&self) -> u64 {
        self.rejected.len() as u64 + self.more_rejected
    }

    /// Adds what came of a batch whose lines begin at `first_line` of the file.
    fn add(&mut self, batch: Self, first_line: u64) {
        self.accepted += batch.accepted;
        self.more_rejected += batch.more_rejected;
        let moved = |line: RejectedLine| RejectedLine {
            line: line.line + first_line - 1,
            reason: line.reason,
        };
        self.rejected.extend(batch.rejected.into_iter().map(moved));
    }
}

pub(crate) async fn run(command: &Ingest) -> Result<Exit, Failure> {
    let client = Client::new(&command.target)?;
    let json = command.target.json;
    let ingested = ingest(
        &client,
        &command.stream,
        &command.file,
        command.format,
        json,
    )
    .await?;
    if json {
        let answer = json!({"stream": command.stream, "accepted": ingested.accepted,
            "rejected": ingested.rejected, "more_rejected": ingested.more_rejected});
        say!("{}", text::json(&answer));
    } else {
        say!(
            "stream {}: {} documents accepted, {} rejected",
            command.stream,
            ingested.accepted,
            ingested.rejected_count()
        );
    }
    for line in ingested.rejected.iter().take(LISTED_MAX).filter(|_| !json) {
        eprintln!("line {}: {}", line.line, text::shown(&line.reason));
    }
    let unlisted = ingested.rejected_count().saturating_sub(LISTED_MAX as u64);
    if unlisted > 0 && !json {
        eprintln!("… and {unlisted} more");
    }
    Ok(if ingested.rejected_count() == 0 {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// Makes the stream when it does not exist, and sends it the file.
pub(crate) async fn ingest(
    client: &Client,
    stream: &StreamName,
    file: &Path,
    format: Option<Format>,
    json: bool,
) -> Result<Ingested, Failure> {
    let source = open(file)?;
    make_stream(client, stream).await?;
    let progress = Progress::of_bytes(json, source.bytes);
    let mut lines = read_lines(source.reader);
    let mut batches = Batches::new(format, BATCH_BYTES);
    let (mut ingested, mut bytes) = (Ingested::default(), 0);
    loop {
        let batch = match tokio::time::timeout(FLUSH_AFTER, lines.recv()).await {
            Ok(Some(Ok((Line::Whole(line), _room)))) => {
                bytes += line.len() as u64 + 1;
                batches.take(&line)
            }
            Ok(Some(Ok((Line::TooLong(length), _room)))) => {
                bytes += length + 1;
                batches.skip(length)
            }
            Ok(Some(Err(error))) => {
                let message = format!("{} cannot be read on: {error}", files::shown(file));
                return Err(Failure::failed(message));
            }
            Ok(None) => break,
            Err(_) => batches.finish(),
        };
        if let Some(batch) = batch {
            send(client, stream, batch, &mut ingested).await?;
            progress.move_to(bytes);
        }
    }
    if let Some(batch) = batches.finish() {
        send(client, stream, batch, &mut ingested).await?;
    }
    progress.finish();
    ingested
        .rejected
        .extend(batches.too_long().into_iter().map(too_long));
    ingested.rejected.sort_by_key(|rejected| rejected.line);
    Ok(ingested)
}

async fn send(
    client: &Client,
    stream: &StreamName,
    batch: Batch,
    ingested: &mut Ingested,
) -> Result<(), Failure> {
    let request = client.in_space(Method::POST, &["streams", stream.as_str(), "documents"]);
    let request = request
        .header("content-type", "application/x-ndjson")
        .body(batch.body);
    let sent = client.call(request).await.and_then(|answer| {
        serde_json::from_value::<Ingested>(answer)
            .map_err(|error| Failure::failed(format!("the host's answer is not clear: {error}")))
    });
    match sent {
        Ok(answer) => ingested.add(answer, batch.first_line),
        Err(failure) if ingested.accepted > 0 => {
            let message = format!(
                "{}\n{} documents before line {} are in the stream.",
                failure.message, ingested.accepted, batch.first_line
            );
            return Err(Failure::new(failure.exit, message));
        }
        Err(failure) => return Err(failure),
    }
    Ok(())
}

/// A stream that exists keeps its settings.
async fn make_stream(client: &Client, stream: &StreamName) -> Result<Value, Failure> {
    let path = ["streams", stream.as_str()];
    let (status, answer) = client.answer(client.in_space(Method::GET, &path)).await?;
    match status {
        StatusCode::NOT_FOUND => client.call(client.in_space(Method::PUT, &path)).await,
        status if status.is_success() => Ok(answer),
        _ => Err(Failure::of_problem(&answer)),
    }
}

struct Source {
    reader: Box<dyn BufRead + Send>,
    bytes: Option<u64>,
}

fn open(file: &Path) -> Result<Source, Failure> {
    if file == Path::new("-") {
        let reader = Box::new(BufReader::new(std::io::stdin()));
        return Ok(Source {
            reader,
            bytes: None,
        });
    }
    let opened = files::open(file).map_err(Failure::wrong_use)?;
    let metadata = opened.metadata().ok();
    let bytes = metadata.and_then(|it| it.is_file().then_some(it.len()));
    Ok(Source {
        reader: Box::new(BufReader::with_capacity(1 << 20, opened)),
        bytes,
    })
}

/// A line of the file, without its end.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Whole(Vec<u8>),
    /// It has so many bytes, of which none are kept.
    TooLong(u64),
}

fn too_long((line, length): (u64, u64)) -> RejectedLine {
    let reason = format!("has {length} bytes, at most {LINE_BYTES_MAX} are sent");
    RejectedLine { line, reason }
}

/// A line, and its share of what may be read ahead.
type Ahead = (Line, OwnedSemaphorePermit);

/// Reads lines on a thread of their own: a pipe may be slow.
fn read_lines(mut reader: Box<dyn BufRead + Send>) -> mpsc::Receiver<std::io::Result<Ahead>> {
    let (send, lines) = mpsc::channel(AHEAD);
    let (room, here) = (Arc::new(Semaphore::new(AHEAD_BYTES)), Handle::current());
    std::thread::spawn(move || {
        while let Some(line) = read_line(&mut reader, LINE_BYTES_MAX).transpose() {
            let bytes = match &line {
                Ok(Line::Whole(line)) => line.len() as u32,
                Ok(Line::TooLong(_)) | Err(_) => 0,
            };
            let Ok(share) = here.block_on(Arc::clone(&room).acquire_many_owned(bytes)) else {
                return;
            };
            let is_broken = line.is_err();
            let sent = send.blocking_send(line.map(|line| (line, share)));
            if sent.is_err() || is_broken {
                return;
            }
        }
    });
    lines
}

/// Reads a line; none at the end of the file.
fn read_line(reader: &mut dyn BufRead, bytes_max: usize) -> std::io::Result<Option<Line>> {
    use std::io::Read;
    let mut line = Vec::new();
    let mut length = 0;
    loop {
        let mut limited = Read::take(&mut *reader, bytes_max as u64 + 1);
        let read = limited.read_until(b'\n', &mut line)? as u64;
        let has_ended = line.pop_if(|last| *last == b'\n').is_some();
        length += read - u64::from(has_ended);
        if read == 0 && length == 0 {
            return Ok(None);
        }
        if has_ended || read == 0 || length <= bytes_max as u64 {
            let is_whole = length <= bytes_max as u64;
            return Ok(Some(if is_whole {
                Line::Whole(line)
            } else {
                Line::TooLong(length)
            }));
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_and_without_a_last_end() {
        let mut reader = std::io::Cursor::new("a\n\nabcdef\nabc\nabcd\nab");
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut reader, 3).unwrap() {
            lines.push(line);
        }
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        let expected = [
            whole("a"),
            whole(""),
            Line::TooLong(6),
            whole("abc"),
            Line::TooLong(4),
            whole("ab"),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn rejected_lines_are_told_in_the_numbers_of_the_file() {
        let rejected = |line| {
            vec![RejectedLine {
                line,
                reason: String::new(),
            }]
        };
        let mut all = Ingested::default();
        all.add(
            Ingested {
                accepted: 2,
                rejected: rejected(1),
                more_rejected: 0,
            },
            1,
        );
        all.add(
            Ingested {
                accepted: 3,
                rejected: rejected(2),
                more_rejected: 4,
            },
            101,
        );
        let lines: Vec<u64> = all.rejected.iter().map(|line| line.line).collect();
        assert_eq!(
            (all.accepted, lines, all.rejected_count()),
            (5, vec![1, 102], 6)
        );
    }
}
