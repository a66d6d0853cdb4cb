//! The support memory: sentence embeddings that photos are projected onto.

mod build;
mod captions;
mod held_out;
mod rows;
mod storage;
mod text_embeddings;

pub use build::{MemoryBuilder, MemoryOptions};
pub use captions::Captions;
pub use held_out::HeldOut;
pub use rows::{MemoryDtype, Rows};
pub use text_embeddings::{EncodingProgress, TextEmbeddings};

use sha2::{Digest, Sha256};

use decap_kernels::{on_pool, project, project_with};

use decap_encoder::Precision;
use decap_encoder::encoder::Encoder;
use decap_encoder::hexadecimal;
use decap_encoder::{Embedding, Embeddings};
use decap_encoder::{Error, Result};

/// N sentences and their embeddings under one encoder.
///
/// A photo's embedding v is projected onto the rows m_i (DeCap, equations 4 and 5):
/// `w = softmax(M v / tau)`, `p = sum w_i m_i`, normalised. No training is involved. The memory
/// carries its encoder's fingerprint: rows of another encoder mean nothing to this one.
#[derive(Debug, Clone)]
pub struct Memory {
    rows: Rows,
    captions: Captions,
    info: MemoryInfo,
    precision: Precision,
}

/// Where a memory comes from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MemoryInfo {
    /// Fingerprint of the encoder that made the rows.
    pub encoder_fingerprint: String,
    /// A name of that encoder, for messages.
    pub encoder_name: String,
    /// Where the captions came from, in words.
    pub source: String,
}

/// A memory sentence and its share in a projection: why a caption says what it says.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Evidence {
    /// The sentence.
    pub text: String,
    /// Its softmax weight, in 0..=1 over the whole memory.
    pub weight: f32,
}

/// A memory sentence found by [`Memory::search`].
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Match {
    /// The row of the memory.
    pub row: usize,
    /// The sentence.
    pub text: String,
    /// Its cosine to the query, in -1..=1.
    pub cosine: f32,
}

/// An embedding moved onto the sentences of a memory, and the sentences that carry it.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// The softmax mix of the rows, normalised.
    pub embedding: Embedding,
    /// The rows with the largest weights, heaviest first, ties by lowest row.
    pub evidence: Vec<Evidence>,
}

/// Below this number of values a projection takes no longer than a few kernel calls.
const MANY_VALUES: usize = 1 << 24;

impl Memory {
    /// Puts rows and captions together.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where their numbers differ, [`Error::Usage`] where there are none.
    pub fn new(rows: Rows, captions: Captions, info: MemoryInfo) -> Result<Self> {
        if rows.len() != captions.len() {
            return Err(Error::Mismatch(format!(
                "expected one caption a memory row, got {} captions for {} rows",
                captions.len(),
                rows.len()
            )));
        }
        if rows.is_empty() {
            return Err(Error::Usage(
                "a memory needs at least one caption".to_owned(),
            ));
        }
        Ok(Self {
            rows,
            captions,
            info,
            precision: Precision::F32,
        })
    }

    /// This memory, scanned in `precision` when many photos are projected at once.
    ///
    /// In all but f32 the scan's products are rounded, and every row that may weigh more than e^-3
    /// of the heaviest, or be among the evidence, is scored exactly after it
    /// ([`decap_kernels::project_with`]).
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// This memory with what makes many projections fast: but for f32, a copy of its rows as bytes.
    ///
    /// The copy takes about as long as ten projections and a byte a value of memory, so it is not
    /// made for a photo or two.
    #[must_use]
    pub fn ready_for_many(mut self) -> Self {
        let values = self.len() * self.width();
        if self.precision != Precision::F32 && values >= MANY_VALUES {
            self.rows = self.rows.with_byte_scan();
        }
        self
    }

    /// The number of sentences.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none; a memory that was built has some.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The width of a row.
    pub fn width(&self) -> usize {
        self.rows.width()
    }

    /// The rows.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The sentences, one a row.
    pub fn captions(&self) -> &Captions {
        &self.captions
    }

