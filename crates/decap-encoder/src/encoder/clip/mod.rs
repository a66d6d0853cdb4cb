//! CLIP itself, from any of the forms it is published in: both towers on our own kernels.
//!
//! Forms: a Hugging Face folder (`config.json` with `model.safetensors`, shards or
//! `pytorch_model.bin`), an OpenCLIP folder (`open_clip_config.json`), and OpenAI's TorchScript
//! archives and plain state dicts. ViT image towers only; other CLIPs go through ONNX.

mod config;
mod description;
mod fingerprint;
mod image;
mod names;
mod random;
mod recipe;
mod tensors;
#[cfg(test)]
mod tests;
mod text;
mod transformer;

use std::path::Path;
use std::sync::Arc;

pub use config::{ClipConfig, ImageConfig, TextConfig, TextPooling, TransformerConfig};
pub use description::{ClipDescription, TowerDescription};
pub use image::ClipImageTower;
pub use text::ClipTextTower;

use names::Naming;
use tensors::{Source, TensorReader};

use super::deferred::DeferredImageTower;
use super::{
    Encoder, EncoderParts, Head, ImageTower, ImageViews, Preprocess, REFERENCE_TAU, TextTower,
};
use crate::error::{Error, Result};
use crate::precision::Precision;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::clip::ClipTokenizer;
use crate::weights::{Checkpoint, CheckpointForm, Folder};

/// Weights of a Hugging Face folder in the order they are looked for.
const HUGGING_FACE_WEIGHTS: &[&str] = &[
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// Weights of an OpenCLIP folder in the order they are looked for.
const OPEN_CLIP_WEIGHTS: &[&str] = &[
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
];

/// Buffers that checkpoints carry beside the weights, by the end of their names.
const IGNORED_TENSORS: &[&str] = &[
    "position_ids",
    "attn_mask",
    "input_resolution",
    "context_length",
    "vocab_size",
];

/// The form in which a CLIP was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClipForm {
    /// `config.json` and weights under transformers' names.
    HuggingFace,
    /// `open_clip_config.json` and weights under OpenAI's names.
    OpenClip,
    /// OpenAI's TorchScript archive, or a state dict under its names.
    OpenAi,
}

/// An opened CLIP checkpoint; its towers are read when they are asked for.
#[derive(Debug, Clone)]
pub struct Clip {
    form: ClipForm,
    naming: Naming,
    config: ClipConfig,
    preprocess: Preprocess,
    checkpoint: Checkpoint,
    /// Where the tokenizer's files would be.
    folder: Folder,
    /// What its towers compute in.
    precision: Precision,
}

