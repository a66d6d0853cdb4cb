//! Every knob of aligning.

use serde::{Deserialize, Serialize};

use decap::encoder::{ImageViews, REFERENCE_TAU};
use decap::{Error, Result};

/// Every knob of aligning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AlignOptions {
    /// A name for the encoder.
    pub name: String,
    /// Width of the shared space.
    pub width: usize,
    /// Hidden units beside the image head's linear map; 0 for a linear head.
    pub image_hidden: usize,
    /// Hidden units beside the text head's linear map; 0 for a linear head.
    pub text_hidden: usize,
    /// Views of a photo to learn from: 1 the photo, 2 its mirror image too, more: parts of it.
    pub views: usize,
    /// Views of a photo that the finished encoder averages.
    pub image_views: ImageViews,
    /// Photos a step.
    pub batch: usize,
    /// Captions of other photos that each step's photos are told apart from besides the batch's
    /// own; more make the nearest sentence a better one.
    pub negatives: usize,
    /// Passes over the photos.
    pub epochs: usize,
    /// Passes without a better recall on the development photos after which learning ends.
    pub patience: Option<usize>,
    /// The largest learning rate.
    pub learning_rate: f32,
    /// Share of the steps in which the learning rate rises; then it falls as a cosine to 0.
    pub warmup_share: f32,
    /// Decoupled weight decay, on matrices.
    pub weight_decay: f32,
    /// Share of features and hidden units that dropout zeroes.
    pub dropout: f32,
    /// The scale of the logits at the beginning; one over the temperature.
    pub logit_scale: f32,
    /// The largest scale of the logits (CLIP's is 100).
    pub max_logit_scale: f32,
    /// How often a class photo is seen in a pass; 0 leaves class photos out.
    pub class_repeats: usize,
    /// Share of the photos set aside for development where none is marked so.
    pub dev_share: f32,
    /// The softmax temperature that the encoder recommends for projections.
    pub tau: f32,
    /// Seeds everything that is random.
    pub seed: u64,
}

impl Default for AlignOptions {
    fn default() -> Self {
        Self {
            name: "aligned".into(),
            width: 256,
            image_hidden: 512,
            text_hidden: 0,
            views: 2,
            image_views: ImageViews::Plain,
            batch: 256,
            negatives: 0,
            epochs: 25,
            patience: None,
            learning_rate: 2e-3,
            warmup_share: 0.1,
            weight_decay: 0.05,
            dropout: 0.3,
            logit_scale: 14.3, // CLIP's start, 1 / 0.07
            max_logit_scale: 100.0,
            class_repeats: 1,
            dev_share: 0.05,
            tau: REFERENCE_TAU,
            seed: 0,
        }
    }
}

impl AlignOptions {
    /// Checks that the options make sense.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the first that does not.
    pub fn validate(&self) -> Result<()> {
        const MOST: usize = 1 << 16;
        let counts = [
            ("width", self.width, 1, MOST),
            ("image_hidden", self.image_hidden, 0, MOST),
            ("text_hidden", self.text_hidden, 0, MOST),
            ("views", self.views, 1, 64),
            ("batch", self.batch, 2, MOST),
            ("negatives", self.negatives, 0, MOST),
            ("epochs", self.epochs, 1, 1 << 20),
            ("class_repeats", self.class_repeats, 0, 1000),
        ];
        for (name, value, least, most) in counts {
            if !(least..=most).contains(&value) {
                let message = format!("`{name}`: expected {least} to {most}, got {value}");
                return Err(Error::Usage(message));
            }
        }
        if self.image_views == ImageViews::Mirrored && self.views < 2 {
            return Err(Error::Usage(
                "`image_views`: mirrored needs at least 2 `views`".into(),
            ));
        }
        let numbers = [
            ("learning_rate", self.learning_rate, 0.0, 10.0),
            ("warmup_share", self.warmup_share, 0.0, 1.0),
            ("weight_decay", self.weight_decay, 0.0, 10.0),
            ("dropout", self.dropout, 0.0, 0.95),
            ("logit_scale", self.logit_scale, 1e-3, 1e4),
            (
                "max_logit_scale",
                self.max_logit_scale,
                self.logit_scale,
                1e4,
            ),
            ("dev_share", self.dev_share, 0.0, 0.9),
            ("tau", self.tau, f32::MIN_POSITIVE, 1e3),
        ];
        for (name, value, least, most) in numbers {
            if !(least..=most).contains(&value) {
                let message = format!("`{name}`: expected {least} to {most}, got {value}");
                return Err(Error::Usage(message));
            }
        }
        Ok(())
    }
}
