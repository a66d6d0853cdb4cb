//! What training tells while it runs, and at its end.

use std::time::Duration;

use super::Evaluation;
use decap::decoder::DecoderConfig;

/// What training tells while it runs. Every method has an empty default; `()` listens to none.
pub trait Progress {
    /// Training begins.
    fn started(&mut self, _plan: &Plan) {}
    /// A step is done.
    fn stepped(&mut self, _report: &StepReport) {}
    /// Held-out captions were measured.
    fn evaluated(&mut self, _evaluation: &Evaluation) {}
    /// A checkpoint was written after so many steps.
    fn saved(&mut self, _step: u64) {}
}

impl Progress for () {}

/// What is going to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The decoder's shape.
    pub config: DecoderConfig,
    /// Steps in all.
    pub steps: u64,
    /// Steps done before, where training resumes.
    pub steps_done: u64,
    /// Captions a step.
    pub batch_size: usize,
    /// Captions to learn from.
    pub training_captions: usize,
    /// Old sentences that are learned again beside them.
    pub rehearsed_captions: usize,
    /// Captions to measure on.
    pub held_out_captions: usize,
    /// Captions that were empty, or too long and left out.
    pub captions_left_out: usize,
}

/// How a step went.
#[derive(Debug, Clone, Copy)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// The pass over the captions, from 0.
    pub epoch: u64,
    /// The loss of the batch.
    pub loss: f64,
    /// A running mean of the loss.
    pub smoothed_loss: f64,
    /// The learning rate used.
    pub learning_rate: f32,
    /// The norm of all gradients before clipping.
    pub gradient_norm: f64,
    /// Captions learned a second since training began or resumed.
    pub captions_per_second: f64,
    /// Time that the remaining steps will take at this speed.
    pub remaining: Duration,
}

/// What training made.
#[derive(Debug, Clone)]
pub struct TrainingReport {
    /// What was planned.
    pub plan: Plan,
    /// The figures of the decoder that is kept, where captions were held out.
    pub evaluation: Option<Evaluation>,
    /// Steps done, also before this call: fewer than planned where more would not have helped.
    pub steps: u64,
    /// The rows of the captions that were held out.
    pub held_out_rows: Vec<usize>,
    /// The running mean of the loss at the end.
    pub smoothed_loss: f64,
    /// Time spent in this call.
    pub seconds: f64,
}
