//! What a CLIP is, for people and programs: `model info`.

use std::fmt;
use std::path::PathBuf;

use decap_kernels::Activation;
use serde::Serialize;

use super::config::TransformerConfig;
use super::{Clip, ClipForm};
use crate::encoder::Preprocess;
use crate::error::Result;
use crate::grouped::grouped;
use crate::weights::CheckpointForm;

/// The facts of a CLIP.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClipDescription {
    /// A name for people.
    pub name: String,
    /// The form it was published in.
    pub form: String,
    /// The file of weights.
    pub weights: PathBuf,
    /// How that file is written down.
    pub weights_form: String,
    /// Parameters of both towers.
    pub parameters: usize,
    /// Width of an embedding.
    pub width: usize,
    /// The image tower.
    pub image_tower: TowerDescription,
    /// The text tower.
    pub text_tower: TowerDescription,
    /// Edge of the square photo in pixels.
    pub image_size: usize,
    /// Edge of a patch in pixels.
    pub patch_size: usize,
    /// Most tokens of a text.
    pub context_length: usize,
    /// Rows of the token table.
    pub vocabulary_size: usize,
    /// The factor before the softmax in CLIP's training.
    pub logit_scale: f32,
    /// How a photo becomes pixels.
    pub preprocess: Preprocess,
    /// Tells encoders apart.
    pub fingerprint: String,
}

/// The facts of a tower.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TowerDescription {
    /// Width of a token.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Width of the hidden layers.
    pub hidden_width: usize,
    /// Between the two layers of a block.
    pub activation: String,
}

impl Clip {
    /// The facts of this CLIP. Reads a sample of each tensor, not the whole file.
    ///
    /// # Errors
    /// As [`Clip::fingerprint`] and [`Clip::logit_scale`].
    pub fn description(&self) -> Result<ClipDescription> {
        let config = self.config();
        Ok(ClipDescription {
            name: self.name(),
            form: self.form().to_string(),
            weights: self.weights_path().to_owned(),
            weights_form: self.weights_form().to_string(),
            parameters: config.parameters(),
            width: config.width,
            image_tower: TowerDescription::new(&config.image.transformer),
            text_tower: TowerDescription::new(&config.text.transformer),
            image_size: config.image.image_size,
            patch_size: config.image.patch_size,
            context_length: config.text.context_length,
            vocabulary_size: config.text.vocabulary_size,
            logit_scale: self.logit_scale()?,
            preprocess: self.preprocess().clone(),
            fingerprint: self.fingerprint()?.to_string(),
        })
    }
}

impl TowerDescription {
    fn new(config: &TransformerConfig) -> Self {
        Self {
            width: config.width,
            layers: config.layers,
            heads: config.heads,
            hidden_width: config.hidden_width,
            activation: match config.activation {
                // As configurations call them.
                Activation::QuickGelu => "quick_gelu".to_owned(),
                Activation::Gelu => "gelu".to_owned(),
                Activation::GeluNew => "gelu_new".to_owned(),
                other => format!("{other:?}"),
            },
        }
    }
}

impl fmt::Display for ClipDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "name         {}", self.name)?;
        writeln!(f, "form         {} ({})", self.form, self.weights_form)?;
        writeln!(f, "weights      {}", self.weights.display())?;
        writeln!(f, "parameters   {}", grouped(self.parameters))?;
        writeln!(
            f,
            "embedding    {} wide, logit scale {:.2}",
            self.width, self.logit_scale
        )?;
        writeln!(
            f,
            "image tower  {}, {} px in patches of {}",
            self.image_tower, self.image_size, self.patch_size
        )?;
        writeln!(
            f,
            "text tower   {}, {} tokens of {}",
            self.text_tower,
            self.context_length,
            grouped(self.vocabulary_size)
        )?;
        write!(f, "fingerprint  {}", self.fingerprint)
    }
}

impl fmt::Display for TowerDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            width,
            layers,
            heads,
            hidden_width,
            activation,
        } = self;
        write!(
            f,
            "{layers} layers of {width} ({heads} heads, hidden {hidden_width}, {activation})"
        )
    }
}

impl fmt::Display for ClipForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HuggingFace => "Hugging Face",
            Self::OpenClip => "OpenCLIP",
            Self::OpenAi => "OpenAI",
        })
    }
}

impl fmt::Display for CheckpointForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::Torch => "PyTorch",
            Self::TorchScript => "TorchScript",
        })
    }
}
