//! The decoder's ids against the tokenizer's: all of them, or only those a corpus uses.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use decap_encoder::{Error, Result};

/// Which tokenizer id each of the decoder's ids stands for.
///
/// A small corpus uses a few thousand of a tokenizer's 30,000 to 50,000 tokens; a decoder that
/// knows only these is smaller and trains faster, and writes the very same text.
///
/// ```
/// use decap::decoder::Vocabulary;
/// let vocabulary = Vocabulary::compact([7, 3, 7, 900])?;
/// assert_eq!(vocabulary.decoder_id(900), Some(2));
/// assert_eq!(vocabulary.tokenizer_id(2), Some(900));
/// assert_eq!(vocabulary.decoder_id(4), None);
/// # Ok::<(), decap::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    size: usize,
    mapping: Option<Mapping>,
}

#[derive(Debug, Clone, PartialEq)]
struct Mapping {
    tokenizer_ids: Vec<u32>,
    decoder_ids: HashMap<u32, u32>,
}

/// How a [`Vocabulary`] is written to JSON: nothing for the identity, else the list of ids.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VocabularyFile {
    /// The tokenizer's id of each of the decoder's ids, rising.
    pub tokenizer_ids: Vec<u32>,
}

impl Vocabulary {
    /// Both ids are the same, for ids below `size`: the reference's way.
    pub fn identity(size: usize) -> Self {
        Self {
            size,
            mapping: None,
        }
    }

    /// Only the tokenizer ids given, in any order and number; the decoder numbers them by rising id.
    ///
    /// # Errors
    /// [`Error::Usage`] where there are none.
    pub fn compact(tokenizer_ids: impl IntoIterator<Item = u32>) -> Result<Self> {
        let mut tokenizer_ids: Vec<u32> = tokenizer_ids.into_iter().collect();
        tokenizer_ids.sort_unstable();
        tokenizer_ids.dedup();
        if tokenizer_ids.is_empty() {
            return Err(Error::Usage(
                "expected at least one token in the vocabulary, got none".into(),
            ));
        }
        let decoder_ids = tokenizer_ids
            .iter()
            .zip(0..)
            .map(|(&token, id)| (token, id))
            .collect();
        let size = tokenizer_ids.len();
        Ok(Self {
            size,
            mapping: Some(Mapping {
                tokenizer_ids,
                decoder_ids,
            }),
        })
    }

    /// Whether the decoder's ids differ from the tokenizer's.
    pub fn is_compact(&self) -> bool {
        self.mapping.is_some()
    }

    /// The number of the decoder's ids.
    pub fn len(&self) -> usize {
        self.size
    }

    /// Never: a vocabulary holds at least one token.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// The decoder's id of a tokenizer's id, where it knows it.
    pub fn decoder_id(&self, tokenizer_id: u32) -> Option<u32> {
        match &self.mapping {
            None => Some(tokenizer_id).filter(|&id| (id as usize) < self.size),
            Some(mapping) => mapping.decoder_ids.get(&tokenizer_id).copied(),
        }
    }

    /// The tokenizer's id of a decoder's id, where there is such an id.
    pub fn tokenizer_id(&self, decoder_id: u32) -> Option<u32> {
        match &self.mapping {
            None => Some(decoder_id).filter(|&id| (id as usize) < self.size),
            Some(mapping) => mapping.tokenizer_ids.get(decoder_id as usize).copied(),
        }
    }

    pub(crate) fn to_file(&self) -> Option<VocabularyFile> {
        let mapping = self.mapping.as_ref()?;
        Some(VocabularyFile {
            tokenizer_ids: mapping.tokenizer_ids.clone(),
        })
    }

    pub(crate) fn from_file(
        file: Option<VocabularyFile>,
        size: usize,
        path: &Path,
    ) -> Result<Self> {
        let Some(VocabularyFile { tokenizer_ids }) = file else {
            return Ok(Self::identity(size));
        };
        if tokenizer_ids.len() != size {
            return Err(Error::model(
                path,
                format!(
                    "`vocabulary`: expected {size} ids, got {}",
                    tokenizer_ids.len()
                ),
            ));
        }
        if !tokenizer_ids.is_sorted_by(|a, b| a < b) {
            return Err(Error::model(
                path,
                "`vocabulary`: expected rising ids, got others",
            ));
        }
        Self::compact(tokenizer_ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mapping_is_exact_both_ways() {
        let vocabulary = Vocabulary::compact([50, 0, 49_407, 50, 7]).unwrap();
        assert_eq!(vocabulary.len(), 4);
        for id in 0..4 {
            assert_eq!(
                vocabulary.decoder_id(vocabulary.tokenizer_id(id).unwrap()),
                Some(id)
            );
        }
        assert_eq!(vocabulary.tokenizer_id(4), None);
    }

    #[test]
    fn files_with_other_counts_or_orders_are_refused() {
        let path = Path::new("decoder.json");
        for tokenizer_ids in [vec![1, 2], vec![1, 3, 2], vec![1, 1, 2]] {
            let file = Some(VocabularyFile { tokenizer_ids });
            assert!(Vocabulary::from_file(file, 3, path).is_err());
        }
        let vocabulary = Vocabulary::compact([9, 4]).unwrap();
        assert_eq!(
            Vocabulary::from_file(vocabulary.to_file(), 2, path).unwrap(),
            vocabulary
        );
    }
}
