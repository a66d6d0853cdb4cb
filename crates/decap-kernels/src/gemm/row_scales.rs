//! The largest magnitudes of lines, and the scales that make them integers.

use crate::arch::{Kernel, Simd};
use crate::dispatch::{KernelSet, dispatch};
use crate::matrix::MatrixView;
use rayon::prelude::*;

/// Writes, for each line of `operand`, the factor that makes its largest value `largest`, and the inverse.
pub(super) fn integer_scales(
    set: KernelSet,
    operand: MatrixView<'_>,
    largest: f32,
    factors: &mut [f32],
    scales: &mut [f32],
) {
    /// Lines per piece of work.
    const LINES: usize = 64;
    let job = |(index, (factors, scales)): (usize, (&mut [f32], &mut [f32]))| {
        let first = index * LINES;
        dispatch(
            set,
            LargestMagnitudes {
                operand,
                first,
                largest: scales,
            },
        );
        for (factor, scale) in factors.iter_mut().zip(scales) {
            *factor = if *scale > 0.0 { largest / *scale } else { 0.0 };
            *scale /= largest;
        }
    };
    if factors.len() <= LINES {
        job((0, (factors, scales)));
    } else {
        let pieces = factors
            .par_chunks_mut(LINES)
            .zip(scales.par_chunks_mut(LINES));
        pieces.enumerate().for_each(job);
    }
}

struct LargestMagnitudes<'a> {
    operand: MatrixView<'a>,
    first: usize,
    largest: &'a mut [f32],
}

impl Kernel for LargestMagnitudes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let depth = self.operand.columns();
        if self.operand.has_dense_rows() {
            for (index, largest) in self.largest.iter_mut().enumerate() {
                let line = self.operand.row_slice(self.first + index, 0, depth);
                let mut lanes = simd.zero();
                for values in line.chunks(S::LANES) {
                    let values = simd.load_partial(values);
                    let magnitudes = simd.max(values, simd.sub(simd.zero(), values));
                    lanes = simd.max(magnitudes, lanes);
                }
                *largest = simd.maximum(lanes);
            }
        } else {
            self.largest.fill(0.0);
            for value in 0..depth {
                let across = self.operand.transposed();
                let across = across.row_slice(value, self.first, self.largest.len());
                for (largest, value) in self.largest.iter_mut().zip(across) {
                    *largest = if value.abs() > *largest {
                        value.abs()
                    } else {
                        *largest
                    };
                }
            }
        }
    }
}
