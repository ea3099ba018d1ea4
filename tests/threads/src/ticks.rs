//! The thread that ticks: it ticks for every guest, and ends with the last one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use shuttle::sync::atomic::AtomicUsize;
use shuttle::thread::{self, JoinHandle};

use crate::ticker::Ticker;

/// Guests come and go, each waits for a tick; then the runtime goes, too.
pub fn for_guests() {
    let (ticker, ticking, guests) = guests();
    for guest in guests {
        guest.join().unwrap();
    }
    drop(ticker);
    ticking.join().unwrap();
}

/// The runtime goes while guests come and go.
pub fn for_guests_that_stay_longer() {
    let (ticker, ticking, guests) = guests();
    thread::yield_now();
    drop(ticker);
    for guest in guests {
        guest.join().unwrap();
    }
    ticking.join().unwrap();
}

type Started = (Arc<Ticker>, JoinHandle<()>, [JoinHandle<()>; 2]);

fn guests() -> Started {
    let ticks = Arc::new(AtomicUsize::new(0));
    let tick = {
        let ticks = Arc::clone(&ticks);
        move || {
            ticks.fetch_add(1, Ordering::SeqCst);
        }
    };
    let (ticker, ticking) = Ticker::start_thread(tick).unwrap();
    let ticker = Arc::new(ticker);
    let guests = [(); 2].map(|()| {
        let (ticker, ticks) = (Arc::clone(&ticker), Arc::clone(&ticks));
        thread::spawn(move || {
            let guest = ticker.tick();
            drop(ticker);
            let before = ticks.load(Ordering::SeqCst);
            while ticks.load(Ordering::SeqCst) == before {
                thread::yield_now();
            }
            drop(guest);
        })
    });
    (ticker, ticking, guests)
}
