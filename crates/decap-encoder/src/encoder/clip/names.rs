//! The two ways in which CLIP's tensors are called, and their reading into layers.

use std::borrow::Cow;

use decap_kernels::{MatrixView, PackedMatrix, Precision};

use super::config::{ClipConfig, TransformerConfig};
use super::transformer::{Block, LayerNorm, Linear, Transformer, Workspaces};
use crate::error::{Error, Result};
use crate::weights::Checkpoint;

/// How a checkpoint calls its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// `vision_model.encoder.layers.0.self_attn.q_proj.weight`.
    HuggingFace,
    /// `visual.transformer.resblocks.0.attn.in_proj_weight`; OpenCLIP's too.
    OpenAi,
}

/// One of the two towers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tower {
    Image,
    Text,
}

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
            Self::Random(seed) => Ok(super::random::tensor(seed, name, shape)),
        }
    }

    /// Lets go of a tensor that has been copied.
    pub(super) fn release(self, name: &str) {
        if let Self::Checkpoint(checkpoint) = self {
            checkpoint.release(name);
        }
    }
}

impl Naming {
    pub(super) fn of(checkpoint: &Checkpoint) -> Option<Self> {
        if checkpoint.contains("vision_model.embeddings.patch_embedding.weight") {
            return Some(Self::HuggingFace);
        }
        let is_openai = checkpoint.contains("visual.conv1.weight");
        is_openai.then_some(Self::OpenAi)
    }

    /// What the tensors of a tower's blocks and norms begin with.
    fn prefix(self, tower: Tower) -> &'static str {
        match (self, tower) {
            (Self::HuggingFace, Tower::Image) => "vision_model.",
            (Self::HuggingFace, Tower::Text) => "text_model.",
            (Self::OpenAi, Tower::Image) => "visual.",
            (Self::OpenAi, Tower::Text) => "",
        }
    }

    fn block(self, tower: Tower, layer: usize) -> String {
        let prefix = self.prefix(tower);
        match self {
            Self::HuggingFace => format!("{prefix}encoder.layers.{layer}."),
            Self::OpenAi => format!("{prefix}transformer.resblocks.{layer}."),
        }
    }

    /// The name of a tensor outside of the blocks, by OpenAI's name for it.
    pub(super) fn outer(self, openai: &str) -> Cow<'_, str> {
        if self == Self::OpenAi {
            return Cow::Owned(openai.to_owned());
        }
        Cow::Borrowed(match openai {
            "visual.conv1.weight" => "vision_model.embeddings.patch_embedding.weight",
            "visual.class_embedding" => "vision_model.embeddings.class_embedding",
            "visual.positional_embedding" => "vision_model.embeddings.position_embedding.weight",
            // The misspelling is Hugging Face's own.
            "visual.ln_pre" => "vision_model.pre_layrnorm",
            "visual.ln_post" => "vision_model.post_layernorm",
            "visual.proj" => "visual_projection.weight",
            "token_embedding.weight" => "text_model.embeddings.token_embedding.weight",
            "positional_embedding" => "text_model.embeddings.position_embedding.weight",
            "ln_final" => "text_model.final_layer_norm",
            "text_projection" => "text_projection.weight",
            _ => "logit_scale",
        })
    }

    /// Every tensor of a CLIP of these sizes, in the order of the computation.
    pub(super) fn all(self, config: &ClipConfig) -> Vec<String> {
        let mut names = Vec::new();
        let outer = |names: &mut Vec<String>, list: &[&str]| {
            names.extend(list.iter().map(|name| self.outer(name).into_owned()));
        };
        let norm = |names: &mut Vec<String>, name: &str| {
            let name = self.outer(name);
            names.extend([format!("{name}.weight"), format!("{name}.bias")]);
        };
        outer(
            &mut names,
            &["visual.conv1.weight", "visual.class_embedding"],
        );
        outer(&mut names, &["visual.positional_embedding"]);
        norm(&mut names, "visual.ln_pre");
        self.block_names(Tower::Image, config.image.transformer.layers, &mut names);
        norm(&mut names, "visual.ln_post");
        outer(
            &mut names,
            &[
                "visual.proj",
                "token_embedding.weight",
                "positional_embedding",
            ],
        );
        self.block_names(Tower::Text, config.text.transformer.layers, &mut names);
        norm(&mut names, "ln_final");
        outer(&mut names, &["text_projection", "logit_scale"]);
        names
    }

    fn block_names(self, tower: Tower, layers: usize, names: &mut Vec<String>) {
        for layer in 0..layers {
            let block = self.block(tower, layer);
            let parts: &[&str] = match self {
                Self::HuggingFace => &[
                    "layer_norm1.",
                    "self_attn.q_proj.",
                    "self_attn.k_proj.",
                    "self_attn.v_proj.",
                    "self_attn.out_proj.",
                    "layer_norm2.",
                    "mlp.fc1.",
                    "mlp.fc2.",
                ],
                Self::OpenAi => &[
                    "ln_1.",
                    "attn.in_proj_",
                    "attn.out_proj.",
                    "ln_2.",
                    "mlp.c_fc.",
                    "mlp.c_proj.",
                ],
            };
            for part in parts {
                names.extend([format!("{block}{part}weight"), format!("{block}{part}bias")]);
            }
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
