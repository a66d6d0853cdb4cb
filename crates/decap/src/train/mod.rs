//! Training a decoder on text alone: caption -> its text embedding -> the same caption.
//!
//! [`train`] is the loop, [`TrainOptions`] are its knobs. No picture is needed: the prefix is the
//! caption's own embedding (Li et al., section 3.1).

pub mod align;
mod attention;
mod backward;
mod batch;
mod checkpoint;
mod dropout;
mod evaluate;
mod forward;
mod metrics;
mod model;
mod optimizer;
mod options;
mod schedule;
mod streams;
mod text;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use decap_kernels::CrossEntropy;

pub use checkpoint::CHECKPOINT_FILE;
pub use evaluate::Evaluation;
pub use metrics::{LOSS_CURVE_FILE, METRICS_FILE};
pub use model::{ModelRecipe, build_memory, embed, import_model, memory_of, train_model};
pub use options::{
    Dropout, EpsilonPlacement, LongCaptions, Schedule, StartOfText, TrainOptions,
    TrainingPrecision, VocabularyChoice,
};
pub use text::{EncodingProgress, TextEmbeddings};

use crate::decoder::{self, DecoderConfig, DecoderWeights, RandomStream};
use crate::embedding::Embeddings;
use crate::error::{Error, Result};
use backward::Gradients;
use batch::{Batch, Corpus};
use checkpoint::CheckpointFacts;
use evaluate::evaluate;
use forward::{Activations, StepSettings};
use metrics::Metrics;
use optimizer::Optimizer;
use schedule::learning_rate;

/// Half of the loss that is shown comes from this many last steps.
const SMOOTHING_STEPS: f64 = 20.0;

/// Captions to learn, tokenised and embedded.
#[derive(Debug, Clone, Copy)]
pub struct TrainingText<'a> {
    /// The tokenizer's ids of each caption, without start and end.
    pub captions: &'a [Vec<u32>],
    /// Each caption's text embedding, `[captions, prefix_width]`.
    pub embeddings: &'a TextEmbeddings,
    /// The tokenizer's id of start-of-text.
    pub start_token: u32,
    /// The tokenizer's id of end-of-text.
    pub end_token: u32,
}

/// Where training begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With new parameters; a checkpoint that is there is replaced.
    Fresh,
    /// At the checkpoint in the output folder, as if never stopped; it must be of the same
    /// options and captions.
    Resume,
}

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
    /// The figures after the last step, where captions were held out.
    pub evaluation: Option<Evaluation>,
    /// The running mean of the loss at the end.
    pub smoothed_loss: f64,
    /// Time spent in this call.
    pub seconds: f64,
}

