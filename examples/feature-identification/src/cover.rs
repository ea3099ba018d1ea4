//! Builds a filter for each group out of atoms: an `or` of few terms, each term an atom, two
//! atoms, or an atom without another.

use taskhost_sdk::Condition;

use crate::atoms::{Atom, Measured, propose};
use crate::bits::Bits;
use crate::fields::Fields;
use crate::sample::Sample;
use crate::tally::{arranged, descending};
use crate::watch::{Stopped, Watch};

/// Terms of one filter at most.
const TERMS_MAX: usize = 12;
/// Atoms of another group that a filter may exclude.
const NEGATIVES_MAX: usize = 8;
/// They are atoms that this share of their group has.
const NEGATIVE_SHARE_MIN: f64 = 0.2;
/// Atoms that are combined with others: at most so many, that so much of the group has.
const BROAD_MAX: usize = 16;
const BROAD_SHARE_MIN: f64 = 0.05;
/// Terms of two or more atoms that are weighed, the best of them.
const PAIRS_MAX: usize = 120;
/// A line of another group costs this many of the own lines.
const FOREIGN_COST: f64 = 2.0;
/// What each further atom has to be worth, as a share of the group's lines.
const ATOM_COST: f64 = 0.002;
/// An atom that is excluded has to be worth this many others: it says what a group is not.
const NEGATIVE_FACTOR: usize = 4;
/// A line of a much smaller group costs more, up to this factor.
const SMALL_FACTOR_MAX: f64 = 20.0;

/// A filter under construction.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The condition on the text field.
    pub condition: Condition,
    /// The items that satisfy it.
    pub items: Bits,
}

/// A filter for each group.
///
/// # Errors
/// [`Stopped`] when the watch says so.
pub fn drafts(
    sample: &Sample<'_>,
    fields: &Fields,
    watch: &mut dyn Watch,
) -> Result<Vec<Draft>, Stopped> {
    watch.phase("features", sample.members.len())?;
    let mut measured: Vec<Vec<Measured>> = Vec::new();
    for atoms in propose(sample, watch)? {
        let mut group = Vec::with_capacity(atoms.len());
        for atom in atoms {
            watch.step(measured.len())?;
            group.push(measure(sample, atom));
        }
        measured.push(group);
    }
    let negatives: Vec<Vec<&Measured>> = measured
        .iter()
        .enumerate()
        .map(|(group, atoms)| telling(sample, group, atoms))
        .collect();
    let mut drafts = Vec::with_capacity(measured.len());
    for (group, atoms) in measured.iter().enumerate() {
        let others = negatives
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != group);
        let against: Vec<&Measured> = others
            .flat_map(|(_, atoms)| atoms.iter().copied())
            .collect();
        let search = Search::new(sample, group, atoms, &against);
        drafts.push(search.draft(fields, watch)?);
    }
    Ok(drafts)
}

/// The condition that an atom stands for.
#[must_use]
pub fn condition_of(atom: &Atom, fields: &Fields) -> Condition {
    let field = || fields.text.clone().unwrap_or_default();
    match atom {
        Atom::Contains(text) => Condition::contains(field(), text.as_str()),
        Atom::Starts(text) => Condition::starts_with(field(), text.as_str()),
        Atom::Label(label, value) => {
            let name = fields.labels.get(*label).cloned().unwrap_or_default();
            Condition::eq(name, value.as_str())
        }
    }
}

fn measure(sample: &Sample<'_>, atom: Atom) -> Measured {
    let items = match &atom {
        Atom::Contains(text) => sample.containing(text),
        Atom::Starts(text) => sample.starting(text),
        Atom::Label(label, value) => sample.labeled(*label, value),
    };
    Measured { atom, items }
}

/// The atoms that most of a group has: what another group's filter may exclude.
fn telling<'m>(sample: &Sample<'_>, group: usize, atoms: &'m [Measured]) -> Vec<&'m Measured> {
    let own = |one: &Measured| sample.weight(&one.items.and(&sample.members[group]));
    let least = NEGATIVE_SHARE_MIN * sample.sizes[group];
    best(atoms, NEGATIVES_MAX, least, &|one| own(one))
}

/// The atoms with the greatest value, of those that have at least `least`.
fn best<'m>(
    atoms: &'m [Measured],
    count: usize,
    least: f64,
    value: &dyn Fn(&Measured) -> f64,
) -> Vec<&'m Measured> {
    let values: Vec<f64> = atoms.iter().map(value).collect();
    descending(atoms.len(), &|at| values[at])
        .into_iter()
        .filter(|at| values[*at] >= least)
        .take(count)
        .map(|at| &atoms[at])
        .collect()
}

#[derive(Debug, Clone)]
struct Term<'m> {
    all: Vec<&'m Measured>,
    none: Vec<&'m Measured>,
    items: Bits,
}

struct Search<'s, 'm> {
    sample: &'s Sample<'s>,
    group: usize,
    atoms: &'m [Measured],
    against: &'s [&'m Measured],
    /// What each item counts when a term takes it: positive for the own, negative for others.
    values: Vec<f64>,
}

