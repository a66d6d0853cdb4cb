//! AdamW over all parameters at once, with gradient clipping.

use decap_kernels::{AdamW, adamw_step, prefer_huge_pages, sum_of_squares};

use super::options::{EpsilonPlacement, TrainOptions};

/// PyTorch's `clip_grad_norm_` adds this to the norm before it divides.
const NORM_EPSILON: f64 = 1e-6;

/// AdamW's two moments, in the parameters' layout.
#[derive(Debug, Clone)]
pub(super) struct Optimizer {
    pub first_moments: Vec<f32>,
    pub second_moments: Vec<f32>,
}

impl Optimizer {
    /// Moments of zero for so many parameters.
    pub fn new(parameters: usize) -> Self {
        let zeros = || {
            let values = vec![0.0; parameters];
            prefer_huge_pages(&values);
            values
        };
        Self {
            first_moments: zeros(),
            second_moments: zeros(),
        }
    }

    /// Changes `parameters` by one step, the `step`th (from 1); gives the gradients' norm before
    /// clipping.
    pub fn update(
        &mut self,
        options: &TrainOptions,
        learning_rate: f32,
        step: u64,
        parameters: &mut [f32],
        gradients: &[f32],
    ) -> f64 {
        let norm = sum_of_squares(gradients).sqrt();
        let scale = options.max_gradient_norm.map_or(1.0, |limit| {
            (f64::from(limit) / (norm + NORM_EPSILON)).min(1.0) as f32
        });
        let settings = AdamW {
            learning_rate,
            beta1: options.beta1,
            beta2: options.beta2,
            epsilon: effective_epsilon(options, step),
            weight_decay: options.weight_decay,
        };
        adamw_step(
            parameters,
            gradients,
            &mut self.first_moments,
            &mut self.second_moments,
            settings,
            step,
            scale,
        );
        norm
    }
}

/// `transformers.AdamW` divides by `sqrt(v) + epsilon` and corrects the bias in the step size
/// alone; this is PyTorch's step with epsilon divided by the root of the correction.
fn effective_epsilon(options: &TrainOptions, step: u64) -> f32 {
    match options.epsilon_placement {
        EpsilonPlacement::Corrected => options.epsilon,
        EpsilonPlacement::Uncorrected => {
            let correction = 1.0 - f64::from(options.beta2).powf(step as f64);
            (f64::from(options.epsilon) / correction.sqrt()) as f32
        }
    }
}
