//! What the decoder is given in training: a caption's own embedding, or what captioning would make of it.

use decap_kernels::{Accumulate, MatrixView, MatrixViewMut, matmul, on_pool, softmax_rows};
use rayon::prelude::*;

use super::TrainingText;
use super::batch::{Batch, Corpus};
use super::options::{PrefixChoice, TrainOptions};
use super::streams::{Purpose, stream};

/// Makes the prefixes of a batch.
pub(super) struct Prefixes {
    support: Option<Support>,
}

impl Prefixes {
    /// As `options` ask for them.
    pub fn new(text: &TrainingText<'_>, corpus: &Corpus, options: &TrainOptions) -> Self {
        let support = match options.prefix {
            PrefixChoice::Own => None,
            PrefixChoice::Projected { tau, rows } => {
                Some(Support::of(text, corpus, tau, rows, options.seed))
            }
        };
        Self { support }
    }

    /// Turns the embeddings that `batch` has for prefixes into those of step `step`.
    pub fn prepare(
        &self,
        batch: &mut Batch,
        prefix_width: usize,
        options: &TrainOptions,
        step: u64,
    ) {
        match &self.support {
            None => batch.add_noise(prefix_width, options, step),
            Some(support) => {
                let own = batch.prefixes.clone();
                batch.add_noise(prefix_width, options, step);
                support.project(&own, &mut batch.prefixes, options.seed, step);
            }
        }
    }

    /// As [`Self::prepare`], for captions to measure on: their own embeddings stay as they are, projections
    /// are always the same.
    pub fn prepare_measured(&self, batch: &mut Batch, prefix_width: usize, options: &TrainOptions) {
        if self.support.is_some() {
            self.prepare(batch, prefix_width, options, u64::MAX);
        }
    }
}

/// The embeddings that prefixes are projected onto.
struct Support {
    /// `[rows, width]`, of unit length.
    rows: Vec<f32>,
    width: usize,
    tau: f32,
}

impl Support {
    /// At most `most` captions that are learned, drawn once for all steps.
    fn of(text: &TrainingText<'_>, corpus: &Corpus, tau: f32, most: usize, seed: u64) -> Self {
        let width = text.embeddings.width();
        let mut drawn = corpus.training.clone();
        drawn.extend_from_slice(&corpus.rehearsed);
        let random = stream(seed, Purpose::Support, 0, 0);
        let count = drawn.len().min(most);
        for place in 0..count {
            let other = place + random.below(place as u64, drawn.len() - place);
            drawn.swap(place, other);
        }
        let mut rows = vec![0.0; count * width];
        for (&index, row) in drawn.iter().zip(rows.chunks_exact_mut(width)) {
            text.embeddings.copy_row(corpus.row(index), row);
        }
        Self { rows, width, tau }
    }

    /// Projects `queries` `[captions, width]` as captioning projects photos (DeCap, equation 5), each without
    /// the rows that are nearest to the caption itself, whose embeddings are `own` `[captions, width]`: no
    /// sentence about a photo stands in the memory of its captioner. How near is drawn for each caption, so that
    /// some prefixes keep more of the caption than others. A query to which no row is left stays as it is.
    fn project(&self, own: &[f32], queries: &mut [f32], seed: u64, step: u64) {
        /// A row is left out whose cosine with the caption is above a number drawn from this range,
        const LEAST: f64 = 0.6;
        const MOST: f64 = 1.1;
        /// and any that says nearly the same.
        const SAME: f64 = 0.98;
        let (width, count) = (self.width, self.rows.len() / self.width);
        let captions = queries.len() / width;
        let random = stream(seed, Purpose::Support, 1, step);
        on_pool(|| {
            let nearness = self.cosines(own, captions);
            let mut weights = self.cosines(queries, captions);
            weights
                .par_chunks_exact_mut(count)
                .zip(nearness.par_chunks_exact(count))
                .enumerate()
                .for_each(|(caption, (weights, nearness))| {
                    let drawn = LEAST + (MOST - LEAST) * random.uniform(caption as u64);
                    let limit = drawn.min(SAME) as f32;
                    for (weight, &nearness) in weights.iter_mut().zip(nearness) {
                        *weight = match nearness > limit {
                            true => f32::NEG_INFINITY,
                            false => *weight / self.tau,
                        };
                    }
                    match weights.iter().any(|weight| weight.is_finite()) {
                        true => softmax_rows(weights, count),
                        false => weights.fill(0.0),
                    }
                });
            let mut mixed = vec![0.0; queries.len()];
            matmul(
                MatrixView::row_major(&weights, captions, count),
                MatrixView::row_major(&self.rows, count, width),
                Accumulate::Overwrite,
                MatrixViewMut::row_major(&mut mixed, captions, width),
            );
            for (query, mixed) in queries
                .chunks_exact_mut(width)
                .zip(mixed.chunks_exact(width))
            {
                let squares: f64 = mixed.iter().map(|&value| f64::from(value).powi(2)).sum();
                if squares > 0.0 {
                    let norm = squares.sqrt();
                    for (value, &mixed) in query.iter_mut().zip(mixed) {
                        *value = (f64::from(mixed) / norm) as f32;
                    }
                }
            }
        });
    }

    /// `[captions, rows]`
    fn cosines(&self, embeddings: &[f32], captions: usize) -> Vec<f32> {
        let count = self.rows.len() / self.width;
        let mut cosines = vec![0.0; captions * count];
        matmul(
            MatrixView::row_major(embeddings, captions, self.width),
            MatrixView::row_major(&self.rows, count, self.width).transposed(),
            Accumulate::Overwrite,
            MatrixViewMut::row_major(&mut cosines, captions, count),
        );
        cosines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cosines and weights are sums of three products in f32.
    const TOLERANCE: f32 = 1e-5;

    #[test]
    fn a_caption_is_projected_onto_others_than_itself() {
        let support = Support {
            rows: vec![1.0, 0.0, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0],
            width: 3,
            tau: 0.5,
        };
        let own = [1.0, 0.0, 0.0];
        let mut query = [0.8, 0.6, 0.0];
        // The first row is the caption itself; the others are never near enough to be left out.
        support.project(&own, &mut query, 1, 1);
        let scores = [(0.8f32 * 0.6 + 0.6 * 0.8) / 0.5, 0.0];
        let weights = scores.map(f32::exp);
        let sum = weights[0] + weights[1];
        let mixed = [0.6, 0.8, 0.0]
            .iter()
            .zip([0.0, 0.0, 1.0])
            .map(|(a, b)| (a * weights[0] + b * weights[1]) / sum);
        let mixed: Vec<f32> = mixed.collect();
        let norm = mixed.iter().map(|value| value * value).sum::<f32>().sqrt();
        for (got, expected) in query.iter().zip(&mixed) {
            assert!((got - expected / norm).abs() < TOLERANCE, "{query:?}");
        }
    }

    #[test]
    fn where_no_other_row_is_left_the_query_stays() {
        let support = Support {
            rows: vec![1.0, 0.0, 1.0, 0.0],
            width: 2,
            tau: 0.03,
        };
        let mut query = [0.8, 0.6];
        support.project(&[1.0, 0.0], &mut query, 1, 1);
        assert_eq!(query, [0.8, 0.6]);
    }
}
