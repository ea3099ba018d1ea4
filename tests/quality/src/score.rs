//! Two figures for a grouping of documents against their true sources.

use std::collections::BTreeMap;

/// The adjusted Rand index of two groupings of the same documents (Hubert and Arabie, 1985):
/// 1 for the same grouping, about 0 for a random one.
#[must_use]
pub fn adjusted_rand_index(first: &[usize], second: &[usize]) -> f64 {
    let mut cells: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    let mut rows: BTreeMap<usize, u64> = BTreeMap::new();
    let mut columns: BTreeMap<usize, u64> = BTreeMap::new();
    for (a, b) in first.iter().zip(second) {
        *cells.entry((*a, *b)).or_insert(0) += 1;
        *rows.entry(*a).or_insert(0) += 1;
        *columns.entry(*b).or_insert(0) += 1;
    }
    let pairs = |count: u64| (count * count.saturating_sub(1)) as f64 / 2.0;
    let both: f64 = cells.values().map(|count| pairs(*count)).sum();
    let in_first: f64 = rows.values().map(|count| pairs(*count)).sum();
    let in_second: f64 = columns.values().map(|count| pairs(*count)).sum();
    let expected = in_first * in_second / pairs(first.len() as u64).max(1.0);
    let most = f64::midpoint(in_first, in_second);
    if (most - expected).abs() < f64::EPSILON * most.max(1.0) {
        // Both groupings put all documents together, or all apart.
        return 1.0;
    }
    (both - expected) / (most - expected)
}

/// For each source the best F1 that any of `groups` groups reaches, averaged over the sources.
/// A group with a number of `groups` or more does not count: it is that of the unmatched.
#[must_use]
pub fn mean_best_f1(sources: &[usize], found: &[usize], groups: usize) -> f64 {
    let best = best_groups(sources, found, groups);
    best.values().map(|(_, f1)| f1).sum::<f64>() / best.len().max(1) as f64
}

/// For each source the group with the best F1, if any has one of its documents, and that F1.
#[must_use]
pub fn best_groups(
    sources: &[usize],
    found: &[usize],
    groups: usize,
) -> BTreeMap<usize, (Option<usize>, f64)> {
    let mut cells: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    let mut sizes: BTreeMap<usize, f64> = BTreeMap::new();
    let mut selected = vec![0.0; groups];
    for (source, group) in sources.iter().zip(found) {
        *sizes.entry(*source).or_insert(0.0) += 1.0;
        if *group < groups {
            *cells.entry((*source, *group)).or_insert(0.0) += 1.0;
            selected[*group] += 1.0;
        }
    }
    let none = |source: &usize| (*source, (None, 0.0));
    let mut best: BTreeMap<usize, (Option<usize>, f64)> = sizes.keys().map(none).collect();
    for ((source, group), hits) in cells {
        let f1 = 2.0 * hits / (sizes[&source] + selected[group]);
        let known = best.entry(source).or_insert((None, 0.0));
        if f1 > known.1 {
            *known = (Some(group), f1);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn the_index_has_its_known_values() {
        // The values that scikit-learn's documentation and Hubert's formula give.
        assert!(close(
            adjusted_rand_index(&[0, 0, 1, 1], &[0, 0, 1, 1]),
            1.0
        ));
        assert!(close(
            adjusted_rand_index(&[0, 0, 1, 1], &[1, 1, 0, 0]),
            1.0
        ));
        assert!(close(
            adjusted_rand_index(&[0, 0, 1, 2], &[0, 0, 1, 1]),
            4.0 / 7.0
        ));
        assert!(close(
            adjusted_rand_index(&[0, 0, 1, 1], &[0, 0, 1, 2]),
            4.0 / 7.0
        ));
        assert!(close(
            adjusted_rand_index(&[0, 0, 0, 0], &[0, 1, 2, 3]),
            0.0
        ));
        assert!(close(
            adjusted_rand_index(&[0, 0, 1, 1], &[0, 1, 0, 1]),
            -0.5
        ));
        assert!(close(adjusted_rand_index(&[0, 0, 0], &[5, 5, 5]), 1.0));
    }

    #[test]
    fn the_best_group_of_each_source_counts() {
        assert!(close(mean_best_f1(&[0, 0, 1, 1], &[1, 1, 0, 0], 2), 1.0));
        // One group for both sources: precision 1/2, recall 1, F1 2/3.
        assert!(close(
            mean_best_f1(&[0, 0, 1, 1], &[0, 0, 0, 0], 1),
            2.0 / 3.0
        ));
        // The unmatched are no feature: the second source has none.
        assert!(close(mean_best_f1(&[0, 0, 1, 1], &[0, 0, 1, 1], 1), 0.5));
    }
}
