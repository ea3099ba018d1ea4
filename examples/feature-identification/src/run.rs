//! The task: samples the stream, runs the algorithm, saves, and has a language model improve on
//! what was found where one is given; what there is by then is saved after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::Value;
use stream_reading::asking::Connector;
use stream_reading::moment::{now_ms, rfc3339};
use taskhost_sdk::{Clients, Condition, Descriptor, Error, Query, Stream, Task};

use crate::asking::Asking;
use crate::computed::Computing;
use crate::feature::{Feature, Params, Payload, SAMPLE_SIZE_DEFAULT};
use crate::ground::Ground;
use crate::identify::{Found, identify};
use crate::prompts::{self, Prompts, excluded_names};
use crate::reconcile::{Times, reconcile};
use crate::shelf::{COLLECTION, Mine, Shelf};
use crate::talk::{Ended, Talk, talk};
use crate::watch::Stopped;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// A feature that is not found again is forgotten after this.
const KEEP_DAYS_DEFAULT: u32 = 7;
const KEEP_DAYS_MAX: u32 = 365;
/// Documents take several times their size while they are looked at; the run has 128 MiB.
const SAMPLE_BYTES_MAX: u64 = 12 << 20;
/// The fewest documents that say anything.
const SAMPLE_SIZE_MIN: u32 = 10;
/// Documents that are read between two looks at whether the run shall stop.
const BEAT_DOCUMENTS: usize = 256;
/// The checkpoints, and their forms: what a model has said, and what there was before the run.
const TALK: &str = "talk";
const TALK_FORM: u32 = 1;
const BEFORE: &str = "before";
const BEFORE_FORM: u32 = 1;

/// Finds the systems that write into a stream.
#[derive(Debug)]
pub struct FeatureIdentification;

impl Task for FeatureIdentification {
    type Params = Params;
    type Result = Payload;

    fn descriptor() -> Descriptor {
        Descriptor::new("streams_feature_identification", "1.1.0")
            .title("Find the systems that write into a stream")
            .description(
                "Looks at a random sample of a stream's documents and finds out which systems \
                 wrote them: machines, applications, programs. Each is saved as a feature with a \
                 name, a filter that selects its documents, and the lines that speak for it. \
                 No system has to be known beforehand. Where a connector is given, a language \
                 model names and describes them.",
            )
            .stream_required()
            .collection(COLLECTION)
            .space_collection(prompts::COLLECTION)
            .any_model()
            .memory_mib(128)
            .cpu_ms(60_000)
            .wall_s(1_200)
            .output_kib(2_048)
            .tokens(200_000)
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
        let outcome = identify(&documents, &mut watch).map_err(|Stopped| watch.reason())?;
        let mut saving = Saving::begin((&params, &stream, &documents), clients)?;
        let excluded = excluded_names(&saving.shelf.known(&saving.times.last_seen));
        let ground = Ground::new(&documents, &outcome.found, &excluded);
        let mut heard = heard(&params, clients)?;
        let found = heard.applied(&ground, &mut watch);
        let mut found = found.map_err(|Stopped| watch.reason())?;
        let mut features = saving.save(&found)?;
        let computed = saving.compute()?;
        let mut model = None;
        match &params.connector {
            Some(connector) => {
                found = saving.ask(connector, &ground, &mut heard)?;
                model = Some(heard.asked(connector));
                features = saving.save(&found)?;
            }
            None => {
                taskhost_sdk::info!("no connector is given: what is found is arithmetic alone");
            }
        }
        saving.end(&features)?;
        features = saving.shelf.as_of_now(&features)?;
        let is_unmatched = |at: &usize| !found.iter().any(|one| one.matched[*at]);
        Ok(Payload {
            features,
            documents_sampled: documents.len() as u64,
            unmatched: (0..documents.len()).filter(is_unmatched).count() as u64,
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            model,
            computed,
        })
    }
}

fn check(params: &Params) -> Result<(), Error> {
    if params.start >= params.end {
        return Err(Error::invalid_field("end", "has to be after `start`"));
    }
    let bounds = [
        (
            "sample_size",
            params.sample_size,
            SAMPLE_SIZE_MIN,
            SAMPLE_SIZE_DEFAULT,
        ),
        ("keep_days", params.keep_days, 1, KEEP_DAYS_MAX),
    ];
    for (field, given, least, most) in bounds {
        if given.is_some_and(|given| !(least..=most).contains(&given)) {
            let problem = format!("has to be from {least} to {most}");
            return Err(Error::invalid_field(field, problem));
        }
    }
    Ok(())
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

/// What is found comes to the stream's features.
struct Saving<'a> {
    clients: &'a Clients,
    params: &'a Params,
    stream: &'a Stream,
    documents: &'a [Value],
    shelf: Shelf,
    times: Times,
    /// Features that the stream had when the first attempt began.
    before: BTreeSet<String>,
    /// Documents of the whole range, by filters.
    counts: BTreeMap<String, u64>,
}

