//! The AdamW step and the norm that gradient clipping needs.

use crate::arch::{Kernel, Simd};
use crate::dispatch::{KernelSet, dispatch};
use crate::parallel::CHUNK_VALUES;
use rayon::prelude::*;

/// Settings of AdamW (Loshchilov and Hutter, 2019), as `torch.optim.AdamW` names them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Step size.
    pub learning_rate: f32,
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squared gradients.
    pub beta2: f32,
    /// Added to the denominator.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
}

impl Default for AdamW {
    /// PyTorch's defaults.
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 1e-2,
        }
    }
}

/// One AdamW step over `parameters`, all slices of equal length.
///
/// `first_moments` and `second_moments` start as zeros; `step` counts from 1; each gradient is
/// multiplied by `gradient_scale` first, which is how clipping costs no pass of its own.
/// The arithmetic is PyTorch's: `p -= lr weight_decay p`, then
/// `p -= lr / (1 - beta1^step) m / (sqrt(v / (1 - beta2^step)) + epsilon)`.
///
/// # Panics
/// When the lengths differ or `step` is 0.
pub fn adamw_step(
    parameters: &mut [f32],
    gradients: &[f32],
    first_moments: &mut [f32],
    second_moments: &mut [f32],
    settings: AdamW,
    step: u64,
    gradient_scale: f32,
) {
    let len = parameters.len();
    assert_eq!(gradients.len(), len, "gradients of an AdamW step");
    assert_eq!(first_moments.len(), len, "first moments of an AdamW step");
    assert_eq!(second_moments.len(), len, "second moments of an AdamW step");
    assert!(step > 0, "AdamW steps count from 1");
    let set = KernelSet::active();
    let correction = |beta: f32| 1.0 - f64::from(beta).powf(step as f64);
    let step_size = (f64::from(settings.learning_rate) / correction(settings.beta1)) as f32;
    let inverse_root = (1.0 / correction(settings.beta2).sqrt()) as f32;
    let decay = 1.0 - settings.learning_rate * settings.weight_decay;
    parameters
        .par_chunks_mut(CHUNK_VALUES)
        .zip(gradients.par_chunks(CHUNK_VALUES))
        .zip(first_moments.par_chunks_mut(CHUNK_VALUES))
        .zip(second_moments.par_chunks_mut(CHUNK_VALUES))
        .for_each(
            |(((parameters, gradients), first_moments), second_moments)| {
                dispatch(
                    set,
                    Step {
                        parameters,
                        gradients,
                        first_moments,
                        second_moments,
                        settings,
                        gradient_scale,
                        step_size,
                        inverse_root,
                        decay,
                    },
                );
            },
        );
}

struct Step<'a> {
    parameters: &'a mut [f32],
    gradients: &'a [f32],
    first_moments: &'a mut [f32],
    second_moments: &'a mut [f32],
    settings: AdamW,
    gradient_scale: f32,
    step_size: f32,
    inverse_root: f32,
    decay: f32,
}

impl Kernel for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (beta1, beta2) = (
            simd.splat(self.settings.beta1),
            simd.splat(self.settings.beta2),
        );
        let rest1 = simd.splat(1.0 - self.settings.beta1);
        let rest2 = simd.splat(1.0 - self.settings.beta2);
        let epsilon = simd.splat(self.settings.epsilon);
        let gradient_scale = simd.splat(self.gradient_scale);
        let (step_size, inverse_root) =
            (simd.splat(-self.step_size), simd.splat(self.inverse_root));
        let decay = simd.splat(self.decay);
        for (((p, g), m), v) in self
            .parameters
            .chunks_mut(S::LANES)
            .zip(self.gradients.chunks(S::LANES))
            .zip(self.first_moments.chunks_mut(S::LANES))
            .zip(self.second_moments.chunks_mut(S::LANES))
        {
            let gradient = simd.mul(simd.load_partial(g), gradient_scale);
            let mean = simd.mul_add(simd.load_partial(m), beta1, simd.mul(gradient, rest1));
            let square = simd.mul(simd.mul(gradient, gradient), rest2);
            let variance = simd.mul_add(simd.load_partial(v), beta2, square);
            let denominator = simd.mul_add(simd.sqrt(variance), inverse_root, epsilon);
            let decayed = simd.mul(simd.load_partial(p), decay);
            let moved = simd.mul_add(simd.div(mean, denominator), step_size, decayed);
            simd.store_partial(moved, p);
            simd.store_partial(mean, m);
            simd.store_partial(variance, v);
        }
    }
}

/// The sum of squares, accumulated in f64 in a fixed order.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let set = KernelSet::active();
    let sums: Vec<f64> = values
        .par_chunks(CHUNK_VALUES)
        .map(|values| dispatch(set, SumOfSquares { values }))
        .collect();
    sums.iter().sum()
}

struct SumOfSquares<'a> {
    values: &'a [f32],
}

impl Kernel for SumOfSquares<'_> {
    type Output = f64;

    /// Plain code, the same order under every set: the compiler turns the lanes into vectors.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        const LANES: usize = 32;
        let mut lanes = [0.0f64; LANES];
        let chunks = self.values.chunks_exact(LANES);
        let rest = chunks.remainder();
        for values in chunks {
            for (lane, &value) in lanes.iter_mut().zip(values) {
                *lane += f64::from(value) * f64::from(value);
            }
        }
        for (lane, &value) in lanes.iter_mut().zip(rest) {
            *lane += f64::from(value) * f64::from(value);
        }
        lanes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::with_kernels;
    use crate::testing::{assert_close, random};

    #[test]
    fn three_steps_agree_with_f64_under_every_set() {
        let settings = AdamW {
            learning_rate: 0.01,
            weight_decay: 0.1,
            epsilon: 1e-6,
            ..AdamW::default()
        };
        for set in KernelSet::supported() {
            for len in [0, 1, 7, 33, 70_000] {
                let mut p = random(len, 1);
                let (mut m, mut v) = (vec![0.0; len], vec![0.0; len]);
                let mut exact: Vec<[f64; 3]> =
                    p.iter().map(|&p| [f64::from(p), 0.0, 0.0]).collect();
                for step in 1..=3u64 {
                    let g = random(len, 10 + step);
                    with_kernels(set, || {
                        adamw_step(&mut p, &g, &mut m, &mut v, settings, step, 0.5);
                    });
                    for ([p, m, v], g) in exact.iter_mut().zip(&g) {
                        let g = f64::from(*g) * 0.5;
                        *p *= 1.0 - 0.01 * 0.1;
                        *m = 0.9 * *m + 0.1 * g;
                        *v = 0.999 * *v + 0.001 * g * g;
                        let (c1, c2) = (
                            1.0 - 0.9f64.powf(step as f64),
                            1.0 - 0.999f64.powf(step as f64),
                        );
                        *p -= 0.01 * (*m / c1) / ((*v / c2).sqrt() + 1e-6);
                    }
                }
                let expected: Vec<f32> = exact.iter().map(|exact| exact[0] as f32).collect();
                // f32 moments: a few roundings of values below 1.
                assert_close(&p, &expected, 2e-6, &format!("{set} {len}"));
            }
        }
    }

    #[test]
    fn the_sum_of_squares_is_exact_enough() {
        let values = random(100_003, 2);
        let exact: f64 = values.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        assert!((sum_of_squares(&values) - exact).abs() < 1e-9 * exact);
        assert_eq!(sum_of_squares(&[]), 0.0);
    }
}
