//! A scan for many queries: two matrix products for each block of rows.

use super::partial::{Partial, Rescore};
use super::queries::Queries;
use super::rows::MemoryRows;
use crate::arch::{Kernel, Simd};
use crate::dispatch::dispatch;
use crate::epilogue::Epilogue;
use crate::gemm::{How, PackedMatrix, linear_on, multiply};
use crate::lanes::dot;
use crate::matrix::{Accumulate, MatrixView, MatrixViewMut, Output, Precision};
use crate::parallel::Threads;
use crate::words::with_f32_scratch;
use std::ops::Range;

/// Many queries, ready to be multiplied.
pub(super) struct ManyQueries<'a> {
    pub(super) queries: &'a Queries<'a>,
    /// The queries as the weights of a linear layer.
    pub(super) packed: &'a PackedMatrix,
    pub(super) precision: Precision,
    pub(super) memory: MemoryRows<'a>,
}

impl ManyQueries<'_> {
    /// The largest change of a score by rounding to bytes, divided by the length of the query and the scale.
    fn byte_slack(&self) -> f32 {
        match self.memory {
            MemoryRows::Int8Exact { .. } => 0.5 * (self.queries.width as f32).sqrt(),
            _ => 0.0,
        }
    }

    /// Scans a block of rows, given as f32 without the scales of byte rows.
    pub(super) fn scan(&self, rows: Range<usize>, block: &[f32], partials: &mut [Partial]) {
        let (count, len) = (partials.len(), rows.len());
        let how = How {
            set: self.queries.set,
            threads: Threads::One,
            precision: self.precision,
        };
        let block_view = MatrixView::row_major(block, len, self.queries.width);
        with_f32_scratch(2 * count * len + len, |scratch| {
            let (by_row, rest) = scratch.split_at_mut(count * len);
            let (weights, slack) = rest.split_at_mut(count * len);
            linear_on(
                Threads::One,
                block,
                self.packed,
                Epilogue::default(),
                by_row,
            );
            dispatch(
                self.queries.set,
                Weigh {
                    scan: self,
                    rows,
                    block,
                    by_row,
                    weights,
                    slack,
                    partials,
                },
            );
            if weights.iter().all(|&weight| weight == 0.0) {
                return;
            }
            with_f32_scratch(count * self.queries.width, |mixed| {
                let weights = MatrixView::row_major(weights, count, len);
                let mut out =
                    Output::new(MatrixViewMut::row_major(mixed, count, self.queries.width));
                multiply(how, weights, block_view, Accumulate::Overwrite, &mut out);
                for (partial, mixed) in partials
                    .iter_mut()
                    .zip(mixed.chunks_exact(self.queries.width))
                {
                    for (sum, value) in partial.mixed.iter_mut().zip(mixed) {
                        *sum += value;
                    }
                }
            });
        });
    }
}

/// Turns scores into weights, for many queries.
struct Weigh<'a, 'b> {
    scan: &'a ManyQueries<'b>,
    rows: Range<usize>,
    /// Rows without their scales, `[rows, width]`.
    block: &'a [f32],
    /// Dot products of those, `[rows, queries]`.
    by_row: &'a mut [f32],
    /// `[queries, rows]`; gets the weights, times the scales of byte rows.
    weights: &'a mut [f32],
    /// Scratch, `[rows]`.
    slack: &'a mut [f32],
    partials: &'a mut [Partial],
}

/// The relative error of a value that is rounded to bf16.
const BF16_ERROR: f32 = 1.0 / 256.0 / 2.0;

impl Kernel for Weigh<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let ManyQueries {
            queries,
            precision,
            memory,
            ..
        } = *self.scan;
        let Queries {
            width,
            inverse_tau,
            top_k,
            negligible,
            ..
        } = *queries;
        let (count, len, first_row) = (self.partials.len(), self.rows.len(), self.rows.start);
        let scales = memory.scales().map(|scales| &scales[self.rows.clone()]);
        for (row, scores) in self.by_row.chunks_exact(count).enumerate() {
            let factor = inverse_tau * scales.map_or(1.0, |scales| scales[row]);
            for (query, score) in scores.iter().enumerate() {
                self.weights[query * len + row] = score * factor;
            }
        }
        // Both operands of a product of floats are rounded; bytes are exact in bf16.
        let rounding = match (precision, scales) {
            (Precision::F32, _) => 0.0,
            (_, None) => 2.01 * BF16_ERROR,
            (_, Some(_)) => 1.01 * BF16_ERROR,
        };
        let exact = match (rounding > 0.0, memory) {
            (false, MemoryRows::Int8Exact { exact, .. }) => Some(exact),
            (false, _) => None,
            (true, memory) => memory.exact(),
        };
        if exact.is_some() {
            let byte_slack = self.scan.byte_slack();
            for (index, row) in self.block.chunks_exact(width).enumerate() {
                let scale = scales.map_or(1.0, |scales| scales[index]);
                let norm = match rounding > 0.0 {
                    true => dot(simd, row, row).sqrt() * scale,
                    false => 0.0,
                };
                self.slack[index] = rounding * norm + byte_slack * scale;
            }
        }
        let queries = queries.values.chunks_exact(width).zip(&queries.lengths);
        let weights = self.weights.chunks_exact_mut(len);
        for (((query, &length), weights), partial) in queries.zip(weights).zip(self.partials) {
            let rescore = exact.map(|exact| Rescore {
                query,
                exact,
                inverse_tau,
                slack: self.slack,
                length,
            });
            partial.admit(simd, top_k, negligible, first_row, weights, rescore);
            if let Some(scales) = scales {
                for (weight, scale) in weights.iter_mut().zip(scales) {
                    *weight *= scale;
                }
            }
        }
    }
}
