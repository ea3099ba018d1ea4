//! The store on Elasticsearch.

pub(crate) mod client;
