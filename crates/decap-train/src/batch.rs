//! Captions as sequences of the decoder's ids, split, shuffled and cut into batches.

use sha2::{Digest, Sha256};

use super::TrainingText;
use super::options::{LongCaptions, PrefixChoice, StartOfText, TrainOptions, VocabularyChoice};
use super::streams::{Purpose, stream};
use decap::decoder::Vocabulary;
use decap::{Error, Result};

/// What training sees of a text.
pub(super) struct Corpus {
    pub vocabulary: Vocabulary,
    pub start_token: Option<u32>,
    pub end_token: u32,
    /// The decoder's id that no prediction is learned for.
    pub ignored_token: Option<u32>,
    sequences: Vec<Sequence>,
    /// Sequences to learn from.
    pub training: Vec<usize>,
    /// Sequences to measure on.
    pub held_out: Vec<usize>,
    /// Sequences that are learned again.
    pub rehearsed: Vec<usize>,
    /// Captions that were empty, or too long and left out.
    pub left_out: usize,
}

struct Sequence {
    /// The decoder's ids: start (where there is one), words, end (where it was not cut off).
    tokens: Vec<u32>,
    /// Which row of the embeddings is its.
    row: usize,
}

impl Corpus {
    /// Maps captions to the decoder's ids and splits them.
    pub fn new(text: &TrainingText<'_>, options: &TrainOptions) -> Result<Self> {
        let vocabulary = choose_vocabulary(text, options)?;
        let known = |id: u32| {
            vocabulary.decoder_id(id).ok_or_else(|| {
                Error::Mismatch(format!(
                    "expected token ids below the {} rows of the decoder's table, got {id}",
                    vocabulary.len()
                ))
            })
        };
        let start_token = match options.start_of_text {
            StartOfText::Predicted => Some(known(text.start_token)?),
            StartOfText::Absent => None,
        };
        let end_token = known(text.end_token)?;
        let mut sequences = Vec::with_capacity(text.captions.len());
        for (row, caption) in text.captions.iter().enumerate() {
            let mut tokens: Vec<u32> = start_token.into_iter().collect();
            for &id in caption {
                tokens.push(known(id)?);
            }
            tokens.push(end_token);
            let too_long = tokens.len() > options.max_tokens;
            if caption.is_empty() || (too_long && options.long_captions == LongCaptions::LeaveOut) {
                continue;
            }
            tokens.truncate(options.max_tokens);
            sequences.push(Sequence { tokens, row });
        }
        let first_rehearsed = text.captions.len().saturating_sub(text.rehearsed);
        let (new, rehearsed): (Vec<usize>, Vec<usize>) =
            (0..sequences.len()).partition(|&index| sequences[index].row < first_rehearsed);
        let (mut held_out, mut training): (Vec<usize>, Vec<usize>) = new
            .into_iter()
            .partition(|&index| is_held_out(&sequences[index].tokens, options));
        // One sentence, however often it stands there, is for learning.
        if training.is_empty() {
            std::mem::swap(&mut held_out, &mut training);
        }
        if training.is_empty() {
            return Err(Error::Usage(format!(
                "expected captions to learn from, got none that can be used of {}",
                first_rehearsed
            )));
        }
        Ok(Self {
            start_token,
            end_token,
            ignored_token: options
                .ignored_token
                .and_then(|id| vocabulary.decoder_id(id)),
            left_out: text.captions.len() - sequences.len(),
            vocabulary,
            sequences,
            training,
            held_out,
            rehearsed,
        })
    }

    /// The order in which epoch `epoch` sees the training sequences.
    pub fn shuffled(&self, options: &TrainOptions, epoch: u64) -> Vec<usize> {
        let random = stream(options.seed, Purpose::Order, epoch, 0);
        let mut order = self.training.clone();
        for place in (1..order.len()).rev() {
            order.swap(place, random.below(place as u64, place + 1));
        }
        order
    }

    /// Adds `count` rehearsed sequences to those that step `step` learns.
    pub fn rehearse(
        &self,
        count: usize,
        options: &TrainOptions,
        step: u64,
        batch: &mut Vec<usize>,
    ) {
        let random = stream(options.seed, Purpose::Rehearsal, 2, step);
        let places = (0..count).map(|place| random.below(place as u64, self.rehearsed.len()));
        batch.extend(places.map(|place| self.rehearsed[place]));
    }

    /// The tokens of sequence `index`.
    pub fn tokens(&self, index: usize) -> &[u32] {
        &self.sequences[index].tokens
    }

    /// The row of the embeddings that sequence `index` belongs to.
    pub fn row(&self, index: usize) -> usize {
        self.sequences[index].row
    }

    /// A batch of sequences with their embeddings as prefixes.
    pub fn batch(&self, text: &TrainingText<'_>, indices: &[usize]) -> Batch {
        let width = text.embeddings.width();
        let mut prefixes = vec![0.0; indices.len() * width];
        for (&index, prefix) in indices.iter().zip(prefixes.chunks_exact_mut(width)) {
            text.embeddings.copy_row(self.sequences[index].row, prefix);
        }
        Batch::new(prefixes, indices.iter().map(|&index| self.tokens(index)))
    }

