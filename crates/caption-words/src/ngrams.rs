//! Words as numbers, and how often each n-gram of a caption occurs.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The longest n-grams that BLEU and CIDEr look at, in words.
pub const MAX_ORDER: usize = 4;

/// Numbers for words, in order of first appearance.
///
/// ```
/// use caption_words::{Ngram, NgramCounts, Vocabulary};
/// let mut vocabulary = Vocabulary::default();
/// let numbers = vocabulary.numbers("a dog and a cat".split(' '));
/// assert_eq!(numbers, [1, 2, 3, 1, 4]);
/// let counts = NgramCounts::new(&numbers);
/// assert_eq!(counts.count(Ngram::new(&[1])), 2);
/// assert_eq!(vocabulary.known("bird"), None);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    numbers: WordMap<u32>,
}

/// A map by word.
pub type WordMap<T> = HashMap<String, T, foldhash::fast::RandomState>;

impl Vocabulary {
    /// The word's number, from 1; a word beyond four billion shares the last one.
    pub fn number(&mut self, word: &str) -> u32 {
        if let Some(&number) = self.numbers.get(word) {
            return number;
        }
        let number = u32::try_from(self.numbers.len())
            .unwrap_or(u32::MAX - 1)
            .saturating_add(1);
        self.numbers.insert(word.to_owned(), number);
        number
    }

    /// The word's number, where it has one.
    #[must_use]
    pub fn known(&self, word: &str) -> Option<u32> {
        self.numbers.get(word).copied()
    }

    /// How many words have a number.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether no word has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The numbers of words, `[words]`.
    pub fn numbers<'a>(&mut self, words: impl Iterator<Item = &'a str>) -> Vec<u32> {
        words.map(|word| self.number(word)).collect()
    }
}

/// One to four word numbers, the first in the highest bits; absent ones are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ngram(u128);

impl Ngram {
    /// The n-gram of one to four word numbers; of more, the last four.
    #[must_use]
    pub fn new(words: &[u32]) -> Self {
        let packed = words
            .iter()
            .fold(0, |packed, &word| (packed << 32) | u128::from(word));
        Self(packed)
    }

    /// How many words it has, less one.
    #[must_use]
    pub fn order_index(self) -> usize {
        (128 - self.0.leading_zeros() as usize)
            .div_ceil(32)
            .saturating_sub(1)
    }
}

/// A map by n-gram.
pub type NgramMap<T> = HashMap<Ngram, T, BuildHasherDefault<NgramHasher>>;

/// Hashes n-grams; their words are numbered by us, so nobody can aim for collisions.
#[derive(Clone, Debug, Default)]
pub struct NgramHasher(u64);

impl Hasher for NgramHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u128(u128::from(byte));
        }
    }

    fn write_u128(&mut self, value: u128) {
        const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
        const SECOND: u64 = 0xd6e8_feb8_6659_fd93;
        let high = u128::from((value >> 64) as u64 ^ self.0 ^ FIRST) * u128::from(SECOND);
        let low = u128::from(value as u64 ^ SECOND) * u128::from(FIRST);
        let mixed = high ^ low;
        self.0 = ((mixed >> 64) ^ mixed) as u64;
    }
}

/// The n-grams of one caption, of one to four words.
#[derive(Clone, Debug, Default)]
pub struct NgramCounts {
    /// Each n-gram once, ascending, with how often it occurs.
    pub counts: Vec<(Ngram, u32)>,
    /// How many words the caption has.
    pub num_words: usize,
}

impl NgramCounts {
    /// Counts the n-grams of the caption with these word numbers.
    #[must_use]
    pub fn new(words: &[u32]) -> Self {
        let mut all: Vec<Ngram> = (1..=MAX_ORDER)
            .flat_map(|order| words.windows(order).map(Ngram::new))
            .collect();
        all.sort_unstable();
        let mut counts: Vec<(Ngram, u32)> = Vec::with_capacity(all.len());
        for ngram in all {
            match counts.last_mut() {
                Some((last, count)) if *last == ngram => *count += 1,
                _ => counts.push((ngram, 1)),
            }
        }
        Self {
            counts,
            num_words: words.len(),
        }
    }

    /// How often the n-gram occurs.
    #[must_use]
    pub fn count(&self, ngram: Ngram) -> u32 {
        let found = self
            .counts
            .binary_search_by_key(&ngram, |&(other, _)| other);
        found.map_or(0, |index| self.counts[index].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_ngrams_of_each_order() {
        let counts = NgramCounts::new(&[1, 2, 1, 2, 1]);
        assert_eq!(counts.num_words, 5);
        assert_eq!(counts.count(Ngram::new(&[1])), 3);
        assert_eq!(counts.count(Ngram::new(&[1, 2])), 2);
        assert_eq!(counts.count(Ngram::new(&[2, 1, 2])), 1);
        assert_eq!(counts.count(Ngram::new(&[2, 2])), 0);
        assert_eq!(counts.counts.len(), 2 + 2 + 2 + 2);
        assert!(NgramCounts::new(&[]).counts.is_empty());
    }

    #[test]
    fn an_ngram_knows_its_order() {
        for order in 1..=MAX_ORDER {
            assert_eq!(Ngram::new(&vec![7; order]).order_index(), order - 1);
        }
    }
}
