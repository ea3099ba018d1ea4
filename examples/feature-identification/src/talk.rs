//! The talk with a language model: at most three rounds in which it proposes systems and is told
//! what its proposals select, then a description of each system that it has named.
//!
//! # How it works
//! Each round is a chat of its own, with the clusters and with what came of the last proposals: so
//! a run that begins anew after a pause goes on in the round that it was in, with [`Talk`] as its
//! checkpoint. What a model answers wrongly takes a round; what keeps it from answering ends the
//! talk, and what stands by then stands. Only that the run shall stop or pause ends the run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use taskhost_sdk::{Chat, Completion, Error};

use crate::feature::Asked;
use crate::ground::{Ground, Judged, Proposal, Verdict};
use crate::identify::Found;
use crate::prompts::{FINALIZE, Prompts, VALIDATE};
use crate::watch::{Stopped, Watch};
use crate::words_of_models::clean;

/// How often it is asked for systems at most.
pub const ROUNDS_MAX: u32 = 3;
/// Descriptions that are asked for at once.
pub const DESCRIPTIONS_AT_ONCE: usize = 5;
/// Systems of one answer that are looked at.
const SYSTEMS_MAX: usize = 64;
/// The longest description, and the shortest one that says something.
const DESCRIPTION_CHARS_MAX: usize = 1_000;
const DESCRIPTION_CHARS_MIN: usize = 10;
/// The longest sentence on what went wrong.
const PROBLEM_CHARS_MAX: usize = 300;

/// A language model, and what the run may still ask of it.
pub trait Model {
    /// Its next turn.
    ///
    /// # Errors
    /// As the host says.
    fn ask(&mut self, chat: &Chat) -> Result<Completion, Error>;

    /// Several at once.
    ///
    /// # Errors
    /// As the host says.
    fn ask_many(&mut self, chats: &[Chat]) -> Result<Vec<Result<Completion, Error>>, Error>;

    /// Tokens that are left; none where nobody counts them.
    fn tokens_left(&self) -> Option<u64>;

    /// Whether there is time for another request.
    fn has_time(&self) -> bool;
}

/// What the talk has come to: the run's checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Talk {
    /// Rounds that are over.
    pub rounds: u32,
    /// It has said its last word on the systems.
    pub is_final: bool,
    /// Systems that something speaks for, the latest first.
    pub systems: Vec<Proposal>,
    /// What it was told of the latest proposals.
    pub told: Vec<Value>,
    /// Descriptions by names.
    pub descriptions: BTreeMap<String, String>,
    /// Names of systems that were asked for a description.
    pub described: Vec<String>,
    /// Tokens of all that was asked and answered.
    pub tokens_used: u64,
    /// Systems that it has proposed, in all rounds.
    pub proposed: u32,
    /// Of these, what nothing spoke for.
    pub dropped: u32,
    /// What went wrong last.
    pub problem: Option<String>,
}

/// Why a run that talks ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// The algorithm was stopped.
    Stopped,
    /// The host says so, or a model wants a pause.
    By(Error),
}

impl From<Stopped> for Ended {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::By(error)
    }
}

/// Who is told after each step, with the systems as they are by then.
pub type AfterEach<'f> = dyn FnMut(&Talk, &[Found]) -> Result<(), Ended> + 'f;

/// Talks until it is over; the systems as they are then.
///
/// # Errors
/// [`Ended`]: the run is to end now, and what `after` was told of stands.
pub fn talk(
    (stream, prompts): (&str, &Prompts),
    ground: &Ground<'_>,
    talk: &mut Talk,
    model: &mut dyn Model,
    watch: &mut dyn Watch,
    after: &mut AfterEach<'_>,
) -> Result<Vec<Found>, Ended> {
    while talk.rounds < ROUNDS_MAX && !talk.is_final {
        watch.phase("asking the model", ROUNDS_MAX as usize)?;
        watch.step(talk.rounds as usize)?;
        let is_last = talk.rounds + 1 == ROUNDS_MAX;
        let chat = prompts.systems(stream, ground, &talk.told, is_last);
        if !may_ask(talk, &*model, &[&chat]) {
            break;
        }
        match model.ask(&chat) {
            Ok(said) => talk.hear(&said, ground, watch)?,
            Err(error) if ends_the_run(&error) => return Err(Ended::By(error)),
            Err(error) => {
                talk.fails(&error);
                if error.code() != "bad-answer" {
                    break;
                }
                talk.told = vec![json!(
                    "Your answer could not be read: call one of the tools"
                )];
            }
        }
        talk.rounds += 1;
        let found = talk.applied(ground, watch)?;
        after(talk, &found)?;
    }
    let found = talk.applied(ground, watch)?;
    talk.describe((stream, prompts), (ground, &found), model, watch, after)?;
    Ok(talk.applied(ground, watch)?)
}

impl Talk {
    /// What the payload says of it.
    #[must_use]
    pub fn asked(&self, connector: &str) -> Asked {
        Asked {
            connector: connector.to_owned(),
            rounds: self.rounds,
            tokens_used: self.tokens_used,
            proposed: self.proposed,
            dropped: self.dropped,
            problem: self.problem.clone(),
        }
    }

    /// What the model's proposals make of what was found.
    fn applied(&self, ground: &Ground<'_>, watch: &mut dyn Watch) -> Result<Vec<Found>, Stopped> {
        let Judged { mut found, .. } = ground.judge(&self.systems, watch)?;
        for one in found.iter_mut().filter(|one| one.said.is_some()) {
            if let Some(description) = self.descriptions.get(&one.story.name) {
                one.story.description.clone_from(description);
            }
        }
        Ok(found)
    }

