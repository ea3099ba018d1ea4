//! What each stream tells by itself: its significant events, counted.

use schemars::JsonSchema;
use serde::Serialize;
use stream_reading::event::{EventQuery, Ground};
use stream_reading::feature::Feature;
use stream_reading::propose::from_signs;
use stream_reading::range::Range;
use taskhost_sdk::{Clients, Condition, Error};

/// Significant events of one stream at most.
const EVENTS_MAX: usize = 5;
/// Why a stream cannot be read, which says nothing of the others.
const OF_ONE_STREAM: [&str; 2] = ["denied", "not-found"];

/// A stream that was looked at.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Looked {
    /// Its name.
    pub(crate) name: String,
    /// How many documents it has in the range.
    pub(crate) documents: u64,
    /// How many kinds of significant events were found.
    pub(crate) events: u64,
    /// Why it could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

/// A kind of significant events in one stream.
#[derive(Debug, Clone)]
pub(crate) struct StreamEvent {
    /// What a model cites it by: `e1`.
    pub(crate) id: String,
    /// The stream.
    pub(crate) stream: String,
    /// What selects it, with counts.
    pub(crate) query: EventQuery,
}

/// Looks at each stream, and answers with the events of all.
///
/// # Errors
/// What ends the run; what is wrong with one stream does not, unless all have something wrong.
pub(crate) fn looked_at(
    names: &[String],
    range: Range,
    (size, seed): (u32, u64),
    clients: &Clients,
) -> Result<(Vec<Looked>, Vec<StreamEvent>), Error> {
    let total = names.len() as u64;
    let (mut looked, mut events) = (Vec::new(), Vec::new());
    let mut last_error = None;
    for (done, name) in (0..).zip(names) {
        clients.progress.report(done, Some(total), name)?;
        let stream = clients.streams.named(name);
        let whole = Feature {
            uuid: None,
            name: name.clone(),
            filter: Condition::always(),
            description: String::new(),
        };
        let found = Ground::look(whole, (&stream, range), (size, seed), clients);
        let found = found.and_then(|mut ground| {
            // Of a whole stream, rare lines are too many to say something.
            ground.signs.retain(|sign| sign.is_word);
            let queries = from_signs(&ground, EVENTS_MAX, &stream, range)?;
            Ok((ground.of, queries))
        });
        match found {
            Ok((documents, queries)) => {
                looked.push(Looked {
                    name: name.clone(),
                    documents,
                    events: queries.len() as u64,
                    problem: None,
                });
                for query in queries {
                    let id = format!("e{}", events.len() + 1);
                    let stream = name.clone();
                    events.push(StreamEvent { id, stream, query });
                }
            }
            Err(error) if OF_ONE_STREAM.contains(&error.code()) => {
                looked.push(Looked {
                    name: name.clone(),
                    documents: 0,
                    events: 0,
                    problem: Some(error.message().to_owned()),
                });
                last_error = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    match last_error {
        Some(error) if looked.iter().all(|it| it.problem.is_some()) => Err(error),
        _ => Ok((looked, events)),
    }
}
