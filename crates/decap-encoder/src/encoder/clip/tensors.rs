//! CLIP's tensors, read into layers from a checkpoint or made up at random.

use std::borrow::Cow;

use decap_kernels::{MatrixView, PackedMatrix, Precision};
use rayon::prelude::*;

use super::config::TransformerConfig;
use super::names::{Naming, Tower};
use super::transformer::{Block, LayerNorm, Linear, Transformer, Workspaces};
use crate::error::{Error, Result};
use crate::random::RandomStream;
use crate::weights::Checkpoint;

/// OpenAI initialises within a factor of two of this
/// (<https://github.com/openai/CLIP/blob/main/clip/model.py>, `initialize_parameters`).
const STANDARD_DEVIATION: f64 = 0.03;

/// Reads the tensors of one tower; keeps count of the names that it took.
pub(super) struct TensorReader<'a> {
    pub(super) source: Source<'a>,
    pub(super) naming: Naming,
    pub(super) precision: Precision,
}

/// Where tensors come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    Checkpoint(&'a Checkpoint),
    /// Made up from this seed.
    Random(u64),
}

impl<'a> Source<'a> {
    fn f32(self, name: &str, shape: &[usize]) -> Result<Cow<'a, [f32]>> {
        match self {
            Self::Checkpoint(checkpoint) => checkpoint.f32(name, shape),
            Self::Random(seed) => Ok(random(seed, name, shape)),
        }
    }

    /// Lets go of a tensor that has been copied.
    pub(super) fn release(self, name: &str) {
        if let Self::Checkpoint(checkpoint) = self {
            checkpoint.release(name);
        }
    }
}

impl<'a> TensorReader<'a> {
    /// The tensor that OpenAI calls `name`, of exactly `shape`.
    pub(super) fn outer(&self, name: &str, shape: &[usize]) -> Result<Cow<'a, [f32]>> {
        self.source.f32(&self.naming.outer(name), shape)
    }

    /// The layer norm that OpenAI calls `name`.
    pub(super) fn layer_norm(&self, name: &str, width: usize, epsilon: f32) -> Result<LayerNorm> {
        self.layer_norm_at(&format!("{}.", self.naming.outer(name)), width, epsilon)
    }

    /// The projection into the shared space, `[tower width, width]` for OpenAI and transposed for
    /// Hugging Face.
    pub(super) fn projection(&self, name: &str, from: usize, to: usize) -> Result<PackedMatrix> {
        let packed = match self.naming {
            Naming::OpenAi => {
                let weight = self.outer(name, &[from, to])?;
                PackedMatrix::pack(MatrixView::row_major(&weight, from, to), self.precision)
            }
            Naming::HuggingFace => {
                let weight = self.outer(name, &[to, from])?;
                let view = MatrixView::row_major(&weight, to, from).transposed();
                PackedMatrix::pack(view, self.precision)
            }
        };
        self.source.release(&self.naming.outer(name));
        Ok(packed)
    }

    /// All blocks of a tower.
    pub(super) fn transformer(
        &self,
        tower: Tower,
        config: &TransformerConfig,
    ) -> Result<Transformer> {
        let blocks = (0..config.layers).map(|layer| self.block(tower, layer, config));
        let blocks: Vec<Block> = blocks.collect::<Result<_>>()?;
        let extra = format!("{}ln_1.weight", self.naming.block(tower, config.layers));
        let extra = match self.naming {
            Naming::OpenAi => extra,
            Naming::HuggingFace => extra.replace("ln_1", "layer_norm1"),
        };
        if let Source::Checkpoint(checkpoint) = self.source
            && checkpoint.contains(&extra)
        {
            return Err(Error::model(
                checkpoint.path(),
                format!(
                    "expected {} layers, got more: tensor `{extra}`",
                    config.layers
                ),
            ));
        }
        Ok(Transformer {
            config: config.clone(),
            blocks,
            workspaces: Workspaces::default(),
        })
    }

    fn block(&self, tower: Tower, layer: usize, config: &TransformerConfig) -> Result<Block> {
        let block = self.naming.block(tower, layer);
        let at = |part: &str| format!("{block}{part}");
        let (width, hidden, epsilon) =
            (config.width, config.hidden_width, config.layer_norm_epsilon);
        Ok(match self.naming {
            Naming::HuggingFace => Block {
                norm_1: self.layer_norm_at(&at("layer_norm1."), width, epsilon)?,
                queries_keys_values: self.joined(&block, width)?,
                output: self.linear(&at("self_attn.out_proj."), width, width)?,
                norm_2: self.layer_norm_at(&at("layer_norm2."), width, epsilon)?,
                hidden: self.linear(&at("mlp.fc1."), width, hidden)?,
                hidden_output: self.linear(&at("mlp.fc2."), hidden, width)?,
            },
            Naming::OpenAi => Block {
                norm_1: self.layer_norm_at(&at("ln_1."), width, epsilon)?,
                queries_keys_values: self.linear(&at("attn.in_proj_"), width, 3 * width)?,
                output: self.linear(&at("attn.out_proj."), width, width)?,
                norm_2: self.layer_norm_at(&at("ln_2."), width, epsilon)?,
                hidden: self.linear(&at("mlp.c_fc."), width, hidden)?,
                hidden_output: self.linear(&at("mlp.c_proj."), hidden, width)?,
            },
        })
    }

    fn layer_norm_at(&self, prefix: &str, width: usize, epsilon: f32) -> Result<LayerNorm> {
        Ok(LayerNorm {
            weight: self
                .source
                .f32(&format!("{prefix}weight"), &[width])?
                .into_owned(),
            bias: self
                .source
                .f32(&format!("{prefix}bias"), &[width])?
                .into_owned(),
            epsilon,
        })
    }

    /// A linear layer whose weight is `[outputs, inputs]`, as PyTorch keeps it.
    fn linear(&self, prefix: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        let name = format!("{prefix}weight");
        let weight = self.source.f32(&name, &[outputs, inputs])?;
        let view = MatrixView::row_major(&weight, outputs, inputs).transposed();
        let weight = PackedMatrix::pack(view, self.precision);
        self.source.release(&name);
        let bias = self
            .source
            .f32(&format!("{prefix}bias"), &[outputs])?
            .into_owned();
        Ok(Linear { weight, bias })
    }

    /// Queries, keys and values as one layer: three products at once.
    fn joined(&self, block: &str, width: usize) -> Result<Linear> {
        let mut weights = Vec::with_capacity(3 * width * width);
        let mut bias = Vec::with_capacity(3 * width);
        for part in ["q", "k", "v"] {
            let prefix = format!("{block}self_attn.{part}_proj.");
            let name = format!("{prefix}weight");
            weights.extend_from_slice(&self.source.f32(&name, &[width, width])?);
            self.source.release(&name);
            bias.extend_from_slice(&self.source.f32(&format!("{prefix}bias"), &[width])?);
        }
        let view = MatrixView::row_major(&weights, 3 * width, width).transposed();
        Ok(Linear {
            weight: PackedMatrix::pack(view, self.precision),
            bias,
        })
    }
}

/// The tensor `name`: norms are the identity, biases and all else normal.
fn random(seed: u64, name: &str, shape: &[usize]) -> Cow<'static, [f32]> {
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
