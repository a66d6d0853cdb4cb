//! Every knob of training, and the two presets.

use decap_kernels::Precision;
use serde::{Deserialize, Serialize};

use decap::decoder::WeightsDtype;
use decap::{Error, Result};

/// Every knob of training. [`TrainOptions::default`] is [`TrainOptions::fast`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrainOptions {
    /// The width of the decoder.
    pub width: usize,
    /// Its transformer blocks.
    pub num_layers: usize,
    /// Its attention heads.
    pub num_heads: usize,
    /// Rows of its position embedding; at least `max_tokens`.
    pub num_positions: usize,
    /// Which tokens it knows.
    pub vocabulary: VocabularyChoice,
    /// Whether captions begin with a token of their own.
    pub start_of_text: StartOfText,
    /// Most tokens of a caption, start and end included.
    pub max_tokens: usize,
    /// What becomes of longer captions.
    pub long_captions: LongCaptions,
    /// A tokenizer id that no prediction is learned for.
    pub ignored_token: Option<u32>,
    /// Captions a step.
    pub batch_size: usize,
    /// Passes over the captions.
    pub epochs: usize,
    /// Steps at least, however few the captions; more passes are made of them then.
    pub least_steps: u64,
    /// Whether the decoder that did best on held-out captions is kept, and training ends once more steps do
    /// not better it; else the last one is kept.
    pub keep_best: bool,
    /// Of each batch, the share of old sentences, where training starts from a decoder that knows some.
    pub rehearsed: f32,
    /// The largest learning rate.
    pub learning_rate: f32,
    /// How the learning rate falls after the warm-up.
    pub schedule: Schedule,
    /// Steps in which the learning rate rises from 0.
    pub warmup_steps: u64,
    /// AdamW's memory of gradients.
    pub beta1: f32,
    /// AdamW's memory of squared gradients.
    pub beta2: f32,
    /// AdamW's guard against division by zero.
    pub epsilon: f32,
    /// What it is added to.
    pub epsilon_placement: EpsilonPlacement,
    /// Decoupled weight decay, on all parameters.
    pub weight_decay: f32,
    /// Gradients are scaled down to this norm where it is exceeded.
    pub max_gradient_norm: Option<f32>,
    /// Share of the target spread evenly over all tokens.
    pub label_smoothing: f32,
    /// Share of values that dropout zeroes.
    pub dropout: Dropout,
    /// Variance, per value, of the Gaussian noise that is added to a prefix before it is
    /// normalised again; 0 for none (Nukrai et al., *Text-Only Training for Image Captioning
    /// using Noise-Injected CLIP*, use 0.016 with CLIP's 512 to 640 values).
    pub noise_variance: f32,
    /// The mean cosine of a prefix with its caption's embedding: noise of the variance that makes it so, instead
    /// of `noise_variance`. A photo's projection is as far from its captions: 0.64 with the bundled encoder, 0.75
    /// with CLIP ViT-B/32.
    pub noise_cosine: Option<f32>,
    /// What becomes of a caption's embedding before it is the prefix.
    pub prefix: PrefixChoice,
    /// What matrix products are computed in.
    pub precision: TrainingPrecision,
    /// Share of the captions that are kept aside to measure on.
    pub held_out: f32,
    /// Seeds everything that is random.
    pub seed: u64,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Ends training early, for trials; the schedule is stretched over these steps.
    pub max_steps: Option<u64>,
    /// How the finished decoder is stored.
    pub weights_dtype: WeightsDtype,
}

/// Which tokens a decoder knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VocabularyChoice {
    /// Those that the captions use.
    Corpus,
    /// The tokenizer's ids as they are, in a table of this many rows.
    Rows(usize),
    /// Those of a vocabulary of the captions' own, learned from them, of at most so many tokens
    /// ([`Tokenizer::learn`](decap::tokenizer::Tokenizer::learn)): they are written as they are.
    Learned(usize),
}

