//! Consensus: of several captions, the one that the nearest memory sentences agree on.
//!
//! Each candidate is compared by CIDEr-D with the memory sentences nearest to the photo, and the one with
//! the highest weighted mean is chosen. Devlin et al., *Exploring Nearest Neighbor Approaches for Image
//! Captioning* (2015), section 3, chose among captions of similar photos so; here the sentences are near
//! to the photo itself, and what the decoder wrote is among the candidates.

mod agreement;
mod options;
mod phrases;

pub(crate) use agreement::{Ballot, best};
pub use options::{ConsensusOptions, Rerank};
pub(crate) use phrases::Phrases;

#[cfg(test)]
mod tests;
