//! What turns the sums of a tile into its part of the output.

use super::multiply::COLUMNS;
use crate::arch::{Kernel, Simd};
use crate::epilogue::Epilogue;
use crate::lanes::activate;
use crate::matrix::{Accumulate, OutputBlock};
use crate::words::as_f32_mut;
use std::ops::Range;

/// Turns the sums of a tile into its part of the output.
pub(super) struct FinishTile<'a, 'b, 'c> {
    /// `[rows, COLUMNS]`, f32.
    pub(super) sums: &'a mut [u32],
    /// Factors of the rows if both operands are bytes, and of all columns if one is; else empty.
    pub(super) row_scales: &'a [f32],
    pub(super) column_scales: &'a [f32],
    pub(super) accumulate: Accumulate,
    pub(super) epilogue: &'a Epilogue<'b>,
    /// Columns of the whole output.
    pub(super) outputs: usize,
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    /// None if the sums themselves are the result.
    pub(super) out: Option<&'a mut OutputBlock<'c>>,
}

impl Kernel for FinishTile<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let sums = as_f32_mut(self.sums);
        if !self.column_scales.is_empty() {
            for (index, row) in sums.chunks_exact_mut(COLUMNS).enumerate() {
                let row_scale = simd.splat(self.row_scales.get(index).copied().unwrap_or(1.0));
                let scales = self.column_scales.chunks_exact(S::LANES);
                for (values, scales) in row.chunks_exact_mut(S::LANES).zip(scales) {
                    let scale = simd.mul(simd.load(scales), row_scale);
                    simd.store(simd.mul(simd.load(values), scale), values);
                }
            }
        }
        let mut out = self.out;
        if let (Accumulate::Add, Some(out)) = (self.accumulate, &mut out) {
            for (index, row) in sums.chunks_exact_mut(COLUMNS).enumerate() {
                add_lanes(simd, row, out.row(index));
            }
        }
        if let Some(bias) = self.epilogue.bias {
            let bias = &bias[self.columns.clone()];
            for row in sums.chunks_exact_mut(COLUMNS) {
                add_lanes(simd, row, bias);
            }
        }
        activate(simd, self.epilogue.activation, sums);
        if let Some(residual) = self.epilogue.residual {
            for (index, row) in sums.chunks_exact_mut(COLUMNS).enumerate() {
                let start = (self.rows.start + index) * self.outputs + self.columns.start;
                add_lanes(simd, row, &residual[start..start + self.columns.len()]);
            }
        }
        let Some(out) = out else { return };
        for (index, row) in sums.chunks_exact(COLUMNS).enumerate() {
            let lanes = out.row(index).chunks_mut(S::LANES);
            for (values, out) in row.chunks_exact(S::LANES).zip(lanes) {
                simd.store_partial(simd.load(values), out);
            }
        }
    }
}

/// `values += others`; there may be fewer others than values.
#[inline(always)]
fn add_lanes<S: Simd>(simd: S, values: &mut [f32], others: &[f32]) {
    let values = values.chunks_exact_mut(S::LANES);
    for (values, others) in values.zip(others.chunks(S::LANES)) {
        let sum = simd.add(simd.load(values), simd.load_partial(others));
        simd.store(sum, values);
    }
}