impl<'s, 'm> Search<'s, 'm> {
    fn new(
        sample: &'s Sample<'s>,
        group: usize,
        atoms: &'m [Measured],
        against: &'s [&'m Measured],
    ) -> Self {
        let size = sample.sizes[group];
        let values = sample
            .items
            .iter()
            .map(|item| {
                if item.group == group {
                    return item.weight;
                }
                let factor = (size / sample.sizes[item.group]).clamp(1.0, SMALL_FACTOR_MAX);
                -item.weight * FOREIGN_COST * factor
            })
            .collect();
        Self {
            sample,
            group,
            atoms,
            against,
            values,
        }
    }

    fn draft(&self, fields: &Fields, watch: &mut dyn Watch) -> Result<Draft, Stopped> {
        let size = self.sample.sizes[self.group];
        let candidates = self.terms(watch)?;
        let mut covered = Bits::new(self.sample.items.len());
        let mut chosen: Vec<Term<'m>> = Vec::new();
        while chosen.len() < TERMS_MAX {
            watch.step(self.group)?;
            let gain = |term: &Term<'m>| {
                let cost = ATOM_COST * (term.all.len() + NEGATIVE_FACTOR * term.none.len()) as f64;
                self.value(&term.items.minus(&covered)) - cost * size
            };
            let Some((term, worth)) = candidates
                .iter()
                .map(|term| (term, gain(term)))
                .rev()
                .max_by(|a, b| a.1.total_cmp(&b.1))
            else {
                break;
            };
            if worth <= 0.0 {
                break;
            }
            covered = covered.or(&term.items);
            chosen.push(term.clone());
        }
        Ok(self.finish(chosen, fields))
    }

    /// Single atoms, pairs, and atoms without another.
    fn terms(&self, watch: &mut dyn Watch) -> Result<Vec<Term<'m>>, Stopped> {
        let mut terms: Vec<Term<'m>> = self
            .atoms
            .iter()
            .map(|one| Term {
                all: vec![one],
                none: Vec::new(),
                items: one.items.clone(),
            })
            .collect();
        let own = &self.sample.members[self.group];
        let size = self.sample.sizes[self.group];
        let share = |items: &Bits| self.sample.weight(&items.and(own)) / size;
        // Only a broad atom that takes in others is worth a second test.
        let broad = best(self.atoms, BROAD_MAX, BROAD_SHARE_MIN, &|one| {
            let alone = one.items.minus(own).iter().next().is_none();
            if alone { 0.0 } else { share(&one.items) }
        });
        let mut pairs: Vec<Term<'m>> = Vec::new();
        for one in broad {
            for other in self.atoms.iter().filter(|other| other.atom != one.atom) {
                pairs.push(Term {
                    all: vec![one, other],
                    none: Vec::new(),
                    items: one.items.and(&other.items),
                });
            }
            watch.step(self.group)?;
            pairs.push(self.without_others(one, watch)?);
        }
        let values: Vec<f64> = pairs.iter().map(|term| self.value(&term.items)).collect();
        let mut order = descending(pairs.len(), &|at| values[at]);
        order.retain(|at| values[*at] > 0.0);
        order.truncate(PAIRS_MAX);
        terms.extend(arranged(pairs, &order));
        Ok(terms)
    }

    /// The atom without whatever excludes the most foreign lines, again and again.
    fn without_others(
        &self,
        one: &'m Measured,
        watch: &mut dyn Watch,
    ) -> Result<Term<'m>, Stopped> {
        let mut term = Term {
            all: vec![one],
            none: Vec::new(),
            items: one.items.clone(),
        };
        while term.none.len() < 6 {
            watch.step(self.group)?;
            let now = self.value(&term.items);
            let best = self
                .against
                .iter()
                .map(|other| (self.value(&term.items.minus(&other.items)), *other))
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let Some((value, other)) = best else { break };
            if value - now <= 2.0 * ATOM_COST * self.sample.sizes[self.group] {
                break;
            }
            term.items = term.items.minus(&other.items);
            term.none.push(other);
        }
        Ok(term)
    }

    fn value(&self, items: &Bits) -> f64 {
        items.iter().map(|item| self.values[item]).sum()
    }

    fn finish(&self, mut chosen: Vec<Term<'m>>, fields: &Fields) -> Draft {
        // A later term may have made an earlier one superfluous.
        let mut index = 0;
        while index < chosen.len() {
            let rest = self.union(chosen.iter().enumerate().filter(|(at, _)| *at != index));
            let whole = self.union(chosen.iter().enumerate());
            if chosen.len() > 1 && self.value(&rest) >= self.value(&whole) {
                chosen.remove(index);
            } else {
                index += 1;
            }
        }
        let items = self.union(chosen.iter().enumerate());
        let mut conditions: Vec<Condition> = chosen
            .iter()
            .map(|term| term_condition(term, fields))
            .collect();
        let condition = match conditions.len() {
            0 => Condition::never(),
            1 => conditions.remove(0),
            _ => Condition::or(conditions),
        };
        Draft { condition, items }
    }

    fn union<'t>(&self, terms: impl Iterator<Item = (usize, &'t Term<'m>)>) -> Bits
    where
        'm: 't,
    {
        terms.fold(Bits::new(self.sample.items.len()), |all, (_, term)| {
            all.or(&term.items)
        })
    }
}

fn term_condition(term: &Term<'_>, fields: &Fields) -> Condition {
    let mut parts: Vec<Condition> = term
        .all
        .iter()
        .map(|one| condition_of(&one.atom, fields))
        .collect();
    let none = term.none.iter().map(|one| condition_of(&one.atom, fields));
    parts.extend(none.map(Condition::not));
    if parts.len() == 1 {
        return parts.remove(0);
    }
    Condition::and(parts)
}
