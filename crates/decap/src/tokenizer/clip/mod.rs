//! CLIP's tokenizer: cleaning, word splitting and byte-pair encoding, equal to `clip.tokenize`.
//!
//! Ported from <https://github.com/openai/CLIP/blob/main/clip/simple_tokenizer.py> (MIT), whose
//! merge table is compiled in (`bpe_simple_vocab_16e6.txt.gz`, sha256 `924691ac...`).

mod bpe;
mod clean;
mod entities;
#[rustfmt::skip]
mod ftfy_tables;
mod mojibake;
mod table;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use rayon::prelude::*;
use regex::Regex;

use bpe::BytePairs;
pub use clean::clean;

use crate::error::{Error, Result};
use crate::weights::Folder;

/// Tokens that every CLIP text tower reads at most, start and end among them.
pub const CONTEXT_LENGTH: usize = 77;

/// CLIP's name for the start of a text.
pub const START_TOKEN: &str = "<|startoftext|>";

/// CLIP's name for the end of a text.
pub const END_TOKEN: &str = "<|endoftext|>";

/// What to do with a text of more tokens than the tower reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// Refuse it, as `clip.tokenize` does.
    #[default]
    Refuse,
    /// Cut it and put the end token last, as `clip.tokenize(truncate=True)`.
    Truncate,
}

/// CLIP's tokenizer; a clone shares the tables.
#[derive(Debug, Clone)]
pub struct ClipTokenizer {
    byte_pairs: Arc<BytePairs>,
}

impl ClipTokenizer {
    /// OpenAI's own table of 49,408 tokens, as all of OpenAI's and nearly all of OpenCLIP's models
    /// use it.
    ///
    /// # Errors
    /// None in practice: the table is compiled in and tested.
    ///
    /// # Examples
    /// ```
    /// let tokenizer = decap::tokenizer::clip::ClipTokenizer::bundled()?;
    /// let ids = tokenizer.encode("A dog &amp; a cat");
    /// assert_eq!(ids, [320, 1929, 261, 320, 2368]);
    /// assert_eq!(tokenizer.decode(&ids), "a dog & a cat");
    /// # Ok::<(), decap::Error>(())
    /// ```
    pub fn bundled() -> Result<Self> {
        static TABLE: LazyLock<Result<Arc<BytePairs>, String>> =
            LazyLock::new(|| table::bundled().map(Arc::new));
        match &*TABLE {
            Ok(byte_pairs) => Ok(Self { byte_pairs: Arc::clone(byte_pairs) }),
            Err(message) => Err(Error::model("the bundled CLIP merge table", message.clone())),
        }
    }

    /// The tokenizer of a model folder: `tokenizer.json`, or `vocab.json` and `merges.txt`, or else
    /// the bundled table.
    ///
    /// # Errors
    /// [`Error::Model`] where a file is there but is not CLIP's byte-pair encoding.
    pub fn open(folder: &Folder) -> Result<Self> {
        if folder.contains("tokenizer.json") {
            let path = folder.path("tokenizer.json");
            return Self::from_json(&path, &folder.bytes("tokenizer.json")?);
        }
        if folder.contains("vocab.json") && folder.contains("merges.txt") {
            let (vocab, merges) = (folder.bytes("vocab.json")?, folder.bytes("merges.txt")?);
            let path = folder.path("vocab.json");
            return Self::from_vocab_and_merges(&path, &vocab, &merges);
        }
        Self::bundled()
    }

    /// Reads a Hugging Face `tokenizer.json`; `path` is for messages.
    ///
    /// Its normaliser is not used: texts are cleaned as `clip.tokenize` does, which is what CLIP
    /// was trained with.
    ///
    /// # Errors
    /// [`Error::Model`] where it is not byte-pair encoding with CLIP's end-of-word mark.
    pub fn from_json(path: &Path, json: &[u8]) -> Result<Self> {
        table::from_json(json).map(Self::new).map_err(|message| Error::model(path, message))
    }

    /// Reads `vocab.json` and `merges.txt`; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Model`] where the two do not fit each other.
    pub fn from_vocab_and_merges(path: &Path, vocab: &[u8], merges: &[u8]) -> Result<Self> {
        table::from_vocab_and_merges(vocab, merges)
            .map(Self::new)
            .map_err(|message| Error::model(path, message))
    }

    fn new(byte_pairs: BytePairs) -> Self {
        Self { byte_pairs: Arc::new(byte_pairs) }
    }

    /// The ids of `text`, cleaned, without start and end.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 4 + 4);
        for word in WORD.find_iter(&clean(text)) {
            match word.as_str() {
                START_TOKEN => ids.push(self.start()),
                END_TOKEN => ids.push(self.end()),
                word => self.byte_pairs.encode_word(word.as_bytes(), &mut ids),
            }
        }
        ids
    }

    /// The ids of each of `texts`, cleaned, without start and end, on all cores.
    pub fn encode_batch(&self, texts: &[&str]) -> Vec<Vec<u32>> {
        texts.par_iter().map(|text| self.encode(text)).collect()
    }

    /// What a text tower reads: start, the ids of `text`, end; `context_length` ids at most.
    ///
    /// Equal to a row of `clip.tokenize` without its padding.
    ///
    /// # Errors
    /// [`Error::Usage`] where the text is longer and `overflow` says to refuse it.
    pub fn tokenize(
        &self,
        text: &str,
        context_length: usize,
        overflow: Overflow,
    ) -> Result<Vec<u32>> {
        let mut ids = vec![self.start()];
        ids.extend(self.encode(text));
        ids.push(self.end());
        if ids.len() > context_length {
            if overflow == Overflow::Refuse {
                let shown: String = text.chars().take(60).collect();
                return Err(Error::Usage(format!(
                    "expected a text of at most {context_length} tokens, got {}: {shown:?}",
                    ids.len()
                )));
            }
            ids.truncate(context_length);
            if let Some(last) = ids.last_mut() {
                *last = self.end();
            }
        }
        Ok(ids)
    }

    /// The text of `ids`: start, end and unknown ids are left out, bytes that are not UTF-8 become
    /// the replacement character.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes = self.byte_pairs.decode(ids);
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    /// The id of start-of-text (49406).
    pub fn start(&self) -> u32 {
        self.byte_pairs.start
    }

    /// The id of end-of-text (49407).
    pub fn end(&self) -> u32 {
        self.byte_pairs.end
    }

    /// One more than the largest id (49,408).
    pub fn vocabulary_size(&self) -> usize {
        self.byte_pairs.vocabulary_size()
    }

    /// This tokenizer as a Hugging Face `tokenizer.json`.
    ///
    /// Other readers of that file lack the cleaning of HTML entities and mojibake.
    pub fn to_json(&self) -> String {
        table::to_json(&self.byte_pairs)
    }
}

/// Splits a clean text into words. The contractions alone ignore case: `ſ` folds to `s`.
static WORD: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = concat!(
        r"(?i:<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d)",
        r"|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
    );
    Regex::new(pattern).expect("a constant pattern that the tests compile")
});
