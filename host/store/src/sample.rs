//! The random order of a sample: a sample is the first documents, in this order, that match.
//!
//! The place of a document depends on the seed and on its own number alone, so the same seed
//! over the same documents draws the same sample, whatever else the stream holds by then.

use std::collections::BinaryHeap;

/// The place of document `number` in the order of `seed`; no two documents share one.
pub(crate) fn place(seed: u64, number: u64) -> u64 {
    mixed(number ^ mixed(seed ^ 0x5bd1_e995_97f4_a7c1))
}

/// A seed for a sample that nobody asks to see again.
pub(crate) fn random_seed() -> u64 {
    rand::random()
}

/// Keeps the `size` items that come first.
#[derive(Debug)]
pub(crate) struct First<T> {
    size: usize,
    heap: BinaryHeap<(u64, T)>,
}

impl<T: Ord> First<T> {
    pub(crate) fn new(size: usize) -> Self {
        let heap = BinaryHeap::new();
        Self { size, heap }
    }

    pub(crate) fn offer(&mut self, place: u64, item: T) {
        if self.heap.len() < self.size {
            self.heap.push((place, item));
        } else if let Some(mut last) = self.heap.peek_mut()
            && place < last.0
        {
            *last = (place, item);
        }
    }

    /// The items in order.
    pub(crate) fn into_ordered(self) -> Vec<T> {
        let ordered = self.heap.into_sorted_vec();
        ordered.into_iter().map(|(_, item)| item).collect()
    }
}

/// Spreads the bits of a number over all others, one to one: the finalizer of SplitMix64.
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seed: u64, of: u64, size: usize) -> Vec<u64> {
        let mut first = First::new(size);
        for number in 0..of {
            first.offer(place(seed, number), number);
        }
        first.into_ordered()
    }

    #[test]
    fn a_seed_draws_one_sample_and_another_seed_another() {
        assert_eq!(sample(7, 1000, 50), sample(7, 1000, 50));
        assert_ne!(sample(7, 1000, 50), sample(8, 1000, 50));
        let mut all = sample(7, 100, 200);
        assert_ne!(all, (0..100).collect::<Vec<_>>());
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert!(sample(7, 100, 0).is_empty());
    }

    #[test]
    fn every_document_is_drawn_about_equally_often() {
        let mut drawn = [0u32; 100];
        for seed in 0..1000 {
            for number in sample(seed, 100, 10) {
                drawn[usize::try_from(number).unwrap()] += 1;
            }
        }
        // Binomial with mean 100 and a standard deviation of 9.5: six of them either way.
        assert!(
            drawn.iter().all(|times| (43..=157).contains(times)),
            "{drawn:?}"
        );
    }
}
