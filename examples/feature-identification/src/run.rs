//! The task: samples the stream, runs the algorithm, counts, saves.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use taskhost_sdk::{Change, Clients, Collection, Descriptor, Error, Query, Stream, Task};

use crate::feature::{Feature, Params, Payload, SAMPLE_SIZE_DEFAULT};
use crate::identify::{Found, identify};
use crate::moment::rfc3339;
use crate::reconcile::{Times, reconcile};
use crate::watch::{Stopped, Watch};

/// The collection that features are saved in.
const COLLECTION: &str = "features";
/// The space's own prompts, in place of those that come with this type.
const PROMPTS: &str = "prompts";
/// A feature that is not found again is forgotten after this, in milliseconds.
const KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// Documents take several times their size while they are looked at; the run has 128 MiB.
const SAMPLE_BYTES_MAX: u64 = 12 << 20;
/// The fewest documents that say anything.
const SAMPLE_SIZE_MIN: u32 = 10;
/// Changes of the collection in one call.
const CHANGES_MAX: usize = 500;
/// Documents that are read between two looks at whether the run shall stop.
const BEAT_DOCUMENTS: usize = 256;
/// How often the host is asked, while computing, whether the run shall stop.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// Finds the systems that write into a stream.
#[derive(Debug)]
pub struct FeatureIdentification;

impl Task for FeatureIdentification {
    type Params = Params;
    type Result = Payload;

    fn descriptor() -> Descriptor {
        Descriptor::new("streams_feature_identification", "1.0.0")
            .title("Find the systems that write into a stream")
            .description(
                "Looks at a random sample of a stream's documents and finds out which systems \
                 wrote them: machines, applications, programs. Each is saved as a feature with a \
                 name, a filter that selects its documents, and the lines that speak for it. \
                 No system has to be known beforehand.",
            )
            .stream_required()
            .collection(COLLECTION)
            .space_collection(PROMPTS)
            .any_model()
            .memory_mib(128)
            .cpu_ms(60_000)
            .wall_s(600)
            .output_kib(2_048)
            .attempts(3)
            .grace_ms(2_000)
    }

