//! The task type `streams_feature_identification`: finds the systems that write into a stream.
//!
//! [`identify::identify`] is the algorithm, a pure function from documents to what was found;
//! its header says how it works. Where a language model is given, [`talk`] has it name and describe
//! what was found, and [`ground`] sees that nothing becomes worse. [`run`] is the task around them.

pub mod watch;
pub mod hash;
pub mod sets;
pub mod bits;
pub mod stamp;
pub mod pairs;
pub mod continued;
pub mod line;
pub mod lines;
pub mod words;
pub mod tally;
pub mod shape;
pub mod hosts;
pub mod fields;
pub mod apps;
pub mod vocabulary;
pub mod small;
pub mod links;
pub mod groups;
pub mod sample;
pub mod pieces;
pub mod atoms;
pub mod cover;
pub mod arrange;
pub mod naming;
pub mod identify;
pub mod feature;
pub mod words_of_models;
pub mod worth;
pub mod proposal;
pub mod ground;
pub mod reconcile;
pub mod prompts;
pub mod talk;
pub mod shelf;
pub mod computed;
pub mod asking;
pub mod run;

taskhost_sdk::export!(run::FeatureIdentification);
