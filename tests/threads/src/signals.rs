//! The stop signal, and the clock of a run without progress: whoever waits hears of it.

use std::sync::Arc;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::thread;

use crate::stillness::Stillness;
use crate::stop::{StopReason, StopSignal};

/// Two wait while two others ask: those who wait hear of it, and all of the same reason.
pub fn a_stop() {
    let stop = StopSignal::new();
    let waiting = [(); 2].map(|()| {
        let stop = stop.clone();
        thread::spawn(move || block_on(stop.until_asked()))
    });
    let asking = [StopReason::User, StopReason::Drain].map(|reason| {
        let stop = stop.clone();
        thread::spawn(move || stop.ask(reason))
    });
    let heard = waiting.map(|thread| Some(thread.join().unwrap()));
    for thread in asking {
        thread.join().unwrap();
    }
    assert_eq!(heard, [stop.asked(); 2]);
}

/// One waits until it is interrupted, whatever is asked meanwhile.
pub fn an_interrupt() {
    let stop = StopSignal::new();
    let waiting = {
        let stop = stop.clone();
        thread::spawn(move || {
            block_on(stop.until_interrupted());
            assert!(stop.interrupted());
        })
    };
    let asking = {
        let stop = stop.clone();
        thread::spawn(move || stop.ask(StopReason::Deadline))
    };
    stop.interrupt();
    waiting.join().unwrap();
    asking.join().unwrap();
}

/// A run moves and rests, again and again: whoever watches hears of the end of a rest.
pub fn a_rest() {
    let clock = Arc::new(Stillness::new());
    let watching = {
        let clock = Arc::clone(&clock);
        thread::spawn(move || block_on(clock.until(Duration::ZERO)))
    };
    clock.enter();
    for _ in 0..2 {
        let resting = clock.rest();
        clock.moved();
        drop(resting);
    }
    watching.join().unwrap();
}
