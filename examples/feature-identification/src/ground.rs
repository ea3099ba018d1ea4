//! Whether the documents bear out what a language model proposes: it names what the arithmetic has
//! found, may find what that has missed, and improve on a filter; what nothing speaks for is
//! dropped.
//!
//! # Why this way
//! How the arithmetic divides a stream is measured, against the truth of many logs. That a model
//! divides or joins its clusters otherwise is no evidence, so it may not: what it says can make
//! names better, coverage larger and filters more exact, and nothing worse.
//!
//! # What it cannot know
//! Whether a name is right. Where the lines of a cluster name their program, host or logger
//! themselves, another name is believed only where a word of it stands there or in a quotation.
//! Where they do not, the model's knowledge of the world is what it is asked for: its name is
//! taken, though a wrong one with a true quotation would be as well. So what the arithmetic calls
//! the system stays beside it, and people may change both.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;
use taskhost_sdk::Condition;

use crate::feature::folded;
use crate::fields::{fields, text_at};
use crate::identify::{Found, Said, evaluate, is_enough};
use crate::proposal::{Proposal, Shown, Verdict, fields_of, quotes, single, told};
use crate::watch::{Stopped, Watch};
use crate::words_of_models::{clean, says_nothing};
use crate::worth::{of_own, overlap, worth};

/// A filter speaks of a cluster when they share so much of what either has.
const OVERLAP_MIN: f64 = 0.8;
/// And it has at most so much of what is another's.
const OTHERS_SHARE_MAX: f64 = 0.1;
/// What is new has hardly a document that another system has.
const NEW_SHARE_MIN: f64 = 0.9;
/// A filter of more tests is no insight, and costs time.
const FILTER_TESTS_MAX: usize = 16;
/// Filters that are run on the documents: with so many tests each, over 10,000 of them, all take
/// some seconds, of the minute that the run has.
const FILTERS_MAX: usize = 96;
const NO_EVIDENCE: &str = "none of its evidence stands in a line that it selects";
/// A shorter word of a name stands everywhere as well.
const WORD_CHARS_MIN: usize = 3;
/// How sure a find is that a model alone has made.
const CONFIDENCE_OF_NEW: u8 = 50;
/// Lines that show what a filter selects.
const LINES_SHOWN: usize = 2;
/// Of each, so many characters.
const LINE_CHARS_MAX: usize = 160;

/// The documents, and what the arithmetic has found in them.
#[derive(Debug)]
pub struct Ground<'a> {
    /// The sample.
    pub documents: &'a [Value],
    /// The systems, in order.
    pub found: &'a [Found],
    /// Names that people do not want, folded.
    pub excluded: &'a [String],
    /// The field with the text.
    pub text: Option<String>,
    /// What filters select that were run, by their JSON.
    selected: RefCell<BTreeMap<String, Vec<bool>>>,
}

/// Proposals that were looked at, and what they make of what was found.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The systems, in order.
    pub found: Vec<Found>,
    /// One for each proposal.
    pub verdicts: Vec<Verdict>,
    /// What a model is told of each.
    pub told: Vec<Value>,
}

/// The filter of a proposal, none for that of its cluster, and which documents it selects.
type Selected = (Option<Condition>, Vec<bool>);

impl<'a> Ground<'a> {
    /// The ground for proposals. `excluded`: folded names.
    #[must_use]
    pub fn new(documents: &'a [Value], found: &'a [Found], excluded: &'a [String]) -> Self {
        let text = fields(documents).text;
        Self {
            documents,
            found,
            excluded,
            text,
            selected: RefCell::default(),
        }
    }

    /// The same documents, with other systems.
    #[must_use]
    pub fn with<'b>(&'b self, found: &'b [Found]) -> Ground<'b> {
        Ground {
            documents: self.documents,
            found,
            excluded: self.excluded,
            text: self.text.clone(),
            selected: RefCell::default(),
        }
    }