    /// A hash of what is learned, so that a checkpoint is not resumed on other captions.
    pub fn fingerprint(&self, text: &TrainingText<'_>) -> String {
        let mut hasher = Sha256::new();
        let mut row = vec![0.0; text.embeddings.width()];
        hasher.update((row.len() as u64).to_le_bytes());
        // All tokens, and a thousand of the embeddings, which are of one encoder or are not.
        let stride = self.sequences.len().div_ceil(1000).max(1);
        for (index, sequence) in self.sequences.iter().enumerate() {
            hasher.update((sequence.tokens.len() as u64).to_le_bytes());
            sequence
                .tokens
                .iter()
                .for_each(|token| hasher.update(token.to_le_bytes()));
            if index % stride == 0 {
                text.embeddings.copy_row(sequence.row, &mut row);
                row.iter()
                    .for_each(|value| hasher.update(value.to_le_bytes()));
            }
        }
        hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Sequences end to end without padding: `rows` positions in all.
///
/// Each sequence reads its prefix, then its tokens but the last; at each position it predicts
/// the token that comes next. No position is spent on padding, so batches need no buckets.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// `[sequences, prefix_width]`
    pub prefixes: Vec<f32>,
    /// What each position reads, `[rows]`; the value at a prefix's position is of no meaning.
    pub inputs: Vec<u32>,
    /// What each position predicts, `[rows]`.
    pub targets: Vec<u32>,
    /// Positions of each sequence, `[sequences]`.
    pub lengths: Vec<usize>,
}

impl Batch {
    /// A batch of `prefixes` `[sequences, prefix_width]` and as many sequences.
    pub fn new<'t>(prefixes: Vec<f32>, sequences: impl Iterator<Item = &'t [u32]>) -> Self {
        let (mut inputs, mut targets, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for tokens in sequences {
            inputs.push(u32::MAX);
            inputs.extend_from_slice(&tokens[..tokens.len().saturating_sub(1)]);
            targets.extend_from_slice(tokens);
            lengths.push(tokens.len());
        }
        Self {
            prefixes,
            inputs,
            targets,
            lengths,
        }
    }

    /// Positions in all.
    pub fn rows(&self) -> usize {
        self.inputs.len()
    }

    /// Each position's place in its sequence.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        self.lengths.iter().flat_map(|&length| 0..length)
    }

    /// Adds Gaussian noise to the prefixes and normalises them again: CapDec's `noise_injection`. Before a
    /// projection it is of a variance drawn for each caption.
    pub fn add_noise(&mut self, prefix_width: usize, options: &TrainOptions, step: u64) {
        let variance = options.noise_variance_at(prefix_width);
        if variance == 0.0 {
            return;
        }
        let amount = stream(options.seed, Purpose::NoiseAmount, step, 0);
        let random = stream(options.seed, Purpose::Noise, step, 0);
        let mut index = 0;
        for (place, prefix) in (0..).zip(self.prefixes.chunks_exact_mut(prefix_width)) {
            let deviation = match options.prefix {
                PrefixChoice::Own => variance.sqrt(),
                PrefixChoice::Projected { .. } => (variance * amount.uniform(place)).sqrt(),
            };
            let mut squares = 0.0;
            for value in prefix.iter_mut() {
                let noisy = f64::from(*value) + deviation * random.gaussian(index);
                squares += noisy * noisy;
                *value = noisy as f32;
                index += 1;
            }
            let norm = squares.sqrt().max(f64::MIN_POSITIVE);
            prefix
                .iter_mut()
                .for_each(|value| *value = (f64::from(*value) / norm) as f32);
        }
    }
}

fn choose_vocabulary(text: &TrainingText<'_>, options: &TrainOptions) -> Result<Vocabulary> {
    match options.vocabulary {
        VocabularyChoice::Rows(rows) => Ok(Vocabulary::identity(rows)),
        VocabularyChoice::Corpus | VocabularyChoice::Learned(_) => {
            let start = match options.start_of_text {
                StartOfText::Predicted => Some(text.start_token),
                StartOfText::Absent => None,
            };
            let words = text.captions.iter().flatten().copied();
            Vocabulary::compact(words.chain(start).chain([text.end_token]))
        }
    }
}

/// The split is by content, so that a caption that occurs twice never lies on both sides.
fn is_held_out(tokens: &[u32], options: &TrainOptions) -> bool {
    let mut hasher = Sha256::new();
    hasher.update(options.seed.to_le_bytes());
    tokens
        .iter()
        .for_each(|token| hasher.update(token.to_le_bytes()));
    let digest = hasher.finalize();
    let share = digest
        .iter()
        .take(8)
        .rev()
        .fold(0.0, |share, &byte| (share + f64::from(byte)) / 256.0);
    share < f64::from(options.held_out)
}
