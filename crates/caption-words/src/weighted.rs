//! CIDEr-D (Vedantam et al. 2015) of one caption against another, as pycocoevalcap's `cider_scorer.py`.

use crate::ngrams::{MAX_ORDER, Ngram, NgramCounts, NgramMap};

/// Spread of the penalty on a difference in length.
const SIGMA: f64 = 6.0;

/// In how many documents each n-gram occurs: images' references, or sentences.
#[derive(Clone, Debug, Default)]
pub struct DocumentCounts {
    counts: NgramMap<u32>,
    num_documents: u64,
    /// Natural logarithm of the number of documents.
    log_num_documents: f64,
    /// The document that is being added.
    document: Vec<Ngram>,
}

impl DocumentCounts {
    /// Counts that were made before, of so many documents.
    #[must_use]
    pub fn from_counts(counts: NgramMap<u32>, num_documents: u64) -> Self {
        Self {
            counts,
            num_documents,
            log_num_documents: (num_documents.max(1) as f64).ln(),
            document: Vec::new(),
        }
    }

    /// Counts over documents, `[documents][captions]`.
    #[must_use]
    pub fn of_documents(documents: &[Vec<NgramCounts>]) -> Self {
        let mut all = Self::default();
        documents.iter().for_each(|captions| all.add(captions));
        all
    }

    /// Adds one document of these captions.
    pub fn add(&mut self, captions: &[NgramCounts]) {
        self.document.clear();
        let ngrams = captions.iter().flat_map(|caption| &caption.counts);
        self.document.extend(ngrams.map(|&(ngram, _)| ngram));
        if captions.len() > 1 {
            self.document.sort_unstable();
            self.document.dedup();
        }
        for &ngram in &self.document {
            *self.counts.entry(ngram).or_insert(0) += 1;
        }
        self.num_documents += 1;
        self.log_num_documents = (self.num_documents as f64).ln();
    }

    /// Forgets n-grams that occur in one document, whose weight is that of n-grams in none: most of the
    /// memory that counts take is theirs.
    pub fn forget_singles(&mut self) {
        self.counts.retain(|_, count| *count > 1);
        self.counts.shrink_to_fit();
        self.document = Vec::new();
    }

    /// The weight of an n-gram that a caption has once: the logarithm of the share of documents without it.
    #[must_use]
    pub fn weight(&self, ngram: Ngram) -> f64 {
        let documents = self.counts.get(&ngram).copied().unwrap_or(0);
        self.log_num_documents - f64::from(documents.max(1)).ln()
    }
}

/// A caption's n-grams, weighted by how often they occur in it and how rare they are.
///
/// ```
/// use caption_words::{DocumentCounts, NgramCounts, Vocabulary, WeightedNgrams};
/// let mut vocabulary = Vocabulary::default();
/// let captions = ["a dog runs here", "a cat sleeps there"]
///     .map(|text| NgramCounts::new(&vocabulary.numbers(text.split(' '))));
/// let documents = DocumentCounts::of_documents(&captions.clone().map(|one| vec![one]));
/// let [dog, cat] = captions.map(|one| WeightedNgrams::new(&one, &documents));
/// assert_eq!(dog.cider_d(&cat), 0.0);
/// assert!((dog.cider_d(&dog) - 1.0).abs() < 1e-12);
/// ```
#[derive(Clone, Debug)]
pub struct WeightedNgrams {
    /// Ascending by n-gram.
    weights: Vec<(Ngram, f64)>,
    /// Euclidean norms by order, `[4]`.
    norms: [f64; MAX_ORDER],
    /// How many bigrams the caption has: the reference's measure of its length.
    num_bigrams: usize,
}

impl WeightedNgrams {
    /// Weighs the n-grams of a caption.
    #[must_use]
    pub fn new(caption: &NgramCounts, documents: &DocumentCounts) -> Self {
        let mut norms = [0.0; MAX_ORDER];
        let weights: Vec<(Ngram, f64)> = caption
            .counts
            .iter()
            .map(|&(ngram, count)| {
                let weight = f64::from(count) * documents.weight(ngram);
                norms[ngram.order_index()] += weight * weight;
                (ngram, weight)
            })
            .collect();
        Self {
            weights,
            norms: norms.map(f64::sqrt),
            num_bigrams: caption.num_words.saturating_sub(1),
        }
    }

    /// Each n-gram once, ascending, with its weight.
    #[must_use]
    pub fn weights(&self) -> &[(Ngram, f64)] {
        &self.weights
    }