/// What becomes of a caption's embedding, noise added, before it is the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrefixChoice {
    /// Nothing: the reference.
    Own,
    /// It is projected onto other captions, as a photo's will be when it is captioned, and the noise is of a
    /// variance drawn for each caption, from 0 to that of the options. Captions nearly like it are left out, and
    /// it itself.
    Projected {
        /// The projection's softmax temperature.
        tau: f32,
        /// Captions that it is projected onto, at most, drawn once.
        rows: usize,
    },
}

/// Whether captions begin with a token of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartOfText {
    /// The prefix predicts start-of-text, which predicts the first word: the reference.
    Predicted,
    /// The prefix predicts the first word: a position less to compute, and as good.
    Absent,
}

/// What becomes of captions of too many tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LongCaptions {
    /// They are cut, their end is never seen: the reference.
    Cut,
    /// They are left out, so that every caption that is learned ends.
    LeaveOut,
}

/// How the learning rate falls after the warm-up, to 0 at the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// In a straight line.
    Linear,
    /// Along half a cosine.
    Cosine,
}

/// What AdamW's epsilon is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EpsilonPlacement {
    /// The root of the bias-corrected second moment, as in the paper and PyTorch.
    Corrected,
    /// The root of the second moment itself, as in `transformers.AdamW`, the reference's.
    Uncorrected,
}

/// What matrix products are computed in; parameters, gradients, moments and sums stay f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingPrecision {
    /// f32.
    F32,
    /// Operands rounded to bfloat16: about twice as fast where the processor has such products,
    /// and then not the same, bit for bit, as on one that has none.
    Bf16,
}

impl From<TrainingPrecision> for Precision {
    fn from(precision: TrainingPrecision) -> Self {
        match precision {
            TrainingPrecision::F32 => Self::F32,
            TrainingPrecision::Bf16 => Self::Bf16,
        }
    }
}

/// Share of values that dropout zeroes, 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// Of the sum of token and position embedding.
    pub embedding: f32,
    /// Of the attention probabilities.
    pub attention: f32,
    /// Of what each sublayer adds to the residual stream.
    pub residual: f32,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self::fast()
    }
}

impl TrainOptions {
    /// The reference's recipe to the letter (dhg-wei/DeCap, `train.py`), quirks included.
    ///
    /// Its batch is 64 captions on each of two GPUs, so two steps here see what one saw there.
    pub fn paper() -> Self {
        Self {
            width: 768,
            num_layers: 4,
            num_heads: 4,
            num_positions: 1024,
            vocabulary: VocabularyChoice::Rows(50_257),
            start_of_text: StartOfText::Predicted,
            max_tokens: 20,
            long_captions: LongCaptions::Cut,
            ignored_token: Some(0),
            batch_size: 64,
            epochs: 10,
            least_steps: 0,
            keep_best: false,
            rehearsed: 0.0,
            learning_rate: 1e-5,
            schedule: Schedule::Linear,
            warmup_steps: 1000,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-6,
            epsilon_placement: EpsilonPlacement::Uncorrected,
            weight_decay: 0.0,
            max_gradient_norm: None,
            label_smoothing: 0.1,
            dropout: Dropout {
                embedding: 0.1,
                attention: 0.1,
                residual: 0.1,
            },
            noise_variance: 0.0,
            noise_cosine: None,
            prefix: PrefixChoice::Own,
            precision: TrainingPrecision::F32,
            held_out: 0.0,
            seed: 42,
            checkpoint_every: 1000,
            max_steps: None,
            weights_dtype: WeightsDtype::F32,
        }
    }