    fn run(params: Params, clients: &Clients) -> Result<Payload, Error> {
        let began = Instant::now();
        check(&params)?;
        let stream = clients.streams.own()?;
        clients.progress.phase("sample")?;
        let documents = sample(&params, &stream, clients)?;
        let mut watch = Asking::new(clients);
        let outcome = match identify(&documents, &mut watch) {
            Ok(outcome) => outcome,
            Err(Stopped) => return Err(watch.reason()),
        };
        let counts = count(&params, &stream, clients, &outcome.found)?;
        let collection = clients.documents.collection::<Value>(COLLECTION)?;
        let stored = collection.all(None)?;
        let now_ms = now_ms();
        let times = Times {
            last_seen: rfc3339(now_ms),
            expires_at: rfc3339(now_ms + KEPT_MS),
        };
        // What another version of this type has left and this one cannot read stays as it is.
        let known = stored
            .into_iter()
            .filter_map(|one| serde_json::from_value(one.body).ok());
        let known: Vec<Feature> = known.collect();
        let (expired, kept): (Vec<Feature>, Vec<Feature>) = known
            .into_iter()
            .partition(|one| one.expires_at <= times.last_seen);
        let features = reconcile(
            &outcome.found,
            &counts,
            &kept,
            &documents,
            &times,
            &mut watch,
        )
        .map_err(|Stopped| watch.reason())?;
        clients.progress.phase("save")?;
        save(&collection, &features, &expired)?;
        Ok(Payload {
            features,
            documents_sampled: documents.len() as u64,
            unmatched: outcome.unmatched as u64,
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }
}

fn check(params: &Params) -> Result<(), Error> {
    if params.start >= params.end {
        return Err(Error::invalid_field("end", "has to be after `start`"));
    }
    match params.sample_size {
        Some(size) if !(SAMPLE_SIZE_MIN..=SAMPLE_SIZE_DEFAULT).contains(&size) => {
            let problem = format!("has to be from {SAMPLE_SIZE_MIN} to {SAMPLE_SIZE_DEFAULT}");
            Err(Error::invalid_field("sample_size", problem))
        }
        _ => Ok(()),
    }
}

fn sample(params: &Params, stream: &Stream, clients: &Clients) -> Result<Vec<Value>, Error> {
    let query = Query::new(params.start, params.end)
        .size(params.sample_size.unwrap_or(SAMPLE_SIZE_DEFAULT))
        .seed(params.seed.unwrap_or(0))
        .max_bytes(SAMPLE_BYTES_MAX);
    let batch = stream.sample(&query)?;
    if batch.truncated || batch.left_out > 0 {
        taskhost_sdk::info!(
            "the sample has {} documents: a limit of bytes cut it, {} were too large",
            batch.documents.len(),
            batch.left_out
        );
    }
    let mut documents = Vec::with_capacity(batch.documents.len());
    // One by one, so that a text is gone before the next is read.
    for (index, text) in batch.documents.into_iter().enumerate() {
        if index % BEAT_DOCUMENTS == 0 {
            clients.progress.heartbeat()?;
        }
        documents.push(serde_json::from_str(&text).map_err(|error| {
            let message = format!("a sampled document is no JSON: {error}");
            Error::failed("unexpected-answer", message)
        })?);
    }
    Ok(documents)
}

/// How many documents of the whole range each filter selects.
fn count(
    params: &Params,
    stream: &Stream,
    clients: &Clients,
    found: &[Found],
) -> Result<Vec<u64>, Error> {
    clients.progress.phase("count over range")?;
    let total = found.len() as u64;
    let mut counts = Vec::with_capacity(found.len());
    for (done, one) in (0..).zip(found) {
        clients
            .progress
            .report(done, Some(total), &one.story.name)?;
        let query = Query::new(params.start, params.end).matching(one.filter.clone());
        counts.push(stream.count(&query)?.value);
    }
    Ok(counts)
}

/// Saves what was found and drops what has expired.
fn save(
    collection: &Collection<Value>,
    features: &[Feature],
    expired: &[Feature],
) -> Result<(), Error> {
    let mut changes = Vec::new();
    for one in features {
        let body = serde_json::to_value(one).map_err(|error| {
            Error::failed(
                "internal",
                format!("the feature `{}` is no JSON: {error}", one.id),
            )
        })?;
        changes.push(Change::put(one.uuid.as_str(), body));
    }
    let reused = |one: &&Feature| !features.iter().any(|new| new.uuid == one.uuid);
    let deletes = expired
        .iter()
        .filter(reused)
        .map(|one| Change::delete(one.uuid.as_str()));
    changes.extend(deletes);
    for part in changes.chunks(CHANGES_MAX) {
        for answer in collection.apply(part)? {
            match answer {
                // Somebody else deleted it first.
                Err(error) if error.code() == "not-found" => {}
                answer => drop(answer?),
            }
        }
    }
    Ok(())
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Passes progress on to the host, and the host's wish to stop back.
struct Asking<'c> {
    clients: &'c Clients,
    asked: Instant,
    total: usize,
    name: &'static str,
    error: Option<Error>,
}

impl<'c> Asking<'c> {
    fn new(clients: &'c Clients) -> Self {
        Self {
            clients,
            asked: Instant::now(),
            total: 0,
            name: "",
            error: None,
        }
    }

    /// Why the host stopped the algorithm.
    fn reason(self) -> Error {
        self.error
            .unwrap_or_else(|| Error::failed("canceled", "the run is asked to stop"))
    }

    fn told(&mut self, answer: Result<(), Error>) -> Result<(), Stopped> {
        self.asked = Instant::now();
        answer.map_err(|error| {
            self.error = Some(error);
            Stopped
        })
    }
}

impl Watch for Asking<'_> {
    fn phase(&mut self, name: &'static str, total: usize) -> Result<(), Stopped> {
        self.name = name;
        self.total = total;
        let answer = self.clients.progress.phase(name);
        self.told(answer)
    }

    fn step(&mut self, done: usize) -> Result<(), Stopped> {
        if self.asked.elapsed() < ASK_EVERY {
            return Ok(());
        }
        let total = (self.total > 0).then_some(self.total as u64);
        let done = done.min(self.total) as u64;
        let answer = self.clients.progress.report(done, total, self.name);
        self.told(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_that_make_no_sense_name_their_field() {
        let params = |start, end, sample_size| Params {
            start,
            end,
            sample_size,
            seed: None,
            connector: None,
        };
        assert!(check(&params(1, 2, None)).is_ok());
        for (wrong, field) in [
            (params(2, 2, None), "end"),
            (params(3, 2, Some(100)), "end"),
            (params(1, 2, Some(9)), "sample_size"),
            (params(1, 2, Some(10_001)), "sample_size"),
        ] {
            let error = check(&wrong).unwrap_err();
            assert_eq!(error.code(), "invalid");
            assert_eq!(error.details().unwrap()["errors"][0]["field"], field);
        }
    }

    #[test]
    fn the_descriptor_keeps_to_the_budget() {
        let descriptor = FeatureIdentification::descriptor().to_json();
        assert_eq!(descriptor["id"], "streams_feature_identification");
        assert_eq!(descriptor["limits"]["memory_mib"], 128);
        assert_eq!(descriptor["stream"], "required");
    }
}
