//! Image and video captioning trained on text alone (DeCap, ICLR 2023).
//!
//! A frozen [`Encoder`](encoder::Encoder) maps photos and sentences to unit vectors of one space.
//! A small [`Decoder`](decoder::Decoder) learns, from sentences alone, to write a sentence back
//! from its vector. A photo's vector is projected onto a support [`Memory`](memory::Memory) of
//! sentence vectors, and the decoder writes. [`Captioner`] ties them together:
//!
//! ```
//! # #[cfg(feature = "bundled")] {
//! use decap::Captioner;
//!
//! let captioner = Captioner::bundled()?;
//! let caption = captioner.caption_file("../../examples/photos/cat.webp")?;
//! println!("{} ({:.2})", caption.text, caption.score);
//! for evidence in &caption.evidence {
//!     println!("  {:.2}  {}", evidence.weight, evidence.text);
//! }
//! assert_eq!(caption.evidence.len(), 3);
//! # }
//! # Ok::<(), decap::Error>(())
//! ```
//!
//! Each step can be taken by itself: [`media::image::open`] decodes, [`Encoder::encode_image`]
//! embeds, [`Memory::project`] projects, [`Decoder::generate`] writes; `train::train_model` makes
//! a model from captions, `train::align::align` an encoder from two towers; `eval` scores what a
//! captioner writes about photos that people have described.
//!
//! [`Encoder::encode_image`]: encoder::Encoder::encode_image
//! [`Memory::project`]: memory::Memory::project
//! [`Decoder::generate`]: decoder::Decoder::generate

mod batches;
#[cfg(feature = "bundled")]
mod bundled;
mod caption;
mod captioner;
mod embedding;
mod error;
mod machine;
mod npy;
mod precision;

pub mod decoder;
pub mod encoder;
#[cfg(feature = "eval")]
pub mod eval;
#[cfg(feature = "hub")]
pub mod hub;
pub mod media;
pub mod memory;
pub mod model;
pub mod tokenizer;
#[cfg(feature = "train")]
pub mod train;
pub mod weights;

pub use batches::for_each_batch;
pub use caption::{Caption, CaptionOptions, Method, Timings};
pub use captioner::Captioner;
pub use embedding::{Embedding, Embeddings};
pub use error::{Error, InputFault, Result};
pub use machine::Machine;
pub use npy::{NpyArray, read_npy, write_npy};
pub use precision::Precision;