    /// A digest of its rows and sentences, hexadecimal.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.rows.dtype().name());
        for part in [self.rows.as_bytes(), self.captions.as_bytes()] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hexadecimal(&hasher.finalize())
    }

    /// Where it comes from.
    pub fn info(&self) -> &MemoryInfo {
        &self.info
    }

    /// Refuses an encoder that did not make this memory.
    ///
    /// # Errors
    /// [`Error::Mismatch`] that names both encoders.
    pub fn check_made_by(&self, encoder: &Encoder) -> Result<()> {
        match encoder.is_known_as(&self.info.encoder_fingerprint) {
            true => Ok(()),
            false => self.check_encoder(encoder.fingerprint(), encoder.name()),
        }
    }

    /// Refuses the encoder of this fingerprint where another made this memory.
    ///
    /// # Errors
    /// [`Error::Mismatch`] that names both encoders.
    pub fn check_encoder(&self, fingerprint: &str, name: &str) -> Result<()> {
        if self.info.encoder_fingerprint == fingerprint {
            return Ok(());
        }
        Err(Error::Mismatch(format!(
            "this memory was built by encoder `{}` ({}), but the encoder in use is `{name}` ({}); \
             build the memory again with this encoder from its captions",
            self.info.encoder_name,
            short(&self.info.encoder_fingerprint),
            short(fingerprint)
        )))
    }

    /// Projects each of `queries` `[queries, width]` with temperature `tau`; with the `evidence`
    /// heaviest sentences each.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for queries of another width, [`Error::Usage`] for a `tau` that is not
    /// positive, [`Error::Model`] where the rows hold values that are not numbers.
    pub fn project(
        &self,
        queries: &Embeddings,
        tau: f32,
        evidence: usize,
    ) -> Result<Vec<Projection>> {
        self.check_query(queries.width(), tau)?;
        let projected = on_pool(|| {
            project_with(
                self.precision.of_scan(),
                queries.as_slice(),
                self.rows.scan(),
                self.width(),
                tau,
                evidence,
            )
        });
        let mixed = projected.mixed.chunks_exact(self.width());
        mixed
            .zip(projected.top)
            .map(|(mixed, top)| self.projection(mixed.to_vec(), &top))
            .collect()
    }

    /// As [`Memory::project`], but onto the `top_k` rows that are nearest to each query: the softmax is over these
    /// alone. Far rows weigh little each and much together where `tau` is large or the memory is; without them a
    /// caption depends less on both.
    ///
    /// # Errors
    /// As [`Memory::project`]; [`Error::Usage`] where `top_k` is 0.
    pub fn project_onto_nearest(
        &self,
        queries: &Embeddings,
        tau: f32,
        top_k: usize,
        evidence: usize,
    ) -> Result<Vec<Projection>> {
        if top_k == 0 {
            let message = "top-k: expected at least one sentence to project onto, got 0";
            return Err(Error::Usage(message.to_owned()));
        }
        let nearest = self.weighted(queries, tau, top_k.min(self.len()))?;
        nearest
            .into_iter()
            .map(|mut nearest| {
                let sum: f32 = nearest.iter().map(|(_, weight)| weight).sum();
                let mut mixed = vec![0.0; self.width()];
                for (row, weight) in &mut nearest {
                    *weight /= sum;
                    for (mixed, value) in mixed.iter_mut().zip(self.rows.row(*row)) {
                        *mixed += *weight * value;
                    }
                }
                nearest.truncate(evidence);
                self.projection(mixed, &nearest)
            })
            .collect()
    }

    /// The embedding of `mixed` rows, with these rows as evidence.
    fn projection(&self, mixed: Vec<f32>, rows: &[(usize, f32)]) -> Result<Projection> {
        let evidence = rows.iter().map(|&(row, weight)| self.evidence(row, weight));
        Ok(Projection {
            embedding: Embedding::new(mixed).map_err(|_| self.broken_rows())?,
            evidence: evidence.collect(),
        })
    }

    /// The `count` sentences nearest to `query`, nearest first, ties by lowest row.
    ///
    /// # Errors
    /// As [`Memory::project`].
    pub fn search(&self, query: &Embedding, count: usize) -> Result<Vec<Match>> {
        let top = self.heaviest(query.as_slice(), query.width(), count)?;
        let rows = top.into_iter().flatten();
        rows.map(|(row, _)| self.matched(query, row)).collect()
    }

    /// The `count` rows nearest to each of `queries` `[queries, width]`, nearest first, ties by lowest
    /// row, with weights in proportion to exp(cosine / `tau`).
    ///
    /// # Errors
    /// As [`Memory::project`].
    pub(crate) fn weighted(
        &self,
        queries: &Embeddings,
        tau: f32,
        count: usize,
    ) -> Result<Vec<Vec<(usize, f32)>>> {
        self.check_query(queries.width(), tau)?;
        let precision = self.precision.of_scan();
        let (queries, rows, width) = (queries.as_slice(), self.rows.scan(), self.width());
        Ok(on_pool(|| project_with(precision, queries, rows, width, tau, count)).top)
    }

    /// The nearest sentence to each of `queries` `[queries, width]`, ties by lowest row.
    ///
    /// # Errors
    /// As [`Memory::project`].
    pub fn nearest(&self, queries: &Embeddings) -> Result<Vec<Match>> {
        let top = self.heaviest(queries.as_slice(), queries.width(), 1)?;
        let mut nearest = Vec::with_capacity(top.len());
        for (index, top) in top.into_iter().enumerate() {
            let query = queries.get(index).ok_or_else(|| self.broken_rows())?;
            let &(row, _) = top.first().ok_or_else(|| self.broken_rows())?;
            nearest.push(self.matched(&query, row)?);
        }
        Ok(nearest)
    }

    /// Row `row` as an embedding (widened and normalised).
    ///
    /// # Errors
    /// [`Error::Model`] where it holds values that are not numbers.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> Result<Embedding> {
        Embedding::new(self.rows.row(row)).map_err(|_| self.broken_rows())
    }

    /// The `count` rows with the largest dot products for each query, at a temperature that
    /// keeps them apart without underflow.
    fn heaviest(
        &self,
        queries: &[f32],
        width: usize,
        count: usize,
    ) -> Result<Vec<Vec<(usize, f32)>>> {
        self.check_query(width, 1.0)?;
        Ok(project(queries, self.rows.view(), width, 1.0, count).top)
    }

    fn matched(&self, query: &Embedding, row: usize) -> Result<Match> {
        let cosine = query.cosine(&self.row(row)?);
        Ok(Match {
            row,
            text: self.captions.get(row).to_owned(),
            cosine,
        })
    }

    fn check_query(&self, width: usize, tau: f32) -> Result<()> {
        if width != self.width() {
            return Err(Error::Mismatch(format!(
                "expected an embedding of the memory's width {}, got {width}",
                self.width()
            )));
        }
        if !(tau > 0.0 && tau.is_finite()) {
            return Err(Error::Usage(format!(
                "expected a temperature tau above 0, got {tau}"
            )));
        }
        Ok(())
    }

    fn evidence(&self, row: usize, weight: f32) -> Evidence {
        Evidence {
            text: self.captions.get(row).to_owned(),
            weight,
        }
    }

    fn broken_rows(&self) -> Error {
        Error::model(
            "memory.safetensors",
            "tensor `rows`: holds values that are not numbers",
        )
    }
}

/// The first characters of a fingerprint, enough to tell two apart in a message.
fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}
