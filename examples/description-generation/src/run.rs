//! The task: samples the stream, and has what is found put into words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stream_reading::asking::{Connector, ask_one};
use stream_reading::event::Source;
use stream_reading::feature;
use stream_reading::prompts::{self, Prompt};
use stream_reading::range::Range;
use stream_reading::sample::{documents, sampling};
use taskhost_sdk::{Chat, Clients, Descriptor, Error, Task};

use crate::facts::Facts;
use crate::words::{PROMPT, asked, sentences};

/// How many documents are looked at where the params do not say.
const SAMPLE_SIZE_DEFAULT: u32 = 2_000;

/// Which part of the stream to describe, and with which model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    /// Start of the range, in milliseconds since 1970.
    start: i64,
    /// End of the range, itself not included, in milliseconds since 1970; after the start.
    end: i64,
    /// The language model that writes, by the name of its connector in the host's settings.
    /// Without one the description is made by counting.
    #[serde(default)]
    connector: Option<String>,
    /// How many documents to look at: 10 to 10,000; by default 2,000.
    #[schemars(range(min = 10, max = 10_000))]
    #[serde(default)]
    sample_size: Option<u32>,
    /// The same seed draws the same sample; by default 0.
    #[serde(default)]
    seed: Option<u64>,
}

/// A description for people to edit and save: nothing was written.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Described {
    /// One paragraph.
    description: String,
    /// Who has written it.
    source: Source,
    /// Why a model was asked and the description made by counting all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_failed: Option<String>,
    /// How many documents were looked at.
    documents_sampled: u64,
    /// How many known systems were among them.
    features: u64,
    /// Tokens that the model took; none where none was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_used: Option<u64>,
}

/// What a model answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// One paragraph of plain text.
    #[schemars(length(min = 20, max = 2_000))]
    description: String,
}

pub(crate) struct DescriptionGeneration;

impl Task for DescriptionGeneration {
    type Params = Params;
    type Result = Described;

    fn descriptor() -> Descriptor {
        let descriptor = Descriptor::new("streams_description_generation", "1.0.0")
            .title("Describe a stream")
            .description(
                "Looks at a random sample of a stream's documents and at its features, and writes \
                 one description of it: with a language model where one is named, else from \
                 counts. Nothing is saved.",
            )
            .stream_required()
            .cpu_ms(30_000)
            .wall_s(300)
            .tokens(50_000);
        prompts::asking(feature::reading(descriptor))
    }

    fn run(params: Params, clients: &Clients) -> Result<Described, Error> {
        let range = Range::new(params.start, params.end)?;
        let facts = facts(&params, range, clients)?;
        let counted = Described {
            description: sentences(&facts),
            source: Source::Computed,
            model_failed: None,
            documents_sampled: facts.sampled,
            features: facts.features.len() as u64,
            tokens_used: None,
        };
        let Some(connector) = params.connector.filter(|_| facts.sampled > 0) else {
            return Ok(counted);
        };
        clients.progress.phase("writing")?;
        let prompt = prompts::text(clients, Prompt::Description, PROMPT)?;
        let mut model = Connector::new(clients, &connector);
        let chat = Chat::new().system(prompt).user(asked(&facts));
        let (written, tokens) = ask_one::<Written>(&mut model, &chat)?;
        let tokens_used = Some(tokens);
        Ok(match written.map(|it| it.description.trim().to_owned()) {
            Ok(description) => Described {
                description,
                source: Source::Model,
                tokens_used,
                ..counted
            },
            Err(why) => Described {
                model_failed: Some(why),
                tokens_used,
                ..counted
            },
        })
    }
}

fn facts(params: &Params, range: Range, clients: &Clients) -> Result<Facts, Error> {
    clients.progress.phase("sample")?;
    let stream = clients.streams.own()?;
    let about = stream.describe()?;
    let size = params.sample_size.unwrap_or(SAMPLE_SIZE_DEFAULT);
    let query = sampling(range.query(), size, params.seed.unwrap_or(0));
    let sampled = documents(stream.sample(&query)?, clients)?;
    clients.progress.phase("facts")?;
    let mut facts = Facts {
        name: about.name,
        described: about.description,
        documents: stream.count(&range.query())?.value,
        ..Facts::default()
    };
    facts.look(&sampled, feature::known(clients)?);
    facts.note(stream.field_stats(&range.query().size(size))?);
    Ok(facts)
}
