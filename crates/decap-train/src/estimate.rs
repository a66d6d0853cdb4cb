//! How long a training will take, by a look at its first captions.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::model::tokenizer_for;
use super::{ModelRecipe, StepTimer, VocabularyChoice};
use decap::decoder::DecoderConfig;
use decap::encoder::Encoder;
use decap::{Error, Result};

/// Captions that are tokenized: enough for their mean length and for most words.
const TOKENIZED: usize = 4096;
/// Captions that are embedded.
const EMBEDDED: usize = 32;

/// How long the parts of a training will take on this machine, about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// To embed all captions, where the cache holds none of them.
    pub embedding: Duration,
    /// To learn.
    pub training: Duration,
    /// Steps of learning.
    pub steps: u64,
}

impl Estimate {
    /// Steps that a training on so many captions takes, about: which captions are held out or too long is
    /// not looked at.
    pub fn steps_of(captions: usize, recipe: &ModelRecipe) -> u64 {
        let options = &recipe.train;
        let learned = captions as f64 * (1.0 - f64::from(options.held_out));
        let new_in_batch = match recipe.foundation {
            Some(_) => options.batch_size - options.rehearsed_in_batch(),
            None => options.batch_size,
        };
        let steps_per_epoch = (learned / new_in_batch.max(1) as f64).floor();
        let steps = (steps_per_epoch as u64).saturating_mul(options.epochs as u64);
        options.max_steps.unwrap_or(steps.max(options.least_steps))
    }
}

/// Times the embedding of some of `captions` and one step of a decoder of random weights in the shape that
/// `recipe` asks for. It takes as long as three steps, and as much memory as training; nothing of it stays.
///
/// # Errors
/// [`Error::Usage`] where there is no caption or the options make no sense; what the encoder says.
pub fn estimate(encoder: &Encoder, captions: &[String], recipe: &ModelRecipe) -> Result<Estimate> {
    let options = &recipe.train;
    options.validate()?;
    let none = || Error::Usage("expected captions to learn from, got none".to_owned());
    let sample: Vec<&str> = spread(captions, TOKENIZED);
    let tokenizer = tokenizer_for(encoder, &sample, options)?;
    let tokens = tokenizer.encode_batch(&sample)?;
    let total: usize = tokens.iter().map(Vec::len).sum();
    let mean = total.checked_div(tokens.len()).ok_or_else(none)?;
    // With start and end, as far as they are learned.
    let length = (mean + 2).clamp(2, options.max_tokens.max(2));
    let distinct: HashSet<u32> = tokens.into_iter().flatten().collect();
    let vocabulary_size = match options.vocabulary {
        VocabularyChoice::Corpus | VocabularyChoice::Learned(_) => distinct.len() + 2,
        VocabularyChoice::Rows(rows) => rows,
    };

    let few: Vec<&str> = spread(captions, EMBEDDED);
    // The first opens the text tower.
    encoder.encode_texts(&few[..1])?;
    let began = Instant::now();
    encoder.encode_texts(&few)?;
    let embedding = began.elapsed().div_f64(few.len() as f64);

    let config = DecoderConfig {
        vocabulary_size,
        prefix_width: encoder.width(),
        width: options.width,
        num_layers: options.num_layers,
        num_heads: options.num_heads,
        num_positions: options.num_positions,
        start_token: None,
        end_token: 0,
        ..DecoderConfig::default()
    };
    let batch = options.batch_size.min(captions.len());
    let mut timer = StepTimer::new(&config, options.clone(), batch, length)?;
    // The first step maps memory.
    timer.step();
    let began = Instant::now();
    timer.step();
    let steps = Estimate::steps_of(captions.len(), recipe);
    Ok(Estimate {
        embedding: times(embedding, captions.len() as f64),
        training: times(began.elapsed(), steps as f64),
        steps,
    })
}

/// At most `count` of the captions, from all over.
fn spread(captions: &[String], count: usize) -> Vec<&str> {
    let every = captions.len().div_ceil(count).max(1);
    let spread = captions.iter().step_by(every);
    spread.map(|caption| caption.trim()).collect()
}

fn times(one: Duration, count: f64) -> Duration {
    Duration::try_from_secs_f64(one.as_secs_f64() * count).unwrap_or(Duration::MAX)
}