    /// Euclidean norms of the weights by order, `[4]`.
    #[must_use]
    pub fn norms(&self) -> [f64; MAX_ORDER] {
        self.norms
    }

    /// CIDEr-D against one reference, in 0..=1: pycocoevalcap's number is ten times the mean over
    /// references.
    #[must_use]
    pub fn cider_d(&self, reference: &Self) -> f64 {
        self.similarities(reference).iter().sum::<f64>() / MAX_ORDER as f64
    }

    /// The clipped cosine with a reference by order, with the penalty on the difference in length, `[4]`.
    #[must_use]
    pub fn similarities(&self, reference: &Self) -> [f64; MAX_ORDER] {
        let products = self.products(reference, |weight, other| weight.min(other) * other);
        let penalty = Self::length_penalty(self.num_bigrams, reference.num_bigrams);
        std::array::from_fn(|order| {
            Self::normalized(products[order], self.norms[order], reference.norms[order]) * penalty
        })
    }

    /// What captions of so many bigrams lose for their difference in length, as a factor in 0..=1.
    #[must_use]
    pub fn length_penalty(num_bigrams: usize, other: usize) -> f64 {
        let difference = num_bigrams as f64 - other as f64;
        (-(difference * difference) / (2.0 * SIGMA * SIGMA)).exp()
    }

    /// How similar two captions are: the mean cosine over orders, without CIDEr-D's clipping and
    /// penalty, so that it is symmetric.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> f64 {
        let products = self.products(other, |weight, other| weight * other);
        let cosines = (0..MAX_ORDER)
            .map(|order| Self::normalized(products[order], self.norms[order], other.norms[order]));
        cosines.sum::<f64>() / MAX_ORDER as f64
    }

    /// Sums over common n-grams, by order, `[4]`.
    fn products(&self, other: &Self, product: impl Fn(f64, f64) -> f64) -> [f64; MAX_ORDER] {
        let mut products = [0.0; MAX_ORDER];
        let mut rest = other.weights.as_slice();
        for &(ngram, weight) in &self.weights {
            let skipped = rest.partition_point(|&(other, _)| other < ngram);
            rest = &rest[skipped..];
            if let Some(&(other, other_weight)) = rest.first()
                && other == ngram
            {
                products[ngram.order_index()] += product(weight, other_weight);
            }
        }
        products
    }

    /// A product of two vectors of these norms as a cosine; 0 where one of them is 0.
    #[must_use]
    pub fn normalized(product: f64, norm: f64, other: f64) -> f64 {
        match norm * other {
            0.0 => product,
            norms => product / norms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n_grams_of_one_document_weigh_the_same_when_forgotten() {
        let counts = |words: &[u32]| vec![NgramCounts::new(words)];
        let mut documents =
            DocumentCounts::of_documents(&[counts(&[1, 2, 3]), counts(&[1, 4]), counts(&[5])]);
        let ngrams: Vec<Ngram> = [1, 2, 3, 4, 5, 6].map(|word| Ngram::new(&[word])).to_vec();
        let weights = |documents: &DocumentCounts| -> Vec<f64> {
            ngrams
                .iter()
                .map(|&ngram| documents.weight(ngram))
                .collect()
        };
        let before = weights(&documents);
        documents.forget_singles();
        assert_eq!(weights(&documents), before);
        assert!((before[0] - 1.5_f64.ln()).abs() < 1e-12);
        assert!((before[5] - 3.0_f64.ln()).abs() < 1e-12);
        assert_eq!(documents.counts.len(), 1);
    }

    #[test]
    fn a_repeated_word_is_clipped_and_length_is_penalised() {
        let captions = [[1, 1, 2].as_slice(), &[1, 3], &[4]].map(NgramCounts::new);
        let documents = DocumentCounts::of_documents(&captions.clone().map(|one| vec![one]));
        let [twice, once, other] = captions.map(|one| WeightedNgrams::new(&one, &documents));
        // By hand: idf(1) = ln 1.5, idf of the rest ln 3.
        let (common, rare) = (1.5_f64.ln(), 3.0_f64.ln());
        let norm_twice = (4.0 * common * common + rare * rare).sqrt();
        let norm_once = (common * common + rare * rare).sqrt();
        let penalty = (-1.0_f64 / 72.0).exp();
        let expected = common * common / (norm_twice * norm_once) * penalty / 4.0;
        assert!((twice.cider_d(&once) - expected).abs() < 1e-12);
        assert_eq!(twice.cider_d(&other), 0.0);
    }
}
