//! Layer normalisation, forward and backward.

use crate::arch::{Kernel, Simd};
use crate::dispatch::{KernelSet, dispatch};
use crate::gemm::Activations;
use crate::matrix::Accumulate;
use crate::parallel::rows_per_chunk;
use crate::words::with_f32_scratch;
use rayon::prelude::*;

/// What the forward pass keeps for the backward pass, one value a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowStatistics {
    /// Mean of each row, `[rows]`.
    pub mean: Vec<f32>,
    /// `1 / sqrt(variance + epsilon)` of each row, `[rows]`.
    pub rstd: Vec<f32>,
}

/// `output = (input - mean) / sqrt(variance + epsilon) * weight + bias`, row by row.
///
/// `input` and `output` are `[rows, width]`, `weight` and `bias` `[width]`. The variance is the
/// biased one, as in PyTorch.
///
/// # Panics
/// When the lengths do not agree.
pub fn layer_norm(input: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, output: &mut [f32]) {
    let rows = count_rows(input.len(), weight.len());
    // Lent rather than allocated: each generated token calls this for every layer.
    with_f32_scratch(2 * rows, |scratch| {
        let (mean, rstd) = scratch.split_at_mut(rows);
        forward(input, [weight, bias], epsilon, [mean, rstd], output);
    });
}

/// The fewest pieces that rows are shared out in, if there are as many rows.
const LEAST_PIECES: usize = 8;

/// [`layer_norm`] that writes its output in the form that the next product reads.
///
/// # Panics
/// When the sizes do not agree.
pub fn layer_norm_into(
    input: &[f32],
    weight: &[f32],
    bias: &[f32],
    epsilon: f32,
    output: &mut Activations,
) {
    let width = weight.len();
    assert_eq!(output.width(), width, "output of a layer norm");
    assert_eq!(input.len(), output.rows() * width, "input of a layer norm");
    let set = KernelSet::active();
    // A small input is shared evenly; rows are independent.
    let rows_each = output
        .rows()
        .div_ceil(LEAST_PIECES)
        .clamp(1, rows_per_chunk(width));
    output.fill_rows(rows_each, |first_row, output| {
        let input = &input[first_row * width..][..output.len()];
        let rows = count_rows(input.len(), width);
        with_f32_scratch(2 * rows, |scratch| {
            let (mean, rstd) = scratch.split_at_mut(rows);
            let forward = Forward {
                input,
                weight,
                bias,
                epsilon,
                mean,
                rstd,
                output,
            };
            dispatch(set, forward);
        });
    });
}

/// [`layer_norm`] that keeps the statistics of the rows; `statistics` is resized to fit.
///
/// # Panics
/// When the lengths do not agree.
pub fn layer_norm_saving(
    input: &[f32],
    weight: &[f32],
    bias: &[f32],
    epsilon: f32,
    statistics: &mut RowStatistics,
    output: &mut [f32],
) {
    let rows = count_rows(input.len(), weight.len());
    statistics.mean.resize(rows, 0.0);
    statistics.rstd.resize(rows, 0.0);
    let statistics = [&mut statistics.mean[..], &mut statistics.rstd[..]];
    forward(input, [weight, bias], epsilon, statistics, output);
}

fn forward(
    input: &[f32],
    [weight, bias]: [&[f32]; 2],
    epsilon: f32,
    [mean, rstd]: [&mut [f32]; 2],
    output: &mut [f32],
) {
    let width = weight.len();
    assert_eq!(bias.len(), width, "bias of a layer norm");
    assert_eq!(input.len(), output.len(), "output of a layer norm");
    if mean.is_empty() {
        return;
    }
    let set = KernelSet::active();
    let chunk = rows_per_chunk(width);
    let forward = |(((input, output), mean), rstd): (((&_, &mut _), &mut _), &mut _)| {
        dispatch(
            set,
            Forward {
                input,
                weight,
                bias,
                epsilon,
                mean,
                rstd,
                output,
            },
        );
    };
    if mean.len() <= chunk {
        forward((((input, output), mean), rstd));
        return;
    }
    input
        .par_chunks(chunk * width)
        .zip(output.par_chunks_mut(chunk * width))
        .zip(mean.par_chunks_mut(chunk))
        .zip(rstd.par_chunks_mut(chunk))
        .for_each(forward);
}

