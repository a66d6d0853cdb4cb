//! What METEOR knows of each word of the captions at hand, looked up once.

use super::resources::{Phrases, PrefixCache, Resources};
use caption_words::WordMap;
use rayon::prelude::*;
use rust_stemmers::{Algorithm, Stemmer};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// WordNet's rules to find a base form: endings of nouns, verbs and adjectives, and what
/// replaces them.
const ENDINGS: [(&str, &str); 20] = [
    ("s", ""),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
    ("s", ""),
    ("ies", "y"),
    ("es", "e"),
    ("es", ""),
    ("ed", "e"),
    ("ed", ""),
    ("ing", "e"),
    ("ing", ""),
    ("er", ""),
    ("est", ""),
    ("er", "e"),
    ("est", "e"),
];

/// The distinct words of some captions.
#[derive(Default)]
pub(crate) struct Lexicon {
    words: Vec<WordFacts>,
    /// How many synonym sets the words have.
    pub(crate) num_synonym_sets: usize,
}

/// What is known of a word.
pub(crate) struct WordFacts {
    /// Number of the stem: equal stems have equal numbers.
    pub(crate) stem: u32,
    /// Synonym sets of the word and of its base form, numbered among those of all words, ascending.
    pub(crate) synonym_sets: Vec<u32>,
    /// The word's number in the phrases.
    phrase_word: Option<u32>,
    /// The phrases that start with the word.
    phrases: Range<usize>,
    pub(crate) is_function_word: bool,
}

/// A caption's words as indices into the lexicon, and the phrases that start at each.
pub(crate) struct Caption {
    /// `[words]`.
    pub(crate) words: Vec<u32>,
    /// `(start, length in words, phrase)`, by start, then by length.
    pub(crate) phrases: Vec<PhraseAt>,
}

/// A phrase in a caption.
#[derive(Clone, Copy)]
pub(crate) struct PhraseAt {
    pub(crate) start: u32,
    pub(crate) len: u32,
    pub(crate) phrase: u32,
}

impl Lexicon {
    pub(crate) fn word(&self, index: u32) -> &WordFacts {
        &self.words[index as usize]
    }

    /// The caption of these words.
    pub(crate) fn caption(
        &self,
        words: Vec<u32>,
        phrases: &Phrases,
        cache: &mut PrefixCache,
    ) -> Caption {
        let numbers: Vec<Option<u32>> = words
            .iter()
            .map(|&word| self.word(word).phrase_word)
            .collect();
        let mut places = Vec::new();
        for (start, &word) in words.iter().enumerate() {
            let range = self.word(word).phrases.clone();
            phrases.starting(&numbers[start..], range, cache, |len, phrase| {
                places.push(PhraseAt {
                    start: start as u32,
                    len: len as u32,
                    phrase: phrase as u32,
                });
            });
        }
        Caption {
            words,
            phrases: places,
        }
    }
}

/// Looks words up and numbers them.
pub(crate) struct LexiconBuilder<'a> {
    resources: &'a Resources,
    function_words: HashSet<&'a str>,
    indices: WordMap<u32>,
    /// The words in the order of their indices.
    words: Vec<String>,
}

impl<'a> LexiconBuilder<'a> {
    pub(crate) fn new(resources: &'a Resources) -> Self {
        Self {
            resources,
            function_words: resources.function_words.lines().collect(),
            indices: WordMap::default(),
            words: Vec::new(),
        }
    }

    /// The lexicon of all words that were looked up.
    pub(crate) fn finish(self) -> Lexicon {
        let stemmer = || Stemmer::create(Algorithm::English);
        let facts: Vec<(String, WordFacts)> = self
            .words
            .par_iter()
            .map_init(stemmer, |stemmer, word| self.facts(stemmer, word))
            .collect();
        let mut stems = HashMap::new();
        let mut sets = HashMap::new();
        let words = facts.into_iter().map(|(stem, mut facts)| {
            let next = stems.len() as u32;
            facts.stem = *stems.entry(stem).or_insert(next);
            for set in &mut facts.synonym_sets {
                let next = sets.len() as u32;
                *set = *sets.entry(*set).or_insert(next);
            }
            facts.synonym_sets.sort_unstable();
            facts
        });
        Lexicon {
            words: words.collect(),
            num_synonym_sets: sets.len(),
        }
    }

    /// The indices of words.
    pub(crate) fn indices(&mut self, words: Vec<String>) -> Vec<u32> {
        words.into_iter().map(|word| self.index(word)).collect()
    }

    fn index(&mut self, word: String) -> u32 {
        if let Some(&index) = self.indices.get(&word) {
            return index;
        }
        let index = self.words.len() as u32;
        self.words.push(word.clone());
        self.indices.insert(word, index);
        index
    }

    /// A word's stem, and what is known of it but for the stem's number.
    fn facts(&self, stemmer: &Stemmer, word: &str) -> (String, WordFacts) {
        let stem = stemmer.stem(word).into_owned();
        let phrase_word = self
            .resources
            .vocabulary
            .find(word)
            .map(|index| index as u32);
        let phrases = &self.resources.phrases;
        let facts = WordFacts {
            stem: 0,
            synonym_sets: self.synonym_sets(word),
            phrase_word,
            phrases: phrase_word.map_or(0..0, |word| phrases.with_first(word)),
            is_function_word: self.function_words.contains(word),
        };
        (stem, facts)
    }

    fn synonym_sets(&self, word: &str) -> Vec<u32> {
        let synonyms = &self.resources.synonyms;
        let mut sets = synonyms.list(word).to_vec();
        match self.resources.exceptions.find(word) {
            Some(form) => {
                for &base in self.resources.exceptions.list_at(form) {
                    sets.extend_from_slice(synonyms.list_at(base as usize));
                }
            }
            None => sets.extend_from_slice(self.base_sets(word)),
        }
        sets.sort_unstable();
        sets.dedup();
        sets
    }

    /// The synonym sets of the first base form that has any.
    fn base_sets(&self, word: &str) -> &'a [u32] {
        // The reference counts UTF-16 units.
        if word.ends_with("ss") || word.encode_utf16().count() <= 2 {
            return self.resources.synonyms.list(word);
        }
        let base = ENDINGS.iter().find_map(|(ending, replacement)| {
            let base = format!("{}{replacement}", word.strip_suffix(ending)?);
            self.resources.synonyms.find(&base)
        });
        base.map_or(&[], |index| self.resources.synonyms.list_at(index))
    }
}
