//! The preprocessing recipe: a decoded photo to a tower's pixels.

use serde::{Deserialize, Serialize};

use crate::media::RgbImage;

/// How a photo becomes the pixels that an image tower expects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Edge of the square that the tower sees, in pixels.
    pub size: u32,
}

impl Preprocess {
    /// The pixels of `image`, `[3, size, size]`, f32.
    pub fn apply(&self, _image: &RgbImage) -> Vec<f32> {
        Vec::new()
    }
}
