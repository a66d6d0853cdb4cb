//! Image and video captioning trained on text alone (DeCap).

mod batches;
#[cfg(feature = "bundled")]
mod bundled;
mod captioner;
mod embedding;
mod error;
mod npy;

pub mod dataset;
pub mod decoder;
pub mod encoder;
pub mod media;
pub mod memory;
pub mod model;
pub mod tokenizer;
#[cfg(feature = "train")]
pub mod train;
pub mod weights;

pub use batches::for_each_batch;
pub use captioner::{Caption, CaptionOptions, Captioner, Method, Timings};
pub use embedding::{Embedding, Embeddings};
pub use error::{Error, InputFault, Result};
pub use npy::{NpyArray, read_npy, write_npy};
