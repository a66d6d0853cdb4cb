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
mod estimate;
mod evaluate;
mod forward;
mod foundation;
mod learner;
mod manner;
mod metrics;
mod model;
mod optimizer;
mod options;
mod prefix;
mod progress;
mod schedule;
mod streams;
mod trial;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use checkpoint::CHECKPOINT_FILE;
pub use estimate::{Estimate, estimate};
pub use evaluate::Evaluation;
pub use foundation::Foundation;
pub use learner::StepTimer;
pub use metrics::{LOSS_CURVE_FILE, METRICS_FILE};
pub use model::{ModelRecipe, clear_finished, import_model, train_model};
pub use options::{
    Dropout, EpsilonPlacement, LongCaptions, PrefixChoice, Schedule, StartOfText, TrainOptions,
    TrainingPrecision, VocabularyChoice,
};
pub use progress::{Plan, Progress, StepReport, TrainingReport};
pub use trial::{Swapped, Trial};

use batch::Corpus;
use checkpoint::{Best, CheckpointFacts};
use decap::decoder::{self, DecoderConfig, DecoderWeights, Vocabulary};
use decap::memory::TextEmbeddings;
use decap::{Error, Result};
use evaluate::evaluate;
use learner::Learner;
use metrics::{History, Metrics};
use optimizer::Optimizer;
use prefix::Prefixes;
use schedule::learning_rate;

/// Captions to learn, tokenised and embedded.
#[derive(Clone, Copy)]
pub struct TrainingText<'a> {
    /// The tokenizer's ids of each caption, without start and end.
    pub captions: &'a [Vec<u32>],
    /// Each caption's text embedding, `[captions, prefix_width]`.
    pub embeddings: &'a TextEmbeddings,
    /// The tokenizer's id of start-of-text.
    pub start_token: u32,
    /// The tokenizer's id of end-of-text.
    pub end_token: u32,
    /// So many of the captions, the last ones, are old ones that are rehearsed: none of them is held out,
    /// and of each batch they are the share that the options say.
    pub rehearsed: usize,
    /// What the parameters begin as; random where there is nothing.
    pub beginning: Option<&'a Beginning<'a>>,
}

/// Makes the parameters that training begins with, for a decoder of this vocabulary and shape.
pub type Beginning<'a> = dyn Fn(&Vocabulary, &DecoderConfig) -> Result<DecoderWeights> + 'a;