fn count_rows(values: usize, width: usize) -> usize {
    if width == 0 {
        assert_eq!(values, 0, "rows of a layer norm without width");
        return 0;
    }
    assert!(values.is_multiple_of(width), "rows of a layer norm");
    values / width
}

struct Forward<'a> {
    input: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
    mean: &'a mut [f32],
    rstd: &'a mut [f32],
    output: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.weight.len();
        let rows = self
            .input
            .chunks_exact(width)
            .zip(self.output.chunks_exact_mut(width));
        for (index, (input, output)) in rows.enumerate() {
            let mut sum = simd.zero();
            for values in input.chunks(S::LANES) {
                sum = simd.add(sum, simd.load_partial(values));
            }
            let mean = simd.sum(sum) / width as f32;
            let variance = squared_distance(simd, input, mean) / width as f32;
            let rstd = 1.0 / (variance + self.epsilon).sqrt();
            self.mean[index] = mean;
            self.rstd[index] = rstd;
            let (factor, offset) = (simd.splat(rstd), simd.splat(-mean * rstd));
            for (((input, output), weight), bias) in input
                .chunks(S::LANES)
                .zip(output.chunks_mut(S::LANES))
                .zip(self.weight.chunks(S::LANES))
                .zip(self.bias.chunks(S::LANES))
            {
                let normed = simd.mul_add(simd.load_partial(input), factor, offset);
                let result =
                    simd.mul_add(normed, simd.load_partial(weight), simd.load_partial(bias));
                simd.store_partial(result, output);
            }
        }
    }
}

#[inline(always)]
fn squared_distance<S: Simd>(simd: S, values: &[f32], mean: f32) -> f32 {
    let center = simd.splat(mean);
    let mut sum = simd.zero();
    let chunks = values.chunks_exact(S::LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        let distance = simd.sub(simd.load(chunk), center);
        sum = simd.mul_add(distance, distance, sum);
    }
    let tail: f32 = rest.iter().map(|x| (x - mean) * (x - mean)).sum();
    simd.sum(sum) + tail
}

/// The gradients that the backward pass of a layer norm writes.
#[derive(Debug)]
pub struct LayerNormGradients<'a> {
    /// Gradient of the input, `[rows, width]`; overwritten or added to, as asked.
    pub input: &'a mut [f32],
    /// Gradient of the weight, `[width]`; added to.
    pub weight: &'a mut [f32],
    /// Gradient of the bias, `[width]`; added to.
    pub bias: &'a mut [f32],
}

/// Gradients of [`layer_norm`] given `output_gradient`, `[rows, width]`.
///
/// # Panics
/// When the lengths do not agree.
pub fn layer_norm_backward(
    input: &[f32],
    weight: &[f32],
    statistics: &RowStatistics,
    output_gradient: &[f32],
    accumulate: Accumulate,
    gradients: LayerNormGradients<'_>,
) {
    let width = weight.len();
    let rows = count_rows(input.len(), width);
    assert_eq!(
        output_gradient.len(),
        input.len(),
        "output gradient of a layer norm"
    );
    assert_eq!(
        gradients.input.len(),
        input.len(),
        "input gradient of a layer norm"
    );
    assert_eq!(
        gradients.weight.len(),
        width,
        "weight gradient of a layer norm"
    );
    assert_eq!(gradients.bias.len(), width, "bias gradient of a layer norm");
    assert_eq!(statistics.mean.len(), rows, "statistics of a layer norm");
    assert_eq!(statistics.rstd.len(), rows, "statistics of a layer norm");
    if rows == 0 {
        return;
    }
    let set = KernelSet::active();
    let chunk = rows_per_chunk(width);
    let parts: Vec<Vec<f32>> = gradients
        .input
        .par_chunks_mut(chunk * width)
        .enumerate()
        .map(|(index, input_gradient)| {
            let values = index * chunk * width..index * chunk * width + input_gradient.len();
            let rows = index * chunk..index * chunk + input_gradient.len() / width;
            let mut parameters = vec![0.0; 2 * width];
            dispatch(
                set,
                Backward {
                    input: &input[values.clone()],
                    weight,
                    mean: &statistics.mean[rows.clone()],
                    rstd: &statistics.rstd[rows],
                    output_gradient: &output_gradient[values],
                    accumulate,
                    input_gradient,
                    parameters: &mut parameters,
                },
            );
            parameters
        })
        .collect();
    for part in parts {
        let (weight, bias) = part.split_at(width);
        for (total, part) in gradients.weight.iter_mut().zip(weight) {
            *total += part;
        }
        for (total, part) in gradients.bias.iter_mut().zip(bias) {
            *total += part;
        }
    }
}

