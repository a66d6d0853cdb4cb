//! The gradient of attention of whole sequences.

use super::heads::{Head, heads, multiply, square};
use super::sequences::{Attention, Sequences};
use crate::arch::{Kernel, Simd};
use crate::dispatch::{KernelSet, dispatch};
use crate::lanes::dot;
use crate::matrix::{MatrixView, MatrixViewMut, Output, Precision};
use crate::words::with_f32_scratch;
use rayon::prelude::*;

/// Gradient of [`attention`](fn@crate::attention) with respect to `qkv`.
///
/// `probabilities` are those that the forward pass saved, `output_gradient` is `[rows, width]`
/// and `qkv_gradient` `[rows, 3 * width]`; it is overwritten.
///
/// # Panics
/// When the lengths do not agree.
pub fn attention_backward(
    qkv: &[f32],
    probabilities: &[f32],
    output_gradient: &[f32],
    sequences: Sequences<'_>,
    attention: Attention,
    qkv_gradient: &mut [f32],
) {
    let width = attention.width();
    let rows = sequences.rows();
    assert_eq!(qkv.len(), rows * 3 * width, "qkv of attention");
    assert_eq!(qkv_gradient.len(), qkv.len(), "qkv gradient of attention");
    assert_eq!(
        output_gradient.len(),
        rows * width,
        "output gradient of attention"
    );
    let wanted = sequences.probabilities_len(&attention);
    assert_eq!(probabilities.len(), wanted, "probabilities of attention");
    if let Sequences::Padded { .. } = sequences {
        qkv_gradient.fill(0.0);
    }
    if qkv.is_empty() {
        return;
    }
    let set = KernelSet::active();
    let qkv_gradient = Output::new(MatrixViewMut::row_major(qkv_gradient, rows, 3 * width));
    heads(sequences, attention)
        .into_par_iter()
        .for_each(|head| {
            let tokens = head.sequence.tokens;
            let start = head.sequence.probabilities + head.index * tokens * tokens;
            let probabilities = &probabilities[start..start + tokens * tokens];
            let start = head.sequence.first_row * width + head.index * attention.head_width;
            let output_gradient = MatrixView::with_row_stride(
                &output_gradient[start..],
                tokens,
                attention.head_width,
                width,
            );
            with_f32_scratch(tokens * tokens, |scores| {
                let inputs = BackwardInputs {
                    set,
                    qkv,
                    attention,
                    head,
                    probabilities,
                    output_gradient,
                };
                inputs.run(scores, &qkv_gradient);
            });
        });
}

struct BackwardInputs<'a> {
    set: KernelSet,
    qkv: &'a [f32],
    attention: Attention,
    head: Head,
    probabilities: &'a [f32],
    output_gradient: MatrixView<'a>,
}

impl BackwardInputs<'_> {
    /// `dV = P' dO`; `dP = dO V'`; `dS = P (dP - rowsum(P dP)) scale`; `dQ = dS K`; `dK = dS' Q`.
    fn run(&self, scores: &mut [f32], qkv_gradient: &Output<'_>) {
        let (head, attention) = (self.head, self.attention);
        let set = (self.set, Precision::F32);
        let tokens = head.sequence.tokens;
        let [queries, keys, values] = [0, 1, 2].map(|part| head.view(self.qkv, attention, part));
        // SAFETY: each head of each sequence, and each of the three parts, has rows and columns of
        // its own.
        let [mut dq, mut dk, mut dv] =
            [0, 1, 2].map(|part| unsafe { head.block(qkv_gradient, attention, part) });
        let probabilities = MatrixView::row_major(self.probabilities, tokens, tokens);
        multiply(
            set,
            probabilities.transposed(),
            self.output_gradient,
            dv.as_output(),
        );
        multiply(
            set,
            self.output_gradient,
            values.transposed(),
            square(scores, tokens),
        );
        dispatch(
            self.set,
            SoftmaxBackward {
                gradients: scores,
                probabilities: self.probabilities,
                tokens,
                scale: attention.scale(),
            },
        );
        let scores = MatrixView::row_major(scores, tokens, tokens);
        multiply(set, scores, keys, dq.as_output());
        multiply(set, scores.transposed(), queries, dk.as_output());
    }
}

struct SoftmaxBackward<'a> {
    gradients: &'a mut [f32],
    probabilities: &'a [f32],
    tokens: usize,
    scale: f32,
}

impl Kernel for SoftmaxBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let scale = simd.splat(self.scale);
        let probabilities = self.probabilities.chunks_exact(self.tokens);
        for (gradient, probability) in self
            .gradients
            .chunks_exact_mut(self.tokens)
            .zip(probabilities)
        {
            let mean = simd.splat(dot(simd, gradient, probability));
            let lanes = gradient
                .chunks_mut(S::LANES)
                .zip(probability.chunks(S::LANES));
            for (gradient, probability) in lanes {
                let centered = simd.sub(simd.load_partial(gradient), mean);
                let scaled = simd.mul(simd.load_partial(probability), scale);
                simd.store_partial(simd.mul(centered, scaled), gradient);
            }
        }
    }
}
