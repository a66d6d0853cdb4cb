//! CLIP's text tower: a causal transformer whose end-of-text token is the text's.

use decap_kernels::{Epilogue, Mask, PackedMatrix, linear, on_pool};

use super::config::{ClipConfig, TextConfig, TextPooling};
use super::names::Tower;
use super::tensors::TensorReader;
use super::transformer::{LayerNorm, Stage, Transformer};
use crate::encoder::{TextTower, TooLong};
use crate::error::{Error, Result};
use crate::tokenizer::clip::ClipTokenizer;

/// Rows of the transformer that are computed at once; bounds the memory of a large batch.
const MAX_ROWS: usize = 4096;

/// CLIP's text tower, tokenizer and projection included.
///
/// A text is computed on its own tokens alone. The reference pads it to 77 with zeros behind the
/// end-of-text token; in a causal transformer no token sees those after it, so the result is the same.
#[derive(Debug)]
pub struct ClipTextTower {
    config: TextConfig,
    width: usize,
    tokenizer: ClipTokenizer,
    too_long: TooLong,
    /// `[vocabulary, width]`.
    token_embedding: Vec<f32>,
    /// `[context, width]`.
    positions: Vec<f32>,
    transformer: Transformer,
    norm_after: LayerNorm,
    /// `[width, shared width]`.
    projection: PackedMatrix,
}

impl ClipTextTower {
    pub(super) fn read(
        reader: &TensorReader<'_>,
        config: &ClipConfig,
        tokenizer: ClipTokenizer,
    ) -> Result<Self> {
        let text = config.text.clone();
        let width = text.transformer.width;
        let epsilon = text.transformer.layer_norm_epsilon;
        let table = [text.vocabulary_size, width];
        let token_embedding = reader.outer("token_embedding.weight", &table)?.into_owned();
        reader
            .source
            .release(&reader.naming.outer("token_embedding.weight"));
        let positions = reader.outer("positional_embedding", &[text.context_length, width])?;
        Ok(Self {
            width: config.width,
            tokenizer,
            too_long: TooLong::default(),
            token_embedding,
            positions: positions.into_owned(),
            transformer: reader.transformer(Tower::Text, &text.transformer)?,
            norm_after: reader.layer_norm("ln_final", width, epsilon)?,
            projection: reader.projection("text_projection", width, config.width)?,
            config: text,
        })
    }

    /// The same tower that cuts, or refuses, texts of too many tokens.
    #[must_use]
    pub fn with_too_long(mut self, too_long: TooLong) -> Self {
        self.too_long = too_long;
        self
    }

    /// The features `[texts, width]` of texts given as token ids, start and end among them.
    ///
    /// # Errors
    /// [`Error::Usage`] where a text is empty, longer than the context, or has an unknown id.
    pub fn forward_ids(&self, texts: &[Vec<u32>]) -> Result<Vec<f32>> {
        for ids in texts {
            let is_known = ids
                .iter()
                .all(|&id| (id as usize) < self.config.vocabulary_size);
            if ids.is_empty() || ids.len() > self.config.context_length || !is_known {
                return Err(Error::Usage(format!(
                    "expected 1 to {} token ids below {}, got {} up to {:?}",
                    self.config.context_length,
                    self.config.vocabulary_size,
                    ids.len(),
                    ids.iter().max()
                )));
            }
        }
        Ok(on_pool(|| {
            let mut features = Vec::with_capacity(texts.len() * self.width);
            let mut rest = texts;
            while !rest.is_empty() {
                let mut rows = 0;
                let fits = |ids: &&Vec<u32>| {
                    rows += ids.len();
                    rows <= MAX_ROWS
                };
                let count = rest.iter().take_while(fits).count().max(1);
                let (chunk, after) = rest.split_at(count);
                features.extend(self.forward_observed(chunk, &mut |_, _| {}));
                rest = after;
            }
            features
        }))
    }

    /// As [`ClipTextTower::forward_ids`] for checked ids; `observe` sees the stages.
    pub(super) fn forward_observed(
        &self,
        texts: &[Vec<u32>],
        observe: &mut dyn FnMut(Stage, &[f32]),
    ) -> Vec<f32> {
        let width = self.config.transformer.width;
        let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
        let mut tokens = Vec::with_capacity(lengths.iter().sum::<usize>() * width);
        for ids in texts {
            for (&id, position) in ids.iter().zip(self.positions.chunks_exact(width)) {
                let start = id as usize * width;
                let token = &self.token_embedding[start..start + width];
                tokens.extend(token.iter().zip(position).map(|(a, b)| a + b));
            }
        }
        observe(Stage::Embedded, &tokens);
        self.transformer
            .forward(&mut tokens, &lengths, Mask::Causal, observe);
        let mut ends = Vec::with_capacity(texts.len() * width);
        let mut first_row = 0;
        for (ids, length) in texts.iter().zip(&lengths) {
            let start = (first_row + self.end_position(ids)) * width;
            ends.extend_from_slice(&tokens[start..start + width]);
            first_row += length;
        }
        let mut pooled = vec![0.0; ends.len()];
        self.norm_after.forward(&ends, &mut pooled);
        observe(Stage::Pooled, &pooled);
        let mut features = vec![0.0; texts.len() * self.width];
        linear(
            &pooled,
            &self.projection,
            Epilogue::default(),
            &mut features,
        );
        features
    }

    /// The token whose output is the text's; the first where there is none, as the reference's argmax.
    fn end_position(&self, ids: &[u32]) -> usize {
        let end = match self.config.pooling {
            TextPooling::LargestId => ids.iter().max().copied().unwrap_or(0),
            TextPooling::FirstOf(id) => id,
        };
        ids.iter().position(|&id| id == end).unwrap_or(0)
    }
}

impl TextTower for ClipTextTower {
    fn width(&self) -> usize {
        self.width
    }

    fn forward(&self, texts: &[&str]) -> Result<Vec<f32>> {
        let tokenize = |text: &&str| {
            self.tokenizer
                .tokenize(text, self.config.context_length, self.too_long)
        };
        let ids: Vec<Vec<u32>> = {
            use rayon::prelude::*;
            texts.par_iter().map(tokenize).collect::<Result<_>>()?
        };
        self.forward_ids(&ids)
    }
}
