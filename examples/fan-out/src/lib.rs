//! Adds up numbers by handing parts of them to children: other runs of this type, which add up one
//! part each. The parent waits for them, holds no slot meanwhile, and begins again without harm.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskhost_sdk::{Child, Clients, Descriptor, Error, Task};

/// Longer than any child takes: each has the host's limit of its own.
const PATIENCE: Duration = Duration::from_secs(3600);

#[derive(Serialize, Deserialize, JsonSchema)]
struct Params {
    /// The first number.
    from: u64,
    /// The number after the last one.
    to: u64,
    /// Among so many children the work is divided; without any it is done here.
    #[serde(default)]
    #[schemars(range(max = 1000))]
    parts: u64,
    /// Milliseconds that a part takes beside its computing.
    #[serde(default)]
    part_ms: u64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Sum {
    /// The sum of all numbers.
    sum: u64,
}

struct FanOut;

impl Task for FanOut {
    type Params = Params;
    type Result = Sum;

    fn descriptor() -> Descriptor {
        Descriptor::new("fan-out", "1.0.0")
            .title("Add up numbers in parts")
            .child("fan-out")
    }

    fn run(params: Params, clients: &Clients) -> Result<Sum, Error> {
        if params.parts == 0 {
            return added(&params, clients);
        }
        let mut waiting = spawned(&params, clients)?;
        let mut sum = 0;
        while !waiting.is_empty() {
            let done = params.parts - waiting.len() as u64;
            let message = format!("{done} of {} parts are added up", params.parts);
            clients
                .progress
                .report(done, Some(params.parts), &message)?;
            let ids: Vec<String> = waiting.keys().cloned().collect();
            let Some(child) = clients.children.wait_any(&ids, PATIENCE)? else {
                return Err(Error::failed("slow", "no part was added up in time"));
            };
            waiting.remove(&child.id);
            sum = plus(sum, part_of(&child)?)?;
        }
        let message = "all parts are added up";
        clients
            .progress
            .report(params.parts, Some(params.parts), message)?;
        Ok(Sum { sum })
    }
}

/// The children by their ids, each with its key. A run that begins again finds the same ones.
fn spawned(params: &Params, clients: &Clients) -> Result<BTreeMap<String, String>, Error> {
    let mut children = BTreeMap::new();
    for (number, (from, to)) in ranges(params).into_iter().enumerate() {
        let part = Params {
            from,
            to,
            parts: 0,
            part_ms: params.part_ms,
        };
        let key = format!("part-{number}");
        let id = clients.children.spawn(&key, "fan-out", &part)?;
        children.insert(id, key);
    }
    Ok(children)
}

/// Ranges that differ by one number at most.
fn ranges(params: &Params) -> Vec<(u64, u64)> {
    let count = u128::from(params.to.saturating_sub(params.from));
    let parts = u128::from(params.parts);
    let start = |number: u128| {
        let numbers_before = u64::try_from(count * number / parts).unwrap_or(u64::MAX);
        params.from.saturating_add(numbers_before)
    };
    (0..parts)
        .map(|number| (start(number), start(number + 1)))
        .collect()
}

fn part_of(child: &Child) -> Result<u64, Error> {
    let Sum { sum } = child.result()?;
    Ok(sum)
}

fn added(params: &Params, clients: &Clients) -> Result<Sum, Error> {
    clients
        .context
        .sleep(Duration::from_millis(params.part_ms))?;
    let mut sum = 0;
    for number in params.from..params.to {
        if number % 1_000_000 == 0 {
            clients.progress.heartbeat()?;
        }
        sum = plus(sum, number)?;
    }
    Ok(Sum { sum })
}

fn plus(sum: u64, number: u64) -> Result<u64, Error> {
    let too_large = || Error::invalid("the sum is beyond 64 bits: choose smaller numbers");
    sum.checked_add(number).ok_or_else(too_large)
}

taskhost_sdk::export!(FanOut);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_nearly_equal_and_leave_nothing_out() {
        let params = |from, to, parts| Params {
            from,
            to,
            parts,
            part_ms: 0,
        };
        assert_eq!(ranges(&params(1, 11, 3)), [(1, 4), (4, 7), (7, 11)]);
        assert_eq!(ranges(&params(5, 6, 2)), [(5, 5), (5, 6)]);
        assert_eq!(ranges(&params(9, 2, 1)), [(9, 9)]);
        let all = ranges(&params(0, u64::MAX, 1000));
        assert!(all.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert_eq!((all[0].0, all[999].1), (0, u64::MAX));
    }
}