impl<'a> Saving<'a> {
    fn begin(
        (params, stream, documents): (&'a Params, &'a Stream, &'a [Value]),
        clients: &'a Clients,
    ) -> Result<Self, Error> {
        let now_ms = now_ms();
        let days = params.keep_days.unwrap_or(KEEP_DAYS_DEFAULT);
        let shelf = Shelf::open(clients)?;
        let before = match clients.state.load(BEFORE, BEFORE_FORM)? {
            Some(before) => before,
            None => {
                let before = shelf.uuids();
                clients.state.save(BEFORE, BEFORE_FORM, &before)?;
                before
            }
        };
        Ok(Self {
            clients,
            params,
            stream,
            documents,
            shelf,
            before,
            times: Times {
                last_seen: rfc3339(now_ms),
                expires_at: rfc3339(now_ms + i64::from(days) * DAY_MS),
                run_id: Some(clients.context.run_id()),
            },
            counts: BTreeMap::new(),
        })
    }

    /// Saves the systems as features; answers those that people do not exclude.
    fn save(&mut self, found: &[Found]) -> Result<Vec<Feature>, Error> {
        self.clients.progress.phase("count over range")?;
        let total = found.len() as u64;
        let mut counts = Vec::with_capacity(found.len());
        for (done, one) in (0..).zip(found) {
            let progress = &self.clients.progress;
            progress.report(done, Some(total), &one.story.name)?;
            counts.push(self.count(&one.filter)?);
        }
        let known = self.shelf.known(&self.times.last_seen);
        let mut watch = Asking::new(self.clients);
        let features = reconcile(
            found,
            &counts,
            &known,
            self.documents,
            &self.times,
            &mut watch,
        );
        let mut features = features.map_err(|Stopped| watch.reason())?;
        for feature in &mut features {
            let found = feature.filter.clone();
            self.shelf.keep_edited(feature);
            if feature.filter != found {
                feature.count = self.count(&feature.filter)?;
            }
        }
        self.clients.progress.phase("save")?;
        self.shelf.save(&features)
    }

    /// Leaves in the collection what has not expired, and of this run's what it stands by.
    fn end(&mut self, last: &[Feature]) -> Result<(), Error> {
        let mine = Mine {
            run_id: self.times.run_id.as_deref(),
            before: &self.before,
            last,
        };
        self.shelf.forget(&self.times.last_seen, &mine)
    }

    /// How many documents of the whole range a filter selects.
    fn count(&mut self, filter: &Condition) -> Result<u64, Error> {
        let key = filter.to_json().to_string();
        if let Some(count) = self.counts.get(&key) {
            return Ok(*count);
        }
        let query = Query::new(self.params.start, self.params.end).matching(filter.clone());
        let count = self.stream.count(&query)?.value;
        self.counts.insert(key, count);
        Ok(count)
    }

    /// Saves what is computed of the whole stream; answers its types.
    fn compute(&mut self) -> Result<Vec<String>, Error> {
        self.clients.progress.phase("data set")?;
        let computing = Computing {
            stream: self.stream,
            documents: self.documents,
            range: (self.params.start, self.params.end),
            times: &self.times,
        };
        let features = computing.all(self.clients)?;
        let saved = self.shelf.save(&features)?;
        Ok(saved.into_iter().map(|one| one.kind).collect())
    }

    /// Has a language model improve on what was found.
    fn ask(
        &mut self,
        connector: &str,
        ground: &Ground<'_>,
        heard: &mut Talk,
    ) -> Result<Vec<Found>, Error> {
        let clients = self.clients;
        let prompts = Prompts::of_space(clients)?;
        let mut model = Connector::new(clients, connector);
        let mut watch = Asking::new(clients);
        let name = self.stream.name().to_owned();
        let mut after = |heard: &Talk, found: &[Found]| {
            clients.state.save(TALK, TALK_FORM, heard)?;
            self.save(found).map_err(Ended::By).map(drop)
        };
        let talked = talk(
            (&name, &prompts),
            ground,
            heard,
            &mut model,
            &mut watch,
            &mut after,
        );
        let found = talked.map_err(|ended| watch.reason_of(ended))?;
        if let Some(problem) = &heard.problem {
            taskhost_sdk::warn!(
                "the model `{connector}` was not asked to the end: {problem}. What the arithmetic \
                 has found stands"
            );
        }
        Ok(found)
    }
}

/// What an attempt before this one has heard of a model: it may have ended for a pause, and what
/// was named by then is named from the start.
fn heard(params: &Params, clients: &Clients) -> Result<Talk, Error> {
    let kept = match params.connector {
        Some(_) => clients.state.load::<Talk>(TALK, TALK_FORM)?,
        None => None,
    };
    Ok(kept.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_that_make_no_sense_name_their_field() {
        let params = |start, end, sample_size, keep_days| Params {
            start,
            end,
            sample_size,
            seed: None,
            connector: None,
            keep_days,
        };
        assert!(check(&params(1, 2, None, Some(365))).is_ok());
        for (wrong, field) in [
            (params(2, 2, None, None), "end"),
            (params(3, 2, Some(100), None), "end"),
            (params(1, 2, Some(9), None), "sample_size"),
            (params(1, 2, Some(10_001), None), "sample_size"),
            (params(1, 2, None, Some(0)), "keep_days"),
            (params(1, 2, None, Some(366)), "keep_days"),
        ] {
            let error = check(&wrong).unwrap_err();
            assert_eq!(error.code(), "invalid");
            assert_eq!(error.details().unwrap()["errors"][0]["field"], field);
        }
    }

    #[test]
    fn the_descriptor_keeps_to_the_budget_and_waits_for_no_approval() {
        let descriptor = FeatureIdentification::descriptor().to_json();
        assert_eq!(descriptor["id"], "streams_feature_identification");
        assert_eq!(descriptor["limits"]["memory_mib"], 128);
        assert_eq!(descriptor["stream"], "required");
        assert!(descriptor.get("capabilities").is_none());
    }
}
