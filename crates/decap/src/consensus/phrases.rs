//! The words of a memory's sentences, and how rare their n-grams are.

use caption_words::{DocumentCounts, MAX_ORDER, NgramCounts, Vocabulary, WeightedNgrams, words};

use crate::memory::Captions;

/// A memory's sentences as CIDEr-D sees them; each sentence is a document.
///
/// About 80 bytes a sentence, and 32 to 64 for each n-gram that two of them share.
#[derive(Debug)]
pub(crate) struct Phrases {
    vocabulary: Vocabulary,
    /// Word numbers of all sentences, one after the other.
    words: Vec<u32>,
    /// Where each sentence begins in `words`, and one past the last.
    starts: Vec<usize>,
    /// Norms of each sentence's weighted n-grams, by order.
    norms: Vec<[f64; MAX_ORDER]>,
    documents: DocumentCounts,
}

impl Phrases {
    /// Reads all sentences.
    pub fn of(captions: &Captions) -> Self {
        let mut vocabulary = Vocabulary::default();
        let mut numbers = Vec::new();
        let mut starts = vec![0];
        for sentence in captions.iter() {
            numbers.extend(words(sentence).iter().map(|word| vocabulary.number(word)));
            starts.push(numbers.len());
        }
        let mut documents = DocumentCounts::default();
        for sentence in starts.windows(2) {
            documents.add(&[NgramCounts::new(&numbers[sentence[0]..sentence[1]])]);
        }
        documents.forget_singles();
        // On one thread: whoever waits for this may be a thread of the pool.
        let norms = starts
            .windows(2)
            .map(|sentence| {
                let counts = NgramCounts::new(&numbers[sentence[0]..sentence[1]]);
                WeightedNgrams::new(&counts, &documents).norms()
            })
            .collect();
        Self {
            vocabulary,
            words: numbers,
            starts,
            norms,
            documents,
        }
    }

    /// The word numbers of sentence `row`.
    pub fn sentence(&self, row: usize) -> &[u32] {
        &self.words[self.starts[row]..self.starts[row + 1]]
    }

    /// The norms of sentence `row` by order, `[4]`.
    pub fn norms(&self, row: usize) -> [f64; MAX_ORDER] {
        self.norms[row]
    }

    /// How rare n-grams are.
    pub fn documents(&self) -> &DocumentCounts {
        &self.documents
    }

    /// The numbers of words; one that no sentence has gets one beyond, its place in `unknown` added.
    pub fn numbers(&self, words: &[String], unknown: &mut Vec<String>) -> Vec<u32> {
        let mut beyond = |word: &String| {
            let known = unknown.iter().position(|other| other == word);
            let place = known.unwrap_or_else(|| {
                unknown.push(word.clone());
                unknown.len() - 1
            });
            u32::try_from(self.vocabulary.len() + 1 + place).unwrap_or(u32::MAX)
        };
        words
            .iter()
            .map(|word| self.vocabulary.known(word).unwrap_or_else(|| beyond(word)))
            .collect()
    }
}
