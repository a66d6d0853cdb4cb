//! What a CLIP is: the sizes of its towers, from whichever file or tensors say so.

mod fields;
mod hugging_face;
mod open_clip;
mod openai;

use std::path::Path;

use serde_json::Value;

use decap_kernels::Activation;

use crate::error::{Error, Result};
use crate::weights::{Checkpoint, Folder};

const RESNET: &str = "expected a ViT image tower, got a ResNet; use an ONNX export of ResNet CLIPs";

/// Why a configuration or checkpoint is no CLIP of ours.
#[derive(Debug, PartialEq)]
enum Refusal {
    /// Its values make no sense.
    Broken(String),
    /// It is of another kind, which is not read natively.
    Unsupported(String),
}

impl Refusal {
    /// As an error about the file at `path`.
    fn at(self, path: &Path) -> Error {
        match self {
            Self::Broken(message) => Error::model(path, message),
            Self::Unsupported(message) => Error::unsupported(path, message),
        }
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::Broken(message)
    }
}

/// Largest width, depth, image and vocabulary that a configuration may claim. The largest public
/// CLIP (bigG/14) has 1664, 48, 224 and 49,408.
const MAX_SIZE: usize = 1 << 20;
const MAX_LAYERS: usize = 256;

/// The sizes of a CLIP.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipConfig {
    /// Width of the shared space.
    pub width: usize,
    /// The image tower.
    pub image: ImageConfig,
    /// The text tower.
    pub text: TextConfig,
}

/// The sizes of an image tower.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageConfig {
    /// Its transformer.
    pub transformer: TransformerConfig,
    /// Edge of the square photo in pixels.
    pub image_size: usize,
    /// Edge of a square patch in pixels.
    pub patch_size: usize,
}

/// The sizes of a text tower.
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Its transformer.
    pub transformer: TransformerConfig,
    /// Most tokens of a text, start and end among them.
    pub context_length: usize,
    /// Rows of the token table.
    pub vocabulary_size: usize,
    /// Which token's output is the text's.
    pub pooling: TextPooling,
}

/// The sizes of a transformer.
#[derive(Debug, Clone, PartialEq)]
pub struct TransformerConfig {
    /// Width of a token.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Width of the hidden layer of a block.
    pub hidden_width: usize,
    /// Between the two layers of a block.
    pub activation: Activation,
    /// Added to the variance in a layer norm.
    pub layer_norm_epsilon: f32,
}

/// Which token's output is the text's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextPooling {
    /// The first token of the largest id, which is end-of-text: OpenAI, OpenCLIP, and old
    /// Hugging Face configurations, whose `eos_token_id` says 2 and is wrong
    /// (<https://github.com/huggingface/transformers/pull/24773>).
    LargestId,
    /// The first token of this id.
    FirstOf(u32),
}

impl ImageConfig {
    /// Patches along an edge.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size.max(1)
    }

    /// Tokens of a photo: its patches and the class token.
    pub fn tokens(&self) -> usize {
        self.grid() * self.grid() + 1
    }
}

impl ClipConfig {
    /// Reads Hugging Face's `config.json`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where it is of another kind of model, [`Error::Model`] where its numbers
    /// make no CLIP.
    pub fn read_hugging_face(folder: &Folder) -> Result<Self> {
        let file: Value = folder.json("config.json")?;
        hugging_face::read(&file).map_err(|refusal| refusal.at(&folder.path("config.json")))
    }

    /// Reads OpenCLIP's `open_clip_config.json`.
    ///
    /// # Errors
    /// As [`ClipConfig::read_hugging_face`].
    pub fn read_open_clip(folder: &Folder) -> Result<Self> {
        let name = "open_clip_config.json";
        let file: Value = folder.json(name)?;
        open_clip::read(&file).map_err(|refusal| refusal.at(&folder.path(name)))
    }

    /// Infers the sizes from the shapes of an OpenAI checkpoint, as `clip.model.build_model` does.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where it is a ResNet or wider than OpenAI's, [`Error::Model`] where its
    /// shapes make no CLIP.
    pub fn infer(checkpoint: &Checkpoint) -> Result<Self> {
        openai::infer(checkpoint).map_err(|refusal| refusal.at(checkpoint.path()))
    }

    fn check(self) -> Result<Self, String> {
        let sizes = [
            ("width of the shared space", self.width),
            ("width of the image tower", self.image.transformer.width),
            (
                "hidden width of the image tower",
                self.image.transformer.hidden_width,
            ),
            ("image size", self.image.image_size),
            ("patch size", self.image.patch_size),
            ("width of the text tower", self.text.transformer.width),
            (
                "hidden width of the text tower",
                self.text.transformer.hidden_width,
            ),
            ("context length", self.text.context_length),
            ("vocabulary size", self.text.vocabulary_size),
        ];
        for (what, size) in sizes {
            if !(1..=MAX_SIZE).contains(&size) {
                return Err(format!("expected a {what} of 1 to {MAX_SIZE}, got {size}"));
            }
        }
        for (tower, transformer) in [
            ("image", &self.image.transformer),
            ("text", &self.text.transformer),
        ] {
            let TransformerConfig {
                width,
                layers,
                heads,
                ..
            } = *transformer;
            if !(1..=MAX_LAYERS).contains(&layers) {
                return Err(format!(
                    "{tower} tower: expected 1 to {MAX_LAYERS} layers, got {layers}"
                ));
            }
            if heads == 0 || !width.is_multiple_of(heads) {
                return Err(format!(
                    "{tower} tower: expected a width that {heads} heads share, got {width}"
                ));
            }
        }
        let (image, patch) = (self.image.image_size, self.image.patch_size);
        if image < patch || image > 4096 {
            return Err(format!(
                "expected an image size of {patch} to 4096, got {image}"
            ));
        }
        Ok(self)
    }
}

impl ClipConfig {
    /// The parameters that the sizes come to, both towers and the temperature.
    pub fn parameters(&self) -> usize {
        let block = |config: &TransformerConfig| {
            let (width, hidden) = (config.width, config.hidden_width);
            4 * width * width + 2 * width * hidden + 9 * width + hidden
        };
        let (image, text) = (&self.image, &self.text);
        let image_width = image.transformer.width;
        let patches = 3 * image.patch_size * image.patch_size + image.tokens() + 1;
        let image_sum = image_width * (patches + 4 + self.width)
            + image.transformer.layers * block(&image.transformer);
        let text_width = text.transformer.width;
        let tables = text.vocabulary_size + text.context_length;
        let text_sum = text_width * (tables + 2 + self.width)
            + text.transformer.layers * block(&text.transformer);
        image_sum + text_sum + 1
    }
}
