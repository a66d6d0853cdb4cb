//! Causal attention over sequences end to end, with dropout on its probabilities.
//!
//! Without dropout the kernels do it. With dropout (the reference's recipe) the plain loops below
//! run: attention is a hundredth of a step's work at a caption's length.

use decap_kernels::{Attention, Mask, Sequences, attention, attention_backward};
use rayon::prelude::*;

use super::batch::Batch;
use super::dropout::DropoutMask;
use decap::decoder::DecoderConfig;

/// Values of all attention probabilities, `[num_heads, length, length]` for each sequence.
pub(super) fn probabilities_len(config: &DecoderConfig, batch: &Batch) -> usize {
    config.num_heads
        * batch
            .lengths
            .iter()
            .map(|length| length * length)
            .sum::<usize>()
}

/// `attended = drop(softmax(causal(q k' / sqrt(head_width)))) v` for each head.
///
/// `query_key_value` is `[rows, 3 width]`, `attended` `[rows, width]`; `probabilities` are kept
/// from before dropout.
pub(super) fn attend(
    config: &DecoderConfig,
    batch: &Batch,
    query_key_value: &[f32],
    mask: Option<DropoutMask>,
    probabilities: &mut [f32],
    attended: &mut [f32],
) {
    let sequences = Sequences::Packed {
        lengths: &batch.lengths,
    };
    attention(
        query_key_value,
        sequences,
        heads(config),
        Some(probabilities),
        attended,
    );
    let Some(mask) = mask else {
        return;
    };
    let width = config.width;
    let mut dropped = probabilities.to_vec();
    mask.apply(&mut dropped);
    let values = split(&batch.lengths, query_key_value, 3 * width);
    let attended = split_mut(&batch.lengths, attended, width);
    let dropped = split_probabilities(config, &batch.lengths, &dropped);
    let tasks = values.into_par_iter().zip(attended).zip(dropped);
    tasks.for_each(|((query_key_value, attended), dropped)| {
        attended.fill(0.0);
        for_each_pair(config, attended.len() / width, |head, query, key, pair| {
            let value = &query_key_value[key * 3 * width + 2 * width..][head.clone()];
            add_scaled(&mut attended[query * width..][head], dropped[pair], value);
        });
    });
}

/// The gradient of `query_key_value` `[rows, 3 width]`, given that of `attended`.
pub(super) fn attend_backward(
    config: &DecoderConfig,
    batch: &Batch,
    query_key_value: &[f32],
    probabilities: &[f32],
    mask: Option<DropoutMask>,
    attended_gradient: &[f32],
    gradient: &mut [f32],
) {
    let Some(mask) = mask else {
        let sequences = Sequences::Packed {
            lengths: &batch.lengths,
        };
        let shape = heads(config);
        attention_backward(
            query_key_value,
            probabilities,
            attended_gradient,
            sequences,
            shape,
            gradient,
        );
        return;
    };
    let width = config.width;
    let scale = 1.0 / (config.head_width() as f32).sqrt();
    let mut factors = vec![1.0; probabilities.len()];
    mask.apply(&mut factors);
    let tasks = split(&batch.lengths, query_key_value, 3 * width)
        .into_par_iter()
        .zip(split_mut(&batch.lengths, gradient, 3 * width))
        .zip(split(&batch.lengths, attended_gradient, width))
        .zip(split_probabilities(config, &batch.lengths, probabilities))
        .zip(split_probabilities(config, &batch.lengths, &factors));
    tasks.for_each(
        |((((inputs, gradient), attended_gradient), probabilities), factors)| {
            let length = attended_gradient.len() / width;
            gradient.fill(0.0);
            // First the gradient of each probability, and that of the values.
            let mut scores = vec![0.0; probabilities.len()];
            for_each_pair(config, length, |head, query, key, pair| {
                let upstream = &attended_gradient[query * width..][head.clone()];
                let value = &inputs[key * 3 * width + 2 * width..][head.clone()];
                scores[pair] = factors[pair] * dot(upstream, value);
                let weight = factors[pair] * probabilities[pair];
                add_scaled(
                    &mut gradient[key * 3 * width + 2 * width..][head],
                    weight,
                    upstream,
                );
            });
            // Then through the softmax, a row at a time; masked pairs have probability 0.
            for (scores, probabilities) in scores
                .chunks_exact_mut(length)
                .zip(probabilities.chunks_exact(length))
            {
                let mean = dot(scores, probabilities);
                for (score, probability) in scores.iter_mut().zip(probabilities) {
                    *score = scale * probability * (*score - mean);
                }
            }
            for_each_pair(config, length, |head, query, key, pair| {
                let (query, key) = (query * 3 * width, key * 3 * width + width);
                add_scaled(
                    &mut gradient[query..][head.clone()],
                    scores[pair],
                    &inputs[key..][head.clone()],
                );
                add_scaled(
                    &mut gradient[key..][head.clone()],
                    scores[pair],
                    &inputs[query..][head],
                );
            });
        },
    );
}

fn heads(config: &DecoderConfig) -> Attention {
    Attention {
        num_heads: config.num_heads,
        head_width: config.head_width(),
        mask: Mask::Causal,
    }
}

/// Calls `visit(head's columns, query, key, index of the pair in [heads, length, length])` for
/// each head and each key that a query sees.
fn for_each_pair(
    config: &DecoderConfig,
    length: usize,
    mut visit: impl FnMut(std::ops::Range<usize>, usize, usize, usize),
) {
    let head_width = config.head_width();
    for head in 0..config.num_heads {
        let columns = head * head_width..(head + 1) * head_width;
        for query in 0..length {
            for key in 0..=query {
                visit(
                    columns.clone(),
                    query,
                    key,
                    (head * length + query) * length + key,
                );
            }
        }
    }
}

fn split<'v>(lengths: &[usize], mut values: &'v [f32], width: usize) -> Vec<&'v [f32]> {
    let cut = |&length: &usize| {
        let (sequence, rest) = values.split_at(length * width);
        values = rest;
        sequence
    };
    lengths.iter().map(cut).collect()
}

fn split_mut<'v>(lengths: &[usize], mut values: &'v mut [f32], width: usize) -> Vec<&'v mut [f32]> {
    let cut = |&length: &usize| {
        let (sequence, rest) = std::mem::take(&mut values).split_at_mut(length * width);
        values = rest;
        sequence
    };
    lengths.iter().map(cut).collect()
}

fn split_probabilities<'v>(
    config: &DecoderConfig,
    lengths: &[usize],
    values: &'v [f32],
) -> Vec<&'v [f32]> {
    let squares: Vec<usize> = lengths.iter().map(|length| length * length).collect();
    split(&squares, values, config.num_heads)
}

fn add_scaled(sum: &mut [f32], factor: f32, values: &[f32]) {
    sum.iter_mut()
        .zip(values)
        .for_each(|(sum, value)| *sum += factor * value);
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
