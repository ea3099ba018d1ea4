//! The task type `streams_onboarding`: what a new stream gets first. A parent that has others do
//! the work: finds the systems that write into it, then queries for their significant events.

mod run;

taskhost_sdk::export!(run::Onboarding);
