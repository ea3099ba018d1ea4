//! The task type `streams_insights_discovery`: what several streams tell together.

mod streams;
mod insights;
mod run;

taskhost_sdk::export!(run::InsightsDiscovery);
