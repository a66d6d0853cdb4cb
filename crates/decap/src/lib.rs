//! Image and video captioning trained on text alone (DeCap, ICLR 2023).
//!
//! A frozen [`Encoder`](encoder::Encoder) maps photos and sentences to unit vectors of one space.
//! A small [`Decoder`](decoder::Decoder) learns, from sentences alone, to write a sentence back
//! from its vector. A photo's vector is projected onto a support [`Memory`](memory::Memory) of
//! sentence vectors, and the decoder writes. [`Captioner`] ties them together:
//!
//! ```
//! use decap::Captioner;
//!
//! let captioner = Captioner::open("../../models/tiny")?;
//! let caption = captioner.caption("../../examples/photos/cat.webp")?;
//! println!("{} ({:.2})", caption.text, caption.score);
//! for evidence in &caption.evidence {
//!     println!("  {:.2}  {}", evidence.weight, evidence.text);
//! }
//! assert_eq!(caption.evidence.len(), 3);
//! # Ok::<(), decap::Error>(())
//! ```
//!
//! Each step can be taken by itself: [`media::image::open`] decodes, [`Encoder::encode_image`]
//! embeds, [`Memory::project`] projects, [`Decoder::generate`] writes; training, evaluation
//! and the Hub have crates of their own: `decap-train`, `decap-eval` and `decap-hub`.
//!
//! [`Encoder::encode_image`]: encoder::Encoder::encode_image
//! [`Memory::project`]: memory::Memory::project
//! [`Decoder::generate`]: decoder::Decoder::generate

mod budget;
mod caption;
mod captioner;
mod captioning;
mod choosing;
mod confidence;
mod consensus;
mod embedding_cache;
mod input;
mod loading;
mod machine;
mod npy;

pub mod decoder;
pub mod memory;
pub mod model;
mod near_duplicates;
pub mod pipeline;

pub use caption::{Candidate, Caption, CaptionOptions, ChosenFrom, Method, Timings};
pub use captioner::Captioner;
pub use captioning::Captioned;
pub use confidence::Calibration;
pub use consensus::{ConsensusOptions, Rerank};
pub use decap_encoder::{
    Disk, Embedding, Embeddings, Error, InputFault, OpenOptions, Places, Precision, Result, RunKey,
    encoder, grouped, hexadecimal, output, random, tokenizer, weights,
};
pub use decap_media as media;
pub use embedding_cache::EmbeddingCache;
pub use input::Input;
pub use machine::Machine;
pub use npy::{NpyArray, read_npy, write_npy};

#[cfg(test)]
#[path = "../../decap-kernels/src/skipped.rs"]
mod skipped;
