//! A model folder: what `model.json` says, and where the other files are.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::confidence::Calibration;
use crate::consensus::{ConsensusOptions, Rerank};
use crate::decoder::{Case, GenerateOptions, Method, RepeatedWords};
pub use decap_encoder::encoder::{EncoderReference, MODEL_FILE};
use decap_encoder::encoder::{MODEL_FORMAT, MODEL_FORMAT_VERSION};
use decap_encoder::output::write_atomically;
use decap_encoder::tokenizer::Tokenizer;
use decap_encoder::weights::Folder;
use decap_encoder::{Error, Result};

/// The decoder's tokenizer; where a model has none of its own, its encoder's is used.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// What `model.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelDescription {
    format: String,
    format_version: u32,
    /// A name for people.
    pub name: String,
    /// The encoder that the decoder and the memory were made with.
    pub encoder: EncoderReference,
    /// Softmax temperature of the projection.
    pub tau: f32,
    /// How captions are written unless the caller says otherwise.
    #[serde(default)]
    pub writing: Writing,
    /// How sure captions are, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Calibration>,
    /// Where the model comes from.
    #[serde(default)]
    pub provenance: Provenance,
}

/// How captions are written unless the caller says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Writing {
    /// Beams followed; 1 is greedy.
    pub beam: usize,
    /// Exponent of the length that a beam's log-probability is divided by.
    pub length_penalty: f32,
    /// Most tokens, start and end included.
    pub max_tokens: usize,
    /// Divides the logits of tokens that were written before; 1 leaves them.
    pub repetition_penalty: f32,
    /// A run of this many tokens is not written twice; 0 = no such rule.
    pub no_repeat_ngram: usize,
    /// Whether a caption may say a content word twice.
    pub repeated_words: RepeatedWords,
    /// How much of an embedding's projection is added to it before it is projected.
    #[serde(skip_serializing_if = "is_zero")]
    pub query_expansion: f32,
    /// How many of the nearest memory sentences an embedding is projected onto; none: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// How the caption is chosen among several.
    pub rerank: Rerank,
    /// How candidates are found and judged, where there are several.
    pub consensus: ConsensusOptions,
    /// Capital letter and full stop, or as the decoder wrote it.
    pub sentence_case: bool,
}

/// Where a model comes from, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The files whose captions the decoder learned.
    pub captions_from: String,
    /// How many captions.
    pub captions: usize,
    /// The recipe.
    pub preset: String,
    /// The model that training started from; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub started_from: String,
    /// Steps trained.
    pub steps: u64,
    /// The version that trained it.
    pub decap_version: String,
}

/// What older models lack stays out of files where it changes nothing.
#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_zero(value: &f32) -> bool {
    *value == 0.0
}

impl Default for Writing {
    /// The reference's: greedy, 30 tokens.
    fn default() -> Self {
        Self {
            beam: 1,
            length_penalty: 1.0,
            max_tokens: 30,
            repetition_penalty: 1.0,
            no_repeat_ngram: 0,
            repeated_words: RepeatedWords::Allow,
            query_expansion: 0.0,
            top_k: None,
            rerank: Rerank::None,
            consensus: ConsensusOptions::default(),
            sentence_case: false,
        }
    }
}

impl Writing {
    /// What goes with small decoders: a few beams, which cost little there, and no word twice.
    pub fn fast() -> Self {
        Self {
            beam: 3,
            max_tokens: 40,
            no_repeat_ngram: 3,
            repeated_words: RepeatedWords::Forbid,
            ..Self::default()
        }
    }

    /// These defaults as options of [`Decoder::generate`](crate::decoder::Decoder::generate).
    pub fn generate_options(&self) -> GenerateOptions {
        GenerateOptions {
            method: Method::beam(self.beam, self.length_penalty),
            max_tokens: self.max_tokens,
            repetition_penalty: self.repetition_penalty,
            no_repeat_ngram: self.no_repeat_ngram,
            repeated_words: self.repeated_words,
            ..GenerateOptions::default()
        }
    }

    /// The letter case of captions.
    pub fn case(&self) -> Case {
        if self.sentence_case {
            Case::Sentence
        } else {
            Case::AsWritten
        }
    }
}

/// The tokenizer of the decoder in `folder`: its own or its encoder's.
///
/// # Errors
/// [`Error::Io`] where there is none, [`Error::Model`] where it is not valid.
pub fn open_tokenizer(folder: &Folder) -> Result<Tokenizer> {
    let name = match folder.contains(TOKENIZER_FILE) {
        true => TOKENIZER_FILE,
        false => "encoder/tokenizer.json",
    };
    Tokenizer::read(&folder.path(name), &folder.bytes(name)?)
}

impl ModelDescription {
    /// A description in the current format.
    pub fn new(name: impl Into<String>, encoder: EncoderReference, tau: f32) -> Self {
        Self {
            format: MODEL_FORMAT.to_owned(),
            format_version: MODEL_FORMAT_VERSION,
            name: name.into(),
            encoder,
            tau,
            writing: Writing::default(),
            confidence: None,
            provenance: Provenance::default(),
        }
    }

    /// Reads `model.json`.
    ///
    /// # Errors
    /// [`Error::Io`] where it is not there, [`Error::Model`] where it is not valid or of a future
    /// format version.
    pub fn read(folder: &Folder) -> Result<Self> {
        folder.check_format(MODEL_FILE, MODEL_FORMAT, MODEL_FORMAT_VERSION)?;
        let path = folder.path(MODEL_FILE);
        let description: Self = folder.json(MODEL_FILE)?;
        if !(description.tau > 0.0 && description.tau.is_finite()) {
            let message = format!("`tau`: expected a number above 0, got {}", description.tau);
            return Err(Error::model(path, message));
        }
        if let Some(Err(message)) = description.confidence.as_ref().map(Calibration::check) {
            return Err(Error::model(path, message));
        }
        Ok(description)
    }

    /// Writes `model.json` into `folder`. It goes last: a folder without it is no model.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(MODEL_FILE);
        let json = serde_json::to_string_pretty(self)
            .map_err(|error| Error::model(&path, format!("cannot be written: {error}")))?;
        write_atomically(&path, |file| writeln!(file, "{json}"))
    }
}
