//! Builds a filter for each group out of atoms: an `or` of few terms, each term an atom, two
//! atoms, or an atom without another.

use taskhost_sdk::Condition;

use crate::atoms::{Atom, Measured, propose};
use crate::bits::Bits;
use crate::sample::Sample;

/// Terms of one filter at most.
const TERMS_MAX: usize = 12;
/// A line of another group costs this many of the own lines.
const FOREIGN_COST: f64 = 2.0;
/// What each further atom has to be worth, as a share of the group's lines.
const ATOM_COST: f64 = 0.002;
/// A line of a much smaller group costs more, up to this factor.
const SMALL_FACTOR_MAX: f64 = 20.0;

/// A filter under construction.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The condition on the text field.
    pub condition: Condition,
    /// The items that satisfy it.
    pub items: Bits,
    /// The atoms that it asks for, the most telling first.
    pub atoms: Vec<Atom>,
}

/// A filter for each group, over the field `field`.
#[must_use]
pub fn drafts(sample: &Sample<'_>, field: &str) -> Vec<Draft> {
    let measured: Vec<Vec<Measured>> = propose(sample)
        .into_iter()
        .map(|atoms| atoms.into_iter().map(|atom| measure(sample, atom)).collect())
        .collect();
    let negatives: Vec<Vec<&Measured>> = measured
        .iter()
        .enumerate()
        .map(|(group, atoms)| telling(sample, group, atoms))
        .collect();
    (0..measured.len())
        .map(|group| {
            let against: Vec<&Measured> = negatives
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != group)
                .flat_map(|(_, atoms)| atoms.iter().copied())
                .collect();
            Search::new(sample, group, &measured[group], &against).draft(field)
        })
        .collect()
}

/// The condition that an atom stands for.
#[must_use]
pub fn condition_of(atom: &Atom, field: &str) -> Condition {
    match atom {
        Atom::Contains(text) => Condition::contains(field, text.as_str()),
        Atom::Starts(text) => Condition::starts_with(field, text.as_str()),
    }
}

fn measure(sample: &Sample<'_>, atom: Atom) -> Measured {
    let items = match &atom {
        Atom::Contains(text) => sample.containing(text),
        Atom::Starts(text) => sample.starting(text),
    };
    Measured { atom, items }
}

/// The atoms that most of a group has: what another group's filter may exclude.
fn telling<'m>(sample: &Sample<'_>, group: usize, atoms: &'m [Measured]) -> Vec<&'m Measured> {
    let own = |one: &Measured| sample.weight(&one.items.and(&sample.members[group]));
    let mut best: Vec<(f64, &Measured)> = atoms.iter().map(|one| (own(one), one)).collect();
    best.retain(|(share, _)| *share >= 0.2 * sample.sizes[group]);
    best.sort_by(|a, b| b.0.total_cmp(&a.0));
    best.into_iter().take(12).map(|(_, one)| one).collect()
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

    fn draft(&self, field: &str) -> Draft {
        let size = self.sample.sizes[self.group];
        let candidates = self.terms();
        if std::env::var("DBG").is_ok_and(|g| g == self.group.to_string()) {
            for c in &candidates { eprintln!("{:?} {:?} own {} value {}", c.all.iter().map(|m| &m.atom).collect::<Vec<_>>(), c.none.iter().map(|m| &m.atom).collect::<Vec<_>>(), self.sample.weight(&c.items.and(&self.sample.members[self.group])), self.value(&c.items)); }
        }
        let mut covered = Bits::new(self.sample.items.len());
        let mut chosen: Vec<Term<'m>> = Vec::new();
        while chosen.len() < TERMS_MAX {
            let gain = |term: &Term<'m>| {
                let cost = ATOM_COST * (term.all.len() + 2 * term.none.len()) as f64;
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
        self.finish(chosen, field)
    }

    /// Single atoms, pairs, and atoms without another.
    fn terms(&self) -> Vec<Term<'m>> {
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
        let share = |items: &Bits| self.sample.weight(&items.and(own)) / self.sample.sizes[self.group];
        // Only a broad atom that takes in others is worth a second test.
        let mut broad: Vec<(f64, &'m Measured)> = self
            .atoms
            .iter()
            .map(|one| (share(&one.items), one))
            .filter(|(share, one)| *share >= 0.05 && one.items.minus(own).iter().next().is_some())
            .collect();
        broad.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (_, one) in broad.into_iter().take(16) {
            for other in self.atoms.iter().filter(|other| other.atom != one.atom) {
                terms.push(Term {
                    all: vec![one, other],
                    none: Vec::new(),
                    items: one.items.and(&other.items),
                });
            }
            terms.push(self.without_others(one));
        }
        terms
    }

    /// The atom without whatever excludes the most foreign lines, again and again.
    fn without_others(&self, one: &'m Measured) -> Term<'m> {
        let mut term = Term {
            all: vec![one],
            none: Vec::new(),
            items: one.items.clone(),
        };
        while term.none.len() < 6 {
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
        term
    }

    fn value(&self, items: &Bits) -> f64 {
        items.iter().map(|item| self.values[item]).sum()
    }

    fn finish(&self, mut chosen: Vec<Term<'m>>, field: &str) -> Draft {
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
        let atoms = chosen
            .iter()
            .flat_map(|term| term.all.iter().map(|one| one.atom.clone()))
            .collect();
        let mut conditions: Vec<Condition> =
            chosen.iter().map(|term| term_condition(term, field)).collect();
        let condition = match conditions.len() {
            0 => Condition::never(),
            1 => conditions.remove(0),
            _ => Condition::or(conditions),
        };
        Draft {
            condition,
            items,
            atoms,
        }
    }

    fn union<'t>(&self, terms: impl Iterator<Item = (usize, &'t Term<'m>)>) -> Bits
    where
        'm: 't,
    {
        terms.fold(Bits::new(self.sample.items.len()), |all, (_, term)| all.or(&term.items))
    }
}

fn term_condition(term: &Term<'_>, field: &str) -> Condition {
    let mut parts: Vec<Condition> = term
        .all
        .iter()
        .map(|one| condition_of(&one.atom, field))
        .collect();
    let none = term.none.iter().map(|one| condition_of(&one.atom, field));
    parts.extend(none.map(Condition::not));
    if parts.len() == 1 {
        return parts.remove(0);
    }
    Condition::and(parts)
}
