//! Puts filters in the order in which they are asked, and gives the group that no filter of its
//! own describes what the others leave.

use taskhost_sdk::Condition;

use crate::bits::Bits;
use crate::cover::Draft;
use crate::sample::Sample;
use crate::tally::{arranged, descending};

/// A group whose own filter finds less than this share of it may take what is left instead.
const RECALL_MIN: f64 = 0.97;

/// A filter in its place.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Which group it is for.
    pub group: usize,
    /// The filter.
    pub draft: Draft,
}

/// Orders the filters so that a line falls to its own group as often as possible.
#[must_use]
pub fn arrange(sample: &Sample<'_>, drafts: Vec<Draft>) -> Vec<Placed> {
    let mut placed: Vec<Placed> = drafts
        .into_iter()
        .enumerate()
        .map(|(group, draft)| Placed { group, draft })
        .collect();
    let order = descending(placed.len(), &|at| precision(sample, &placed[at]));
    placed = arranged(placed, &order);
    // Neighbors change places while that puts more lines where they belong.
    for _ in 0..placed.len() {
        let mut changed = false;
        for at in 1..placed.len() {
            if lost(sample, &placed[at - 1], &placed[at])
                > lost(sample, &placed[at], &placed[at - 1])
            {
                placed.swap(at - 1, at);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    give_the_rest(sample, placed)
}

/// What `first` takes from `second` when it is asked first, as a share of `second`'s group.
fn lost(sample: &Sample<'_>, first: &Placed, second: &Placed) -> f64 {
    let both = first.draft.items.and(&second.draft.items);
    sample.weight(&both.and(&sample.members[second.group])) / sample.sizes[second.group]
}

fn precision(sample: &Sample<'_>, one: &Placed) -> f64 {
    let own = one.draft.items.and(&sample.members[one.group]);
    sample.weight(&own) / sample.weight(&one.draft.items).max(1.0)
}

/// The share of its group that a filter finds.
fn recall(sample: &Sample<'_>, one: &Placed) -> f64 {
    let own = one.draft.items.and(&sample.members[one.group]);
    sample.weight(&own) / sample.sizes[one.group].max(1.0)
}

/// F1 of a set of items for a group.
fn f1(sample: &Sample<'_>, items: &Bits, group: usize) -> f64 {
    let hits = sample.weight(&items.and(&sample.members[group]));
    2.0 * hits / (sample.weight(items) + sample.sizes[group]).max(1.0)
}

fn give_the_rest(sample: &Sample<'_>, mut placed: Vec<Placed>) -> Vec<Placed> {
    let Some(weakest) = (0..placed.len())
        .min_by(|a, b| recall(sample, &placed[*a]).total_cmp(&recall(sample, &placed[*b])))
        .filter(|at| recall(sample, &placed[*at]) < RECALL_MIN)
    else {
        return placed;
    };
    if placed.len() < 2 {
        return placed;
    }
    let mut everything = Bits::new(sample.items.len());
    (0..sample.items.len()).for_each(|item| everything.set(item));
    let mut items = everything;
    let mut others = Vec::new();
    for (at, one) in placed.iter().enumerate() {
        if at != weakest {
            items = items.minus(&one.draft.items);
            others.push(one.draft.condition.clone());
        }
    }
    let group = placed[weakest].group;
    if f1(sample, &items, group) <= f1(sample, &placed[weakest].draft.items, group) {
        return placed;
    }
    let mut last = placed.remove(weakest);
    last.draft.condition = Condition::not(Condition::or(others));
    last.draft.items = items;
    placed.push(last);
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::header;
    use crate::lines::Lines;
    use crate::watch::Unwatched;

    #[test]
    fn the_precise_come_first_and_the_rest_goes_to_whom_no_filter_describes() {
        let texts: Vec<String> = (0..30)
            .map(|n| match n / 10 {
                0 => format!("vm sshd {}", "a".repeat(n)),
                1 => format!("vm cron {}", "b".repeat(n)),
                _ => format!("{} free text", "c".repeat(n)),
            })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let headers: Vec<_> = texts.iter().map(|text| header(text)).collect();
        let all = Lines {
            headers: &headers,
            texts: &texts,
            labels: &[],
        };
        let groups: Vec<Vec<u32>> = vec![(0..10).collect(), (10..20).collect(), (20..30).collect()];
        let sample = Sample::new(all, &groups, &mut Unwatched).unwrap();
        let draft = |condition: Condition, items: Bits| Draft { condition, items };
        let contains = |text: &str| {
            draft(
                Condition::contains("message", text),
                sample.containing(text),
            )
        };
        let none = draft(Condition::never(), Bits::new(sample.items.len()));
        // `vm` takes in the second group as well.
        let placed = arrange(&sample, vec![contains("vm"), contains("cron"), none]);
        let order: Vec<usize> = placed.iter().map(|one| one.group).collect();
        assert_eq!(order, [1, 0, 2]);
        let last = &placed[2].draft;
        assert_eq!(sample.weight(&last.items), 10.0);
        assert!(
            last.condition
                .matches(&serde_json::json!({"message": "whatever"}))
        );
        assert!(
            !last
                .condition
                .matches(&serde_json::json!({"message": "vm x"}))
        );
    }
}
