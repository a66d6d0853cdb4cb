//! How well the decoder does on captions that it does not learn from.

use std::collections::HashMap;

use decap_kernels::{
    Accumulate, CrossEntropy, MatrixView, MatrixViewMut, linear_cross_entropy, matmul,
};
use serde::{Deserialize, Serialize};

use super::TrainingText;
use super::batch::Corpus;
use super::forward::{Activations, StepSettings};
use super::options::TrainOptions;
use super::prefix::Prefixes;
use decap::Result;
use decap::decoder::{Decoder, DecoderWeights, GenerateOptions};

/// Captions measured by loss and accuracy, at most.
const MAX_SCORED: usize = 2000;
/// Captions written again from their embeddings, at most.
const MAX_WRITTEN: usize = 500;
/// Captions in a batch.
const BATCH: usize = 64;

/// Figures on held-out captions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Steps trained before.
    pub step: u64,
    /// Mean cross-entropy of a token, natural logarithm, without label smoothing.
    pub loss: f64,
    /// Share of tokens that are the likeliest after the true ones before them.
    pub token_accuracy: f64,
    /// Corpus BLEU-4 (0 to 1) of captions written greedily from their own embeddings, or the projections of
    /// these where training projects, against themselves, over token ids.
    pub reconstruction_bleu4: f64,
    /// Captions measured.
    pub captions: usize,
}

/// Measures the held-out captions; `None` where there are none.
pub(super) fn evaluate(
    text: &TrainingText<'_>,
    corpus: &Corpus,
    prefixes: &Prefixes,
    weights: &DecoderWeights,
    step: u64,
    train: &TrainOptions,
) -> Result<Option<Evaluation>> {
    if corpus.held_out.is_empty() {
        return Ok(None);
    }
    let scored = &corpus.held_out[..corpus.held_out.len().min(MAX_SCORED)];
    let (loss, token_accuracy) = score(text, corpus, prefixes, weights, scored, train);
    let written = &scored[..scored.len().min(MAX_WRITTEN)];
    let decoder = Decoder::new(weights, corpus.vocabulary.clone())?;
    let mut options = GenerateOptions::default();
    options.max_tokens = train.max_tokens.min(weights.config().num_positions);
    let mut batch = corpus.batch(text, written);
    prefixes.prepare_measured(&mut batch, text.embeddings.width(), train);
    let candidates = decoder.generate(&batch.prefixes, &options)?;
    let pairs: Vec<(Vec<u32>, &[u32])> = candidates
        .iter()
        .map(|candidate| candidate.caption_ids())
        .zip(
            written
                .iter()
                .map(|&index| text.captions[corpus.row(index)].as_slice()),
        )
        .collect();
    Ok(Some(Evaluation {
        step,
        loss,
        token_accuracy,
        reconstruction_bleu4: bleu4(&pairs),
        captions: scored.len(),
    }))
}

fn score(
    text: &TrainingText<'_>,
    corpus: &Corpus,
    prefixes: &Prefixes,
    weights: &DecoderWeights,
    indices: &[usize],
    train: &TrainOptions,
) -> (f64, f64) {
    let width = weights.config().width;
    let vocabulary_size = weights.config().vocabulary_size;
    let embedding = &weights.values()[weights.layout().token_embedding.clone()];
    let settings = CrossEntropy {
        label_smoothing: 0.0,
        ignore_index: corpus.ignored_token,
    };
    let mut activations = Activations::default();
    let (mut loss_sum, mut correct, mut counted) = (0.0, 0, 0);
    for indices in indices.chunks(BATCH) {
        let mut batch = corpus.batch(text, indices);
        prefixes.prepare_measured(&mut batch, text.embeddings.width(), train);
        activations.forward(weights, &batch, StepSettings::exact());
        let hidden = &activations.final_normed;
        let loss = linear_cross_entropy(hidden, embedding, width, &batch.targets, settings, None);
        loss_sum += loss.mean * loss.counted as f64;
        counted += loss.counted;
        let mut logits = vec![0.0; batch.rows() * vocabulary_size];
        matmul(
            MatrixView::row_major(hidden, batch.rows(), width),
            MatrixView::row_major(embedding, vocabulary_size, width).transposed(),
            Accumulate::Overwrite,
            MatrixViewMut::row_major(&mut logits, batch.rows(), vocabulary_size),
        );
        for (row, &target) in logits.chunks_exact(vocabulary_size).zip(&batch.targets) {
            let likeliest = (0..)
                .zip(row)
                .max_by(|a: &(u32, _), b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
            let counts = Some(target) != corpus.ignored_token;
            correct += usize::from(counts && likeliest.is_some_and(|(token, _)| token == target));
        }
    }
    let counted = counted.max(1) as f64;
    (loss_sum / counted, correct as f64 / counted)
}

/// Papineni et al., *BLEU*, 2002: clipped n-gram precisions of orders 1 to 4 over the corpus,
/// their geometric mean, times the brevity penalty; one reference each.
fn bleu4(pairs: &[(Vec<u32>, &[u32])]) -> f64 {
    let mut matches = [0.0; 4];
    let mut totals = [0.0; 4];
    let (mut written, mut wanted) = (0.0, 0.0);
    for (candidate, reference) in pairs {
        written += candidate.len() as f64;
        wanted += reference.len() as f64;
        for order in 1..=4 {
            let available = count_ngrams(reference, order);
            for (ngram, count) in count_ngrams(candidate, order) {
                totals[order - 1] += count as f64;
                matches[order - 1] += count.min(available.get(ngram).copied().unwrap_or(0)) as f64;
            }
        }
    }
    if matches.contains(&0.0) {
        return 0.0;
    }
    let log_precision = (0..4)
        .map(|order| (matches[order] / totals[order]).ln())
        .sum::<f64>()
        / 4.0;
    let brevity = (1.0 - wanted / written).min(0.0);
    (log_precision + brevity).exp()
}

fn count_ngrams(tokens: &[u32], order: usize) -> HashMap<&[u32], usize> {
    let mut counts = HashMap::new();
    for ngram in tokens.windows(order) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bleu_is_papinenis() {
        let same = [(vec![1, 2, 3, 4, 5], &[1, 2, 3, 4, 5][..])];
        assert!((bleu4(&same) - 1.0).abs() < 1e-12);
        // Precisions 5/6, 4/5, 3/4, 2/3, no brevity penalty: (1/3) ** (1/4).
        let longer = [(vec![1, 2, 3, 4, 5, 9], &[1, 2, 3, 4, 5][..])];
        assert!((bleu4(&longer) - (1.0_f64 / 3.0).powf(0.25)).abs() < 1e-12);
        // Perfect precision, four of six tokens: exp(1 - 6/4).
        let shorter = [(vec![1, 2, 3, 4], &[1, 2, 3, 4, 5, 6][..])];
        assert!((bleu4(&shorter) - (-0.5_f64).exp()).abs() < 1e-12);
        // A token counts as often as the reference has it: 1/4 of the unigrams, no bigram.
        let repeated = [(vec![1, 1, 1, 1], &[1, 2, 3, 4][..])];
        assert_eq!(bleu4(&repeated), 0.0);
        assert_eq!(bleu4(&[]), 0.0);
    }
}
