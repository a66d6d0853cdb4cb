//! The decoder: an embedding as prefix in, a caption's tokens out.
//!
//! A GPT-2 of a few layers reads the embedding, brought to its width by one linear layer, as its
//! first position, and writes the caption after it (Li et al., *Decoding CLIP Latents for
//! Zero-Shot Captioning via Text-Only Training*, section 3.1; `train.py` of dhg-wei/DeCap).
//!
//! Reference behaviour that is kept, and where it is an option:
//!
//! - The prefix position predicts start-of-text, which is therefore the first token written:
//!   [`DecoderConfig::start_token`], `None` to do without. [`Generated::caption_ids`] leaves it out.
//! - The token table has GPT-2's 50,257 rows though CLIP's ids end at 49,407: the default
//!   [`DecoderConfig::vocabulary_size`]. [`Vocabulary::compact`] keeps the rows that a corpus uses.
//! - At most 30 tokens, start and end included: [`GenerateOptions::max_tokens`].

mod beam;
mod config;
mod constraints;
mod foreign;
mod forward;
mod generate;
mod initialise;
mod layout;
mod score;
mod sentence;
mod text;
mod vocabulary;
mod weights;
mod word_table;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use config::{Activation, DecoderConfig};
pub use foreign::ImportOptions;
pub use generate::{GenerateOptions, Generated, Method};
pub use layout::{BlockLayout, LinearLayout, NormLayout, ParameterLayout, TensorLayout};
pub use text::{Case, detokenise};
pub use vocabulary::Vocabulary;
pub use weights::{DecoderWeights, WeightsDtype};
pub use word_table::RepeatedWords;

use decap_encoder::Precision;
use decap_encoder::output::write_atomically;
use decap_encoder::tokenizer::{TokenShape, Tokenizer};
use decap_encoder::weights::{Folder, Tensors};
use decap_encoder::{Error, Result};
use forward::{Network, Session};
use vocabulary::VocabularyFile;
use word_table::WordTable;

/// The file with the decoder's shape and vocabulary.
pub const CONFIG_FILE: &str = "decoder.json";
/// The file with the decoder's parameters.
pub const WEIGHTS_FILE: &str = "decoder.safetensors";

const FORMAT: &str = "decap-decoder";
/// The newest [`CONFIG_FILE`] that this crate reads, and the one it writes.
const FORMAT_VERSION: u32 = 1;

/// A decoder ready to write captions.
///
/// ```
/// use decap::decoder::{Decoder, DecoderConfig, DecoderWeights, GenerateOptions, Vocabulary};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("decoder.safetensors");
/// let config = DecoderConfig {
///     vocabulary_size: 61,
///     prefix_width: 16,
///     width: 24,
///     num_layers: 2,
///     num_heads: 3,
///     num_positions: 12,
///     start_token: Some(59),
///     end_token: 60,
///     ..DecoderConfig::default()
/// };
/// let weights = DecoderWeights::random(&config, 1)?;
/// let decoder = Decoder::new(&weights, Vocabulary::identity(61))?;
/// let mut options = GenerateOptions::default();
/// options.max_tokens = 5;
/// let captions = decoder.generate(&[0.25; 16], &options)?;
/// assert_eq!(captions.len(), 1);
/// assert!(captions[0].token_ids.len() <= 5);
/// # Ok::<(), decap::Error>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    vocabulary: Vocabulary,
    network: Network,
    /// By the decoder's ids; empty where the tokenizer is unknown.
    shapes: Vec<TokenShape>,
    /// `None` where the tokenizer is unknown.
    words: Option<WordTable>,
}

/// What [`CONFIG_FILE`] holds.
#[derive(Debug, Serialize, Deserialize)]
struct DecoderFile {
    format: String,
    format_version: u32,
    config: DecoderConfig,
    vocabulary: Option<VocabularyFile>,
}

impl Decoder {
    /// Reads [`CONFIG_FILE`] and [`WEIGHTS_FILE`] of a folder.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Model`] where a file is broken, of a newer format, or the two
    /// do not fit together.
    pub fn open(folder: &Folder) -> Result<Self> {
        Self::open_with(folder, Precision::F32)
    }

