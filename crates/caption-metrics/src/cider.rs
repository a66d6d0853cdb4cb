//! CIDEr-D (Vedantam et al. 2015), as pycocoevalcap's `cider_scorer.py`.

use caption_words::{DocumentCounts, MAX_ORDER, NgramCounts, WeightedNgrams};
use rayon::prelude::*;

/// The score of an equal caption.
const SCALE: f64 = 10.0;

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
            let prediction = WeightedNgrams::new(prediction, documents);
            let mut sums = [0.0; MAX_ORDER];
            for reference in references {
                let reference = WeightedNgrams::new(reference, documents);
                let similarities = prediction.similarities(&reference);
                for (sum, similarity) in sums.iter_mut().zip(similarities) {
                    *sum += similarity;
                }
            }
            let mean = sums.iter().sum::<f64>() / MAX_ORDER as f64;
            mean / references.len().max(1) as f64 * SCALE
        })
        .collect()
}

/// How similar captions are to each other, `[captions, captions]`: [`WeightedNgrams::cosine`].
pub(crate) fn cosines(captions: &[NgramCounts], documents: &DocumentCounts) -> Vec<Vec<f64>> {
    let weighted: Vec<WeightedNgrams> = captions
        .iter()
        .map(|caption| WeightedNgrams::new(caption, documents))
        .collect();
    weighted
        .iter()
        .map(|a| weighted.iter().map(|b| a.cosine(b)).collect())
        .collect()
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
        let documents = DocumentCounts::of_documents(&references);
        assert_eq!(
            cider(&counts(&[&[1, 2, 3]]), &references, &documents),
            [0.0]
        );
    }

    #[test]
    fn an_equal_caption_of_four_words_scores_ten() {
        let references = vec![counts(&[&[1, 2, 3, 4]]), counts(&[&[5, 6, 7, 8]])];
        let documents = DocumentCounts::of_documents(&references);
        let scores = cider(&counts(&[&[1, 2, 3, 4], &[1, 2]]), &references, &documents);
        assert!((scores[0] - 10.0).abs() < 1e-9, "{scores:?}");
        assert_eq!(scores[1], 0.0);
    }
}
