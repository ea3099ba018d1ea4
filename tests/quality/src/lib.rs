//! How well feature identification finds the systems in mixed logs whose sources are known.
//!
//! A document belongs to the first feature, in the payload's order, whose filter it satisfies;
//! the unmatched form one group. [`score`] has the two figures: the adjusted Rand index over all
//! documents, and the F1 of each source's best feature, averaged. The bar is [`BAR`] for both. A
//! third, the share of names that a person would accept ([`accepted`]), is what language models are
//! for: [`scripted`] has good and bad ones.

pub mod score;
pub mod mix;
pub mod accepted;
pub mod measure;
pub mod scripted;
pub mod baseline;

/// What both figures have to reach on every mix.
pub const BAR: f64 = 0.90;
