//! A set of lines as bits, for the many intersections that choosing a filter takes.

/// A set of numbers below a bound fixed when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// The empty set of numbers below `length`.
    #[must_use]
    pub fn new(length: usize) -> Self {
        Self(vec![0; length.div_ceil(64)])
    }

    /// Puts `index` in.
    pub fn set(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    /// Whether `index` is in.
    #[must_use]
    pub fn has(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    /// What is in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.with(other, |a, b| a & b)
    }

    /// What is here and not there.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.with(other, |a, b| a & !b)
    }

    /// What is in either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        self.with(other, |a, b| a | b)
    }

    /// The numbers in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                (left != 0).then(|| {
                    let bit = left.trailing_zeros() as usize;
                    left &= left - 1;
                    at * 64 + bit
                })
            })
        })
    }

    fn with(&self, other: &Self, merge: impl Fn(u64, u64) -> u64) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(a, b)| merge(*a, *b)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_meet_and_part() {
        let (mut a, mut b) = (Bits::new(130), Bits::new(130));
        [1, 64, 129].iter().for_each(|index| a.set(*index));
        [64, 100].iter().for_each(|index| b.set(*index));
        assert_eq!(a.and(&b).iter().collect::<Vec<_>>(), [64]);
        assert_eq!(a.minus(&b).iter().collect::<Vec<_>>(), [1, 129]);
        assert_eq!(a.or(&b).iter().count(), 4);
        assert!(a.has(129) && !a.has(128));
    }
}
