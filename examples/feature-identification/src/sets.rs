//! Disjoint sets: which things belong together, joined pair by pair.

/// Disjoint sets of the numbers below some bound.
#[derive(Debug, Clone)]
pub struct Sets {
    parents: Vec<usize>,
}

impl Sets {
    /// Every number is a set of its own.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self {
            parents: (0..count).collect(),
        }
    }

    /// The number that stands for the set of `index`.
    pub fn find(&mut self, index: usize) -> usize {
        let mut at = index;
        while self.parents[at] != at {
            self.parents[at] = self.parents[self.parents[at]];
            at = self.parents[at];
        }
        at
    }

    /// Makes one set of two; the lower number stands for it.
    pub fn join(&mut self, first: usize, second: usize) {
        let (first, second) = (self.find(first), self.find(second));
        self.parents[first.max(second)] = first.min(second);
    }

    /// One group for each set of groups, each with its lines in order.
    #[must_use]
    pub fn merge(&mut self, groups: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
        let mut merged: Vec<Vec<u32>> = vec![Vec::new(); groups.len()];
        for (index, lines) in groups.into_iter().enumerate() {
            merged[self.find(index)].extend(lines);
        }
        merged.retain(|lines| !lines.is_empty());
        for lines in &mut merged {
            lines.sort_unstable();
        }
        merged
    }
}

/// One group of each set of groups that are alike.
pub fn merge_alike(groups: Vec<Vec<u32>>, alike: &dyn Fn(usize, usize) -> bool) -> Vec<Vec<u32>> {
    let mut sets = Sets::new(groups.len());
    for first in 0..groups.len() {
        for second in first + 1..groups.len() {
            if alike(first, second) {
                sets.join(first, second);
            }
        }
    }
    sets.merge(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_numbers_have_one_set() {
        let mut sets = Sets::new(4);
        sets.join(3, 1);
        sets.join(1, 2);
        assert_eq!((sets.find(3), sets.find(2), sets.find(0)), (1, 1, 0));
        assert_eq!(
            sets.merge(vec![vec![9], vec![4], vec![], vec![1]]),
            [vec![9], vec![1, 4]]
        );
    }

    #[test]
    fn alike_groups_are_merged() {
        let groups = vec![vec![1], vec![2], vec![3]];
        assert_eq!(
            merge_alike(groups, &|a, b| a + b == 2),
            [vec![1, 3], vec![2]]
        );
    }
}