/// Trains a decoder and writes it into `folder`: [`decoder::CONFIG_FILE`] and
/// [`decoder::WEIGHTS_FILE`], beside [`CHECKPOINT_FILE`], [`METRICS_FILE`] and
/// [`LOSS_CURVE_FILE`].
///
/// The result is the same for any number of threads, and for a run that was stopped and resumed.
/// When `stop` becomes true, a checkpoint is written and [`Error::Interrupted`] returned.
///
/// # Errors
/// [`Error::Usage`] for options that make no sense or a text without captions,
/// [`Error::Mismatch`] where captions and embeddings, or the run and its checkpoint, do not
/// belong together, [`Error::Model`] for a broken checkpoint or a loss that is no number, and
/// [`Error::Io`].
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use decap::decoder::Decoder;
/// use decap::train::{Start, TextEmbeddings, TrainOptions, TrainingText, train};
/// use decap::weights::Folder;
///
/// # let folder = tempfile::tempdir().unwrap();
/// let captions = vec![vec![5, 6, 7], vec![6, 5], vec![7, 7, 6, 5]];
/// let embeddings = decap::Embeddings::new(vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 2)?;
/// let text = TrainingText {
///     captions: &captions,
///     embeddings: &TextEmbeddings::from(&embeddings),
///     start_token: 1,
///     end_token: 2,
/// };
/// let options = TrainOptions {
///     width: 16,
///     num_heads: 2,
///     max_steps: Some(3),
///     held_out: 0.0,
///     ..TrainOptions::fast()
/// };
/// train(&text, &options, folder.path(), Start::Fresh, &mut (), &AtomicBool::new(false))?;
/// let decoder = Decoder::open(&Folder::disk(folder.path()))?;
/// assert_eq!(decoder.vocabulary().len(), 4);
/// # Ok::<(), decap::Error>(())
/// ```
pub fn train(
    text: &TrainingText<'_>,
    options: &TrainOptions,
    folder: &Path,
    start: Start,
    progress: &mut dyn Progress,
    stop: &AtomicBool,
) -> Result<TrainingReport> {
    let mut run = Run::new(text, options, folder, start)?;
    progress.started(&run.plan);
    let began = Instant::now();
    let mut evaluation = None;
    let mut epoch_order = (u64::MAX, Vec::new());
    while run.step < run.plan.steps {
        let epoch = run.step / run.steps_per_epoch;
        if epoch_order.0 != epoch {
            epoch_order = (epoch, run.corpus.shuffled(options, epoch));
        }
        let place = (run.step % run.steps_per_epoch) as usize * run.plan.batch_size;
        let indices = &epoch_order.1[place..place + run.plan.batch_size];
        let report = run.learn(indices, epoch, began)?;
        progress.stepped(&report);

        let epoch_is_over =
            run.step.is_multiple_of(run.steps_per_epoch) || run.step == run.plan.steps;
        if epoch_is_over {
            evaluation = run.evaluate()?;
            evaluation
                .iter()
                .for_each(|evaluation| progress.evaluated(evaluation));
        }
        let stopped = stop.load(Ordering::Relaxed);
        if stopped || epoch_is_over || run.step.is_multiple_of(options.checkpoint_every) {
            run.save_checkpoint()?;
            progress.saved(run.step);
        }
        if stopped && run.step < run.plan.steps {
            return Err(Error::Interrupted);
        }
    }
    decoder::save(
        folder,
        &run.learner.weights,
        &run.corpus.vocabulary,
        options.weights_dtype,
    )?;
    Ok(TrainingReport {
        plan: run.plan,
        evaluation,
        smoothed_loss: run.smoothed_loss.unwrap_or(f64::NAN),
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// A run of training: what stays from step to step.
struct Run<'a> {
    text: &'a TrainingText<'a>,
    options: &'a TrainOptions,
    folder: &'a Path,
    plan: Plan,
    steps_per_epoch: u64,
    /// Steps done.
    step: u64,
    corpus: Corpus,
    corpus_fingerprint: String,
    learner: Learner,
    metrics: Metrics,
    smoothed_loss: Option<f64>,
}

impl<'a> Run<'a> {
    fn new(
        text: &'a TrainingText<'a>,
        options: &'a TrainOptions,
        folder: &'a Path,
        start: Start,
    ) -> Result<Self> {
        options.validate()?;
        if text.captions.len() != text.embeddings.len() {
            return Err(Error::Mismatch(format!(
                "expected an embedding for each of {} captions, got {}",
                text.captions.len(),
                text.embeddings.len()
            )));
        }
        let corpus = Corpus::new(text, options)?;
        let config = decoder_config(text, options, &corpus);
        let batch_size = options.batch_size.min(corpus.training.len());
        // As the reference's loader (`drop_last=True`), an epoch leaves an incomplete batch out.
        let steps_per_epoch = (corpus.training.len() / batch_size) as u64;
        let steps = options
            .max_steps
            .unwrap_or(steps_per_epoch.saturating_mul(options.epochs as u64));

        let mut weights = DecoderWeights::random(&config, options.seed)?;
        let mut optimizer = Optimizer::new(config.num_parameters());
        let corpus_fingerprint = corpus.fingerprint(text);
        fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
        let step = match start {
            Start::Fresh => 0,
            Start::Resume => {
                let expected =
                    CheckpointFacts::new(0, steps, options, &config, &corpus_fingerprint);
                checkpoint::resume(
                    &folder.join(CHECKPOINT_FILE),
                    &expected,
                    &mut weights,
                    &mut optimizer,
                )?
            }
        };
        let plan = Plan {
            config,
            steps,
            steps_done: step,
            batch_size,
            training_captions: corpus.training.len(),
            held_out_captions: corpus.held_out.len(),
            captions_left_out: corpus.left_out,
        };
        Ok(Self {
            text,
            options,
            folder,
            plan,
            steps_per_epoch,
            step,
            corpus,
            corpus_fingerprint,
            learner: Learner::new(weights, optimizer),
            metrics: Metrics::open(folder, step)?,
            smoothed_loss: None,
        })
    }

    /// One step: forward, backward, update.
    fn learn(&mut self, indices: &[usize], epoch: u64, began: Instant) -> Result<StepReport> {
        let mut batch = self.corpus.batch(self.text, indices);
        batch.add_noise(self.plan.config.prefix_width, self.options, self.step);
        let rate = learning_rate(self.options, self.step, self.plan.steps);
        let ignored = self.corpus.ignored_token;
        let (loss, gradient_norm) =
            self.learner
                .update(self.options, ignored, &batch, self.step, rate);
        if !(loss.is_finite() && gradient_norm.is_finite()) {
            return Err(Error::model(
                self.folder,
                format!(
                    "training diverged at step {}: loss {loss}, gradient norm {gradient_norm}; \
                     a lower learning rate may help",
                    self.step
                ),
            ));
        }
        self.step += 1;
        self.metrics.step(self.step, loss, rate, gradient_norm)?;
        Ok(self.report(loss, rate, gradient_norm, epoch, began))
    }

    fn report(
        &mut self,
        loss: f64,
        learning_rate: f32,
        gradient_norm: f64,
        epoch: u64,
        began: Instant,
    ) -> StepReport {
        let keep = 0.5_f64.powf(1.0 / SMOOTHING_STEPS);
        let smoothed_loss = self
            .smoothed_loss
            .map_or(loss, |mean| keep * mean + (1.0 - keep) * loss);
        self.smoothed_loss = Some(smoothed_loss);
        let seconds = began.elapsed().as_secs_f64().max(1e-9);
        let steps_here = (self.step - self.plan.steps_done) as f64;
        let remaining = seconds / steps_here * (self.plan.steps - self.step) as f64;
        StepReport {
            step: self.step,
            steps: self.plan.steps,
            epoch,
            loss,
            smoothed_loss,
            learning_rate,
            gradient_norm,
            captions_per_second: steps_here * self.plan.batch_size as f64 / seconds,
            remaining: Duration::try_from_secs_f64(remaining).unwrap_or(Duration::MAX),
        }
    }

    fn evaluate(&mut self) -> Result<Option<Evaluation>> {
        let max_tokens = self.options.max_tokens;
        let evaluation = evaluate(
            self.text,
            &self.corpus,
            &self.learner.weights,
            self.step,
            max_tokens,
        )?;
        if let Some(evaluation) = evaluation {
            self.metrics.evaluation(evaluation)?;
        }
        Ok(evaluation)
    }

    fn save_checkpoint(&mut self) -> Result<()> {
        let facts = CheckpointFacts::new(
            self.step,
            self.plan.steps,
            self.options,
            &self.plan.config,
            &self.corpus_fingerprint,
        );
        checkpoint::save(
            &self.folder.join(CHECKPOINT_FILE),
            &facts,
            &self.learner.weights,
            &self.learner.optimizer,
        )?;
        self.metrics.flush(self.folder)
    }
}

/// The parameters and what a step needs to change them; its buffers are reused.
struct Learner {
    weights: DecoderWeights,
    optimizer: Optimizer,
    activations: Activations,
    gradients: Gradients,
}

impl Learner {
    fn new(weights: DecoderWeights, optimizer: Optimizer) -> Self {
        Self {
            weights,
            optimizer,
            activations: Activations::default(),
            gradients: Gradients::default(),
        }
    }

    /// Changes the parameters by one step; gives the loss and the gradients' norm.
    fn update(
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
        self.activations.forward(&self.weights, batch, dropout);
        let loss =
            self.gradients
                .backward(&self.weights, batch, &self.activations, dropout, settings);
        let norm = self.optimizer.update(
            options,
            rate,
            step + 1,
            &mut self.weights.values,
            &self.gradients.values,
        );
        (loss.mean, norm)
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
    /// [`Error::Model`] where the shape cannot be built.
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

fn decoder_config(
    text: &TrainingText<'_>,
    options: &TrainOptions,
    corpus: &Corpus,
) -> DecoderConfig {
    DecoderConfig {
        vocabulary_size: corpus.vocabulary.len(),
        prefix_width: text.embeddings.width(),
        width: options.width,
        num_layers: options.num_layers,
        num_heads: options.num_heads,
        num_positions: options.num_positions,
        start_token: corpus.start_token,
        end_token: corpus.end_token,
        ..DecoderConfig::default()
    }
}

#[cfg(test)]
mod tests;
