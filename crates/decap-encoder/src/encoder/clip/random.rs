//! Towers of random weights, for benchmarks and tests: the right shapes, and no meaning.

use super::config::{ClipConfig, ImageConfig, TextConfig, TextPooling, TransformerConfig};
use super::names::Naming;
use super::tensors::{Source, TensorReader};
use super::{ClipImageTower, ClipTextTower};
use crate::encoder::Preprocess;
use crate::error::Result;
use crate::precision::Precision;
use crate::tokenizer::clip::ClipTokenizer;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::Embeddings;
    use crate::encoder::{ImageTower, TextTower};

    /// What `auto` promises of an embedding.
    const COSINE: f32 = 0.999;

    fn small() -> ClipConfig {
        let mut config = ClipConfig::vit_base_patch32();
        for transformer in [&mut config.image.transformer, &mut config.text.transformer] {
            transformer.width = 128;
            transformer.heads = 2;
            transformer.layers = 3;
            transformer.hidden_width = 512;
        }
        config
    }

    fn embeddings(precision: Precision) -> [Embeddings; 2] {
        let config = small();
        let image = ClipImageTower::random(&config, precision, 1).unwrap();
        let values = 2 * image.preprocess().values();
        let pixels: Vec<f32> = (0..values).map(|n| (n as f32 * 0.37).sin()).collect();
        let text = ClipTextTower::random(&config, precision, 1).unwrap();
        [
            Embeddings::new(image.forward(&pixels, 2).unwrap(), config.width).unwrap(),
            Embeddings::new(text.forward(&["a dog", "two cats"]).unwrap(), config.width).unwrap(),
        ]
    }

    #[test]
    fn auto_and_bf16_keep_the_embeddings() {
        let exact = embeddings(Precision::F32);
        for precision in [Precision::Auto, Precision::Bf16] {
            for (rounded, exact) in embeddings(precision).iter().zip(&exact) {
                for row in 0..2 {
                    let cosine = rounded.get(row).unwrap().cosine(&exact.get(row).unwrap());
                    assert!(cosine > COSINE, "{precision}: {cosine}");
                }
            }
        }
    }

    #[test]
    fn a_seed_makes_one_tower() {
        let [image, text] = embeddings(Precision::F32);
        let [again, text_again] = embeddings(Precision::F32);
        assert_eq!((&image, &text), (&again, &text_again));
        assert_ne!(image.get(0), image.get(1));
    }
}
