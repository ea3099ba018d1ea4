//! The task type `streams_description_generation`: one description of a stream, for people to edit
//! and save; nothing is written here.

mod facts;
mod words;
mod run;

taskhost_sdk::export!(run::DescriptionGeneration);