    /// How many filters were run on the documents.
    #[must_use]
    pub fn filters_run(&self) -> usize {
        self.selected.borrow().len()
    }

    /// The text of a document; without a field for it, all of the document.
    #[must_use]
    pub fn line(&self, at: usize) -> String {
        let document = &self.documents[at];
        let text = self.text.as_ref().and_then(|it| text_at(document, it));
        text.map_or_else(|| document.to_string(), str::to_owned)
    }

    /// Some lines of documents, cut, spread over all of them.
    #[must_use]
    pub fn lines(&self, of: &[bool], count: usize) -> Vec<String> {
        let all: Vec<usize> = (0..of.len()).filter(|at| of[*at]).collect();
        let step = all.len().div_ceil(count.max(1)).max(1);
        let some = all.into_iter().step_by(step).take(count);
        some.map(|at| clean(&self.line(at), LINE_CHARS_MAX))
            .collect()
    }

    /// What the proposals make of what was found; of two for one system the first counts.
    ///
    /// # Errors
    /// [`Stopped`] when the watch says so.
    pub fn judge(&self, proposals: &[Proposal], watch: &mut dyn Watch) -> Result<Judged, Stopped> {
        let mut judged = Judged {
            found: self.found.to_vec(),
            verdicts: Vec::new(),
            told: Vec::new(),
        };
        for proposal in proposals {
            let mut shown = Shown::default();
            let verdict = match self.one(proposal, &mut judged.found, &mut shown, watch)? {
                Ok(verdict) => verdict,
                Err(why) => Verdict::Dropped(why),
            };
            judged.told.push(told(proposal, &verdict, &shown));
            judged.verdicts.push(verdict);
        }
        Ok(judged)
    }

    fn one(
        &self,
        proposal: &Proposal,
        found: &mut Vec<Found>,
        shown: &mut Shown,
        watch: &mut dyn Watch,
    ) -> Result<Result<Verdict, String>, Stopped> {
        let name = &proposal.name;
        let quotes = quotes(proposal);
        // What costs nothing comes first.
        if let Err(why) = self.check_name(name, &quotes) {
            return Ok(Err(why));
        }
        let (filter, matched) = match self.selected(proposal, watch)? {
            Ok(selected) => selected,
            Err(why) => return Ok(Err(why)),
        };
        shown.documents = matched.iter().filter(|hit| **hit).count();
        shown.lines = self.lines(&matched, LINES_SHOWN);
        shown.clusters = self.clusters(&matched);
        if !self.stand(quotes.iter(), &matched) {
            return Ok(Err(NO_EVIDENCE.to_owned()));
        }
        Ok(self.placed(proposal, name, (filter, matched), &quotes, found))
    }

    /// The filter of a proposal, none for that of its cluster, and what it selects.
    fn selected(
        &self,
        proposal: &Proposal,
        watch: &mut dyn Watch,
    ) -> Result<Result<Selected, String>, Stopped> {
        let Some(filter) = proposal.filter.as_ref().filter(|it| !it.is_null()) else {
            let at = proposal.cluster.as_deref().and_then(|it| self.numbered(it));
            return Ok(at.map_or_else(
                || Err("it names no cluster that there is, and has no filter".to_owned()),
                |at| Ok((None, self.found[at].matched.clone())),
            ));
        };
        let filter = match Condition::from_json(filter) {
            Ok(filter) => filter,
            Err(why) => return Ok(Err(format!("its filter is none: {why}"))),
        };
        if matches!(filter, Condition::Always | Condition::Never) {
            return Ok(Err("its filter tells nothing apart".to_owned()));
        }
        let mut names = Vec::new();
        fields_of(&filter, &mut names);
        if names.len() > FILTER_TESTS_MAX {
            let why = format!("its filter has more than {FILTER_TESTS_MAX} tests");
            return Ok(Err(why));
        }
        for name in names {
            let exists = Condition::exists(name.as_str(), true);
            if !self
                .documents
                .iter()
                .any(|document| exists.matches(document))
            {
                return Ok(Err(format!("no document has the field `{name}`")));
            }
        }
        let key = filter.to_json().to_string();
        let known = self.selected.borrow().get(&key).cloned();
        let matched = match known {
            Some(matched) => matched,
            None if self.selected.borrow().len() >= FILTERS_MAX => {
                return Ok(Err("so many filters were run that no more are".to_owned()));
            }
            None => {
                let matched = evaluate(&filter, self.documents, 0, watch)?;
                self.selected.borrow_mut().insert(key, matched.clone());
                matched
            }
        };
        if !matched.contains(&true) {
            return Ok(Err("its filter selects no document".to_owned()));
        }
        Ok(Ok((Some(filter), matched)))
    }