    /// A small decoder that learns a corpus in minutes on two cores.
    ///
    /// It writes as the captions are written, with a vocabulary of their own, sees every caption's end,
    /// keeps a held-out share to measure on, and the decoder that did best there.
    pub fn fast() -> Self {
        Self {
            width: 256,
            num_layers: 4,
            num_heads: 4,
            num_positions: 64,
            vocabulary: VocabularyChoice::Learned(8000),
            start_of_text: StartOfText::Absent,
            max_tokens: 60,
            long_captions: LongCaptions::LeaveOut,
            ignored_token: None,
            batch_size: 128,
            epochs: 5,
            least_steps: 1000,
            keep_best: true,
            rehearsed: 0.5,
            learning_rate: 1e-3,
            schedule: Schedule::Cosine,
            warmup_steps: 200,
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-8,
            epsilon_placement: EpsilonPlacement::Corrected,
            weight_decay: 0.01,
            max_gradient_norm: Some(1.0),
            label_smoothing: 0.1,
            dropout: Dropout {
                embedding: 0.0,
                attention: 0.0,
                residual: 0.0,
            },
            noise_variance: 0.0,
            noise_cosine: Some(0.65),
            prefix: PrefixChoice::Own,
            precision: TrainingPrecision::Bf16,
            held_out: 0.01,
            seed: 42,
            checkpoint_every: 500,
            max_steps: None,
            weights_dtype: WeightsDtype::F32,
        }
    }

    /// These options, with prefixes that are projected at temperature `tau`, as photos are: a decoder then repeats
    /// words a third as often.
    #[must_use]
    pub fn robust(mut self, tau: f32) -> Self {
        /// More would take longer in each step and change little.
        const ROWS: usize = 30_000;
        self.prefix = PrefixChoice::Projected { tau, rows: ROWS };
        self
    }

    /// These options with CapDec's prefix: the caption's embedding with noise of variance 0.016 a value
    /// (Nukrai et al., *Text-Only Training for Image Captioning using Noise-Injected CLIP*, 2022).
    #[must_use]
    pub fn capdec(mut self) -> Self {
        self.prefix = PrefixChoice::Own;
        (self.noise_variance, self.noise_cosine) = (0.016, None);
        self
    }

    /// [`TrainOptions::fast`] for a text of so many captions: of few, a larger share is held out.
    pub fn fast_for(captions: usize) -> Self {
        /// Fewer tell little.
        const HELD_OUT: f32 = 200.0;
        const MOST: f32 = 0.1;
        let mut options = Self::fast();
        options.held_out = options
            .held_out
            .max((HELD_OUT / captions.max(1) as f32).min(MOST));
        options
    }

    /// These options for going on from a trained decoder with so many captions: a shorter, gentler training.
    ///
    /// 100 captions of Flickr, learned in 20, 50 and 150 steps, gave CIDEr 22.4, 21.6 and 15.7 on Flickr photos.
    #[must_use]
    pub fn from_trained(mut self, captions: usize) -> Self {
        self.least_steps = (captions as u64 / 2).clamp(20, 150);
        self.learning_rate = 5e-4;
        self.warmup_steps = 30;
        self
    }

    /// The old sentences of a batch, where there are some to rehearse.
    pub(crate) fn rehearsed_in_batch(&self) -> usize {
        (self.batch_size as f32 * self.rehearsed).round() as usize
    }

    /// The variance, per value, of the noise on prefixes of this width.
    pub(crate) fn noise_variance_at(&self, prefix_width: usize) -> f64 {
        match self.noise_cosine {
            // A unit vector with noise of norm n is at cosine 1 / sqrt(1 + n^2), nearly.
            Some(cosine) => (f64::from(cosine).powi(-2) - 1.0) / prefix_width as f64,
            None => f64::from(self.noise_variance),
        }
    }

