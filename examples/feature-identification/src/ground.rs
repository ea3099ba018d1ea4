//! Whether the documents bear out what a language model proposes: it names what the arithmetic has
//! found, may find what that has missed, and improve on a filter; what nothing speaks for is
//! dropped.
//!
//! # Why this way
//! How the arithmetic divides a stream is measured, against the truth of many logs. That a model
//! divides or joins its clusters otherwise is no evidence, so it may not: what it says can make
//! names better, coverage larger and filters more exact, and nothing worse.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use taskhost_sdk::Condition;

use crate::feature::folded;
use crate::fields::{fields, text_at};
use crate::identify::{Found, Said, evaluate, is_enough};
use crate::watch::{Stopped, Watch};
use crate::words_of_models::{NAME_CHARS_MAX, clean, says_nothing};
use crate::worth::{of_own, overlap, worth};

/// A filter speaks of a cluster when they share so much of what either has.
const OVERLAP_MIN: f64 = 0.8;
/// And it has at most so much of what is another's.
const OTHERS_SHARE_MAX: f64 = 0.1;
/// What is new has hardly a document that another system has.
const NEW_SHARE_MIN: f64 = 0.9;
/// A shorter quotation stands everywhere.
const QUOTE_BYTES_MIN: usize = 4;
/// How sure a find is that a model alone has made.
const CONFIDENCE_OF_NEW: u8 = 50;
/// Tags, properties and quotations of one system that are looked at.
const EXTRAS_MAX: usize = 10;
/// Lines that show what a filter selects.
const LINES_SHOWN: usize = 2;
/// Of each, so many characters.
const LINE_CHARS_MAX: usize = 160;

/// A system, as a model proposes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Proposal {
    /// What it is called.
    pub name: String,
    /// The cluster that it writes: `c1`.
    pub cluster: Option<String>,
    /// What selects its documents, where the cluster's own filter does not do.
    pub filter: Option<Value>,
    /// What kind of system it is.
    pub subtype: Option<String>,
    /// Its name in a few words.
    pub title: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What identifies it.
    pub properties: Map<String, Value>,
    /// Text that stands in its lines.
    pub evidence: Vec<String>,
}

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
}

/// What came of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It names the system of that number.
    Names(usize),
    /// And its filter is better than that of the arithmetic.
    Improves(usize),
    /// It is new, and has that number.
    Adds(usize),
    /// Nothing speaks for it, as the sentence says.
    Dropped(String),
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
        }
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
        let name = clean(&proposal.name, NAME_CHARS_MAX);
        let (filter, matched) = match self.selected(proposal, watch)? {
            Ok(selected) => selected,
            Err(why) => return Ok(Err(why)),
        };
        shown.documents = matched.iter().filter(|hit| **hit).count();
        shown.lines = self.lines(&matched, LINES_SHOWN);
        shown.clusters = self.clusters(&matched);
        Ok(self.placed(proposal, &name, filter, matched, found))
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
        let matched = evaluate(&filter, self.documents, 0, watch)?;
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
        filter: Option<Condition>,
        matched: Vec<bool>,
        found: &mut Vec<Found>,
    ) -> Result<Verdict, String> {
        self.check_name(name, &proposal.evidence, &matched)?;
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
        let said = Said::of(proposal);
        let Some(at) = target else {
            let filter = filter.ok_or("it has no filter")?;
            return self.added(proposal, name, (filter, matched), said, found);
        };
        if found[at].said.is_some() {
            return Err(format!("the cluster c{} has a name already", at + 1));
        }
        let mut better = filter.and_then(|filter| self.improved(at, filter, matched, found));
        let is_better = better.is_some();
        let one = match better.take() {
            Some(better) => {
                found[at] = better;
                &mut found[at]
            }
            None => &mut found[at],
        };
        one.story.name = name.to_owned();
        let title = proposal
            .title
            .as_deref()
            .map(|it| clean(it, 2 * NAME_CHARS_MAX));
        one.story.title = title.filter(|it| !it.is_empty()).unwrap_or(name.to_owned());
        one.said = Some(said);
        Ok(if is_better {
            Verdict::Improves(at)
        } else {
            Verdict::Names(at)
        })
    }

    fn check_name(&self, name: &str, quotes: &[String], matched: &[bool]) -> Result<(), String> {
        if says_nothing(name) {
            return Err("its name says nothing".to_owned());
        }
        if self.excluded.contains(&folded(name)) {
            return Err("people of this stream exclude that name".to_owned());
        }
        // As it is shown to a model, a line has single blanks.
        let single = |text: &str| clean(text, usize::MAX);
        let quotes: Vec<String> = quotes
            .iter()
            .take(EXTRAS_MAX)
            .map(|it| single(it))
            .collect();
        let long = |quote: &&String| quote.len() >= QUOTE_BYTES_MIN;
        let quotes: Vec<&String> = quotes.iter().filter(long).collect();
        let stands = |at: usize| {
            let line = single(&self.line(at));
            quotes.iter().any(|quote| line.contains(quote.as_str()))
        };
        let mut lines = (0..matched.len()).filter(|at| matched[*at]);
        match !quotes.is_empty() && lines.any(stands) {
            true => Ok(()),
            false => Err("none of its evidence stands in a line that it selects".to_owned()),
        }
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
        one.story.title = clean(title, 2 * NAME_CHARS_MAX);
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

impl Said {
    fn of(proposal: &Proposal) -> Self {
        let short = |text: &str| clean(text, NAME_CHARS_MAX);
        let subtype = proposal.subtype.as_deref().map(short);
        let properties = proposal.properties.iter().filter_map(|(key, value)| {
            let value = match value {
                Value::String(text) => Value::from(short(text)),
                Value::Number(_) | Value::Bool(_) => value.clone(),
                _ => return None,
            };
            Some((short(key), value))
        });
        Self {
            subtype: subtype.filter(|it| !it.is_empty()),
            tags: proposal
                .tags
                .iter()
                .take(EXTRAS_MAX)
                .map(|it| short(it))
                .collect(),
            properties: properties.take(EXTRAS_MAX).collect(),
        }
    }
}

#[derive(Debug, Default)]
struct Shown {
    documents: usize,
    lines: Vec<String>,
    clusters: BTreeMap<String, usize>,
}

/// What a model is told of its proposal.
fn told(proposal: &Proposal, verdict: &Verdict, shown: &Shown) -> Value {
    let verdict = match verdict {
        Verdict::Names(at) => format!("names c{}; the cluster keeps its own filter", at + 1),
        Verdict::Improves(at) => format!("names c{}, and its filter is better", at + 1),
        Verdict::Adds(_) => "is new".to_owned(),
        Verdict::Dropped(why) => format!("dropped: {why}"),
    };
    let name = clean(&proposal.name, NAME_CHARS_MAX);
    json!({"name": name, "verdict": verdict, "documents": shown.documents,
        "of_clusters": shown.clusters, "lines": shown.lines})
}

fn fields_of(filter: &Condition, names: &mut Vec<String>) {
    match filter {
        Condition::Always | Condition::Never => {}
        Condition::And(all) | Condition::Or(all) => {
            all.iter().for_each(|one| fields_of(one, names));
        }
        Condition::Not(one) => fields_of(one, names),
        Condition::Field { field, .. } => names.push(field.clone()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