struct Backward<'a> {
    input: &'a [f32],
    weight: &'a [f32],
    mean: &'a [f32],
    rstd: &'a [f32],
    output_gradient: &'a [f32],
    accumulate: Accumulate,
    input_gradient: &'a mut [f32],
    /// Gradients of weight and bias of these rows, `[2, width]`.
    parameters: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    /// With `h = (x - mean) rstd` and `g = dy * weight`:
    /// `dx = rstd (g - mean(g) - h mean(g h))`.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.weight.len();
        let (weight_gradient, bias_gradient) = self.parameters.split_at_mut(width);
        let rows = self
            .input
            .chunks_exact(width)
            .zip(self.output_gradient.chunks_exact(width))
            .zip(self.input_gradient.chunks_exact_mut(width));
        for (index, ((x, dy), dx)) in rows.enumerate() {
            let (mean, rstd) = (self.mean[index], self.rstd[index]);
            let (factor, offset) = (simd.splat(rstd), simd.splat(-mean * rstd));
            let (mut sum_g, mut sum_gh) = (simd.zero(), simd.zero());
            for ((((x, dy), weight), weight_gradient), bias_gradient) in x
                .chunks(S::LANES)
                .zip(dy.chunks(S::LANES))
                .zip(self.weight.chunks(S::LANES))
                .zip(weight_gradient.chunks_mut(S::LANES))
                .zip(bias_gradient.chunks_mut(S::LANES))
            {
                let dy = simd.load_partial(dy);
                let h = simd.mul_add(simd.load_partial(x), factor, offset);
                let g = simd.mul(dy, simd.load_partial(weight));
                sum_g = simd.add(sum_g, g);
                // Lanes beyond the row have g = 0.
                sum_gh = simd.mul_add(g, h, sum_gh);
                let dw = simd.mul_add(dy, h, simd.load_partial(weight_gradient));
                simd.store_partial(dw, weight_gradient);
                let db = simd.add(dy, simd.load_partial(bias_gradient));
                simd.store_partial(db, bias_gradient);
            }
            let mean_g = simd.splat(simd.sum(sum_g) / width as f32);
            let mean_gh = simd.splat(-simd.sum(sum_gh) / width as f32);
            for (((x, dy), weight), dx) in x
                .chunks(S::LANES)
                .zip(dy.chunks(S::LANES))
                .zip(self.weight.chunks(S::LANES))
                .zip(dx.chunks_mut(S::LANES))
            {
                let h = simd.mul_add(simd.load_partial(x), factor, offset);
                let g = simd.mul(simd.load_partial(dy), simd.load_partial(weight));
                let inner = simd.mul_add(h, mean_gh, simd.sub(g, mean_g));
                let result = match self.accumulate {
                    Accumulate::Overwrite => simd.mul(inner, factor),
                    Accumulate::Add => simd.mul_add(inner, factor, simd.load_partial(dx)),
                };
                simd.store_partial(result, dx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::with_kernels;
    use crate::testing::{assert_close, random};

    /// Sums of up to 768 f32 against f64.
    const TOLERANCE: f32 = 2e-5;
    const EPSILON: f32 = 1e-5;

    fn exact(x: &[f64], weight: &[f32], bias: &[f32]) -> Vec<f64> {
        let width = weight.len();
        x.chunks(width)
            .flat_map(|row| {
                let mean = row.iter().sum::<f64>() / width as f64;
                let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                let rstd = 1.0 / (variance + f64::from(EPSILON)).sqrt();
                let columns = row.iter().zip(weight).zip(bias);
                columns
                    .map(|((x, w), b)| (x - mean) * rstd * f64::from(*w) + f64::from(*b))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn forward_agrees_with_f64_under_every_set() {
        for set in KernelSet::supported() {
            for (rows, width) in [(0, 4), (1, 1), (3, 7), (2, 17), (5, 64), (90, 768)] {
                let (x, w, b) = (random(rows * width, 1), random(width, 2), random(width, 3));
                let wide: Vec<f64> = x.iter().map(|&x| f64::from(x) + 3.0).collect();
                let x: Vec<f32> = x.iter().map(|x| x + 3.0).collect();
                let expected: Vec<f32> = exact(&wide, &w, &b).iter().map(|&y| y as f32).collect();
                let mut output = vec![f32::NAN; x.len()];
                with_kernels(set, || layer_norm(&x, &w, &b, EPSILON, &mut output));
                assert_close(
                    &output,
                    &expected,
                    TOLERANCE,
                    &format!("{set} {rows}x{width}"),
                );
            }
        }
    }

    #[test]
    fn backward_is_the_slope_under_every_set() {
        let (rows, width) = (3, 19);
        let (x, w, b) = (random(rows * width, 4), random(width, 5), random(width, 6));
        let dy = random(rows * width, 7);
        let loss = |x: &[f64], w: &[f32], b: &[f32]| -> f64 {
            let y = exact(x, w, b);
            y.iter().zip(&dy).map(|(y, dy)| y * f64::from(*dy)).sum()
        };
        let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let expected: Vec<f32> = (0..x.len())
            .map(|i| {
                let (mut above, mut below) = (wide.clone(), wide.clone());
                above[i] += 1e-5;
                below[i] -= 1e-5;
                ((loss(&above, &w, &b) - loss(&below, &w, &b)) / 2e-5) as f32
            })
            .collect();
        let normed = exact(&wide, &vec![1.0; width], &vec![0.0; width]);
        let column = |j: usize, with: &dyn Fn(usize) -> f64| -> f32 {
            (0..rows).map(|i| with(i * width + j)).sum::<f64>() as f32
        };
        let expected_weight: Vec<f32> = (0..width)
            .map(|j| 1.0 + column(j, &|at| normed[at] * f64::from(dy[at])))
            .collect();
        let expected_bias: Vec<f32> = (0..width)
            .map(|j| 2.0 + column(j, &|at| f64::from(dy[at])))
            .collect();
        for set in KernelSet::supported() {
            let mut statistics = RowStatistics::default();
            let mut output = vec![0.0; x.len()];
            let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![1.0; width], vec![2.0; width]);
            with_kernels(set, || {
                layer_norm_saving(&x, &w, &b, EPSILON, &mut statistics, &mut output);
                for accumulate in [Accumulate::Overwrite, Accumulate::Add] {
                    let gradients = LayerNormGradients {
                        input: &mut dx,
                        weight: &mut dw,
                        bias: &mut db,
                    };
                    layer_norm_backward(&x, &w, &statistics, &dy, accumulate, gradients);
                }
            });
            let twice: Vec<f32> = expected.iter().map(|g| 2.0 * g).collect();
            assert_close(&dx, &twice, 5e-5, set.name());
            let twice: Vec<f32> = expected_weight.iter().map(|g| 2.0 * g - 1.0).collect();
            assert_close(&dw, &twice, TOLERANCE, set.name());
            let twice: Vec<f32> = expected_bias.iter().map(|g| 2.0 * g - 2.0).collect();
            assert_close(&db, &twice, TOLERANCE, set.name());
        }
    }
}
