//! Counting by name and parting lines by key, in one order whatever the input's. One type for
//! all of it: every further one would be compiled once more into the component.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Sums by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally(BTreeMap<Vec<u8>, f64>);

impl Tally {
    /// Adds to the sum of a name.
    pub fn add(&mut self, name: &[u8], amount: f64) {
        match self.0.get_mut(name) {
            Some(sum) => *sum += amount,
            None => drop(self.0.insert(name.to_vec(), amount)),
        }
    }

    /// The sum of a name; 0 where it never came.
    #[must_use]
    pub fn of(&self, name: &[u8]) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// How many names came.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no name came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names and sums in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], f64)> {
        self.0.iter().map(|(name, sum)| (name.as_slice(), *sum))
    }

    /// The names and sums, the largest sum first; equal ones in order of the names.
    #[must_use]
    pub fn ranked(&self) -> Vec<(&[u8], f64)> {
        let all: Vec<(&[u8], f64)> = self.iter().collect();
        let order = descending(all.len(), &|at| all[at].1);
        order.into_iter().map(|at| all[at]).collect()
    }

    /// The name with the largest sum.
    #[must_use]
    pub fn largest(&self) -> Option<(&[u8], f64)> {
        self.ranked().first().copied()
    }

    /// The sum of all.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.0.values().sum()
    }

    /// How much two tallies have in common: the smaller sum of each name.
    #[must_use]
    pub fn common(&self, other: &Self) -> f64 {
        self.iter().map(|(name, sum)| sum.min(other.of(name))).sum()
    }
}

/// Lines by key.
#[derive(Debug, Clone, Default)]
pub struct Parts(BTreeMap<Vec<u8>, Vec<u32>>);

impl Parts {
    /// Puts each line under its key.
    pub fn of(lines: &[u32], mut key: impl FnMut(u32) -> Vec<u8>) -> Self {
        let mut parts = Self::default();
        for line in lines {
            parts.0.entry(key(*line)).or_default().push(*line);
        }
        parts
    }

    /// Puts lines under a key.
    pub fn put(&mut self, key: &[u8], lines: &[u32]) {
        match self.0.get_mut(key) {
            Some(part) => part.extend_from_slice(lines),
            None => drop(self.0.insert(key.to_vec(), lines.to_vec())),
        }
    }

    /// Takes the lines under a key away.
    pub fn take(&mut self, key: &[u8]) -> Vec<u32> {
        self.0.remove(key).unwrap_or_default()
    }

    /// How many lines are under a key.
    #[must_use]
    pub fn count(&self, key: &[u8]) -> usize {
        self.0.get(key).map_or(0, Vec::len)
    }

    /// The parts in order of their keys.
    #[must_use]
    pub fn into_vec(self) -> Vec<(Vec<u8>, Vec<u32>)> {
        self.0.into_iter().collect()
    }

    /// The parts in order of their keys, without the keys.
    #[must_use]
    pub fn into_groups(self) -> Vec<Vec<u32>> {
        self.0.into_values().collect()
    }
}

/// The numbers below `count` in the order that `compare` gives them; equal ones stay in order.
#[must_use]
pub fn ordered(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    numbers.sort_by(|a, b| compare(*a, *b));
    numbers
}

/// The numbers below `count`, that with the largest value first; equal ones stay in order.
#[must_use]
pub fn descending(count: usize, value: &dyn Fn(usize) -> f64) -> Vec<usize> {
    ordered(count, &|a, b| value(b).total_cmp(&value(a)))
}

/// The things in another order: `order` has each place once.
#[must_use]
pub fn arranged<T>(things: Vec<T>, order: &[usize]) -> Vec<T> {
    let mut things: Vec<Option<T>> = things.into_iter().map(Some).collect();
    order
        .iter()
        .filter_map(|at| things.get_mut(*at)?.take())
        .collect()
}

/// How many different hashes there are, at most `enough`.
#[must_use]
pub fn distinct(hashes: impl Iterator<Item = u64>, enough: usize) -> usize {
    let mut seen: Vec<u64> = Vec::new();
    for hash in hashes {
        if !seen.contains(&hash) {
            seen.push(hash);
            if seen.len() >= enough {
                break;
            }
        }
    }
    seen.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_rank_and_compare() {
        let (mut one, mut two) = (Tally::default(), Tally::default());
        for name in ["b", "a", "c", "b"] {
            one.add(name.as_bytes(), 1.0);
        }
        two.add(b"b", 1.5);
        let names: Vec<&[u8]> = one.ranked().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [b"b", b"a", b"c"]);
        assert_eq!(
            (one.total(), one.common(&two), one.of(b"x")),
            (4.0, 1.5, 0.0)
        );
        assert_eq!(Tally::default().largest(), None);
    }

    #[test]
    fn parts_keep_their_lines_in_order() {
        let mut parts = Parts::of(&[5, 6, 7, 8], |line| vec![(line % 2) as u8]);
        parts.put(&[9], &[1]);
        assert_eq!((parts.count(&[0]), parts.take(&[9])), (2, vec![1]));
        assert_eq!(parts.into_groups(), [vec![6, 8], vec![5, 7]]);
    }

    #[test]
    fn things_are_arranged() {
        let order = descending(3, &|at| [1.0, 3.0, 2.0][at]);
        assert_eq!(arranged(vec!["a", "b", "c"], &order), ["b", "c", "a"]);
        assert_eq!(distinct([1, 2, 1, 3].into_iter(), 9), 3);
        assert_eq!(distinct([1, 2, 1, 3].into_iter(), 2), 2);
    }
}
