//! A trained decoder that training starts from, and the sentences it is not to forget.

use decap::decoder::{DecoderConfig, DecoderWeights, Vocabulary, open_weights};
use decap::encoder::Encoder;
use decap::memory::{Memory, TextEmbeddings};
use decap::model::{ModelDescription, open_tokenizer};
use decap::tokenizer::Tokenizer;
use decap::weights::Folder;
use decap::{Embeddings, Error, Result};

use crate::manner::Manner;
use crate::options::{StartOfText, TrainOptions};
use crate::streams::{Purpose, stream};

/// Sentences that are rehearsed, at most: more than a short training sees.
const MOST_REHEARSED: usize = 20_000;
/// The spread of a new token's row, as [`DecoderWeights::random`] has it.
const NEW_ROW_DEVIATION: f64 = 0.02;

/// A trained decoder that training starts from, with its vocabulary and the sentences of its memory.
///
/// The new decoder keeps its layers. Each token of the new vocabulary begins as the mean of the old tokens
/// that say the same (Gee et al., *Fast Vocabulary Transfer for Language Model Compression*, 2022), and
/// old sentences are mixed into every batch, so that what it knows of English is not forgotten (Robins,
/// *Catastrophic Forgetting, Rehearsal and Pseudorehearsal*, 1995).
#[derive(Debug)]
pub struct Foundation {
    name: String,
    weights: DecoderWeights,
    vocabulary: Vocabulary,
    tokenizer: Tokenizer,
    memory: Memory,
}

impl Foundation {
    /// Reads the model in `folder`, which must be of this `encoder`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where it is of another encoder, [`Error::Model`] and [`Error::Io`] where it cannot
    /// be read.
    pub fn open(folder: &Folder, encoder: &Encoder) -> Result<Self> {
        let name = ModelDescription::read(folder)?.name;
        let memory = Memory::open(folder)?;
        memory.check_made_by(encoder)?;
        let (weights, vocabulary) = open_weights(folder)?;
        let tokenizer = open_tokenizer(folder)?;
        let found = weights.config().prefix_width;
        if found != encoder.width() {
            return Err(Error::Mismatch(format!(
                "{}: expected a decoder for embeddings of width {}, got {found}",
                folder.path(decap::decoder::CONFIG_FILE).display(),
                encoder.width()
            )));
        }
        Ok(Self {
            name,
            weights,
            vocabulary,
            tokenizer,
            memory,
        })
    }

    /// Its name for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `options` with the shape of this decoder.
    pub(crate) fn shape_of(&self, mut options: TrainOptions) -> TrainOptions {
        let config = self.weights.config();
        options.width = config.width;
        options.num_layers = config.num_layers;
        options.num_heads = config.num_heads;
        options.num_positions = config.num_positions;
        options.max_tokens = options.max_tokens.min(config.num_positions);
        options.start_of_text = match config.start_token {
            Some(_) => StartOfText::Predicted,
            None => StartOfText::Absent,
        };
        options
    }

    /// Sentences to rehearse, written in the manner of `texts`, and their embeddings `[sentences, width]`.
    pub(crate) fn rehearsal(&self, texts: &[&str], seed: u64) -> Result<(Vec<String>, Vec<f32>)> {
        let manner = Manner::of(texts);
        let count = self.memory.len().min(MOST_REHEARSED);
        let random = stream(seed, Purpose::Rehearsal, 0, 0);
        let mut rows: Vec<usize> = (0..self.memory.len()).collect();
        let mut values = Vec::with_capacity(count * self.memory.width());
        let mut sentences = Vec::with_capacity(count);
        for place in 0..count {
            let other = place + random.below(place as u64, rows.len() - place);
            rows.swap(place, other);
            values.extend_from_slice(self.memory.row(rows[place])?.as_slice());
            sentences.push(manner.applied_to(self.memory.captions().get(rows[place])));
        }
        Ok((sentences, values))
    }

    /// The old parameters for a decoder that writes the tokens of `vocabulary`, ids of `tokenizer`.
    pub(crate) fn weights_for(
        &self,
        tokenizer: &Tokenizer,
        vocabulary: &Vocabulary,
        config: &DecoderConfig,
        seed: u64,
    ) -> Result<DecoderWeights> {
        let found = self.weights.config();
        if (found.activation, found.layer_norm_epsilon)
            != (config.activation, config.layer_norm_epsilon)
        {
            return Err(Error::Mismatch(format!(
                "{}: expected a decoder with {:?} and epsilon {}, as training makes them, got {:?} and {}",
                self.name,
                config.activation,
                config.layer_norm_epsilon,
                found.activation,
                found.layer_norm_epsilon
            )));
        }
        let mut weights = DecoderWeights::zeros(config);
        let (old, new) = (self.weights.layout(), weights.layout().clone());
        for (from, to) in old.tensors.iter().zip(&new.tensors) {
            if from.range != old.token_embedding {
                let values = &self.weights.values()[from.range.clone()];
                weights.values_mut()[to.range.clone()].copy_from_slice(values);
            }
        }
        let width = config.width;
        let random = stream(seed, Purpose::Rehearsal, 1, 0);
        let table = &self.weights.values()[old.token_embedding.clone()];
        let rows = weights.values_mut()[new.token_embedding.clone()].chunks_exact_mut(width);
        for (id, row) in (0..).zip(rows) {
            let alike = self.tokens_alike(tokenizer, vocabulary, id)?;
            for (column, value) in (0..).zip(row.iter_mut()) {
                *value = match alike.len() {
                    0 => {
                        let place = u64::from(id) * width as u64 + column as u64;
                        (random.gaussian(place) * NEW_ROW_DEVIATION) as f32
                    }
                    count => {
                        let values = alike
                            .iter()
                            .map(|&token| table[token as usize * width + column]);
                        values.sum::<f32>() / count as f32
                    }
                };
            }
        }
        Ok(weights)
    }

    /// The old decoder's tokens that say what token `id` of the new one says.
    fn tokens_alike(
        &self,
        tokenizer: &Tokenizer,
        vocabulary: &Vocabulary,
        id: u32,
    ) -> Result<Vec<u32>> {
        let Some(token) = vocabulary.tokenizer_id(id) else {
            return Ok(Vec::new());
        };
        let old = match token {
            token if token == tokenizer.end() => vec![self.tokenizer.end()],
            token if token == tokenizer.start() => vec![self.tokenizer.start()],
            token => match tokenizer.piece(token) {
                Some(text) => self.tokenizer.encode(&text)?,
                None => Vec::new(),
            },
        };
        let known = old
            .into_iter()
            .filter(|&token| Some(token) != self.tokenizer.unknown());
        Ok(known
            .filter_map(|token| self.vocabulary.decoder_id(token))
            .collect())
    }
}

/// The embeddings of captions, and behind them those of rehearsed sentences.
pub(crate) fn joined(captions: &TextEmbeddings, rehearsed: Vec<f32>) -> Result<TextEmbeddings> {
    let width = captions.width();
    let mut values = vec![0.0; captions.len() * width];
    for (index, row) in values.chunks_exact_mut(width).enumerate() {
        captions.copy_row(index, row);
    }
    values.extend(rehearsed);
    Ok((&Embeddings::new(values, width)?).into())
}
