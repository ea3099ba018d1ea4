//! The task: looks at each feature's documents, has queries thought of, and checks them.

use stream_reading::asking::Answer;
use stream_reading::event::{EventQuery, Ground, Named, Thought};
use stream_reading::feature::{self, Feature};
use stream_reading::prompts;
use stream_reading::propose::from_signs;
use stream_reading::range::Range;
use stream_reading::text::grouped;
use taskhost_sdk::{Clients, Condition, Descriptor, Error, Stream, Task};

use crate::model::thoughts;
use crate::params::{Dropped, FEATURES_MAX, Params, Proposed, SAMPLE_SIZE_DEFAULT};
use crate::save::{COLLECTION, save};

pub(crate) struct QueryGeneration;

impl Task for QueryGeneration {
    type Params = Params;
    type Result = Proposed;

    fn descriptor() -> Descriptor {
        let id = "streams_significant_events_queries_generation";
        let descriptor = Descriptor::new(id, "1.0.0")
            .title("Think of queries for significant events")
            .description(
                "For each feature of a stream: one query that selects significant events among its \
                 documents, with a title, how bad it is, and why. A language model thinks of it \
                 where one is named, else it is made from words of trouble and rare lines. Each \
                 query is counted in the data first; what selects nothing or most is dropped.",
            )
            .stream_required()
            .collection(COLLECTION)
            .cpu_ms(60_000)
            .wall_s(900)
            .tokens(300_000);
        prompts::asking(feature::reading(descriptor))
    }

    fn run(params: Params, clients: &Clients) -> Result<Proposed, Error> {
        let range = Range::new(params.start, params.end)?;
        let stream = clients.streams.own()?;
        let mut proposed = Proposed {
            queries: Vec::new(),
            dropped: Vec::new(),
            features: 0,
            saved: 0,
            tokens_used: None,
        };
        let (save_them, connector) = (params.save, params.connector.clone());
        let grounds = grounds(params, (&stream, range), clients, &mut proposed)?;
        let mut thought_of: Vec<Option<Answer<Thought>>> = vec![None; grounds.len()];
        if let Some(connector) = connector {
            clients.progress.phase("asking the model")?;
            let (thoughts, tokens) = thoughts(&grounds, &connector, clients)?;
            thought_of = thoughts.into_iter().map(Some).collect();
            proposed.tokens_used = Some(tokens);
        }
        clients.progress.phase("checking")?;
        let total = grounds.len() as u64;
        for ((done, ground), thought) in (0..).zip(&grounds).zip(thought_of) {
            let name = &ground.feature.name;
            clients.progress.report(done, Some(total), name)?;
            let query = query_of(ground, thought, (&stream, range), &mut proposed.dropped)?;
            proposed.queries.extend(query);
        }
        if save_them {
            clients.progress.phase("save")?;
            proposed.saved = save(&proposed.queries, clients)?;
        }
        Ok(proposed)
    }
}

/// What is known of the features that have documents; of the others it is said why not.
fn grounds(
    params: Params,
    (stream, range): (&Stream, Range),
    clients: &Clients,
    proposed: &mut Proposed,
) -> Result<Vec<Ground>, Error> {
    clients.progress.phase("sample")?;
    let size = params.sample_size.unwrap_or(SAMPLE_SIZE_DEFAULT);
    let seed = params.seed.unwrap_or(0);
    let features = match params.features {
        Some(given) => given,
        None => feature::known(clients)?,
    };
    let features = match features.is_empty() {
        true => vec![whole(stream)],
        false => features,
    };
    let total = features.len().min(FEATURES_MAX) as u64;
    let mut grounds = Vec::new();
    for (done, feature) in (0..).zip(features) {
        if done >= total {
            let why = format!("one run looks at the {FEATURES_MAX} largest features alone");
            proposed.dropped.push(without_query(&feature, why));
            continue;
        }
        clients.progress.report(done, Some(total), &feature.name)?;
        let ground = Ground::look(feature, (stream, range), (size, seed), clients)?;
        if ground.of == 0 {
            let why = "it has no documents in the range".to_owned();
            proposed.dropped.push(without_query(&ground.feature, why));
            continue;
        }
        grounds.push(ground);
    }
    proposed.features = total;
    Ok(grounds)
}

/// The model's query where it holds, else one from the signs.
fn query_of(
    ground: &Ground,
    thought: Option<Answer<Thought>>,
    (stream, range): (&Stream, Range),
    dropped: &mut Vec<Dropped>,
) -> Result<Option<EventQuery>, Error> {
    if let Some(thought) = thought {
        let title = thought.as_ref().ok().map(|it| it.title.clone());
        let checked = match thought {
            Ok(thought) => ground.check(thought, stream, range)?,
            Err(why) => Err(why),
        };
        match checked {
            Ok(query) => return Ok(Some(query)),
            Err(why) => dropped.push(Dropped {
                title,
                ..without_query(&ground.feature, why)
            }),
        }
    }
    let computed = from_signs(ground, 1, stream, range)?.pop();
    if computed.is_none() {
        let why = format!(
            "no few of its {} documents have a word of trouble or stand out otherwise",
            grouped(ground.of)
        );
        dropped.push(without_query(&ground.feature, why));
    }
    Ok(computed)
}

/// In place of features: all of the stream.
fn whole(stream: &Stream) -> Feature {
    Feature {
        uuid: None,
        name: stream.name().to_owned(),
        filter: Condition::always(),
        description: String::new(),
    }
}

fn without_query(feature: &Feature, why: String) -> Dropped {
    Dropped {
        feature: Named {
            uuid: feature.uuid.clone(),
            name: feature.name.clone(),
        },
        title: None,
        why,
    }
}
