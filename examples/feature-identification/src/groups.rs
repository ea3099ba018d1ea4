//! Groups the lines of a sample by the system that wrote them.

use std::collections::BTreeMap;

use crate::apps::by_application;
use crate::hosts::{by_source, names_application};
use crate::line::{Header, header};
use crate::links::{Source, settle};
use crate::shape::{Lines, by_shape};
use crate::watch::{Stopped, Watch};

/// More groups than this are no systems: the smallest are put together.
const GROUPS_MAX: usize = 64;
/// A label is that of a group when this share of its lines has it.
const PURE_SHARE_MIN: f64 = 0.98;
/// Lines between two looks at the watch.
const BEAT_LINES: usize = 128;

/// The headers of all lines.
///
/// # Errors
/// [`Stopped`] when the watch says so.
pub fn headers(texts: &[&str], watch: &mut dyn Watch) -> Result<Vec<Header>, Stopped> {
    watch.phase("message patterns", texts.len())?;
    let mut headers = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        if index % BEAT_LINES == 0 {
            watch.step(index)?;
        }
        headers.push(header(text));
    }
    Ok(headers)
}

/// The groups, the largest first; every line is in exactly one. `labels` has the name of each
/// label beside its values in `all`.
///
/// # Errors
/// [`Stopped`] when the watch says so.
pub fn groups(
    all: Lines<'_>,
    labels: &[String],
    watch: &mut dyn Watch,
) -> Result<Vec<Vec<u32>>, Stopped> {
    watch.phase("groups", all.texts.len())?;
    let mut sources = Vec::new();
    let mut done = 0;
    for lines in by_shape(all, watch)? {
        done += lines.len();
        let hosts = by_source(all, lines);
        watch.step(done)?;
        let several = hosts.len() > 1;
        for lines in hosts {
            let apps = by_application(all, lines);
            let named = several || apps.len() > 1;
            sources.extend(apps.into_iter().map(|lines| Source { lines, named }));
        }
    }
    sources.retain(|source| !source.lines.is_empty());
    let mut groups = settle(all, at_most(sources), watch)?;
    for (label, name) in labels.iter().enumerate() {
        if names_application(name) {
            groups = by_label(all, label, groups);
        }
    }
    groups.sort_by_key(|group| (std::cmp::Reverse(group.len()), group[0]));
    Ok(groups)
}

/// Puts the smallest together where there are too many.
fn at_most(mut sources: Vec<Source>) -> Vec<Source> {
    if sources.len() <= GROUPS_MAX {
        return sources;
    }
    sources.sort_by_key(|source| (std::cmp::Reverse(source.lines.len()), source.lines[0]));
    let rest = sources.split_off(GROUPS_MAX - 1);
    let mut lines: Vec<u32> = rest.into_iter().flat_map(|source| source.lines).collect();
    lines.sort_unstable();
    sources.push(Source {
        lines,
        named: false,
    });
    sources
}

/// Whatever its lines look like, an application that the documents name is one.
fn by_label(all: Lines<'_>, label: usize, groups: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    let mut kept = Vec::new();
    let mut named: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for lines in groups {
        match only_value(all, label, &lines) {
            Some(value) => named.entry(value).or_default().extend(lines),
            None => kept.push(lines),
        }
    }
    for mut lines in named.into_values() {
        lines.sort_unstable();
        kept.push(lines);
    }
    kept
}

fn only_value<'a>(all: Lines<'a>, label: usize, lines: &[u32]) -> Option<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lines {
        if let Some(value) = all.labels[label].get(*line as usize).copied().flatten() {
            *counts.entry(value).or_insert(0) += 1;
        }
    }
    let (value, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    (count as f64 >= PURE_SHARE_MIN * lines.len() as f64).then_some(value)
}
