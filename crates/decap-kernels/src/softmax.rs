//! Softmax of rows, stable and free of denormals.

use crate::arch::{Kernel, Simd, dispatch, map_lanes};
use crate::dispatch::KernelSet;
use crate::parallel::{for_each_chunk_mut, rows_per_chunk};
use rayon::prelude::*;

/// Softmax of each row of `values`, `[rows, columns]`, in place.
///
/// Probabilities below e^-80 of the row's largest become 0.
///
/// # Panics
/// When the length of `values` is no multiple of `columns`.
pub fn softmax_rows(values: &mut [f32], columns: usize) {
    if values.is_empty() {
        return;
    }
    assert!(
        columns > 0 && values.len().is_multiple_of(columns),
        "rows of softmax"
    );
    let set = KernelSet::active();
    let rows = rows_per_chunk(columns);
    values
        .par_chunks_mut(rows * columns)
        .for_each(|rows| dispatch(set, Rows { rows, columns }));
}

/// Multiplies each value by `factor`.
pub fn scale(values: &mut [f32], factor: f32) {
    for_each_chunk_mut(values, |_, values| {
        values.iter_mut().for_each(|value| *value *= factor);
    });
}

/// `target += source`.
///
/// # Panics
/// When the lengths differ.
pub fn add_assign(target: &mut [f32], source: &[f32]) {
    assert_eq!(target.len(), source.len(), "lengths of a sum");
    for_each_chunk_mut(target, |start, target| {
        for (target, source) in target.iter_mut().zip(&source[start..]) {
            *target += source;
        }
    });
}

struct Rows<'a> {
    rows: &'a mut [f32],
    columns: usize,
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for row in self.rows.chunks_exact_mut(self.columns) {
            softmax_scaled(simd, row, 1.0);
        }
    }
}

/// `softmax(factor * row)` in place, for `factor >= 0`.
#[inline(always)]
pub(crate) fn softmax_scaled<S: Simd>(simd: S, row: &mut [f32], factor: f32) {
    let offset = -factor * maximum(simd, row);
    let sum = exp_sum(simd, row, factor, offset);
    let inverse = simd.splat(1.0 / sum);
    map_lanes!(simd, S, row, |value| simd.mul(value, inverse));
}

/// Replaces each value by `e^(factor * value + offset)` and returns the sum.
#[inline(always)]
pub(crate) fn exp_sum<S: Simd>(simd: S, row: &mut [f32], factor: f32, offset: f32) -> f32 {
    let (factor, offset) = (simd.splat(factor), simd.splat(offset));
    let mut sum = simd.zero();
    let mut chunks = row.chunks_exact_mut(S::LANES);
    for chunk in &mut chunks {
        let e = simd.exp(simd.mul_add(simd.load(chunk), factor, offset));
        sum = simd.add(sum, e);
        simd.store(e, chunk);
    }
    let mut total = simd.sum(sum);
    let rest = chunks.into_remainder();
    if !rest.is_empty() {
        let e = simd.exp(simd.mul_add(simd.load_partial(rest), factor, offset));
        simd.store_partial(e, rest);
        total += rest.iter().sum::<f32>();
    }
    total
}

/// The largest value; minus infinity for none.
#[inline(always)]
pub(crate) fn maximum<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let mut largest = simd.splat(f32::NEG_INFINITY);
    let chunks = row.chunks_exact(S::LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        largest = simd.max(simd.load(chunk), largest);
    }
    rest.iter().copied().fold(simd.maximum(largest), f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::with_kernels;
    use crate::testing::{assert_close, random, sizes};

    #[test]
    fn rows_agree_with_f64_under_every_set() {
        for set in KernelSet::supported() {
            for columns in sizes().into_iter().filter(|&columns| columns > 0) {
                for factor in [1.0, 100.0] {
                    let mut values = random(3 * columns, 1);
                    values.iter_mut().for_each(|value| *value *= factor);
                    let expected: Vec<f32> = values
                        .chunks(columns)
                        .flat_map(|row| {
                            let largest = f64::from(row.iter().copied().fold(f32::MIN, f32::max));
                            let e: Vec<f64> = row
                                .iter()
                                .map(|&x| (f64::from(x) - largest).exp())
                                .collect();
                            let sum: f64 = e.iter().sum();
                            e.into_iter()
                                .map(move |e| (e / sum) as f32)
                                .collect::<Vec<_>>()
                        })
                        .collect();
                    with_kernels(set, || softmax_rows(&mut values, columns));
                    // exp is good to 3e-7.
                    assert_close(&values, &expected, 1e-6, &format!("{set} {columns}"));
                    assert!(
                        values.iter().all(|v| *v == 0.0 || v.is_normal()),
                        "{set} denormal"
                    );
                }
            }
        }
    }

    #[test]
    fn huge_values_do_not_overflow() {
        let mut values = [3e38, -3e38, 3e38, 0.0];
        softmax_rows(&mut values, 4);
        assert_eq!(values, [0.5, 0.0, 0.5, 0.0]);
    }
}
