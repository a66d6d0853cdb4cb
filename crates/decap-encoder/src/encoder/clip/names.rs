//! The two ways in which CLIP's tensors are called.

use std::borrow::Cow;

use super::config::ClipConfig;
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

impl Naming {
    /// The form that a checkpoint's names tell, or a message that names what is missing.
    pub(super) fn of(checkpoint: &Checkpoint) -> Result<Self> {
        if checkpoint.contains("vision_model.embeddings.patch_embedding.weight") {
            return Ok(Self::HuggingFace);
        }
        if checkpoint.contains("visual.conv1.weight") {
            return Ok(Self::OpenAi);
        }
        let is_decoder = checkpoint
            .names()
            .any(|name| name.ends_with("clip_project.model.0.weight"));
        let message = if is_decoder {
            "expected the tensors of a CLIP, got a DeCap decoder: it becomes a model by being \
             imported together with the CLIP that it was trained with"
        } else {
            "expected the tensors of a CLIP (`visual.conv1.weight` or \
             `vision_model.embeddings.patch_embedding.weight`), got neither"
        };
        Err(Error::unsupported(checkpoint.path(), message))
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

    pub(super) fn block(self, tower: Tower, layer: usize) -> String {
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
