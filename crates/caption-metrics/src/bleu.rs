//! BLEU-1 to BLEU-4 (Papineni et al. 2002), as pycocoevalcap's `bleu_scorer.py`.

use caption_words::{MAX_ORDER, NgramCounts};

/// Added to each denominator, so that it is never zero.
const SMALL: f64 = 1e-9;
/// Added to each numerator, so that its logarithm exists.
const TINY: f64 = 1e-15;

/// What BLEU needs to know of one image, or, summed, of many.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct BleuStatistics {
    /// Words of the prediction.
    prediction_len: u64,
    /// Words of the reference closest in length, the shorter on a tie.
    reference_len: u64,
    /// N-grams of the prediction, by order, `[4]`.
    guessed: [u64; MAX_ORDER],
    /// Of those, how many some reference has as often, `[4]`.
    correct: [u64; MAX_ORDER],
}

impl BleuStatistics {
    /// Compares one prediction with its references.
    pub(crate) fn new(prediction: &NgramCounts, references: &[NgramCounts]) -> Self {
        let prediction_len = prediction.num_words;
        let reference_len = references
            .iter()
            .map(|reference| reference.num_words)
            .min_by_key(|&len| (len.abs_diff(prediction_len), len))
            .unwrap_or(0);
        let mut correct = [0; MAX_ORDER];
        for &(ngram, count) in &prediction.counts {
            let most = references
                .iter()
                .map(|reference| reference.count(ngram))
                .max();
            correct[ngram.order_index()] += u64::from(count.min(most.unwrap_or(0)));
        }
        let guessed = std::array::from_fn(|index| prediction_len.saturating_sub(index) as u64);
        Self {
            prediction_len: prediction_len as u64,
            reference_len: reference_len as u64,
            guessed,
            correct,
        }
    }

    /// BLEU-1 to BLEU-4 as fractions, `[4]`.
    pub(crate) fn bleu(&self) -> [f64; MAX_ORDER] {
        let ratio = (self.prediction_len as f64 + TINY) / (self.reference_len as f64 + SMALL);
        let brevity = if ratio < 1.0 {
            (1.0 - 1.0 / ratio).exp()
        } else {
            1.0
        };
        let mut product = 1.0;
        std::array::from_fn(|index| {
            product *= (self.correct[index] as f64 + TINY) / (self.guessed[index] as f64 + SMALL);
            product.powf(1.0 / (index + 1) as f64) * brevity
        })
    }
}

impl std::ops::AddAssign for BleuStatistics {
    fn add_assign(&mut self, other: Self) {
        self.prediction_len += other.prediction_len;
        self.reference_len += other.reference_len;
        for index in 0..MAX_ORDER {
            self.guessed[index] += other.guessed[index];
            self.correct[index] += other.correct[index];
        }
    }
}

impl std::iter::Sum for BleuStatistics {
    fn sum<I: Iterator<Item = Self>>(statistics: I) -> Self {
        statistics.fold(Self::default(), |mut sum, one| {
            sum += one;
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(prediction: &[u32], references: &[&[u32]]) -> BleuStatistics {
        let references: Vec<_> = references
            .iter()
            .map(|words| NgramCounts::new(words))
            .collect();
        BleuStatistics::new(&NgramCounts::new(prediction), &references)
    }

    #[test]
    fn an_equal_caption_scores_one() {
        for bleu in statistics(&[1, 2, 3, 4, 5], &[&[1, 2, 3, 4, 5]]).bleu() {
            assert!((bleu - 1.0).abs() < 1e-8, "{bleu}");
        }
    }

    #[test]
    fn counts_are_clipped_by_the_best_reference() {
        let found = statistics(&[1, 1, 1], &[&[1, 2], &[1, 1, 2, 3]]);
        assert_eq!(found.correct, [2, 1, 0, 0]);
        assert_eq!(found.guessed, [3, 2, 1, 0]);
    }

    #[test]
    fn the_closest_length_is_the_shorter_on_a_tie() {
        assert_eq!(
            statistics(&[1, 2, 3], &[&[1, 2, 3, 4], &[1, 2]]).reference_len,
            2
        );
    }

    #[test]
    fn an_empty_prediction_scores_nothing() {
        for bleu in statistics(&[], &[&[1, 2]]).bleu() {
            assert_eq!(bleu, 0.0);
        }
    }
}
