//! Groups the lines of a sample by the system that wrote them.

use crate::hosts::by_source;
use crate::line::{Header, header};
use crate::links::settle;
use crate::shape::{Lines, by_shape};

/// The groups, the largest first; every line is in exactly one.
#[must_use]
pub fn groups(texts: &[&str]) -> Vec<Vec<u32>> {
    let headers: Vec<Header> = texts.iter().map(|text| header(text)).collect();
    let all = Lines {
        headers: &headers,
        texts,
    };
    let sources = by_shape(all)
        .into_iter()
        .flat_map(|lines| by_source(all, lines))
        .collect();
    let mut groups = settle(all, sources);
    groups.sort_by_key(|group| (std::cmp::Reverse(group.len()), group[0]));
    groups
}
