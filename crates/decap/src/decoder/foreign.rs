//! DeCap checkpoints of the reference implementation: read, and written back.
//!
//! dhg-wei/DeCap saves `model.state_dict()` with `torch.save`; forks (Patch-ioner among them) keep the
//! decoder and put a prefix before its names, or other models beside it.

use std::path::Path;

use super::layout::ParameterLayout;
use super::{DecoderConfig, DecoderWeights};
use crate::error::{Error, Result};
use crate::weights::{Checkpoint, TorchTensor, write_torch};

/// The tensor by which a DeCap checkpoint, and what stands before its names, is known.
const PREFIX_WEIGHT: &str = "clip_project.model.0.weight";

const TOKEN_EMBEDDING: &str = "decoder.transformer.wte.weight";
const POSITION_EMBEDDING: &str = "decoder.transformer.wpe.weight";
const TIED_OUTPUT: &str = "decoder.lm_head.weight";

/// What a checkpoint does not say about itself; the defaults are the reference's.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportOptions {
    /// Attention heads: `n_head` of the reference's `decoder_config.pkl`.
    pub num_heads: usize,
    /// The id that the prefix predicts first: CLIP's start-of-text.
    pub start_token: Option<u32>,
    /// The id that ends a caption: CLIP's end-of-text.
    pub end_token: u32,
}

impl Default for ImportOptions {
    fn default() -> Self {
        let DecoderConfig {
            num_heads,
            start_token,
            end_token,
            ..
        } = DecoderConfig::default();
        Self {
            num_heads,
            start_token,
            end_token,
        }
    }
}

impl DecoderWeights {
    /// Reads a DeCap checkpoint: `torch.save` of a state dict, or safetensors under its names.
    ///
    /// The shape follows from the tensors. Pickles are parsed, never executed. The masks that old
    /// versions of transformers kept as buffers are left out, and so are the tensors of other
    /// models in the same file.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Model`] where it is no such checkpoint, a tensor is missing or of
    /// another shape, or the output layer is not tied to the token embedding.
    pub fn import(path: &Path, options: &ImportOptions) -> Result<Self> {
        let checkpoint = Checkpoint::open(path)?;
        let prefix = checkpoint
            .names()
            .find_map(|name| name.strip_suffix(PREFIX_WEIGHT))
            .map(str::to_owned)
            .ok_or_else(|| {
                let message =
                    format!("expected a DeCap checkpoint, but `{PREFIX_WEIGHT}` is missing");
                Error::model(path, message)
            })?;
        let checkpoint = checkpoint.renamed(|name| name.strip_prefix(&prefix).map(str::to_owned));
        let config = shape_of(&checkpoint, options)?;
        config.validate(path)?;
        let layout = ParameterLayout::new(&config);
        // Every shape is checked before the buffer is made: a file cannot ask for more than it holds.
        for tensor in &layout.tensors {
            match checkpoint.shape(&tensor.name) {
                Some(shape) if shape == tensor.shape => {}
                Some(shape) => {
                    let message = format!(
                        "tensor `{}`: expected shape {:?}, got {shape:?}",
                        tensor.name, tensor.shape
                    );
                    return Err(Error::model(path, message));
                }
                None => {
                    return Err(Error::model(
                        path,
                        format!("tensor `{}` is missing", tensor.name),
                    ));
                }
            }
        }
        if checkpoint.contains("clip_project.model.2.weight") {
            let message = "expected one linear layer before the decoder, got several";
            return Err(Error::model(path, message));
        }
        let mut weights = Self::zeros(&config);
        for tensor in &layout.tensors {
            let values = checkpoint.f32(&tensor.name, &tensor.shape)?;
            weights.values[tensor.range.clone()].copy_from_slice(&values);
            checkpoint.release(&tensor.name);
        }
        if checkpoint.contains(TIED_OUTPUT) {
            let output = checkpoint.f32(TIED_OUTPUT, &[config.vocabulary_size, config.width])?;
            if *output != weights.values[layout.token_embedding.clone()] {
                let message = format!(
                    "tensor `{TIED_OUTPUT}`: expected a copy of the token embedding, got other values"
                );
                return Err(Error::model(path, message));
            }
        }
        Ok(weights)
    }

    /// Writes a checkpoint that the reference loads: `torch.save` of its state dict, f32, the
    /// output layer sharing the token embedding's storage. It appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Usage`] where the weights exceed 4 GiB.
    pub fn export_torch(&self, path: &Path) -> Result<()> {
        let mut tensors: Vec<TorchTensor<'_>> = self
            .tensors()
            .map(|(name, shape, values)| TorchTensor {
                name,
                shape,
                values,
            })
            .collect();
        if let Some(embedding) = tensors.iter().find(|tensor| tensor.name == TOKEN_EMBEDDING) {
            let tied = TorchTensor {
                name: TIED_OUTPUT,
                ..*embedding
            };
            tensors.push(tied);
        }
        write_torch(path, &tensors)
    }
}

fn shape_of(checkpoint: &Checkpoint, options: &ImportOptions) -> Result<DecoderConfig> {
    let matrix = |name: &str| match checkpoint.shape(name) {
        Some(&[rows, columns]) => Ok((rows, columns)),
        Some(shape) => Err(Error::model(
            checkpoint.path(),
            format!("tensor `{name}`: expected 2 axes, got shape {shape:?}"),
        )),
        None => Err(Error::model(
            checkpoint.path(),
            format!("tensor `{name}` is missing"),
        )),
    };
    let (width, prefix_width) = matrix(PREFIX_WEIGHT)?;
    let (vocabulary_size, _) = matrix(TOKEN_EMBEDDING)?;
    let (num_positions, _) = matrix(POSITION_EMBEDDING)?;
    let num_layers = (0..)
        .take_while(|layer| {
            checkpoint.contains(&format!("decoder.transformer.h.{layer}.ln_1.weight"))
        })
        .count();
    Ok(DecoderConfig {
        vocabulary_size,
        prefix_width,
        width,
        num_layers,
        num_heads: options.num_heads,
        num_positions,
        start_token: options.start_token,
        end_token: options.end_token,
        ..DecoderConfig::default()
    })
}
