//! A head while it learns: forward with dropout, backward, AdamW.

use decap_kernels::{
    Accumulate, AdamW, MatrixView, MatrixViewMut, adamw_step, gelu_new, gelu_new_backward, matmul,
};

use super::features::Features;
use decap::encoder::{HiddenLayer, LearnedHead};
use decap::random::RandomStream;

/// Added to each standard deviation: a feature that never changes must not blow up.
const SMALLEST_DEVIATION: f64 = 1e-3;

/// A head's parameters and AdamW's moments of each.
#[derive(Debug, Clone)]
pub(super) struct TrainedHead {
    pub(super) head: LearnedHead,
    moments: Vec<[Vec<f32>; 2]>,
}

/// What the backward pass needs of a forward pass over a batch.
#[derive(Debug)]
pub(super) struct Pass {
    /// Standardised and dropped out, `[batch, features]`.
    input: Vec<f32>,
    /// Before the activation, `[batch, units]`; empty without a hidden layer.
    before: Vec<f32>,
    /// Behind activation and dropout, `[batch, units]`.
    hidden: Vec<f32>,
    /// 0 or `1 / (1 - dropout)`, `[batch, units]`; empty without dropout.
    hidden_mask: Vec<f32>,
    /// One over each row's length before it was normalised, `[batch]`.
    inverse_lengths: Vec<f32>,
    /// Unit vectors, `[batch, width]`.
    pub(super) output: Vec<f32>,
}

/// Dropout of a step: the rate, and the numbers that decide.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dropout {
    pub(super) rate: f32,
    pub(super) input: RandomStream,
    pub(super) hidden: RandomStream,
}

impl TrainedHead {
    /// A head from the `rows` of `features` to `width`, with `units` hidden units; weights are
    /// uniform in plus or minus one over the root of their inputs, as `torch.nn.Linear` has it.
    pub(super) fn new(
        features: &Features,
        rows: &[usize],
        width: usize,
        units: usize,
        random: RandomStream,
    ) -> Self {
        let inputs = features.width;
        let (mean, scale) = standardisation(features, rows);
        let mut drawn = 0;
        let mut uniform = |count: usize, inputs: usize| -> Vec<f32> {
            let bound = 1.0 / (inputs as f64).sqrt();
            let draw = |index| (bound * (2.0 * random.uniform(index) - 1.0)) as f32;
            let values = (drawn..drawn + count as u64).map(draw).collect();
            drawn += count as u64;
            values
        };
        let head = LearnedHead {
            features: inputs,
            width,
            mean,
            scale,
            weight: uniform(inputs * width, inputs),
            bias: vec![0.0; width],
            hidden: (units > 0).then(|| HiddenLayer {
                units,
                weight_in: uniform(inputs * units, inputs),
                bias_in: vec![0.0; units],
                weight_out: uniform(units * width, units),
            }),
        };
        let mut trained = Self {
            head,
            moments: Vec::new(),
        };
        trained.moments = trained
            .parameters()
            .iter()
            .map(|(values, _)| [vec![0.0; values.len()], vec![0.0; values.len()]])
            .collect();
        trained
    }

    /// The parameters in a fixed order, and whether weight decay applies.
    pub(super) fn parameters(&mut self) -> Vec<(&mut Vec<f32>, bool)> {
        let head = &mut self.head;
        let mut parameters = vec![(&mut head.weight, true), (&mut head.bias, false)];
        if let Some(hidden) = &mut head.hidden {
            parameters.push((&mut hidden.weight_in, true));
            parameters.push((&mut hidden.bias_in, false));
            parameters.push((&mut hidden.weight_out, true));
        }
        parameters
    }

    /// `features` `[batch, features]` to unit vectors `[batch, width]`.
    pub(super) fn forward(&self, mut features: Vec<f32>, dropout: Option<Dropout>) -> Pass {
        let head = &self.head;
        for row in features.chunks_exact_mut(head.features) {
            for ((value, mean), scale) in row.iter_mut().zip(&head.mean).zip(&head.scale) {
                *value = (*value - mean) * scale;
            }
        }
        if let Some(Dropout { rate, input, .. }) = dropout {
            for (value, kept) in features.iter_mut().zip(mask(rate, input)) {
                *value *= kept;
            }
        }
        let batch = features.len() / head.features;
        let mut output = head.bias.repeat(batch);
        multiply(&features, &head.weight, batch, &mut output);

        let mut pass = Pass {
            input: features,
            before: Vec::new(),
            hidden: Vec::new(),
            hidden_mask: Vec::new(),
            inverse_lengths: Vec::with_capacity(batch),
            output,
        };
        if let Some(layer) = &head.hidden {
            pass.before = layer.bias_in.repeat(batch);
            multiply(&pass.input, &layer.weight_in, batch, &mut pass.before);
            pass.hidden = pass.before.clone();
            gelu_new(&mut pass.hidden);
            if let Some(Dropout { rate, hidden, .. }) = dropout {
                pass.hidden_mask = mask(rate, hidden).take(pass.hidden.len()).collect();
                for (value, kept) in pass.hidden.iter_mut().zip(&pass.hidden_mask) {
                    *value *= kept;
                }
            }
            multiply(&pass.hidden, &layer.weight_out, batch, &mut pass.output);
        }
        for row in pass.output.chunks_exact_mut(head.width) {
            let length = row
                .iter()
                .map(|value| value * value)
                .sum::<f32>()
                .sqrt()
                .max(1e-12);
            row.iter_mut().for_each(|value| *value /= length);
            pass.inverse_lengths.push(1.0 / length);
        }
        pass
    }

