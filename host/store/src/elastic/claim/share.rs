//! Which runs a host takes first, so that hosts which look at once do not all want the same: each
//! run, or lane of runs, belongs to one of the living by rendezvous hashing.
//!
//! What belongs to others is taken too where there is room left: a share is an order, and keeps
//! nothing waiting.

use std::hash::{Hash, Hasher};

use taskhost_model::ids::Incarnation;

use crate::elastic::hot::Hot;

/// The share of one host.
#[derive(Debug)]
pub(super) struct Share {
    own: Incarnation,
    others: Vec<Incarnation>,
}

impl Share {
    /// The share of `own` among the living.
    pub(super) fn new(own: Incarnation, alive: &[Incarnation]) -> Self {
        let others = alive.iter().copied().filter(|life| *life != own);
        // One that is not listed yet has no share: the others do not know of it.
        let others = others.filter(|_| alive.contains(&own)).collect();
        Self { own, others }
    }

    /// So many share, this one included.
    pub(super) fn hosts(&self) -> usize {
        self.others.len() + 1
    }

    /// Whether a run belongs to this host, or the lane in which it stands.
    pub(super) fn has_run(&self, hot: &Hot) -> bool {
        match hot.lane() {
            Some(lane) => self.has(&lane),
            None => self.has(&hot.task.run.id),
        }
    }

    /// Whether it belongs to this host.
    fn has(&self, name: &impl Hash) -> bool {
        let own = weight(self.own, name);
        self.others.iter().all(|other| weight(*other, name) < own)
    }
}

fn weight(life: Incarnation, name: &impl Hash) -> u64 {
    // The same on every host of one version; of two versions hosts may want the same more often.
    let mut hasher = std::hash::DefaultHasher::new();
    (life, name).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_belongs_to_one_of_the_living_and_a_death_moves_only_its_own() {
        let lives: Vec<Incarnation> = (0..4).map(|_| Incarnation::new()).collect();
        let shares: Vec<Share> = lives.iter().map(|own| Share::new(*own, &lives)).collect();
        let left: Vec<Share> = lives[1..]
            .iter()
            .map(|own| Share::new(*own, &lives[1..]))
            .collect();
        let mut counts = [0; 4];
        for name in 0..4_000 {
            let owners: Vec<usize> = (0..4).filter(|host| shares[*host].has(&name)).collect();
            assert_eq!(owners.len(), 1);
            counts[owners[0]] += 1;
            let after: Vec<usize> = (0..3).filter(|host| left[*host].has(&name)).collect();
            assert_eq!(after.len(), 1);
            assert!(owners[0] == 0 || after[0] + 1 == owners[0]);
        }
        assert!(counts.iter().all(|count| *count > 500), "{counts:?}");
    }

    #[test]
    fn alone_or_unlisted_a_host_has_everything() {
        let (own, other) = (Incarnation::new(), Incarnation::new());
        for alive in [&[][..], &[own], &[other]] {
            let share = Share::new(own, alive);
            assert!((0..100).all(|name| share.has(&name)));
            assert_eq!(share.hosts(), 1);
        }
    }
}