    /// `c1` is the first.
    fn numbered(&self, cluster: &str) -> Option<usize> {
        let number: usize = cluster.strip_prefix('c')?.parse().ok()?;
        let at = number.checked_sub(1)?;
        (at < self.found.len()).then_some(at)
    }

    fn placed(
        &self,
        proposal: &Proposal,
        name: &str,
        (filter, matched): Selected,
        quotes: &[String],
        found: &mut Vec<Found>,
    ) -> Result<Verdict, String> {
        let target = match &filter {
            None => proposal.cluster.as_deref().and_then(|it| self.numbered(it)),
            Some(_) => self.nearest(&matched),
        };
        let is_taken = |(at, one): (usize, &Found)| {
            target != Some(at) && folded(&one.story.name) == folded(name)
        };
        if found.iter().enumerate().any(is_taken) {
            return Err("another system has that name".to_owned());
        }
        let mut said = Said::of(proposal);
        let Some(at) = target else {
            let filter = filter.ok_or("it has no filter")?;
            return self.added(proposal, name, (filter, matched), said, found);
        };
        if found[at].said.is_some() {
            return Err(format!("the cluster c{} has a name already", at + 1));
        }
        let is_borne_out = self.is_borne_out(name, at, quotes);
        let mut better = filter.and_then(|filter| self.improved(at, filter, matched, found));
        let is_better = better.is_some();
        let one = match better.take() {
            Some(better) => {
                found[at] = better;
                &mut found[at]
            }
            None => &mut found[at],
        };
        let title = proposal.title.clone().filter(|it| !it.is_empty());
        one.story.title = title.unwrap_or(name.to_owned());
        if is_borne_out {
            let computed = std::mem::replace(&mut one.story.name, name.to_owned());
            said.computed_name = Some(computed);
        }
        one.said = Some(said);
        Ok(match (is_better, is_borne_out) {
            (true, _) => Verdict::Improves(at),
            (false, true) => Verdict::Names(at),
            (false, false) => Verdict::Entitles(at),
        })
    }

