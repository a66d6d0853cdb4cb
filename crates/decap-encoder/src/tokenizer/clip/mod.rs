//! CLIP's tokenizer: cleaning, word splitting and byte-pair encoding, equal to `clip.tokenize`.
//!
//! Ported from <https://github.com/openai/CLIP/blob/main/clip/simple_tokenizer.py> (MIT), whose
//! merge table is compiled in, as far as CLIP uses it.

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
use crate::tokenizer::TooLong;
use crate::weights::Folder;

/// Tokens that every CLIP text tower reads at most, start and end among them.
pub const CONTEXT_LENGTH: usize = 77;

/// CLIP's name for the start of a text.
pub const START_TOKEN: &str = "<|startoftext|>";

/// CLIP's name for the end of a text.
pub const END_TOKEN: &str = "<|endoftext|>";

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
    /// let tokenizer = decap_encoder::tokenizer::clip::ClipTokenizer::bundled()?;
    /// let ids = tokenizer.encode("A dog &amp; a cat");
    /// assert_eq!(ids, [320, 1929, 261, 320, 2368]);
    /// assert_eq!(tokenizer.decode(&ids), "a dog & a cat");
    /// # Ok::<(), decap_encoder::Error>(())
    /// ```
    pub fn bundled() -> Result<Self> {
        static TABLE: LazyLock<Result<Arc<BytePairs>, String>> =
            LazyLock::new(|| table::bundled().map(Arc::new));
        match &*TABLE {
            Ok(byte_pairs) => Ok(Self {
                byte_pairs: Arc::clone(byte_pairs),
            }),
            Err(message) => Err(Error::model(
                "the bundled CLIP merge table",
                message.clone(),
            )),
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

    /// Whether a `tokenizer.json` is CLIP's, by its kind and end-of-word mark.
    pub fn is_json(json: &[u8]) -> bool {
        table::is_clip(json)
    }

    /// Reads a Hugging Face `tokenizer.json`; `path` is for messages.
    ///
    /// Its normaliser is not used: texts are cleaned as `clip.tokenize` does, which is what CLIP
    /// was trained with.
    ///
    /// # Errors
    /// [`Error::Model`] where it is not byte-pair encoding with CLIP's end-of-word mark.
    pub fn from_json(path: &Path, json: &[u8]) -> Result<Self> {
        table::from_json(json)
            .map(Self::new)
            .map_err(|message| Error::model(path, message))
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
        Self {
            byte_pairs: Arc::new(byte_pairs),
        }
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
    /// [`Error::Usage`] where the text is longer and `too_long` says to refuse it.
    pub fn tokenize(
        &self,
        text: &str,
        context_length: usize,
        too_long: TooLong,
    ) -> Result<Vec<u32>> {
        let mut ids = vec![self.start()];
        ids.extend(self.encode(text));
        ids.push(self.end());
        if ids.len() > context_length {
            if too_long == TooLong::Refuse {
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

    /// The name of token `id`, with `</w>` where a word ends; empty for unused ids.
    pub(super) fn name(&self, id: u32) -> &str {
        self.byte_pairs
            .names()
            .get(id as usize)
            .map_or("", |name| name)
    }

    /// This tokenizer as a Hugging Face `tokenizer.json`.
    ///
    /// Other readers of that file lack the cleaning of HTML entities and mojibake.
    pub fn to_json(&self) -> String {
        table::to_json(&self.byte_pairs)
    }
}

/// Splits a clean text into words.
///
/// The reference ignores case, which matters twice: `ſ` counts as `s` in a contraction, and U+0345,
/// a mark whose capital is a letter, belongs to neither class and is dropped.
static WORD: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = concat!(
        r"(?i:<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d)",
        r"|\p{L}+|\p{N}|[^\s\p{L}\p{N}\x{345}]+"
    );
    Regex::new(pattern).expect("a constant pattern that the tests compile")
});

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        text: String,
        ids: Vec<u32>,
        decoded: String,
    }

    fn read_golden(path: &Path) -> Vec<Golden> {
        let text = fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The texts whose ids or decoded text differ from the reference's.
    fn differences(golden: &[Golden]) -> Vec<String> {
        let tokenizer = ClipTokenizer::bundled().unwrap();
        let strip = |text: &str| text.replace(START_TOKEN, "").replace(END_TOKEN, "");
        golden
            .iter()
            .filter_map(|golden| {
                let ids = tokenizer.encode(&golden.text);
                if ids != golden.ids {
                    let shown: String = golden.text.chars().take(80).collect();
                    return Some(format!("{shown:?} cleans to {:?}", clean(&golden.text)));
                }
                let decoded = tokenizer.decode(&ids);
                (decoded != strip(&golden.decoded).trim_end())
                    .then(|| format!("{decoded:?} instead of {:?}", golden.decoded))
            })
            .collect()
    }

    #[test]
    fn hard_texts_are_encoded_as_by_the_reference() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/clip_tokenizer.jsonl");
        let golden = read_golden(&path);
        assert!(golden.len() > 150);
        let differences = differences(&golden);
        assert!(differences.is_empty(), "{differences:#?}");
    }

    /// `tools/reference/clip_tokenizer_golden.py $DECAP_GOLDEN/clip_tokenizer.jsonl CAPTIONS...`
    #[test]
    fn captions_are_encoded_as_by_the_reference() {
        let Some(path) = crate::skipped::golden("clip_tokenizer.jsonl") else {
            return;
        };
        let golden = read_golden(&path);
        let differences = differences(&golden);
        println!("{} of {} captions differ", differences.len(), golden.len());
        assert!(differences.is_empty(), "{differences:#?}");
    }

    #[test]
    fn every_form_of_the_table_gives_the_same_ids() {
        let bundled = ClipTokenizer::bundled().unwrap();
        assert_eq!((bundled.start(), bundled.end()), (49406, 49407));
        assert_eq!(bundled.vocabulary_size(), 49408);
        let json = bundled.to_json();
        let from_json = ClipTokenizer::from_json(Path::new("t.json"), json.as_bytes()).unwrap();
        let file: serde_json::Value = serde_json::from_str(&json).unwrap();
        let vocab = file["model"]["vocab"].to_string();
        let merges = file["model"]["merges"].as_array().unwrap();
        let merges: Vec<&str> = merges.iter().map(|merge| merge.as_str().unwrap()).collect();
        let merges = format!("#version: 0.2\n{}\n", merges.join("\n"));
        let from_lists = ClipTokenizer::from_vocab_and_merges(
            Path::new("vocab.json"),
            vocab.as_bytes(),
            merges.as_bytes(),
        )
        .unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/clip_tokenizer.jsonl");
        for golden in read_golden(&path) {
            assert_eq!(from_json.encode(&golden.text), golden.ids);
            assert_eq!(from_lists.encode(&golden.text), golden.ids);
        }
    }

    #[test]
    fn long_texts_are_refused_or_cut() {
        let tokenizer = ClipTokenizer::bundled().unwrap();
        let fits = tokenizer
            .tokenize(&"dog ".repeat(75), 77, TooLong::Refuse)
            .unwrap();
        assert_eq!(fits.len(), 77);
        let long = "dog ".repeat(76);
        let error = tokenizer
            .tokenize(&long, 77, TooLong::Refuse)
            .unwrap_err()
            .to_string();
        assert!(error.contains("at most 77 tokens, got 78"), "{error}");
        let cut = tokenizer.tokenize(&long, 77, TooLong::Truncate).unwrap();
        assert_eq!(cut.len(), 77);
        assert_eq!(cut.last(), Some(&tokenizer.end()));
    }

    #[test]
    fn other_tokenizers_are_refused() {
        let cases = [
            ("{", "expected a tokenizer of type BPE"),
            (
                r#"{"model": {"type": "WordPiece", "vocab": {}}}"#,
                "expected a tokenizer of type BPE",
            ),
            (
                r#"{"model": {"type": "BPE", "vocab": {}, "merges": []}}"#,
                "end-of-word mark",
            ),
            (
                r#"{"model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": {"a": 4000000000},
                    "merges": []}}"#,
                "expected ids below",
            ),
            (
                r#"{"model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": {"a": 1},
                    "merges": ["a b c"]}}"#,
                "expected two symbols",
            ),
            (
                r#"{"model": {"type": "BPE", "end_of_word_suffix": "</w>",
                    "vocab": {"<|startoftext|>": 1, "<|endoftext|>": 2}, "merges": []}}"#,
                "in the vocabulary, got none",
            ),
        ];
        for (json, message) in cases {
            let error = ClipTokenizer::from_json(Path::new("t.json"), json.as_bytes()).unwrap_err();
            assert!(
                error.to_string().contains(message),
                "{error} lacks {message:?}"
            );
        }
    }

    #[test]
    fn a_word_of_a_megabyte_is_quick() {
        let tokenizer = ClipTokenizer::bundled().unwrap();
        let ids = tokenizer.encode(&"ab".repeat(500_000));
        assert!(ids.len() > 100_000);
    }
}
