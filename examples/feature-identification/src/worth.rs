//! What filters are worth: how well they select what is theirs.

use crate::identify::Found;

/// Precision and recall.
#[must_use]
pub fn of_own(matched: &[bool], own: &[bool]) -> (f64, f64) {
    let count = |of: &dyn Fn(usize) -> bool| (0..own.len()).filter(|at| of(*at)).count() as f64;
    let hits = count(&|at| matched[at] && own[at]);
    let rounded = |share: f64| (share * 10_000.0).round() / 10_000.0;
    (
        rounded(hits / count(&|at| matched[at]).max(1.0)),
        rounded(hits / count(&|at| own[at]).max(1.0)),
    )
}

/// How many documents some filter selects, and the sum of how well (F1) each system gets its own
/// where a document belongs to the first filter.
#[must_use]
pub fn worth(found: &[Found]) -> (usize, f64) {
    let documents = found.first().map_or(0, |one| one.matched.len());
    let mut taken = vec![false; documents];
    let mut sum = 0.0;
    for one in found {
        let (mut gets, mut hits, mut own) = (0.0, 0.0, 0.0);
        for (at, taken) in taken.iter_mut().enumerate() {
            let is_mine = one.matched[at] && !*taken;
            *taken |= one.matched[at];
            gets += f64::from(u8::from(is_mine));
            own += f64::from(u8::from(one.own[at]));
            hits += f64::from(u8::from(is_mine && one.own[at]));
        }
        sum += 2.0 * hits / f64::max(gets + own, 1.0);
    }
    (taken.iter().filter(|it| **it).count(), sum)
}

/// Of the documents that either selects, the share that both do.
#[must_use]
pub fn overlap(first: &[bool], second: &[bool]) -> f64 {
    let pairs = || first.iter().zip(second);
    let both = pairs().filter(|(a, b)| **a && **b).count() as f64;
    both / (pairs().filter(|(a, b)| **a || **b).count() as f64).max(1.0)
}
