//! Mixes of logs: the captured one in `examples/data`, and mixes of files from a folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The variable that names a folder with further logs, `NAME.log` for each source.
pub const EXTRA_LOGS: &str = "TASKHOST_EXTRA_LOGS";

/// A stream of documents whose sources are known.
#[derive(Debug, Clone)]
pub struct Mix {
    /// What it is called in the report.
    pub name: String,
    /// The documents; nothing in them tells the source.
    pub documents: Vec<Value>,
    /// For each document the number of its source.
    pub sources: Vec<usize>,
    /// What the sources are called.
    pub names: Vec<String>,
}

/// One log file.
#[derive(Debug, Clone)]
pub struct Log {
    /// The file's name without its extension.
    pub name: String,
    /// Its lines without empty ones.
    pub lines: Vec<String>,
}

/// Pseudo-random numbers that are the same everywhere (Steele's SplitMix64).
#[derive(Debug, Clone)]
pub struct Draw(u64);

impl Draw {
    /// A sequence of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    /// `size` of the numbers below `count`, in random order; all where there are fewer.
    pub fn sample(&mut self, count: usize, size: usize) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..count).collect();
        for at in 0..size.min(count) {
            let other = at + self.below(count - at);
            numbers.swap(at, other);
        }
        numbers.truncate(size);
        numbers
    }
}

/// The stream that the demo ingests, with its truth.
///
/// # Errors
/// The files cannot be read, or have different numbers of lines.
pub fn captured() -> io::Result<Mix> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data");
    let stream = fs::read_to_string(folder.join("stream.ndjson"))?;
    let truth = fs::read_to_string(folder.join("truth.txt"))?;
    let documents: Vec<Value> = stream
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let mut names: Vec<&str> = truth.lines().collect();
    let sources: Vec<&str> = names.clone();
    names.sort_unstable();
    names.dedup();
    if sources.len() != documents.len() {
        let message = "stream.ndjson and truth.txt have different numbers of lines";
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(Mix {
        name: format!("captured: {} sources of examples/data", names.len()),
        documents,
        sources: sources
            .into_iter()
            .map(|source| names.binary_search(&source).unwrap_or(names.len()))
            .collect(),
        names: names.into_iter().map(str::to_owned).collect(),
    })
}

/// The folder of further logs, if one is named.
#[must_use]
pub fn extra_folder() -> Option<PathBuf> {
    std::env::var_os(EXTRA_LOGS)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The logs of a folder, in order of their names.
///
/// # Errors
/// The folder or a file cannot be read.
pub fn logs(folder: &Path) -> io::Result<Vec<Log>> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path
            .file_stem()
            .map(|name| name.to_string_lossy().into_owned())
        else {
            continue;
        };
        if path.extension().is_some_and(|extension| extension == "log") {
            let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            logs.push(Log {
                name,
                lines: lines.map(str::to_owned).collect(),
            });
        }
    }
    logs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(logs)
}

/// One stream of several logs: from each at most so many lines, spread over the whole log; the
/// order inside a log is kept, which comes next is drawn by the lines that are left.
#[must_use]
pub fn mixed(parts: &[(&Log, usize)], seed: u64) -> Mix {
    let chosen: Vec<Vec<&str>> = parts
        .iter()
        .map(|(log, most)| {
            let count = log.lines.len().min(*most);
            let at = |index: usize| index * log.lines.len() / count.max(1);
            (0..count)
                .map(|index| log.lines[at(index)].as_str())
                .collect()
        })
        .collect();
    let total: usize = chosen.iter().map(Vec::len).sum();
    let (mut draw, mut next) = (Draw::new(seed), vec![0; chosen.len()]);
    let (mut documents, mut sources) = (Vec::new(), Vec::new());
    for place in 0..total {
        let mut ticket = draw.below(total - place);
        let mut source = 0;
        while ticket >= chosen[source].len() - next[source] {
            ticket -= chosen[source].len() - next[source];
            source += 1;
        }
        let second = 86_400 * place / total;
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        documents.push(json!({
            "@timestamp": format!("2026-11-23T{hour:02}:{minute:02}:{:02}.000Z", second % 60),
            "message": chosen[source][next[source]],
        }));
        sources.push(source);
        next[source] += 1;
    }
    let names: Vec<String> = parts
        .iter()
        .zip(&chosen)
        .map(|((log, _), lines)| format!("{} {}", log.name, lines.len()))
        .collect();
    Mix {
        name: names.join(", "),
        documents,
        sources,
        names: parts.iter().map(|(log, _)| log.name.clone()).collect(),
    }
}

/// The mixes that the bar holds for: all logs, every pair, and unbalanced ones.
#[must_use]
pub fn standard(logs: &[Log]) -> Vec<Mix> {
    const WHOLE: usize = 2_000;
    let mut mixes = Vec::new();
    let everything: Vec<(&Log, usize)> = logs.iter().map(|log| (log, WHOLE)).collect();
    mixes.push(mixed(&everything, 1));
    for (at, first) in logs.iter().enumerate() {
        for second in &logs[at + 1..] {
            mixes.push(mixed(&[(first, WHOLE), (second, WHOLE)], 2));
        }
    }
    // Each log once as the smallest part.
    for (at, small) in logs.iter().enumerate() {
        let next = |steps: usize| &logs[(at + steps) % logs.len()];
        if logs.len() > 1 {
            mixes.push(mixed(&[(next(1), WHOLE), (small, 100)], 3));
        }
        if logs.len() > 2 {
            mixes.push(mixed(&[(small, 50), (next(1), 50), (next(2), WHOLE)], 4));
        }
    }
    mixes
}

/// The mixes of three logs and more, up to all but one.
#[must_use]
pub fn subsets(logs: &[Log]) -> Vec<Mix> {
    // More logs than this have too many subsets.
    let logs = &logs[..logs.len().min(8)];
    let mut mixes = Vec::new();
    for chosen in 0u32..1 << logs.len() {
        let count = chosen.count_ones() as usize;
        if count < 3 || count >= logs.len() {
            continue;
        }
        let taken = logs
            .iter()
            .enumerate()
            .filter(|(at, _)| chosen >> at & 1 == 1);
        let parts: Vec<(&Log, usize)> = taken.map(|(_, log)| (log, 2_000)).collect();
        mixes.push(mixed(&parts, u64::from(chosen)));
    }
    mixes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_keeps_the_order_of_each_log_and_all_lines() {
        let log = |name: &str, count: usize| Log {
            name: name.to_owned(),
            lines: (0..count).map(|line| format!("{name} {line:03}")).collect(),
        };
        let (a, b) = (log("a", 100), log("b", 7));
        let mix = mixed(&[(&a, 50), (&b, 50)], 5);
        assert_eq!((mix.documents.len(), mix.name.as_str()), (57, "a 50, b 7"));
        for source in 0..2 {
            let of_source = mix
                .documents
                .iter()
                .zip(&mix.sources)
                .filter(|(_, s)| **s == source);
            let lines: Vec<&str> = of_source
                .map(|(document, _)| document["message"].as_str().unwrap())
                .collect();
            assert!(lines.is_sorted());
        }
        assert_eq!(mixed(&[(&a, 50), (&b, 50)], 5).sources, mix.sources);
        assert_ne!(mixed(&[(&a, 50), (&b, 50)], 6).sources, mix.sources);
    }

    #[test]
    fn a_sample_has_each_number_once() {
        let mut numbers = Draw::new(1).sample(100, 40);
        assert_eq!(numbers.len(), 40);
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 40);
        assert_eq!(Draw::new(1).sample(3, 40).len(), 3);
    }
}
