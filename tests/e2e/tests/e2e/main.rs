//! End-to-end tests: one module for each thing that the host promises.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test shares with others fails the test as well"
)]

mod straight_line;
mod versions;
mod cancel;
mod released;
mod retries;
mod retrying;
mod submissions;
mod waiting;
mod inference;
mod http_client;
mod fan_out;
mod concurrency;
mod events;
mod space_events;
mod lists;
mod task_types;
mod policy;
mod version_life;
mod signatures;
mod refused_components;
mod watched_folder;
mod hot_loading;
mod loads_and_unloads;
mod streams;
mod kibana;
mod features;
mod prompts;
mod identification;
mod sisters;
mod bad_requests;
mod guests;
mod guests_stopped;
mod guests_checked;
mod guests_reach;
mod guests_at_once;
mod many_parked;
mod settings;
mod life;
mod command_line;
mod demo;
mod linear;
mod crash_points;
mod store_trouble;
mod kills;
mod storm;
mod drain;
mod starved;
mod overload;
mod leaks;
mod hostile_values;
mod kit;
mod kit_fixtures;
mod kit_time;
mod recordings;
mod recordings_broken;
mod authors_guide;
mod people;
mod tokens;
mod walls;
mod sessions;
mod audit;
mod reached;
mod schedules;
mod schedules_of_people;
mod elsewhere;
mod openapi;
mod metrics;
mod traces;
mod backup;
mod moves;
mod doctor;
