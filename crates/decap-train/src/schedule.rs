//! The learning rate of each step.

use super::options::{Schedule, TrainOptions};

/// The learning rate of step `step` (from 0) of `steps`.
///
/// transformers' `get_linear_schedule_with_warmup` and `get_cosine_schedule_with_warmup`: the
/// first step of a warm-up has rate 0.
pub(super) fn learning_rate(options: &TrainOptions, step: u64, steps: u64) -> f32 {
    let warmup = options.warmup_steps;
    let factor = if step < warmup {
        step as f64 / warmup as f64
    } else {
        let falling = steps.saturating_sub(warmup).max(1);
        let progress = ((step - warmup) as f64 / falling as f64).min(1.0);
        match options.schedule {
            Schedule::Linear => 1.0 - progress,
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        }
    };
    (f64::from(options.learning_rate) * factor) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_and_fall_as_in_transformers() {
        let mut options = TrainOptions {
            learning_rate: 1.0,
            warmup_steps: 10,
            ..TrainOptions::paper()
        };
        // transformers 5.23: get_{linear,cosine}_schedule_with_warmup(optimizer, 10, 110).
        let cases = [
            (
                Schedule::Linear,
                [
                    (0, 0.0),
                    (5, 0.5),
                    (10, 1.0),
                    (60, 0.5),
                    (110, 0.0),
                    (200, 0.0),
                ],
            ),
            (
                Schedule::Cosine,
                [
                    (0, 0.0),
                    (5, 0.5),
                    (10, 1.0),
                    (60, 0.5),
                    (85, 0.146_446_6),
                    (110, 0.0),
                ],
            ),
        ];
        for (schedule, points) in cases {
            options.schedule = schedule;
            for (step, expected) in points {
                let found = learning_rate(&options, step, 110);
                assert!(
                    (found - expected).abs() < 1e-6,
                    "{schedule:?} {step}: {found}"
                );
            }
        }
    }
}