impl Clip {
    /// Opens the CLIP at `path`: a folder, or a file of weights under OpenAI's names.
    ///
    /// # Errors
    /// [`Error::Io`] where there is nothing; [`Error::Model`] where it is no CLIP with a ViT image
    /// tower, or tensors are missing, superfluous or of another shape than the configuration says.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            Self::open_folder(path)
        } else {
            Self::open_file(path)
        }
    }

    /// Whether `folder` holds what [`Clip::open`] reads, or what is meant to be.
    pub fn is_clip(folder: &Folder) -> bool {
        matches!(folder, Folder::Disk(_))
            && (folder.contains("open_clip_config.json") || folder.contains("config.json"))
    }

    /// Whether `folder` holds weights of ours to read, and not those of another model.
    pub(super) fn has_weights(folder: &Folder) -> bool {
        let is_there = |names: &[&str]| names.iter().any(|name| folder.contains(name));
        is_there(OPEN_CLIP_WEIGHTS) && ClipConfig::read_open_clip(folder).is_ok()
            || is_there(HUGGING_FACE_WEIGHTS) && ClipConfig::read_hugging_face(folder).is_ok()
    }

    fn open_folder(path: &Path) -> Result<Self> {
        let folder = Folder::disk(path);
        let weights = |names: &[&'static str]| -> Option<&'static str> {
            names.iter().copied().find(|name| folder.contains(name))
        };
        // Repositories of LAION's carry both forms.
        if folder.contains("config.json")
            && let Some(file) = weights(HUGGING_FACE_WEIGHTS)
        {
            let checkpoint = Checkpoint::open(&path.join(file))?;
            if Naming::of(&checkpoint).ok() != Some(Naming::OpenAi)
                || !folder.contains("open_clip_config.json")
            {
                let config = ClipConfig::read_hugging_face(&folder)?;
                return Self::new(ClipForm::HuggingFace, config, checkpoint, folder);
            }
        }
        if folder.contains("open_clip_config.json") {
            let config = ClipConfig::read_open_clip(&folder)?;
            let file =
                weights(OPEN_CLIP_WEIGHTS).ok_or_else(|| missing(path, OPEN_CLIP_WEIGHTS))?;
            let checkpoint = Checkpoint::open(&path.join(file))?.renamed(openai_name);
            return Self::new(ClipForm::OpenClip, config, checkpoint, folder);
        }
        Err(missing(path, HUGGING_FACE_WEIGHTS))
    }

    fn open_file(path: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::open(path)?.renamed(openai_name);
        let folder = Folder::disk(path.parent().unwrap_or_else(|| Path::new("")));
        if Naming::of(&checkpoint)? == Naming::HuggingFace {
            let config = ClipConfig::read_hugging_face(&folder)?;
            return Self::new(ClipForm::HuggingFace, config, checkpoint, folder);
        }
        if folder.contains("open_clip_config.json") {
            let config = ClipConfig::read_open_clip(&folder)?;
            return Self::new(ClipForm::OpenClip, config, checkpoint, folder);
        }
        let config = ClipConfig::infer(&checkpoint)?;
        Self::new(ClipForm::OpenAi, config, checkpoint, folder)
    }

    fn new(
        form: ClipForm,
        config: ClipConfig,
        checkpoint: Checkpoint,
        folder: Folder,
    ) -> Result<Self> {
        let naming = Naming::of(&checkpoint)?;
        let preprocess = match form {
            ClipForm::HuggingFace => recipe::hugging_face(&folder, &config.image)?,
            ClipForm::OpenClip => recipe::open_clip(&folder, &config.image)?,
            ClipForm::OpenAi => recipe::openai(&config.image),
        };
        let clip = Self {
            form,
            naming,
            config,
            preprocess,
            checkpoint,
            folder,
            precision: Precision::F32,
        };
        clip.check_names()?;
        Ok(clip)
    }

    /// The same CLIP, whose towers compute in `precision`.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Every tensor that the configuration asks for, and no other.
    fn check_names(&self) -> Result<()> {
        let expected = self.naming.all(&self.config);
        let broken = |message| Err(Error::model(self.checkpoint.path(), message));
        if let Some(name) = expected.iter().find(|name| !self.checkpoint.contains(name)) {
            return broken(format!("tensor `{name}` is missing"));
        }
        let known: std::collections::HashSet<&str> = expected.iter().map(String::as_str).collect();
        let extra = self.checkpoint.names().find(|name| {
            !known.contains(name) && !IGNORED_TENSORS.iter().any(|end| name.ends_with(end))
        });
        match extra {
            Some(name) => broken(format!("expected the tensors of a CLIP, got `{name}` too")),
            None => Ok(()),
        }
    }

    /// The form it was published in.
    pub fn form(&self) -> ClipForm {
        self.form
    }

    /// The sizes of its towers.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// How a photo becomes pixels.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The file of weights.
    pub fn weights_path(&self) -> &Path {
        self.checkpoint.path()
    }

    /// How the file of weights is written down.
    pub fn weights_form(&self) -> CheckpointForm {
        self.checkpoint.form()
    }

    /// Reads the image tower; weights are widened to f32 and packed.
    ///
    /// # Errors
    /// [`Error::Model`] where a tensor is of another shape or type, or holds a NaN.
    pub fn image_tower(&self) -> Result<ClipImageTower> {
        ClipImageTower::read(&self.reader(), &self.config, self.preprocess.clone())
    }

    /// Reads the text tower; weights are widened to f32 and packed.
    ///
    /// # Errors
    /// As [`Clip::image_tower`], and where the tokenizer's files are broken.
    pub fn text_tower(&self) -> Result<ClipTextTower> {
        let tokenizer = self.tokenizer()?;
        let (rows, tokens) = (
            self.config.text.vocabulary_size,
            tokenizer.vocabulary_size(),
        );
        if tokens > rows {
            return Err(Error::model(
                self.checkpoint.path(),
                format!("expected a tokenizer of at most {rows} tokens, got {tokens}"),
            ));
        }
        ClipTextTower::read(&self.reader(), &self.config, tokenizer)
    }

    /// The tokenizer: the folder's own, or OpenAI's.
    ///
    /// # Errors
    /// [`Error::Model`] where the folder's files are broken.
    pub fn tokenizer(&self) -> Result<ClipTokenizer> {
        ClipTokenizer::open(&self.folder)
    }

    /// The factor before the softmax over cosines in CLIP's training, some 100.
    ///
    /// # Errors
    /// [`Error::Model`] where the tensor `logit_scale` is not one number.
    pub fn logit_scale(&self) -> Result<f32> {
        let name = self.naming.outer("logit_scale");
        let shape = self.checkpoint.shape(&name).unwrap_or_default().to_vec();
        let values = self.checkpoint.f32(&name, &shape)?;
        match values.as_ref() {
            [value] => Ok(value.exp()),
            _ => Err(Error::model(
                self.checkpoint.path(),
                format!("tensor `{name}`: expected one number, got shape {shape:?}"),
            )),
        }
    }

    fn reader(&self) -> TensorReader<'_> {
        TensorReader {
            source: Source::Checkpoint(&self.checkpoint),
            naming: self.naming,
            precision: self.precision.of_towers(),
        }
    }

    /// Both towers as an encoder; each is read when it is first needed, so that photos alone, or
    /// sentences alone, take the memory of one tower.
    ///
    /// # Errors
    /// As [`Clip::fingerprint`]; broken tensors show when their tower is read.
    pub fn into_encoder(self) -> Result<Encoder> {
        let width = self.config.width;
        let (for_photos, for_texts, for_tokenizer) = (self.clone(), self.clone(), self.clone());
        let image_tower = DeferredImageTower::new(self.preprocess.clone(), width, move || {
            Ok(Arc::new(for_photos.image_tower()?) as Arc<dyn ImageTower>)
        });
        Encoder::new(EncoderParts {
            name: self.name(),
            fingerprint: self.fingerprint()?,
            image_towers: vec![Arc::new(image_tower)],
            image_head: Head::Identity { width },
            image_views: ImageViews::Plain,
            open_text_tower: Box::new(move || {
                Ok(Arc::new(for_texts.text_tower()?) as Arc<dyn TextTower>)
            }),
            open_tokenizer: Box::new(move || Ok(Tokenizer::from(for_tokenizer.tokenizer()?))),
            text_head: Head::Identity { width },
            tau: REFERENCE_TAU,
        })
    }

    /// A name for people: that of the folder, the repository or the file.
    pub fn name(&self) -> String {
        if self.form != ClipForm::OpenAi {
            return self.folder.title();
        }
        let name = self.checkpoint.path().file_stem();
        name.map_or_else(
            || "CLIP".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
    }
}

/// Names of OpenCLIP's models with a custom text tower begin with `text.`; the rest is OpenAI's.
fn openai_name(name: &str) -> Option<String> {
    Some(name.strip_prefix("text.").unwrap_or(name).to_owned())
}

fn missing(path: &Path, names: &[&str]) -> Error {
    Error::model(
        path,
        format!(
            "expected the weights of a CLIP ({}), got none",
            names.join(", ")
        ),
    )
}
