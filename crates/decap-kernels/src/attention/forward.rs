//! Attention of whole sequences.

use super::heads::{Head, heads, multiply, square};
use super::sequences::{Attention, Mask, Sequences};
use crate::arch::{Kernel, Simd};
use crate::dispatch::{KernelSet, dispatch};
use crate::gemm::Activations;
use crate::matrix::{MatrixView, MatrixViewMut, Output, OutputBlock, Precision};
use crate::softmax::softmax_scaled;
use crate::words::with_f32_scratch;
use rayon::prelude::*;

/// Attention of whole sequences.
///
/// `qkv` is `[rows, 3 * width]`, queries, keys and values side by side; `output` is
/// `[rows, width]`. `probabilities`, when given, is filled for the backward pass and has
/// [`Sequences::probabilities_len`] values.
///
/// # Panics
/// When the lengths do not agree.
pub fn attention(
    qkv: &[f32],
    sequences: Sequences<'_>,
    attention: Attention,
    probabilities: Option<&mut [f32]>,
    output: &mut [f32],
) {
    let width = attention.width();
    let rows = sequences.rows();
    assert_eq!(qkv.len(), rows * 3 * width, "qkv of attention");
    assert_eq!(output.len(), rows * width, "output of attention");
    if let Sequences::Padded { .. } = sequences {
        output.fill(0.0);
    }
    let wanted = sequences.probabilities_len(&attention);
    if let Some(probabilities) = &probabilities {
        assert_eq!(probabilities.len(), wanted, "probabilities of attention");
    }
    if output.is_empty() {
        return;
    }
    let set = KernelSet::active();
    let output = Output::new(MatrixViewMut::row_major(output, rows, width));
    let head = |head: Head, scores: &mut [f32]| {
        // SAFETY: each head of each sequence has rows and columns of its own.
        let out = unsafe { head.block(&output, attention, 0) };
        forward_head((set, Precision::F32), qkv, attention, head, scores, out);
    };
    let heads = heads(sequences, attention);
    match probabilities {
        Some(probabilities) => {
            let jobs = split_probabilities(heads, probabilities);
            jobs.into_par_iter()
                .for_each(|(job, scores)| head(job, scores));
        }
        None => heads.into_par_iter().for_each(|job| {
            with_f32_scratch(job.sequence.tokens * job.sequence.tokens, |scores| {
                head(job, scores);
            });
        }),
    }
}

/// [`attention`] that writes its output in the form that the next product reads. If that form is bf16, the products
/// of the attention use bf16 operands too.
///
/// # Panics
/// When the sizes do not agree.
pub fn attention_into(
    qkv: &[f32],
    sequences: Sequences<'_>,
    attention: Attention,
    output: &mut Activations,
) {
    let width = attention.width();
    let rows = sequences.rows();
    assert_eq!(qkv.len(), rows * 3 * width, "qkv of attention");
    assert_eq!(output.width(), width, "width of attention's output");
    assert_eq!(output.rows(), rows, "rows of attention's output");
    if let Some(output) = output.floats_mut() {
        return self::attention(qkv, sequences, attention, None, output);
    }
    let set = KernelSet::active();
    let head_width = attention.head_width;
    let padded = matches!(sequences, Sequences::Padded { .. });
    match output.column_writer(head_width) {
        Some(writer) if !padded => {
            heads(sequences, attention)
                .into_par_iter()
                .for_each(|head| {
                    let tokens = head.sequence.tokens;
                    with_f32_scratch(tokens * (tokens + head_width), |scratch| {
                        let (scores, values) = scratch.split_at_mut(tokens * tokens);
                        let out = Output::new(MatrixViewMut::row_major(values, tokens, head_width));
                        // SAFETY: the only block of an output of its own.
                        let block = unsafe { out.block(0, tokens, 0, head_width) };
                        forward_head((set, Precision::Bf16), qkv, attention, head, scores, block);
                        for (token, values) in values.chunks_exact(head_width).enumerate() {
                            let row = head.sequence.first_row + token;
                            // SAFETY: each head of each sequence has rows and columns of its own.
                            unsafe { writer.write(row, head.index * head_width, values) };
                        }
                    });
                });
        }
        _ => with_f32_scratch(rows * width, |values| {
            self::attention(qkv, sequences, attention, None, values);
            output.fill_rows(1, |row, piece| {
                piece.copy_from_slice(&values[row * width..][..piece.len()]);
            });
        }),
    }
}

fn split_probabilities(heads: Vec<Head>, mut rest: &mut [f32]) -> Vec<(Head, &mut [f32])> {
    let split = |head: Head| {
        let square = head.sequence.tokens * head.sequence.tokens;
        let (scores, after) = std::mem::take(&mut rest).split_at_mut(square);
        rest = after;
        (head, scores)
    };
    heads.into_iter().map(split).collect()
}

fn forward_head(
    (set, precision): (KernelSet, Precision),
    qkv: &[f32],
    attention: Attention,
    head: Head,
    scores: &mut [f32],
    mut out: OutputBlock<'_>,
) {
    let tokens = head.sequence.tokens;
    let [queries, keys, values] = [0, 1, 2].map(|part| head.view(qkv, attention, part));
    let scores_out = square(scores, tokens);
    multiply((set, precision), queries, keys.transposed(), scores_out);
    dispatch(
        set,
        MaskedSoftmax {
            scores,
            tokens,
            attention,
        },
    );
    let probabilities = MatrixView::row_major(scores, tokens, tokens);
    multiply((set, precision), probabilities, values, out.as_output());
}

struct MaskedSoftmax<'a> {
    scores: &'a mut [f32],
    tokens: usize,
    attention: Attention,
}

impl Kernel for MaskedSoftmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (token, row) in self.scores.chunks_exact_mut(self.tokens).enumerate() {
            let visible = match self.attention.mask {
                Mask::Full => self.tokens,
                Mask::Causal => token + 1,
            };
            let (row, hidden) = row.split_at_mut(visible);
            softmax_scaled(simd, row, self.attention.scale());
            hidden.fill(0.0);
        }
    }
}
