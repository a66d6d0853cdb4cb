//! How sure a caption is, by the memory's sentences around the photo's embedding.

use serde::{Deserialize, Serialize};

use crate::memory::Memory;
use decap_encoder::Embeddings;
use decap_encoder::Result;

/// The share of captions that are right, among photos whose memory sentences are as near to them and as much
/// alike: a logistic regression on two facts.
///
/// A photo of a kind that the memory never speaks of (a document, a drawing, noise) has no sentence near it. One
/// whose nearest sentences are near to it but not to each other could show many things.
///
/// It holds for the memory that it was fitted with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Sentences looked at: the nearest ones.
    pub sentences: usize,
    /// The log-odds at nearness and coherence 0.
    pub intercept: f32,
    /// What they rise by per unit of nearness: the mean cosine of the photo with these sentences.
    pub nearness: f32,
    /// What they rise by per unit of coherence: the length of these sentences' mean embedding, 1 where all say
    /// the same.
    pub coherence: f32,
    /// Below this confidence a caption is better left out.
    pub least: f32,
}

impl Calibration {
    /// The confidence, 0 to 1, of a caption of each of `embeddings` `[rows, width]`.
    ///
    /// # Errors
    /// [`Mismatch`](decap_encoder::Error::Mismatch) for embeddings of another width than the memory's, [`Model`](decap_encoder::Error::Model) where its rows
    /// hold values that are not numbers.
    pub(crate) fn confidences(&self, memory: &Memory, embeddings: &Embeddings) -> Result<Vec<f32>> {
        let nearest = memory.weighted(embeddings, 1.0, self.sentences)?;
        let mut confidences = Vec::with_capacity(nearest.len());
        for (query, nearest) in embeddings.rows().zip(nearest) {
            let mut mean = vec![0.0f64; embeddings.width()];
            for &(row, _) in &nearest {
                for (sum, &value) in mean.iter_mut().zip(memory.row(row)?.as_slice()) {
                    *sum += f64::from(value) / nearest.len() as f64;
                }
            }
            // The mean of cosines with unit rows is the product with the rows' mean.
            let products = mean
                .iter()
                .zip(query)
                .map(|(mean, &value)| mean * f64::from(value));
            let nearness: f64 = products.sum();
            let coherence = mean.iter().map(|value| value * value).sum::<f64>().sqrt();
            confidences.push(self.confidence(nearness, coherence));
        }
        Ok(confidences)
    }

    fn confidence(&self, nearness: f64, coherence: f64) -> f32 {
        let log_odds = f64::from(self.intercept)
            + f64::from(self.nearness) * nearness
            + f64::from(self.coherence) * coherence;
        (1.0 / (1.0 + (-log_odds).exp())) as f32
    }

    /// Whether all numbers make sense.
    ///
    /// # Errors
    /// What does not, in words, for the caller to put the file's name to.
    pub(crate) fn check(&self) -> Result<(), String> {
        let numbers = [self.intercept, self.nearness, self.coherence];
        let is_sound = self.sentences > 0
            && numbers.iter().all(|number| number.is_finite())
            && (0.0..=1.0).contains(&self.least);
        match is_sound {
            true => Ok(()),
            false => Err(format!(
                "`confidence`: expected finite numbers, at least 1 sentence and `least` from 0 to 1, got {self:?}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Captioner;

    #[test]
    fn confidence_falls_with_distance_and_with_disagreement() {
        let calibration = Calibration {
            sentences: 2,
            intercept: -6.0,
            nearness: 8.0,
            coherence: 4.0,
            least: 0.3,
        };
        let sure = calibration.confidence(0.8, 1.0);
        assert!((f64::from(sure) - 1.0 / (1.0 + f64::exp(-4.4))).abs() < 1e-6);
        assert!(calibration.confidence(0.5, 1.0) < sure);
        assert!(calibration.confidence(0.8, 0.7) < sure);
        assert!(calibration.check().is_ok());
        let broken = Calibration {
            nearness: f32::NAN,
            ..calibration
        };
        assert!(broken.check().is_err());
    }

    #[test]
    fn the_two_facts_are_those_of_the_nearest_sentences() {
        let captioner = Captioner::open("../../models/tiny").unwrap();
        let memory = captioner.memory();
        let query = memory.row(5).unwrap();
        let row = Embeddings::new(query.as_slice().to_vec(), query.width()).unwrap();
        let one = Calibration {
            sentences: 1,
            intercept: 0.0,
            nearness: 1.0,
            coherence: 1.0,
            least: 0.0,
        };
        // The nearest to a sentence is itself: nearness and coherence 1, but for the rounding of f32.
        let confidence = one.confidences(memory, &row).unwrap()[0];
        let expected = 1.0 / (1.0 + (-2.0f32).exp());
        assert!((confidence - expected).abs() < 1e-5, "{confidence}");
        let many = Calibration {
            sentences: 1000,
            ..one
        };
        assert!(many.confidences(memory, &row).unwrap()[0] < confidence);
    }
}
