//! CIDEr-D (Vedantam et al. 2015), as pycocoevalcap's `cider_scorer.py`.

use crate::ngrams::{MAX_ORDER, Ngram, NgramCounts, NgramMap};
use rayon::prelude::*;

/// Spread of the penalty on a difference in length.
const SIGMA: f64 = 6.0;
/// The score of an equal caption.
const SCALE: f64 = 10.0;

/// In how many images' references each n-gram occurs.
pub(crate) struct DocumentCounts {
    images: NgramMap<u32>,
    /// Natural logarithm of the number of images.
    log_num_images: f64,
}

impl DocumentCounts {
    /// Counts over the references of all images, `[images][references]`.
    pub(crate) fn of_references(references: &[Vec<NgramCounts>]) -> Self {
        let mut images = NgramMap::<u32>::default();
        let mut of_image: Vec<Ngram> = Vec::new();
        for captions in references {
            of_image.clear();
            of_image.extend(
                captions
                    .iter()
                    .flat_map(|c| c.counts.iter().map(|&(ngram, _)| ngram)),
            );
            of_image.sort_unstable();
            of_image.dedup();
            for &ngram in &of_image {
                *images.entry(ngram).or_insert(0) += 1;
            }
        }
        Self {
            images,
            log_num_images: (references.len() as f64).ln(),
        }
    }

    /// Counts that were made before, of so many images.
    pub(crate) fn from_counts(images: NgramMap<u32>, num_images: u64) -> Self {
        Self {
            images,
            log_num_images: (num_images.max(1) as f64).ln(),
        }
    }

    fn weight(&self, ngram: Ngram) -> f64 {
        let images = self.images.get(&ngram).copied().unwrap_or(0);
        self.log_num_images - f64::from(images.max(1)).ln()
    }
}

/// CIDEr-D of each image, `[images]`; ten is the best.
///
/// `references` is `[images][references]`.
pub(crate) fn cider(
    predictions: &[NgramCounts],
    references: &[Vec<NgramCounts>],
    documents: &DocumentCounts,
) -> Vec<f64> {
    predictions
        .par_iter()
        .zip(references)
        .map(|(prediction, references)| {
            let prediction = Weighted::new(prediction, documents);
            let mut sums = [0.0; MAX_ORDER];
            for reference in references {
                prediction.add_similarity(&Weighted::new(reference, documents), &mut sums);
            }
            let mean = sums.iter().sum::<f64>() / MAX_ORDER as f64;
            mean / references.len().max(1) as f64 * SCALE
        })
        .collect()
}

/// How similar captions are to each other: the mean cosine over orders, without CIDEr-D's
/// clipping and penalty, so that the matrix is symmetric; `[captions, captions]`.
pub(crate) fn cosines(captions: &[NgramCounts], documents: &DocumentCounts) -> Vec<Vec<f64>> {
    let weighted: Vec<Weighted> = captions
        .iter()
        .map(|c| Weighted::new(c, documents))
        .collect();
    weighted
        .iter()
        .map(|a| weighted.iter().map(|b| a.cosine(b)).collect())
        .collect()
}

/// A caption's n-grams weighted by how often they occur in it and how rare they are.
struct Weighted {
    /// Ascending by n-gram.
    weights: Vec<(Ngram, f64)>,
    /// Euclidean norms by order, `[4]`.
    norms: [f64; MAX_ORDER],
    /// How many bigrams the caption has: the reference's measure of its length.
    num_bigrams: f64,
}

impl Weighted {
    fn new(caption: &NgramCounts, documents: &DocumentCounts) -> Self {
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
        let num_bigrams = caption.num_words.saturating_sub(1) as f64;
        Self {
            weights,
            norms: norms.map(f64::sqrt),
            num_bigrams,
        }
    }

    /// Adds the clipped cosine by order, with the penalty on the difference in length.
    fn add_similarity(&self, reference: &Self, sums: &mut [f64; MAX_ORDER]) {
        let products = self.products(reference, |weight, other| weight.min(other) * other);
        let difference = self.num_bigrams - reference.num_bigrams;
        let penalty = (-(difference * difference) / (2.0 * SIGMA * SIGMA)).exp();
        for (order, sum) in sums.iter_mut().enumerate() {
            *sum += self.normalized(reference, products, order) * penalty;
        }
    }

    fn cosine(&self, other: &Self) -> f64 {
        let products = self.products(other, |weight, other| weight * other);
        let cosines = (0..MAX_ORDER).map(|order| self.normalized(other, products, order));
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

    fn normalized(&self, other: &Self, products: [f64; MAX_ORDER], order: usize) -> f64 {
        let norm = self.norms[order] * other.norms[order];
        if norm == 0.0 {
            products[order]
        } else {
            products[order] / norm
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(captions: &[&[u32]]) -> Vec<NgramCounts> {
        captions
            .iter()
            .map(|words| NgramCounts::new(words))
            .collect()
    }

    #[test]
    fn one_image_scores_nothing() {
        let references = vec![counts(&[&[1, 2, 3]])];
        let documents = DocumentCounts::of_references(&references);
        assert_eq!(
            cider(&counts(&[&[1, 2, 3]]), &references, &documents),
            [0.0]
        );
    }

    #[test]
    fn an_equal_caption_of_four_words_scores_ten() {
        let references = vec![counts(&[&[1, 2, 3, 4]]), counts(&[&[5, 6, 7, 8]])];
        let documents = DocumentCounts::of_references(&references);
        let scores = cider(&counts(&[&[1, 2, 3, 4], &[1, 2]]), &references, &documents);
        assert!((scores[0] - 10.0).abs() < 1e-9, "{scores:?}");
        assert_eq!(scores[1], 0.0);
    }
}
