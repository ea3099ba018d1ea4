//! What the figures share: the machine that they were taken on, and how they are summed up.

pub mod wire;
pub mod load;
pub mod syncs;

use std::fmt::Write as _;
use std::time::Duration;

use taskhost_e2e::host::Host;

/// The machine in one line: processor, cores, kernel.
#[must_use]
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |text| {
        text.trim_start_matches([' ', '\t', ':'])
    });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

/// The numbers that a program is given, in order, each in place of what is usual.
///
/// # Panics
/// When something else is given.
#[must_use]
pub fn numbers<const N: usize>(usual: [usize; N]) -> [usize; N] {
    let mut given = std::env::args().skip(1);
    usual.map(|usual| {
        let given = given.next();
        given.map_or(usual, |text| text.parse().expect("a number"))
    })
}

/// The value that so many hundredths of the values are not above.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn percentile<T: Copy + Ord>(values: &[T], hundredths: usize) -> T {
    assert!(!values.is_empty(), "nothing was measured");
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() * hundredths / 100).min(sorted.len() - 1)]
}

/// The times that 50, 95 and 99 of 100 are not above, in one text.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn spread(times: &[Duration]) -> String {
    let each = [50, 95, 99].map(|hundredths| percentile(times, hundredths).as_secs_f64() * 1e3);
    format!("{:.2} / {:.2} / {:.2} ms", each[0], each[1], each[2])
}

/// The value in the middle.
#[must_use]
pub fn median<T: Copy + Ord>(values: &[T]) -> T {
    percentile(values, 50)
}

/// Milliseconds with two digits after the point.
#[must_use]
pub fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// A line of the report: what was measured, and its median over the rounds.
#[must_use]
pub fn line(name: &str, value: &str) -> String {
    let mut line = String::new();
    // Writing into a text does not fail.
    let _ = write!(line, "{name:<44} {value:>14}");
    line
}

/// Milliseconds of a time in an answer (RFC 3339, UTC, milliseconds), within its day.
#[must_use]
pub fn ms_of_day(time: &str) -> Option<u64> {
    let clock = time.split_once('T')?.1.strip_suffix('Z')?;
    let (seconds, ms) = clock.split_once('.')?;
    let parts: Vec<u64> = seconds
        .split(':')
        .map_while(|part| part.parse().ok())
        .collect();
    let [hours, minutes, seconds] = parts[..] else {
        return None;
    };
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000 + ms.parse::<u64>().ok()?)
}

/// What a host holds of memory (VmRSS), in KiB.
///
/// # Panics
/// When the host does not run.
#[must_use]
pub fn resident_kib(host: &Host) -> u64 {
    let path = format!("/proc/{}/status", host.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(path).expect("the host runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("what it holds of memory")
}

/// What a host holds of the machine's memory, in KiB: a page that many mappings share counts once,
/// such as those of a component's data that each of its instances maps.
///
/// # Panics
/// When the host does not run.
#[must_use]
pub fn proportional_kib(host: &Host) -> u64 {
    let path = format!("/proc/{}/smaps_rollup", host.pid().as_raw_nonzero());
    let rollup = std::fs::read_to_string(path).expect("the host runs");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("what it holds of memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<u32> = (1..=100).rev().collect();
        assert_eq!((median(&values), percentile(&values, 99)), (51, 100));
        assert_eq!(percentile(&[7], 99), 7);
    }

    #[test]
    fn times_of_answers_are_read() {
        assert_eq!(ms_of_day("2026-11-24T01:02:03.004Z"), Some(3_723_004));
        assert_eq!(ms_of_day("2026-11-24"), None);
    }
}
