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
use stream_reading::asking::{ask, is_bad_answer};
use taskhost_sdk::{Chat, Completion, Error};

use crate::feature::Asked;
use crate::ground::{Ground, Judged};
use crate::identify::Found;
use crate::prompts::{FINALIZE, Prompts, VALIDATE};
use crate::proposal::{Proposal, Verdict};
use crate::watch::{Stopped, Watch};
use crate::words_of_models::clean;

pub use stream_reading::asking::Model;

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
        let round = talk.rounds + 1;
        watch.phase("asking the model", ROUNDS_MAX as usize)?;
        watch.tell(
            talk.rounds as usize,
            &format!("round {round} of {ROUNDS_MAX}"),
        )?;
        let chat = prompts.systems(stream, ground, &talk.told, round == ROUNDS_MAX);
        let heard = ask(model, &[chat]);
        talk.tokens_used += heard.tokens;
        match heard.one()? {
            Ok(said) => talk.hear(&said, ground, watch)?,
            Err(error) => {
                talk.fails(&error);
                if !is_bad_answer(&error) {
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
    ///
    /// # Errors
    /// [`Stopped`] when the watch says so.
    pub fn applied(
        &self,
        ground: &Ground<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Found>, Stopped> {
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
        self.problem = None;
        let mut proposals = Vec::new();
        let mut told = Vec::new();
        let mut looked_at = 0;
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
            for system in systems {
                looked_at += 1;
                if looked_at > SYSTEMS_MAX {
                    self.proposed += 1;
                    self.dropped += 1;
                    continue;
                }
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
        if looked_at > SYSTEMS_MAX {
            told.push(json!(format!(
                "Of {looked_at} systems the first {SYSTEMS_MAX} were looked at"
            )));
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
        let total = open.len();
        let mut done = 0;
        for part in open.chunks(DESCRIPTIONS_AT_ONCE) {
            // What comes after each part has phases of its own.
            watch.phase("describing", total)?;
            let (first, last) = (done + 1, done + part.len());
            watch.tell(done, &format!("systems {first} to {last} of {total}"))?;
            done = last;
            let shown = ground.with(named);
            let chats = part.iter().map(|at| prompts.describe(stream, &shown, *at));
            let heard = ask(model, &chats.collect::<Vec<Chat>>());
            self.tokens_used += heard.tokens;
            if let Some(error) = heard.silence().filter(|_| heard.ends.is_none()) {
                self.fails(error);
                break;
            }
            for (at, answer) in part.iter().zip(heard.answers) {
                let name = &named[*at].story.name;
                match answer {
                    None => continue,
                    Some(Err(error)) => self.fails(&error),
                    Some(Ok(said)) => self.keep_description(name, &said),
                }
                self.described.push(name.clone());
            }
            let found = self.applied(ground, watch)?;
            after(self, &found)?;
            if let Some(error) = heard.ends {
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

    fn fails(&mut self, error: &Error) {
        self.problem = Some(clean(&error.to_string(), PROBLEM_CHARS_MAX));
    }
}

#[cfg(test)]
mod tests;
