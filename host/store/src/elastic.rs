//! The store on Elasticsearch.

pub(crate) mod client;
mod query_fields;
mod query;
mod streams_reader;
mod streams_scan;
mod streams_turns;
mod streams_count;
mod streams_about;
pub(crate) mod streams;
#[cfg(test)]
mod streams_tests;
