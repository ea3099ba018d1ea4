//! Names of the network as the system resolves them, without ever taking more than a few threads.
//!
//! # Guarantees
//! 1. Of one name there is one lookup at a time; whoever wants the same waits for it. So a task
//!    type has no more of them than there are names that it may reach, however often it asks.
//! 2. At most [`LOOKUPS_AT_ONCE`] lookups hold a thread, those among them that nobody waits for any
//!    more: the system's resolver cannot be told to stop.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

/// A small part of the threads that a runtime has for what blocks.
const LOOKUPS_AT_ONCE: usize = 64;

/// What a lookup comes to; none yet.
type Found = Option<Result<Vec<IpAddr>, String>>;

/// Lookups that go on. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Lookups(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    going_on: Mutex<HashMap<String, watch::Receiver<Found>>>,
    threads: Arc<Semaphore>,
    resolve: fn(&str) -> io::Result<Vec<IpAddr>>,
}

impl Default for Lookups {
    fn default() -> Self {
        Self::with(by_the_system)
    }
}

impl Lookups {
    fn with(resolve: fn(&str) -> io::Result<Vec<IpAddr>>) -> Self {
        Self(Arc::new(Inner {
            going_on: Mutex::default(),
            threads: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)),
            resolve,
        }))
    }

    /// Every address of the name.
    pub(crate) async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut found = self.lookup(name);
        // The sender goes without a word only where the lookup has panicked.
        let found = found.wait_for(Option::is_some).await;
        let found = found.ok().and_then(|found| found.clone());
        match found {
            Some(Ok(addresses)) => Ok(addresses),
            Some(Err(why)) => Err(io::Error::other(why)),
            None => Err(io::Error::other("the lookup has failed")),
        }
    }

    /// The lookup of the name that goes on, or a new one.
    fn lookup(&self, name: &str) -> watch::Receiver<Found> {
        let mut going_on = self.lock();
        if let Some(found) = going_on.get(name) {
            return found.clone();
        }
        let (sender, found) = watch::channel(None);
        going_on.insert(name.to_owned(), found.clone());
        drop(going_on);
        let (lookups, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            // Taken along: it is given back when the thread is, not when nobody waits any more.
            let thread = Arc::clone(&lookups.0.threads).acquire_owned().await;
            let resolving = lookups.clone();
            let resolve = tokio::task::spawn_blocking(move || {
                let found = (resolving.0.resolve)(&name);
                // Before it is told: whoever asks from now on asks the system anew.
                resolving.lock().remove(&name);
                drop(thread);
                sender.send_replace(Some(found.map_err(|error| error.to_string())));
            });
            resolve.await.ok();
        });
        found
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<Found>>> {
        self.0
            .going_on
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn by_the_system(name: &str) -> io::Result<Vec<IpAddr>> {
    let found = (name, 0).to_socket_addrs()?;
    Ok(found.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Condvar, OnceLock};

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn of_one_name_there_is_one_lookup_whoever_has_gone() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static MAY_ANSWER: OnceLock<(Mutex<bool>, Condvar)> = OnceLock::new();
        fn slow(_: &str) -> io::Result<Vec<IpAddr>> {
            ASKED.fetch_add(1, Ordering::SeqCst);
            let (may, told) = MAY_ANSWER.get_or_init(Default::default);
            let answers = told.wait_while(may.lock().unwrap(), |may| !*may);
            drop(answers.unwrap());
            Ok(vec![Ipv4Addr::LOCALHOST.into()])
        }
        let lookups = Lookups::with(slow);
        for _ in 0..1_000 {
            let asked = lookups.addresses("slow.example");
            assert!(asked.now_or_never().is_none());
        }
        let last = tokio::spawn({
            let lookups = lookups.clone();
            async move { lookups.addresses("slow.example").await }
        });
        let (may, told) = MAY_ANSWER.get_or_init(Default::default);
        *may.lock().unwrap() = true;
        told.notify_all();
        assert_eq!(last.await.unwrap().unwrap(), [Ipv4Addr::LOCALHOST]);
        assert_eq!(ASKED.load(Ordering::SeqCst), 1);
        // Nothing is kept of it.
        lookups.addresses("slow.example").await.unwrap();
        assert_eq!(ASKED.load(Ordering::SeqCst), 2);
        assert!(lookups.lock().is_empty());
    }

    #[tokio::test]
    async fn what_the_system_says_is_told() {
        let lookups = Lookups::default();
        let found = lookups.addresses("localhost").await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty());
        lookups.addresses("no.such.name.invalid").await.unwrap_err();
    }
}
