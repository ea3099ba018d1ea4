//! Groups the lines of a sample by the system that wrote them.

use crate::apps::by_application;
use crate::hosts::{by_source, names_application};
use crate::line::{Header, header};
use crate::lines::Lines;
use crate::links::settle;
use crate::sets::merge_alike;
use crate::shape::by_shape;
use crate::small::Source;
use crate::tally::{Tally, arranged, descending, ordered};
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
    let order = ordered(groups.len(), &|a, b| {
        let (a, b): (&Vec<u32>, &Vec<u32>) = (&groups[a], &groups[b]);
        b.len().cmp(&a.len()).then(a[0].cmp(&b[0]))
    });
    Ok(arranged(groups, &order))
}

/// Puts the smallest together where there are too many.
fn at_most(sources: Vec<Source>) -> Vec<Source> {
    if sources.len() <= GROUPS_MAX {
        return sources;
    }
    let order = descending(sources.len(), &|at| sources[at].lines.len() as f64);
    let mut sources = arranged(sources, &order);
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
    let values: Vec<Option<String>> = groups
        .iter()
        .map(|lines| only_value(all, label, lines))
        .collect();
    merge_alike(groups, &|a, b| {
        values[a].is_some() && values[a] == values[b]
    })
}

/// The value that nearly all of the lines have.
fn only_value(all: Lines<'_>, label: usize, lines: &[u32]) -> Option<String> {
    let mut counts = Tally::default();
    for value in lines.iter().filter_map(|line| all.label(label, *line)) {
        counts.add(value.as_bytes(), 1.0);
    }
    let (value, count) = counts.largest()?;
    let pure = count >= PURE_SHARE_MIN * lines.len() as f64;
    pure.then(|| String::from_utf8_lossy(value).into_owned())
}
