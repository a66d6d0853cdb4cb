//! The frozen dual encoder: two towers, a shared space, a fingerprint.

mod head;
pub mod preprocess;

pub use head::{Head, HiddenLayer, LearnedHead};
pub use preprocess::Preprocess;

use crate::embedding::Embeddings;
use crate::error::{Error, Result};
use crate::media::RgbImage;

/// A frozen network that turns pixels into features.
pub trait ImageTower: Send + Sync {
    /// How a photo becomes this tower's pixels.
    fn preprocess(&self) -> &Preprocess;

    /// Features a photo.
    fn width(&self) -> usize;

    /// The features `[batch, width]` of preprocessed pixels `[batch, 3, size, size]`.
    ///
    /// # Errors
    /// [`Error::Model`] where the network cannot run.
    fn forward(&self, pixels: &[f32], batch: usize) -> Result<Vec<f32>>;
}

/// A frozen network that turns sentences into features.
pub trait TextTower: Send + Sync {
    /// Features a sentence.
    fn width(&self) -> usize;

    /// The features `[texts, width]` of sentences, in order.
    ///
    /// # Errors
    /// [`Error::Model`] where the network cannot run.
    fn forward(&self, texts: &[&str]) -> Result<Vec<f32>>;
}
