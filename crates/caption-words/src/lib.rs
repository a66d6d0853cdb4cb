//! Words, lemmas and n-grams of captions.
//!
//! What scoring captions (`caption-metrics`) and choosing them (`decap`) have in common: words as numbers
//! ([`Vocabulary`]), n-grams of them ([`NgramCounts`]), their rarity ([`DocumentCounts`]), and CIDEr-D of
//! one caption against another ([`WeightedNgrams`]). [`words`] and [`content_lemma`] are for text that no
//! Penn Treebank tokenizer has seen; [`repeated_lemmas`] counts the words that a caption says twice.

mod lemma;
mod ngrams;
mod weighted;
mod words;

pub use lemma::{content_lemma, repeated_lemmas};
pub use ngrams::{MAX_ORDER, Ngram, NgramCounts, NgramHasher, NgramMap, Vocabulary, WordMap};
pub use weighted::{DocumentCounts, WeightedNgrams};
pub use words::words;
