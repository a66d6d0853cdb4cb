//! Towers of random weights, for benchmarks and tests: the right shapes, and no meaning.

use std::borrow::Cow;

use super::config::{ClipConfig, ImageConfig, TextConfig, TextPooling, TransformerConfig};
use super::names::{Naming, Source, TensorReader};
use super::{ClipImageTower, ClipTextTower};
use crate::decoder::RandomStream;
use crate::encoder::Preprocess;
use crate::error::Result;
use crate::precision::Precision;
use crate::tokenizer::clip::ClipTokenizer;

/// OpenAI initialises within a factor of two of this
/// (<https://github.com/openai/CLIP/blob/main/clip/model.py>, `initialize_parameters`).
const STANDARD_DEVIATION: f64 = 0.03;

impl ClipConfig {
    /// The sizes of OpenAI's ViT-B/32.
    pub fn vit_base_patch32() -> Self {
        let transformer = |width: usize| TransformerConfig {
            width,
            layers: 12,
            heads: width / 64,
            hidden_width: 4 * width,
            activation: decap_kernels::Activation::QuickGelu,
            layer_norm_epsilon: 1e-5,
        };
        Self {
            width: 512,
            image: ImageConfig {
                transformer: transformer(768),
                image_size: 224,
                patch_size: 32,
            },
            text: TextConfig {
                transformer: transformer(512),
                context_length: 77,
                vocabulary_size: 49_408,
                pooling: TextPooling::LargestId,
            },
        }
    }
}

impl ClipImageTower {
    /// A tower of seeded random weights.
    ///
    /// # Errors
    /// None for sizes that make a tower.
    pub fn random(config: &ClipConfig, precision: Precision, seed: u64) -> Result<Self> {
        Self::read(&reader(precision, seed), config, Preprocess::default())
    }
}

impl ClipTextTower {
    /// A tower of seeded random weights, with OpenAI's tokenizer.
    ///
    /// # Errors
    /// None for sizes that make a tower.
    pub fn random(config: &ClipConfig, precision: Precision, seed: u64) -> Result<Self> {
        Self::read(&reader(precision, seed), config, ClipTokenizer::bundled()?)
    }
}

fn reader(precision: Precision, seed: u64) -> TensorReader<'static> {
    TensorReader {
        source: Source::Random(seed),
        naming: Naming::OpenAi,
        precision: precision.of_towers(),
    }
}

/// The tensor `name`: norms are the identity, biases and all else normal.
pub(super) fn tensor(seed: u64, name: &str, shape: &[usize]) -> Cow<'static, [f32]> {
    use rayon::prelude::*;
    let len = shape.iter().product();
    let is_norm = ["ln_", "norm"].iter().any(|part| name.contains(part));
    if is_norm {
        let value = if name.ends_with("weight") { 1.0 } else { 0.0 };
        return Cow::Owned(vec![value; len]);
    }
    let mut key = vec![seed];
    key.extend(name.bytes().map(u64::from));
    let stream = RandomStream::new(&key);
    let value = |index: usize| (STANDARD_DEVIATION * stream.gaussian(index as u64)) as f32;
    Cow::Owned((0..len).into_par_iter().map(value).collect())
}
