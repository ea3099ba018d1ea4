//! The task: looks at the streams that the params name, one after the other, and says what they
//! tell together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stream_reading::asking::{Connector, ask_one};
use stream_reading::prompts::{self, Prompt};
use stream_reading::range::Range;
use taskhost_sdk::{Chat, Clients, Descriptor, Error, Task};

use crate::insights::{Dropped, Insight, PROMPT, Written, asked, checked, counted};
use crate::streams::{Looked, looked_at};

/// How many documents of each stream are looked at where the params do not say.
const SAMPLE_SIZE_DEFAULT: u32 = 2_000;

/// Which streams to look at, in which range, and with which model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    /// Streams, which whoever schedules the task may read.
    #[schemars(length(min = 1, max = 20))]
    streams: Vec<String>,
    /// Start of the range, in milliseconds since 1970.
    start: i64,
    /// End of the range, itself not included, in milliseconds since 1970; after the start.
    end: i64,
    /// The language model that writes the insights, by the name of its connector in the host's
    /// settings. Without one they are made by counting.
    #[serde(default)]
    connector: Option<String>,
    /// How many documents of each stream to look at: 10 to 10,000; by default 2,000.
    #[schemars(range(min = 10, max = 10_000))]
    #[serde(default)]
    sample_size: Option<u32>,
    /// The same seed draws the same samples; by default 0.
    #[serde(default)]
    seed: Option<u64>,
}

/// What the streams tell together.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Discovered {
    /// The most important first.
    insights: Vec<Insight>,
    /// The streams that were looked at.
    streams: Vec<Looked>,
    /// What the model wrote and its evidence does not bear out.
    dropped: Vec<Dropped>,
    /// Why a model was asked and the insights made by counting all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_failed: Option<String>,
    /// Tokens that the model took; none where none was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_used: Option<u64>,
}

pub(crate) struct InsightsDiscovery;

impl Task for InsightsDiscovery {
    type Params = Params;
    type Result = Discovered;

    fn descriptor() -> Descriptor {
        let descriptor = Descriptor::new("streams_insights_discovery", "1.0.0")
            .title("Discover insights over several streams")
            .description(
                "Looks for significant events in each of the streams that are named, and says what \
                 they tell together: written by a language model where one is named, of whose \
                 insights those are kept that cite events which were counted, else by counting.",
            )
            .streams_from("/streams")
            .cpu_ms(60_000)
            .wall_s(900)
            .tokens(100_000);
        prompts::asking(descriptor)
    }

    fn run(params: Params, clients: &Clients) -> Result<Discovered, Error> {
        let range = Range::new(params.start, params.end)?;
        clients.progress.phase("looking at streams")?;
        let mut names = params.streams;
        names.sort_unstable();
        names.dedup();
        let sampling = (
            params.sample_size.unwrap_or(SAMPLE_SIZE_DEFAULT),
            params.seed.unwrap_or(0),
        );
        let (streams, events) = looked_at(&names, range, sampling, clients)?;
        let mut discovered = Discovered {
            insights: Vec::new(),
            dropped: Vec::new(),
            model_failed: None,
            tokens_used: None,
            streams,
        };
        if let Some(connector) = params.connector.filter(|_| !events.is_empty()) {
            clients.progress.phase("writing")?;
            let prompt = prompts::text(clients, Prompt::Insights, PROMPT)?;
            let mut model = Connector::new(clients, &connector);
            let asked = asked(&discovered.streams, &events);
            let chat = Chat::new().system(prompt).user(asked);
            let (written, tokens) = ask_one::<Written>(&mut model, &chat)?;
            match written {
                Ok(written) => {
                    (discovered.insights, discovered.dropped) = checked(written, &events);
                    if discovered.insights.is_empty() {
                        let why = "none of its insights rests on events that were counted";
                        discovered.model_failed = Some(why.to_owned());
                    }
                }
                Err(why) => discovered.model_failed = Some(why),
            }
            discovered.tokens_used = Some(tokens);
        }
        if discovered.insights.is_empty() {
            discovered.insights = counted(&events);
        }
        Ok(discovered)
    }
}
