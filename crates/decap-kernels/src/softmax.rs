//! Softmax of rows, stable and free of denormals.

use crate::arch::{Kernel, Simd};
use crate::dispatch::{KernelSet, dispatch};
use crate::lanes::{exp_sum, map_lanes, maximum};
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

/// `ln(sum(e^value))`, around the largest value; minus infinity for none.
///
/// Lanes are summed in f32 over runs of `RUN` values and the runs in f64, so that a vocabulary of
/// 50,000 tokens loses no more than a few f32 roundings.
pub fn log_sum_exp(values: &[f32]) -> f32 {
    dispatch(KernelSet::active(), LogSumExp { values })
}

/// The index of the largest value, the lowest where several are equal; `None` where no value is
/// above minus infinity. NaNs are skipped.
pub fn largest_index(values: &[f32]) -> Option<usize> {
    let largest = dispatch(KernelSet::active(), Largest { values });
    if largest == f32::NEG_INFINITY {
        return None;
    }
    values.iter().position(|&value| value == largest)
}

/// Values whose sum is kept in f32.
const RUN: usize = 4096;

struct LogSumExp<'a> {
    values: &'a [f32],
}

impl Kernel for LogSumExp<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let largest = maximum(simd, self.values);
        if largest == f32::NEG_INFINITY {
            return largest;
        }
        let offset = simd.splat(largest);
        let mut total = 0.0;
        for run in self.values.chunks(RUN) {
            let mut sum = simd.zero();
            let chunks = run.chunks_exact(S::LANES);
            let rest = chunks.remainder();
            for chunk in chunks {
                sum = simd.add(sum, simd.exp(simd.sub(simd.load(chunk), offset)));
            }
            total += f64::from(simd.sum(sum));
            total += rest
                .iter()
                .map(|value| f64::from(value - largest).exp())
                .sum::<f64>();
        }
        largest + total.ln() as f32
    }
}

struct Largest<'a> {
    values: &'a [f32],
}

impl Kernel for Largest<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        maximum(simd, self.values)
    }
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
    fn log_sums_agree_with_f64_under_every_set() {
        for set in KernelSet::supported() {
            for len in sizes().into_iter().chain([RUN + 5, 50_257]) {
                for factor in [1.0, 100.0] {
                    let values: Vec<f32> = random(len, 2).iter().map(|x| x * factor).collect();
                    let exact = values.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
                    let got = with_kernels(set, || log_sum_exp(&values));
                    // A sum of f32 exponentials, each good to 3e-7, and the largest value itself.
                    let tolerance = 1e-6 * (1.0 + exact.abs());
                    let close = (f64::from(got) - exact).abs() <= tolerance;
                    assert!(
                        close || (len == 0 && got == f32::NEG_INFINITY),
                        "{set} {len}: {got}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_largest_is_the_first_of_equals_under_every_set() {
        for set in KernelSet::supported() {
            with_kernels(set, || {
                for len in sizes() {
                    let mut values = random(len, 3);
                    for place in [len / 3, len / 2, len.saturating_sub(1)] {
                        values.iter_mut().skip(place).take(1).for_each(|v| *v = 2.0);
                    }
                    assert_eq!(
                        largest_index(&values),
                        (len > 0).then_some(len / 3),
                        "{set}"
                    );
                }
                assert_eq!(largest_index(&[f32::NEG_INFINITY; 40]), None);
                assert_eq!(log_sum_exp(&[f32::NEG_INFINITY; 40]), f32::NEG_INFINITY);
                assert_eq!(largest_index(&[1.0, f32::NAN, 3.0]), Some(2));
            });
        }
    }

    #[test]
    fn huge_values_do_not_overflow() {
        let mut values = [3e38, -3e38, 3e38, 0.0];
        softmax_rows(&mut values, 4);
        assert_eq!(values, [0.5, 0.0, 0.5, 0.0]);
    }
}