    /// Whether the knobs make sense.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the knob.
    pub fn validate(&self) -> Result<()> {
        let at_least_one = [
            ("batch_size", self.batch_size),
            ("epochs", self.epochs),
            (
                "checkpoint_every",
                usize::try_from(self.checkpoint_every).unwrap_or(usize::MAX),
            ),
            (
                "max_steps",
                self.max_steps
                    .map_or(1, |steps| usize::try_from(steps).unwrap_or(usize::MAX)),
            ),
        ];
        for (name, value) in at_least_one {
            if value == 0 {
                return Err(Error::Usage(format!("{name}: expected at least 1, got 0")));
            }
        }
        let sizes = [
            ("width", self.width),
            ("num_layers", self.num_layers),
            ("num_heads", self.num_heads),
        ];
        for (name, size) in sizes {
            if size == 0 {
                return Err(Error::Usage(format!("{name}: expected at least 1, got 0")));
            }
        }
        if !self.width.is_multiple_of(self.num_heads) {
            return Err(Error::Usage(format!(
                "num_heads: expected a divisor of width {}, got {}",
                self.width, self.num_heads
            )));
        }
        if !(2..=self.num_positions).contains(&self.max_tokens) {
            return Err(Error::Usage(format!(
                "max_tokens: expected 2 to num_positions {}, got {}",
                self.num_positions, self.max_tokens
            )));
        }
        let shares = [
            ("label_smoothing", self.label_smoothing),
            ("dropout.embedding", self.dropout.embedding),
            ("dropout.attention", self.dropout.attention),
            ("dropout.residual", self.dropout.residual),
            ("held_out", self.held_out),
            ("rehearsed", self.rehearsed),
            ("beta1", self.beta1),
            ("beta2", self.beta2),
        ];
        for (name, share) in shares {
            if !(0.0..1.0).contains(&share) {
                return Err(Error::Usage(format!(
                    "{name}: expected at least 0 and below 1, got {share}"
                )));
            }
        }
        if let Some(cosine) = self.noise_cosine
            && !(cosine > 0.0 && cosine <= 1.0)
        {
            return Err(Error::Usage(format!(
                "noise_cosine: expected above 0 and at most 1, got {cosine}"
            )));
        }
        if let PrefixChoice::Projected { tau, rows } = self.prefix
            && !(tau > 0.0 && tau.is_finite() && rows > 0)
        {
            return Err(Error::Usage(format!(
                "prefix: expected a tau above 0 and at least 1 row, got {tau} and {rows}"
            )));
        }
        let amounts = [
            ("learning_rate", self.learning_rate),
            ("epsilon", self.epsilon),
            ("weight_decay", self.weight_decay),
            ("noise_variance", self.noise_variance),
            ("max_gradient_norm", self.max_gradient_norm.unwrap_or(0.0)),
        ];
        for (name, amount) in amounts {
            if !(amount.is_finite() && amount >= 0.0) {
                return Err(Error::Usage(format!(
                    "{name}: expected at least 0, got {amount}"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_survive_json() {
        let fast = TrainOptions::fast;
        for options in [
            TrainOptions::paper(),
            fast(),
            fast().robust(0.03),
            fast().capdec(),
        ] {
            options.validate().unwrap();
            let json = serde_json::to_string(&options).unwrap();
            assert_eq!(
                serde_json::from_str::<TrainOptions>(&json).unwrap(),
                options
            );
        }
    }

    #[test]
    fn senseless_knobs_are_refused_by_name() {
        type Spoil = fn(&mut TrainOptions);
        let cases: [(&str, Spoil); 8] = [
            ("prefix", |options| {
                options.prefix = PrefixChoice::Projected { tau: 0.0, rows: 9 };
            }),
            ("noise_cosine", |options| options.noise_cosine = Some(0.0)),
            ("batch_size", |options| options.batch_size = 0),
            ("max_tokens", |options| options.max_tokens = 65),
            ("dropout.residual", |options| options.dropout.residual = 1.0),
            ("learning_rate", |options| options.learning_rate = f32::NAN),
            ("noise_variance", |options| options.noise_variance = -1.0),
            ("max_steps", |options| options.max_steps = Some(0)),
        ];
        for (name, spoil) in cases {
            let mut options = TrainOptions::default();
            spoil(&mut options);
            let message = options.validate().unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }
}
