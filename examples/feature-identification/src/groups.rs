//! Groups the lines of a sample by the system that wrote them.

use crate::hosts::by_source;
use crate::line::{Header, header};
use crate::apps::by_application;
use crate::links::{Source, settle};
use crate::shape::{Lines, by_shape};

/// The groups, the largest first; every line is in exactly one.
#[must_use]
pub fn groups(texts: &[&str]) -> Vec<Vec<u32>> {
    let headers: Vec<Header> = texts.iter().map(|text| header(text)).collect();
    let all = Lines {
        headers: &headers,
        texts,
    };
    let mut sources = Vec::new();
    for lines in by_shape(all) {
        let hosts = by_source(all, lines);
        let several = hosts.len() > 1;
        for lines in hosts {
            let apps = by_application(all, lines);
            let named = several || apps.len() > 1;
            sources.extend(apps.into_iter().map(|lines| Source { lines, named }));
        }
    }
    let mut groups = settle(all, sources);
    groups.sort_by_key(|group| (std::cmp::Reverse(group.len()), group[0]));
    groups
}
