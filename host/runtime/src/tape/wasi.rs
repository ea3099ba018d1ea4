//! The clocks and random numbers of WASI, on the tape.

use std::convert::Infallible;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::TryRng;
use serde::{Deserialize, Serialize};
use taskhost_clients::encoded;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

use super::Tape;

/// What the clocks say of themselves: the same on every host.
const RESOLUTION: Duration = Duration::from_micros(1);

/// Lets a WASI answer through the tape, unless that is off.
pub(crate) fn tape_wasi(tape: &Tape, builder: &mut WasiCtxBuilder) {
    if matches!(tape, Tape::Off) {
        return;
    }
    let mut random = Random(tape.clone());
    let seed = random.bytes::<16>();
    builder
        .wall_clock(Wall(tape.clone()))
        .monotonic_clock(Monotonic(tape.clone(), Instant::now()))
        .insecure_random_seed(u128::from_le_bytes(seed))
        .insecure_random(Random(tape.clone()))
        .secure_random(random);
}

struct Wall(Tape);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        RESOLUTION
    }

    fn now(&self) -> Duration {
        let now = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
        };
        let answer = self.0.call("clock.wall", &()).answer_now(now);
        answer.unwrap_or_default()
    }
}

struct Monotonic(Tape, Instant);

impl HostMonotonicClock for Monotonic {
    fn resolution(&self) -> u64 {
        u64::try_from(RESOLUTION.as_nanos()).unwrap_or(1)
    }

    fn now(&self) -> u64 {
        let now = || u64::try_from(self.1.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let answer = self.0.call("clock.monotonic", &()).answer_now(now);
        answer.unwrap_or_default()
    }
}

struct Random(Tape);

/// Random bytes as they are written.
#[derive(Serialize, Deserialize)]
struct Drawn(#[serde(with = "encoded")] Vec<u8>);

impl Random {
    fn fill(&mut self, into: &mut [u8]) {
        let drawn = || {
            let mut bytes = vec![0; into.len()];
            rand::fill(&mut bytes[..]);
            Drawn(bytes)
        };
        let call = self.0.call("random", &(into.len(),));
        let answer = call.answer_now(drawn);
        // Where there is none, or too little, the guest has ended or the file is no recording.
        let bytes = answer.map(|Drawn(bytes)| bytes).unwrap_or_default();
        for (to, from) in into.iter_mut().zip(bytes) {
            *to = from;
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.bytes()))
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        self.fill(into);
        Ok(())
    }
}
