//! Image and video captioning trained on text alone (DeCap).

mod embedding;
mod error;

pub mod encoder;
pub mod media;
pub mod weights;

pub use embedding::{Embedding, Embeddings};
pub use error::{Error, InputFault, Result};
