//! Fresh parameters, as the reference's libraries make them.

use rayon::prelude::*;

use super::{DecoderConfig, DecoderWeights};
use decap_encoder::Result;
use decap_encoder::random::RandomStream;

/// GPT-2's `initializer_range`.
const STANDARD_DEVIATION: f64 = 0.02;

impl DecoderWeights {
    /// Random parameters: the distributions of transformers' GPT-2 and of PyTorch's `Linear`.
    ///
    /// Matrices are normal with deviation 0.02, those that write into the residual stream divided
    /// by the root of twice the number of layers; norms begin as the identity; the prefix layer is
    /// uniform within one over the root of its inputs. The same seed gives the same parameters
    /// on every machine.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) where the shape cannot be built.
    pub fn random(config: &DecoderConfig, seed: u64) -> Result<Self> {
        config.validate("decoder".as_ref())?;
        let mut weights = Self::zeros(config);
        let residual = STANDARD_DEVIATION / (2.0 * config.num_layers as f64).sqrt();
        let uniform = 1.0 / (config.prefix_width as f64).sqrt();
        for (index, tensor) in (0..).zip(&weights.layout.tensors) {
            let values = &mut weights.values[tensor.range.clone()];
            let stream = RandomStream::new(&[seed, index]);
            let name = tensor.name.as_str();
            if name.starts_with("clip_project") {
                fill(values, |n| uniform * (2.0 * stream.uniform(n) - 1.0));
            } else if tensor.shape.len() == 2 {
                let deviation = if name.ends_with("c_proj.weight") {
                    residual
                } else {
                    STANDARD_DEVIATION
                };
                fill(values, |n| deviation * stream.gaussian(n));
            } else if name.ends_with("weight") {
                values.fill(1.0);
            }
        }
        Ok(weights)
    }
}

fn fill(values: &mut [f32], value: impl Fn(u64) -> f64 + Sync) {
    let places = values.par_iter_mut().enumerate();
    places.for_each(|(n, slot)| *slot = value(n as u64) as f32);
}
