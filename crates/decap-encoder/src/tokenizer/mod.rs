//! Text to token ids and back, by the tokenizer of the encoder's text tower.

pub mod clip;
pub(crate) mod hugging_face;
mod learned;
mod shape;
mod unwritable;

use std::path::Path;

use clip::ClipTokenizer;
use serde::{Deserialize, Serialize};
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::wordpiece::WordPiece;

use crate::error::{Error, Result};

pub use shape::TokenShape;
pub use unwritable::{Loss, Unwritable};

/// What happens to a text of more tokens than the tower takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TooLong {
    /// Its end is cut off, as sentence models do; the tokens that the tokenizer adds stay.
    #[default]
    Truncate,
    /// It is an error.
    Refuse,
}

/// The names that start-of-text and end-of-text go by, in the order they are looked for.
const START_TOKENS: &[&str] = &[
    "<|startoftext|>",
    "<start_of_text>",
    "[CLS]",
    "<s>",
    "<bos>",
    // T5's, and so SigLIP's, has no start of its own; T5 begins with the padding token.
    "<pad>",
];
const END_TOKENS: &[&str] = &["<|endoftext|>", "<end_of_text>", "[SEP]", "</s>", "<eos>"];

/// A tokenizer with the two ids that a decoder needs: CLIP's own, or one of Hugging Face's.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Inner,
    start: u32,
    end: u32,
}

#[derive(Debug, Clone)]
enum Inner {
    /// CLIP's byte-pair encoding with its cleaning, which `tokenizer.json` cannot say.
    Clip(ClipTokenizer),
    HuggingFace {
        tokenizer: Box<tokenizers::Tokenizer>,
        /// The decoder in the file, where `tokenizer` has another.
        decoder_on_file: Option<WordPiece>,
    },
}

impl Tokenizer {
    /// Reads a `tokenizer.json`; `path` is for messages. CLIP's is known by its end-of-word mark.
    ///
    /// # Errors
    /// [`Error::Model`] where it is not valid, or has no start and end tokens.
    pub fn read(path: &Path, json: &[u8]) -> Result<Self> {
        if ClipTokenizer::is_json(json) {
            return ClipTokenizer::from_json(path, json).map(Self::from);
        }
        let invalid = |why: String| Error::model(path, format!("not a valid tokenizer: {why}"));
        Self::of_hugging_face(path, hugging_face::parse(json).map_err(invalid)?)
    }

    fn of_hugging_face(path: &Path, mut inner: tokenizers::Tokenizer) -> Result<Self> {
        let invalid = |why: String| Error::model(path, format!("not a valid tokenizer: {why}"));
        // Length is the caller's business: captions are not padded, and never cut in silence.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| invalid(error.to_string()))?;
        let find = |names: &[&str], what: &str| {
            names
                .iter()
                .find_map(|name| inner.token_to_id(name))
                .ok_or_else(|| {
                    Error::model(
                        path,
                        format!("expected a token for {what} (one of {names:?})"),
                    )
                })
        };
        let (start, end) = (
            find(START_TOKENS, "start of text")?,
            find(END_TOKENS, "end of text")?,
        );
        let decoder_on_file = keep_spaces_of_word_pieces(&mut inner);
        Ok(Self {
            inner: Inner::HuggingFace {
                tokenizer: Box::new(inner),
                decoder_on_file,
            },
            start,
            end,
        })
    }

    /// The ids of `text`, without start and end.
    ///
    /// # Errors
    /// [`Error::Usage`] where the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match &self.inner {
            Inner::Clip(tokenizer) => Ok(tokenizer.encode(text)),
            Inner::HuggingFace { tokenizer, .. } => hugging_face::encode(tokenizer, text, false)
                .map_err(|error| Error::Usage(format!("cannot tokenise `{text}`: {error}"))),
        }
    }

    /// The ids of each of `texts`, without start and end, on all cores.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_batch(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        use rayon::prelude::*;
        texts.par_iter().map(|text| self.encode(text)).collect()
    }

    /// The text of `ids`, without start and end and other special tokens. Tokenizers that set
    /// punctuation apart leave it so: `decap::decoder::detokenise` joins it.
    ///
    /// # Errors
    /// [`Error::Usage`] where the tokenizer refuses the ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        match &self.inner {
            Inner::Clip(tokenizer) => Ok(tokenizer.decode(ids)),
            Inner::HuggingFace { tokenizer, .. } => {
                let text = hugging_face::decode(tokenizer, ids)
                    .map_err(|error| Error::Usage(format!("cannot decode {ids:?}: {error}")))?;
                // The first word of a text has a space of its own, as words within it have.
                Ok(match text.strip_prefix(' ') {
                    Some(text) if self.keeps_spaces() => text.to_owned(),
                    _ => text,
                })
            }
        }
    }

    /// The id of start-of-text.
    pub fn start(&self) -> u32 {
        self.start
    }

    /// The id of end-of-text.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// One more than the largest id.
    pub fn vocabulary_size(&self) -> usize {
        match &self.inner {
            Inner::Clip(tokenizer) => tokenizer.vocabulary_size(),
            Inner::HuggingFace { tokenizer, .. } => tokenizer.get_vocab_size(true),
        }
    }

    /// The `tokenizer.json` of this tokenizer.
    ///
    /// # Errors
    /// [`Error::Usage`] where it cannot be written down.
    pub fn to_json(&self) -> Result<String> {
        match &self.inner {
            Inner::Clip(tokenizer) => Ok(tokenizer.to_json()),
            Inner::HuggingFace {
                tokenizer,
                decoder_on_file,
            } => {
                let written = match decoder_on_file {
                    Some(decoder) => {
                        let mut original = tokenizer.as_ref().clone();
                        original.with_decoder(Some(decoder.clone()));
                        original.to_string(false)
                    }
                    None => tokenizer.to_string(false),
                };
                written
                    .map_err(|error| Error::Usage(format!("cannot write the tokenizer: {error}")))
            }
        }
    }
}

/// Stops a WordPiece decoder from taking some of the spaces away (`10: 30 p. m.`), which
/// [`detokenise`](crate::decoder::detokenise) does better once it sees all of them. Gives the
/// decoder that was replaced.
fn keep_spaces_of_word_pieces(tokenizer: &mut tokenizers::Tokenizer) -> Option<WordPiece> {
    let original = match tokenizer.get_decoder() {
        Some(DecoderWrapper::WordPiece(decoder)) if decoder.cleanup => decoder.clone(),
        _ => return None,
    };
    tokenizer.with_decoder(Some(WordPiece::new(original.prefix.clone(), false)));
    Some(original)
}

impl From<ClipTokenizer> for Tokenizer {
    fn from(tokenizer: ClipTokenizer) -> Self {
        let (start, end) = (tokenizer.start(), tokenizer.end());
        Self {
            inner: Inner::Clip(tokenizer),
            start,
            end,
        }
    }
}
