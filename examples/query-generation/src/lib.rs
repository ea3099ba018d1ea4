//! The task type `streams_significant_events_queries_generation`: for each feature of a stream one
//! query that selects significant events, checked against the data before it is proposed.

mod params;
mod model;
mod save;
mod run;

taskhost_sdk::export!(run::QueryGeneration);
