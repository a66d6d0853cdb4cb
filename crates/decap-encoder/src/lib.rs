//! The frozen dual encoder: photos and sentences to unit vectors of one space.
//!
//! An [`Encoder`] is two towers, a shared space and a fingerprint. CLIP is read from any form that it is
//! published in and runs on our own kernels; everything else comes as ONNX. What the two need lies
//! beside them: tokenizers, weights in every common form, folders of files, and the one way out that
//! writes them ([`output`]).
//!
//! The crate `decap` makes captions of embeddings, and gives all of this under its own name.

mod digest;
mod embedding;
mod error;
mod grouped;
mod places;
mod precision;

pub mod encoder;
pub mod output;
pub mod random;
pub mod tokenizer;
pub mod weights;

pub use decap_media as media;
pub use digest::{RunKey, hexadecimal};
pub use embedding::{Embedding, Embeddings};
pub use encoder::Encoder;
pub use error::{Error, InputFault, Result};
pub use grouped::grouped;
pub use places::{Disk, OpenOptions, Places};
pub use precision::Precision;

#[cfg(test)]
#[path = "../../decap-kernels/src/skipped.rs"]
mod skipped;