    /// As [`Decoder::open`], with matrices in `precision`.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(folder: &Folder, precision: Precision) -> Result<Self> {
        let (weights, vocabulary) = open_weights(folder)?;
        Self::with_precision(&weights, vocabulary, precision)
    }

    /// Packs `weights` for the kernels; `vocabulary` says which tokens its ids stand for.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the vocabulary is of another size.
    pub fn new(weights: &DecoderWeights, vocabulary: Vocabulary) -> Result<Self> {
        Self::with_precision(weights, vocabulary, Precision::F32)
    }

    /// As [`Decoder::new`] with matrices in `precision`: bf16 and int8 are faster, and take less
    /// memory, than f32, the reference, whose captions they seldom change.
    ///
    /// # Errors
    /// [`Error::Mismatch`] as there.
    pub fn with_precision(
        weights: &DecoderWeights,
        vocabulary: Vocabulary,
        precision: Precision,
    ) -> Result<Self> {
        let config = weights.config().clone();
        if vocabulary.len() != config.vocabulary_size {
            return Err(Error::Mismatch(format!(
                "decoder: expected a vocabulary of {} tokens, got {}",
                config.vocabulary_size,
                vocabulary.len()
            )));
        }
        Ok(Self {
            network: Network::new(weights, precision.of_decoder()),
            config,
            vocabulary,
            shapes: Vec::new(),
            words: None,
        })
    }

    /// This decoder, which now knows how the tokens of its tokenizer make up words: without that,
    /// banned words and least lengths go by tokens alone, and words may be repeated.
    #[must_use]
    pub fn with_tokenizer(mut self, tokenizer: &Tokenizer) -> Self {
        let ids = 0..u32::try_from(self.vocabulary.len()).unwrap_or(u32::MAX);
        let ids = ids.map(|id| self.vocabulary.tokenizer_id(id));
        let shape = |id: Option<u32>| id.map(|id| tokenizer.shape(id)).unwrap_or_default();
        let piece = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id)).unwrap_or_default();
        let shapes: Vec<TokenShape> = ids.clone().map(shape).collect();
        self.words = Some(WordTable::new(ids.map(piece).collect(), &shapes));
        self.shapes = shapes;
        self
    }

    /// The decoder's shape.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The decoder's ids against the tokenizer's.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The logits `[rows, 1 + tokens a row, vocabulary_size]`, f32, of whole sequences at once.
    ///
    /// `prefixes` is `[rows, prefix_width]`, `tokens` `[rows, tokens a row]` in the decoder's ids.
    ///
    /// # Errors
    /// [`Error::Usage`] where the lengths do not fit together, an id is unknown, or there are
    /// more tokens than positions.
    pub fn logits(&self, prefixes: &[f32], tokens: &[u32]) -> Result<Vec<f32>> {
        let rows = self.count_prefixes(prefixes)?;
        if rows == 0 {
            return Ok(Vec::new());
        }
        if !tokens.len().is_multiple_of(rows) || tokens.len() / rows >= self.config.num_positions {
            return Err(Error::Usage(format!(
                "expected the same number of tokens a row, below {}, got {} in {rows} rows",
                self.config.num_positions,
                tokens.len()
            )));
        }
        if let Some(token) = tokens
            .iter()
            .find(|&&token| token as usize >= self.config.vocabulary_size)
        {
            return Err(Error::Usage(format!(
                "expected token ids below {}, got {token}",
                self.config.vocabulary_size
            )));
        }
        let mut session = Session::new(&self.network, rows, 1 + tokens.len() / rows);
        Ok(session.start(prefixes, tokens).to_vec())
    }

    /// The rows in `prefixes`, whose values must be numbers.
    fn count_prefixes(&self, prefixes: &[f32]) -> Result<usize> {
        if !prefixes.len().is_multiple_of(self.config.prefix_width) {
            return Err(Error::Mismatch(format!(
                "expected prefixes of width {}, got {} values",
                self.config.prefix_width,
                prefixes.len()
            )));
        }
        if let Some(value) = prefixes.iter().find(|value| !value.is_finite()) {
            return Err(Error::Usage(format!(
                "expected finite prefix values, got {value}"
            )));
        }
        Ok(prefixes.len() / self.config.prefix_width)
    }
}

/// Writes [`CONFIG_FILE`] and [`WEIGHTS_FILE`] into `folder`; each appears whole or not at all.
///
/// # Errors
/// [`Error::Io`], or [`Error::Usage`] where a value does not fit into `dtype`.
pub fn save(
    folder: &Path,
    weights: &DecoderWeights,
    vocabulary: &Vocabulary,
    dtype: WeightsDtype,
) -> Result<()> {
    weights.save(&folder.join(WEIGHTS_FILE), dtype)?;
    let file = DecoderFile {
        format: FORMAT.to_owned(),
        format_version: FORMAT_VERSION,
        config: weights.config().clone(),
        vocabulary: vocabulary.to_file(),
    };
    let path = folder.join(CONFIG_FILE);
    let json = serde_json::to_vec(&file)
        .map_err(|error| Error::model(&path, format!("cannot be written: {error}")))?;
    write_atomically(&path, |out| out.write_all(&json))
}

/// The parameters and the vocabulary of the decoder in `folder`, as [`Decoder::open`] reads them.
///
/// # Errors
/// As [`Decoder::open`].
pub fn open_weights(folder: &Folder) -> Result<(DecoderWeights, Vocabulary)> {
    let (config, vocabulary) = read_config(folder)?;
    let tensors = Tensors::read(folder.path(WEIGHTS_FILE), folder.bytes(WEIGHTS_FILE)?)?;
    Ok((DecoderWeights::from_tensors(&tensors, &config)?, vocabulary))
}

fn read_config(folder: &Folder) -> Result<(DecoderConfig, Vocabulary)> {
    folder.check_format(CONFIG_FILE, FORMAT, FORMAT_VERSION)?;
    let path = folder.path(CONFIG_FILE);
    let file: DecoderFile = folder.json(CONFIG_FILE)?;
    file.config.validate(&path)?;
    let vocabulary = Vocabulary::from_file(file.vocabulary, file.config.vocabulary_size, &path)?;
    Ok((file.config, vocabulary))
}

#[cfg(test)]
use decap_encoder::weights::Bytes;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
