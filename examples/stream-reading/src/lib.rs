//! What the task types around feature identification share: they sample a stream, look for signs of
//! trouble in its lines, ask a language model where they are given one, and check what came of it
//! against the data.

pub mod moment;
pub mod range;
pub mod text;
pub mod sample;
pub mod signs;
pub mod feature;
pub mod asking;
pub mod prompts;
pub mod event;
pub mod propose;