    fn hear(
        &mut self,
        said: &Completion,
        ground: &Ground<'_>,
        watch: &mut dyn Watch,
    ) -> Result<(), Stopped> {
        self.count(said);
        self.problem = None;
        let mut proposals = Vec::new();
        let mut told = Vec::new();
        for call in &said.tool_calls {
            match call.name.as_str() {
                FINALIZE => self.is_final = true,
                VALIDATE => {}
                other => {
                    let name = clean(other, 64);
                    told.push(json!(format!("There is no tool `{name}`")));
                    continue;
                }
            }
            let systems = call.arguments["systems"].as_array().into_iter().flatten();
            for system in systems.take(SYSTEMS_MAX) {
                match serde_json::from_value::<Proposal>(system.clone()) {
                    Ok(proposal) => proposals.push(proposal),
                    Err(error) => {
                        self.proposed += 1;
                        self.dropped += 1;
                        told.push(json!(format!("A system could not be read: {error}")));
                    }
                }
            }
        }
        if proposals.is_empty() && told.is_empty() {
            self.problem = Some("the model proposed nothing".to_owned());
            told.push(json!("You have proposed nothing: call one of the tools"));
        }
        let judged = ground.judge(&proposals, watch)?;
        let is_good = |verdict: &Verdict| !matches!(verdict, Verdict::Dropped(_));
        let good = judged.verdicts.iter().filter(|it| is_good(it)).count();
        self.proposed += proposals.len() as u32;
        self.dropped += (proposals.len() - good) as u32;
        told.extend(judged.told);
        self.told = told;
        let pairs = proposals.into_iter().zip(&judged.verdicts);
        let latest = pairs.filter(|(_, verdict)| is_good(verdict)).map(|it| it.0);
        // Of two for one system the first counts.
        self.systems = latest
            .chain(self.systems.drain(..))
            .take(2 * SYSTEMS_MAX)
            .collect();
        Ok(())
    }

    /// Asks for the descriptions that are not there yet.
    fn describe(
        &mut self,
        (stream, prompts): (&str, &Prompts),
        (ground, named): (&Ground<'_>, &[Found]),
        model: &mut dyn Model,
        watch: &mut dyn Watch,
        after: &mut AfterEach<'_>,
    ) -> Result<(), Ended> {
        let is_open = |at: &usize| {
            let one = &named[*at];
            one.said.is_some() && !self.described.contains(&one.story.name)
        };
        let open: Vec<usize> = (0..named.len()).filter(is_open).collect();
        watch.phase("describing", open.len())?;
        for (done, part) in open.chunks(DESCRIPTIONS_AT_ONCE).enumerate() {
            watch.step(done * DESCRIPTIONS_AT_ONCE)?;
            let shown = ground.with(named);
            let chats = part.iter().map(|at| prompts.describe(stream, &shown, *at));
            let chats: Vec<Chat> = chats.collect();
            if !may_ask(self, &*model, &chats.iter().collect::<Vec<_>>()) {
                break;
            }
            let answers = match model.ask_many(&chats) {
                Ok(answers) => answers,
                Err(error) if ends_the_run(&error) => return Err(Ended::By(error)),
                Err(error) => {
                    self.fails(&error);
                    break;
                }
            };
            let mut end = None;
            for (at, answer) in part.iter().zip(answers) {
                let name = &named[*at].story.name;
                match answer {
                    Err(error) if ends_the_run(&error) => {
                        end = Some(error);
                        continue;
                    }
                    Err(error) => self.fails(&error),
                    Ok(said) => {
                        self.count(&said);
                        self.keep_description(name, &said);
                    }
                }
                self.described.push(name.clone());
            }
            let found = self.applied(ground, watch)?;
            after(self, &found)?;
            if let Some(error) = end {
                return Err(Ended::By(error));
            }
        }
        Ok(())
    }

    fn keep_description(&mut self, name: &str, said: &Completion) {
        let parsed = said.parsed.as_ref();
        let text = parsed.and_then(|it| it["description"].as_str());
        let text = clean(text.unwrap_or_default(), DESCRIPTION_CHARS_MAX);
        if text.chars().count() >= DESCRIPTION_CHARS_MIN {
            self.descriptions.insert(name.to_owned(), text);
        }
    }

    fn count(&mut self, said: &Completion) {
        let usage = said.usage;
        self.tokens_used += usage.prompt_tokens + usage.completion_tokens;
    }

    fn fails(&mut self, error: &Error) {
        self.problem = Some(clean(&error.to_string(), PROBLEM_CHARS_MAX));
    }
}

/// The host counts a token for each byte that is sent, and all that an answer may have.
fn may_ask(talk: &mut Talk, model: &dyn Model, chats: &[&Chat]) -> bool {
    let wanted = |chat: &&Chat| {
        let chat = chat.to_json();
        chat.to_string().len() as u64 + chat["max_tokens"].as_u64().unwrap_or(0)
    };
    let wanted: u64 = chats.iter().map(wanted).sum();
    if model.tokens_left().is_some_and(|left| left < wanted) {
        talk.problem = Some("the tokens that the run may use are not enough to go on".to_owned());
        return false;
    }
    if !model.has_time() {
        talk.problem = Some("the time of the run is not enough to go on".to_owned());
        return false;
    }
    true
}

/// A cancel, a deadline, and what has the run queued again.
fn ends_the_run(error: &Error) -> bool {
    let codes = ["rate-limited", "host-out-of-memory"];
    error.is_canceled() || error.is_deadline() || codes.contains(&error.code())
}

#[cfg(test)]
mod tests;
