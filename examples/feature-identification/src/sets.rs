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
    }
}