    /// The gradients of the parameters, in their order, from that of the output
    /// `[batch, width]`.
    pub(super) fn backward(&self, pass: &Pass, mut gradient: Vec<f32>) -> Vec<Vec<f32>> {
        let width = self.head.width;
        // Through y / |y|: only what is across the unit vector moves it.
        for ((gradient, unit), inverse) in gradient
            .chunks_exact_mut(width)
            .zip(pass.output.chunks_exact(width))
            .zip(&pass.inverse_lengths)
        {
            let along: f32 = gradient.iter().zip(unit).map(|(g, u)| g * u).sum();
            for (gradient, unit) in gradient.iter_mut().zip(unit) {
                *gradient = (*gradient - along * unit) * inverse;
            }
        }
        let batch = pass.inverse_lengths.len();
        let mut gradients = vec![
            weight_gradient(&pass.input, &gradient, batch),
            column_sums(&gradient, width),
        ];
        if let Some(layer) = &self.head.hidden {
            let mut hidden = vec![0.0; batch * layer.units];
            matmul(
                MatrixView::row_major(&gradient, batch, width),
                MatrixView::row_major(&layer.weight_out, layer.units, width).transposed(),
                Accumulate::Overwrite,
                MatrixViewMut::row_major(&mut hidden, batch, layer.units),
            );
            for (value, kept) in hidden.iter_mut().zip(&pass.hidden_mask) {
                *value *= kept;
            }
            gelu_new_backward(&pass.before, &mut hidden);
            gradients.push(weight_gradient(&pass.input, &hidden, batch));
            gradients.push(column_sums(&hidden, layer.units));
            gradients.push(weight_gradient(&pass.hidden, &gradient, batch));
        }
        gradients
    }

    /// One AdamW step; `step` counts from 1.
    pub(super) fn update(&mut self, gradients: &[Vec<f32>], settings: AdamW, step: u64) {
        let mut moments = std::mem::take(&mut self.moments);
        for (((values, decays), gradient), [first, second]) in self
            .parameters()
            .into_iter()
            .zip(gradients)
            .zip(&mut moments)
        {
            let weight_decay = if decays { settings.weight_decay } else { 0.0 };
            let settings = AdamW {
                weight_decay,
                ..settings
            };
            adamw_step(values, gradient, first, second, settings, step, 1.0);
        }
        self.moments = moments;
    }
}

/// The mean of each feature over `rows`, and one over its standard deviation.
fn standardisation(features: &Features, rows: &[usize]) -> (Vec<f32>, Vec<f32>) {
    let count = rows.len().max(1) as f64;
    let mut mean = vec![0.0_f64; features.width];
    for &row in rows {
        for (sum, value) in mean.iter_mut().zip(features.row(row)) {
            *sum += f64::from(*value) / count;
        }
    }
    let mut variance = vec![0.0_f64; features.width];
    for &row in rows {
        for ((sum, value), mean) in variance.iter_mut().zip(features.row(row)).zip(&mean) {
            *sum += (f64::from(*value) - mean).powi(2) / count;
        }
    }
    let scale = variance
        .iter()
        .map(|it| (1.0 / (it.sqrt() + SMALLEST_DEVIATION)) as f32);
    (
        mean.iter().map(|&mean| mean as f32).collect(),
        scale.collect(),
    )
}

/// Endless factors of dropout: 0, or what keeps the mean.
fn mask(rate: f32, random: RandomStream) -> impl Iterator<Item = f32> {
    let kept = 1.0 / (1.0 - rate);
    (0..).map(move |index| {
        if random.uniform(index) < f64::from(rate) {
            0.0
        } else {
            kept
        }
    })
}

/// `output += input weight`, `[batch, outputs]`.
fn multiply(input: &[f32], weight: &[f32], batch: usize, output: &mut [f32]) {
    let (inputs, outputs) = (input.len() / batch, output.len() / batch);
    matmul(
        MatrixView::row_major(input, batch, inputs),
        MatrixView::row_major(weight, inputs, outputs),
        Accumulate::Add,
        MatrixViewMut::row_major(output, batch, outputs),
    );
}

/// `input^T gradient`, `[inputs, outputs]`.
fn weight_gradient(input: &[f32], gradient: &[f32], batch: usize) -> Vec<f32> {
    let (inputs, outputs) = (input.len() / batch, gradient.len() / batch);
    let mut product = vec![0.0; inputs * outputs];
    matmul(
        MatrixView::row_major(input, batch, inputs).transposed(),
        MatrixView::row_major(gradient, batch, outputs),
        Accumulate::Overwrite,
        MatrixViewMut::row_major(&mut product, inputs, outputs),
    );
    product
}

fn column_sums(values: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    for row in values.chunks_exact(width) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
    sums
}
