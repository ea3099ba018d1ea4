//! How many of the connections one address may have at once, where many may come.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// One address has at most this part of all connections.
const PART: usize = 4;

type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// The connections of each address.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    /// None: there is no bound.
    most: Option<usize>,
    counts: Counts,
}

/// A connection that is counted as long as this is there.
#[derive(Debug)]
pub(crate) struct Share {
    counted: Option<(Counts, IpAddr)>,
}

impl Shares {
    /// `is_bounded`: where all come from one address, as from a proxy or this machine, they are
    /// not.
    pub(crate) fn new(connections_max: usize, is_bounded: bool) -> Self {
        Self {
            most: is_bounded.then(|| (connections_max / PART).max(1)),
            counts: Counts::default(),
        }
    }

    /// None where the address has as many as it may.
    pub(crate) fn take(&self, address: IpAddr) -> Option<Share> {
        let Some(most) = self.most.filter(|_| !address.is_loopback()) else {
            return Some(Share { counted: None });
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        let counted = Some((Arc::clone(&self.counts), address));
        Some(Share { counted })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some((counts, address)) = self.counted.take() else {
            return;
        };
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_part_and_no_more() {
        let (shares, one) = (Shares::new(8, true), "10.0.0.1".parse().unwrap());
        let held = [shares.take(one).unwrap(), shares.take(one).unwrap()];
        assert!(shares.take(one).is_none());
        assert!(shares.take("10.0.0.2".parse().unwrap()).is_some());
        drop(held);
        assert!(shares.take(one).is_some());
        assert!(shares.counts.lock().unwrap().is_empty());
        let here = "127.0.0.1".parse().unwrap();
        let held: Vec<_> = (0..9).map(|_| shares.take(here).unwrap()).collect();
        assert_eq!(held.len(), 9);
        let open = Shares::new(8, false);
        let held: Vec<_> = (0..9).map(|_| open.take(one).unwrap()).collect();
        assert_eq!(held.len(), 9);
    }
}