/// Where training begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With new parameters; a checkpoint that is there is replaced.
    Fresh,
    /// At the checkpoint in the output folder, as if never stopped; it must be of the same
    /// options and captions.
    Resume,
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
/// use decap::memory::TextEmbeddings;
/// use decap_train::{Start, TrainOptions, TrainingText, train};
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
///     rehearsed: 0,
///     beginning: None,
/// };
/// let mut options = TrainOptions::fast();
/// options.width = 16;
/// options.num_heads = 2;
/// options.max_steps = Some(3);
/// options.held_out = 0.0;
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
    let mut epoch_order = (u64::MAX, Vec::new());
    while !run.is_over() {
        let epoch = run.step / run.steps_per_epoch;
        if epoch_order.0 != epoch {
            epoch_order = (epoch, run.corpus.shuffled(options, epoch));
        }
        let place = (run.step % run.steps_per_epoch) as usize * run.new_in_batch;
        let mut indices = epoch_order.1[place..place + run.new_in_batch].to_vec();
        let rehearsed = run.plan.batch_size - run.new_in_batch;
        run.corpus
            .rehearse(rehearsed, options, run.step, &mut indices);
        let report = run.learn(&indices, epoch, began)?;
        progress.stepped(&report);

        let epoch_is_over =
            run.step.is_multiple_of(run.steps_per_evaluation()) || run.step == run.plan.steps;
        if epoch_is_over && let Some(evaluation) = run.evaluate()? {
            progress.evaluated(&evaluation);
        }
        let stopped = stop.load(Ordering::Relaxed);
        if stopped || epoch_is_over || run.step.is_multiple_of(options.checkpoint_every) {
            run.save_checkpoint()?;
            progress.saved(run.step);
        }
        if stopped && !run.is_over() {
            return Err(Error::Interrupted);
        }
    }
    let mut evaluation = run.history.evaluation;
    if let Some(best) = run.best {
        run.learner
            .weights
            .values_mut()
            .copy_from_slice(&best.values);
        evaluation = Some(best.evaluation);
    }
    decoder::save(
        folder,
        &run.learner.weights,
        &run.corpus.vocabulary,
        options.weights_dtype,
    )?;
    let held_out = run.corpus.held_out.iter();
    Ok(TrainingReport {
        evaluation,
        steps: run.step,
        held_out_rows: held_out.map(|&index| run.corpus.row(index)).collect(),
        plan: run.plan,
        smoothed_loss: run.history.smoothed_loss.unwrap_or(f64::NAN),
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
    /// Captions of a batch that are not rehearsed.
    new_in_batch: usize,
    /// Steps done.
    step: u64,
    /// The best decoder so far, where the options keep it.
    best: Option<Best>,
    corpus: Corpus,
    prefixes: Prefixes,
    corpus_fingerprint: String,
    learner: Learner,
    metrics: Metrics,
    /// What was measured so far, before a resumed run too.
    history: History,
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
        let rehearsed = match corpus.rehearsed.is_empty() {
            true => 0,
            false => options.rehearsed_in_batch(),
        };
        let new_in_batch = (options.batch_size - rehearsed).clamp(1, corpus.training.len());
        let batch_size = new_in_batch + rehearsed;
        // As the reference's loader (`drop_last=True`), an epoch leaves an incomplete batch out.
        let steps_per_epoch = (corpus.training.len() / new_in_batch) as u64;
        let steps = options.max_steps.unwrap_or(
            steps_per_epoch
                .saturating_mul(options.epochs as u64)
                .max(options.least_steps),
        );

        let mut weights = match text.beginning {
            Some(beginning) => beginning(&corpus.vocabulary, &config)?,
            None => DecoderWeights::random(&config, options.seed)?,
        };
        let mut optimizer = Optimizer::new(config.num_parameters());
        let corpus_fingerprint = corpus.fingerprint(text);
        fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
        let (step, best) = match start {
            Start::Fresh => (0, None),
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
            rehearsed_captions: corpus.rehearsed.len(),
            held_out_captions: corpus.held_out.len(),
            captions_left_out: corpus.left_out,
        };
        let (metrics, history) = Metrics::open(folder, step)?;
        Ok(Self {
            text,
            options,
            folder,
            plan,
            steps_per_epoch,
            new_in_batch,
            step,
            best,
            prefixes: Prefixes::new(text, &corpus, options),
            corpus,
            corpus_fingerprint,
            learner: Learner::new(weights, optimizer),
            metrics,
            history,
        })
    }

    /// One step: forward, backward, update.
    fn learn(&mut self, indices: &[usize], epoch: u64, began: Instant) -> Result<StepReport> {
        let mut batch = self.corpus.batch(self.text, indices);
        let width = self.plan.config.prefix_width;
        self.prefixes
            .prepare(&mut batch, width, self.options, self.step);
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
        self.history.smooth(loss);
        let seconds = began.elapsed().as_secs_f64().max(1e-9);
        let steps_here = (self.step - self.plan.steps_done) as f64;
        let remaining = seconds / steps_here * (self.plan.steps - self.step) as f64;
        StepReport {
            step: self.step,
            steps: self.plan.steps,
            epoch,
            loss,
            smoothed_loss: self.history.smoothed_loss.unwrap_or(loss),
            learning_rate,
            gradient_norm,
            captions_per_second: steps_here * self.plan.batch_size as f64 / seconds,
            remaining: Duration::try_from_secs_f64(remaining).unwrap_or(Duration::MAX),
        }
    }

    fn evaluate(&mut self) -> Result<Option<Evaluation>> {
        let evaluation = evaluate(
            self.text,
            &self.corpus,
            &self.prefixes,
            &self.learner.weights,
            self.step,
            self.options,
        )?;
        if let Some(evaluation) = evaluation {
            self.metrics.evaluation(evaluation)?;
            self.history.evaluation = Some(evaluation);
            let is_best = self
                .best
                .as_ref()
                .is_none_or(|best| evaluation.loss < best.evaluation.loss);
            if self.options.keep_best && is_best {
                self.best = Some(Best {
                    evaluation,
                    values: self.learner.weights.values().to_vec(),
                });
            }
        }
        Ok(evaluation)
    }

    /// Steps from one measurement to the next: whole passes, though not very short ones.
    fn steps_per_evaluation(&self) -> u64 {
        const LEAST: u64 = 50;
        self.steps_per_epoch * LEAST.div_ceil(self.steps_per_epoch)
    }

    /// Whether all steps are done, or the last measurements have bettered nothing: the rest would be learned
    /// by heart.
    fn is_over(&self) -> bool {
        const PATIENCE: u64 = 5;
        let stopped_improving = self.best.as_ref().is_some_and(|best| {
            self.step >= best.evaluation.step + PATIENCE * self.steps_per_evaluation()
        });
        stopped_improving || self.step >= self.plan.steps
    }

    fn save_checkpoint(&mut self) -> Result<()> {
        let mut facts = CheckpointFacts::new(
            self.step,
            self.plan.steps,
            self.options,
            &self.plan.config,
            &self.corpus_fingerprint,
        );
        facts.best = self.best.as_ref().map(|best| best.evaluation.into());
        self.metrics.flush()?;
        checkpoint::save(
            &self.folder.join(CHECKPOINT_FILE),
            &facts,
            &self.learner.weights,
            &self.learner.optimizer,
            self.best.as_ref().map(|best| &best.values[..]),
        )?;
        self.metrics.draw(self.folder)
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
use decap::decoder::Decoder;
#[cfg(test)]
use decap::weights::{Bytes, Tensors};
// What PyTorch computed, shared with the decoder's own tests.
#[cfg(test)]
#[path = "../../decap/src/decoder/golden.rs"]
mod golden;
#[cfg(test)]
#[path = "../../decap-kernels/src/skipped.rs"]
mod skipped;
#[cfg(test)]
mod tests;
