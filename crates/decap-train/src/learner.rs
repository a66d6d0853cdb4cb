//! One step of training: forward, backward, update.

use decap_kernels::{CrossEntropy, on_pool};

use super::TrainOptions;
use super::backward::Gradients;
use super::batch::Batch;
use super::forward::{Activations, StepSettings};
use super::optimizer::Optimizer;
use decap::Embeddings;
use decap::Result;
use decap::decoder::{DecoderConfig, DecoderWeights};
use decap::random::RandomStream;

/// The parameters and what a step needs to change them; its buffers are reused.
pub(super) struct Learner {
    pub weights: DecoderWeights,
    pub optimizer: Optimizer,
    activations: Activations,
    gradients: Gradients,
}

impl Learner {
    pub fn new(weights: DecoderWeights, optimizer: Optimizer) -> Self {
        Self {
            weights,
            optimizer,
            activations: Activations::default(),
            gradients: Gradients::default(),
        }
    }

    /// Changes the parameters by one step; gives the loss and the gradients' norm.
    pub fn update(
        &mut self,
        options: &TrainOptions,
        ignored_token: Option<u32>,
        batch: &Batch,
        step: u64,
        rate: f32,
    ) -> (f64, f64) {
        let dropout = StepSettings::new(options, step);
        let settings = CrossEntropy {
            label_smoothing: options.label_smoothing,
            ignore_index: ignored_token,
        };
        on_pool(|| {
            self.activations.forward(&self.weights, batch, dropout);
            let loss =
                self.gradients
                    .backward(&self.weights, batch, &self.activations, dropout, settings);
            let norm = self.optimizer.update(
                options,
                rate,
                step + 1,
                self.weights.values_mut(),
                &self.gradients.values,
            );
            (loss.mean, norm)
        })
    }
}

/// A decoder of random weights and a batch of random captions, to time steps of training with.
pub struct StepTimer {
    learner: Learner,
    batch: Batch,
    options: TrainOptions,
    step: u64,
}

impl StepTimer {
    /// `captions` captions of `tokens` tokens each, for a decoder of shape `config`.
    ///
    /// # Errors
    /// [`Error::Model`](decap::Error::Model) where the shape cannot be built.
    pub fn new(
        config: &DecoderConfig,
        options: TrainOptions,
        captions: usize,
        tokens: usize,
    ) -> Result<Self> {
        let random = RandomStream::new(&[options.seed]);
        let mut prefixes = Vec::with_capacity(captions * config.prefix_width);
        for index in 0..captions * config.prefix_width {
            prefixes.push(random.gaussian(index as u64) as f32);
        }
        let prefixes = Embeddings::new(prefixes, config.prefix_width)?;
        let random = RandomStream::new(&[options.seed, 1]);
        let token = |index: usize| random.below(index as u64, config.vocabulary_size) as u32;
        let ids: Vec<u32> = (0..captions * tokens).map(token).collect();
        let weights = DecoderWeights::random(config, options.seed)?;
        Ok(Self {
            learner: Learner::new(weights, Optimizer::new(config.num_parameters())),
            batch: Batch::new(prefixes.as_slice().to_vec(), ids.chunks_exact(tokens)),
            options,
            step: 0,
        })
    }

    /// One step: forward, backward, update. Gives the loss.
    pub fn step(&mut self) -> f64 {
        let rate = self.options.learning_rate;
        let (loss, _) = self
            .learner
            .update(&self.options, None, &self.batch, self.step, rate);
        self.step += 1;
        loss
    }
}