    /// Whether a system may have that name: where its lines name it themselves, a word of it stands
    /// in that name or in a quotation.
    fn is_borne_out(&self, name: &str, at: usize, quotes: &[String]) -> bool {
        let one = &self.found[at];
        let words: Vec<String> = name
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| word.chars().count() >= WORD_CHARS_MIN && !says_nothing(word))
            .map(str::to_lowercase)
            .collect();
        let has_one = |text: &str| {
            let text = text.to_lowercase();
            words.iter().any(|word| text.contains(word.as_str()))
        };
        !one.story.names_itself
            || has_one(&one.story.name)
            || self.stand(quotes.iter().filter(|quote| has_one(quote)), &one.matched)
    }

    fn check_name(&self, name: &str, quotes: &[String]) -> Result<(), String> {
        if says_nothing(name) {
            return Err("its name says nothing".to_owned());
        }
        if self.excluded.contains(&folded(name)) {
            return Err("people of this stream exclude that name".to_owned());
        }
        match quotes.is_empty() {
            true => Err(NO_EVIDENCE.to_owned()),
            false => Ok(()),
        }
    }

    /// Whether one of the quotations stands in one of the lines.
    fn stand<'q>(&self, quotes: impl Iterator<Item = &'q String>, matched: &[bool]) -> bool {
        let quotes: Vec<&String> = quotes.collect();
        let stands = |at: usize| {
            let line = single(&self.line(at));
            quotes.iter().any(|quote| line.contains(quote.as_str()))
        };
        let mut lines = (0..matched.len()).filter(|at| matched[*at]);
        !quotes.is_empty() && lines.any(stands)
    }

    /// The system that has most of the same documents, if it is the same.
    fn nearest(&self, matched: &[bool]) -> Option<usize> {
        let both = |one: &Found| overlap(&one.matched, matched).max(overlap(&one.own, matched));
        let overlaps = self.found.iter().map(both);
        let best = overlaps.enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let mut others = self
            .found
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != best.0);
        let joins = |(_, one): (usize, &Found)| of_own(matched, &one.own).1 > OTHERS_SHARE_MAX;
        (best.1 >= OVERLAP_MIN && !others.any(joins)).then_some(best.0)
    }

    /// The system with that filter, where it is better and costs no other one anything.
    fn improved(
        &self,
        at: usize,
        filter: Condition,
        matched: Vec<bool>,
        found: &[Found],
    ) -> Option<Found> {
        let former = &found[at];
        let before = of_own(&former.matched, &former.own);
        let after = of_own(&matched, &former.own);
        let is_better = after.0 >= before.0 && after.1 >= before.1 && after != before;
        let (precision, recall) = after;
        let better = Found {
            filter,
            matched,
            precision,
            recall,
            ..former.clone()
        };
        let mut all = found.to_vec();
        all[at] = better.clone();
        let ((covered, sum), (covered_then, sum_then)) = (worth(found), worth(&all));
        (is_better && covered_then >= covered && sum_then >= sum).then_some(better)
    }

    /// At the end, so that it takes only what no other one has.
    fn added(
        &self,
        proposal: &Proposal,
        name: &str,
        (filter, matched): (Condition, Vec<bool>),
        said: Said,
        found: &mut Vec<Found>,
    ) -> Result<Verdict, String> {
        let own: Vec<bool> = (0..matched.len())
            .map(|at| matched[at] && !found.iter().any(|one| one.matched[at]))
            .collect();
        let count = |of: &[bool]| of.iter().filter(|it| **it).count();
        let (new, all) = (count(&own), count(&matched));
        if !is_enough(new, self.documents.len()) || (new as f64) < NEW_SHARE_MIN * all as f64 {
            return Err(
                "it divides or joins clusters: name each of them, or what none of them has"
                    .to_owned(),
            );
        }
        let title = proposal.title.as_deref().unwrap_or(name);
        let mut one = Found {
            filter,
            precision: of_own(&matched, &own).0,
            recall: 1.0,
            confidence: CONFIDENCE_OF_NEW,
            matched,
            own,
            said: Some(said),
            story: crate::naming::Story::default(),
        };
        one.story.name = name.to_owned();
        title.clone_into(&mut one.story.title);
        one.story.description = format!("{} of the sampled documents are its own.", new);
        one.story.evidence = self.lines(&one.own, LINES_SHOWN);
        found.push(one);
        Ok(Verdict::Adds(found.len() - 1))
    }

    /// How many of the documents each cluster has.
    fn clusters(&self, matched: &[bool]) -> BTreeMap<String, usize> {
        let mut clusters = BTreeMap::new();
        for (at, hit) in matched.iter().enumerate() {
            if *hit {
                let first = self.found.iter().position(|one| one.matched[at]);
                let name = first.map_or("none".to_owned(), |first| format!("c{}", first + 1));
                *clusters.entry(name).or_insert(0) += 1;
            }
        }
        clusters
    }
}

#[cfg(test)]
pub(crate) mod tests;
