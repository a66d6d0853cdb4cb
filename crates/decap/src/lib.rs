//! Image and video captioning trained on text alone (DeCap).

mod batches;
mod embedding;
mod error;
mod npy;

pub mod encoder;
pub mod media;
pub mod weights;

pub use batches::for_each_batch;
pub use embedding::{Embedding, Embeddings};
pub use error::{Error, InputFault, Result};
pub use npy::write_npy;
