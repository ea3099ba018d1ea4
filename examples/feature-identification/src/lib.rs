//! The task type `streams_feature_identification`: finds the systems that write into a stream.

pub mod watch;
pub mod hash;
pub mod sets;
pub mod bits;
pub mod stamp;
pub mod pairs;
pub mod line;
pub mod words;
pub mod shape;
pub mod hosts;
pub mod fields;
pub mod apps;
pub mod links;
pub mod groups;
pub mod sample;
pub mod atoms;
pub mod cover;
pub mod arrange;
pub mod naming;
pub mod identify;
pub mod feature;
