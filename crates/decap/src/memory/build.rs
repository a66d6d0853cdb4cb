//! Building a memory: deduplicate, sample, encode.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};

use super::{Captions, EncodingProgress, Memory, MemoryDtype, MemoryInfo, Rows, TextEmbeddings};
use decap_encoder::Embeddings;
use decap_encoder::encoder::Encoder;
use decap_encoder::{Error, Result};

/// Which captions become rows, and how rows are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryOptions {
    /// At most this many captions, drawn at random: the paper's 500,000.
    pub max_rows: usize,
    /// Seed of the draw.
    pub seed: u64,
    /// How rows are stored.
    pub dtype: MemoryDtype,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            max_rows: 500_000,
            seed: 0,
            dtype: MemoryDtype::default(),
        }
    }
}

/// Chosen captions on their way to a memory.
#[derive(Debug, Clone)]
pub struct MemoryBuilder {
    captions: Vec<String>,
    options: MemoryOptions,
}

impl MemoryBuilder {
    /// Chooses from `captions`: trimmed, without empty ones and repetitions (the first stays),
    /// at most `max_rows`, in their order.
    ///
    /// The draw takes the captions with the smallest SHA-256 of seed and text, so it
    /// depends on neither their order nor on what else is offered twice.
    ///
    /// # Errors
    /// [`Error::Usage`] where nothing is left.
    pub fn choose<S: AsRef<str>>(
        captions: impl IntoIterator<Item = S>,
        options: MemoryOptions,
    ) -> Result<Self> {
        let mut seen = HashSet::new();
        let mut chosen: Vec<String> = Vec::new();
        for caption in captions {
            let caption = caption.as_ref().trim();
            if !caption.is_empty() && seen.insert(caption.to_owned()) {
                chosen.push(caption.to_owned());
            }
        }
        if chosen.len() > options.max_rows {
            let drawn = draw(chosen.len(), options.max_rows, options.seed, |i| &chosen[i]);
            chosen = drawn
                .into_iter()
                .map(|i| std::mem::take(&mut chosen[i]))
                .collect();
        }
        if chosen.is_empty() {
            return Err(Error::Usage(
                "a memory needs at least one caption".to_owned(),
            ));
        }
        Ok(Self {
            captions: chosen,
            options,
        })
    }

    /// The chosen captions, to be encoded in this order.
    pub fn captions(&self) -> &[String] {
        &self.captions
    }

    /// Finishes the memory with the captions' embeddings `[captions, width]`, in order.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where their number differs.
    pub fn finish(self, embeddings: &Embeddings, info: MemoryInfo) -> Result<Memory> {
        let rows = Rows::quantise(embeddings, self.options.dtype);
        Memory::new(rows, Captions::from_sentences(&self.captions), info)
    }
}

impl Memory {
    /// Builds a memory from `captions` with `encoder`; `source` says in words where they come from.
    /// Their embeddings are kept in the folder `cache`, where one is given.
    ///
    /// Captions that all go into the memory are embedded in the order in which training does it, so
    /// that the one finds what the other left in the cache.
    ///
    /// # Errors
    /// As [`TextEmbeddings::of`] and [`MemoryBuilder::choose`].
    pub fn build(
        encoder: &Encoder,
        captions: &[impl AsRef<str>],
        options: MemoryOptions,
        source: &str,
        cache: Option<&Path>,
        progress: impl FnMut(EncodingProgress),
        stop: &AtomicBool,
    ) -> Result<Self> {
        let all: Vec<&str> = captions.iter().map(|it| it.as_ref().trim()).collect();
        if all.len() <= options.max_rows {
            let embeddings = TextEmbeddings::of(encoder, &all, cache, progress, stop)?;
            return Self::of_texts(encoder, &all, &embeddings, options, source);
        }
        let chosen = MemoryBuilder::choose(&all, options.clone())?;
        let drawn: Vec<&str> = chosen.captions().iter().map(String::as_str).collect();
        let embeddings = TextEmbeddings::of(encoder, &drawn, cache, progress, stop)?;
        Self::of_texts(encoder, &drawn, &embeddings, options, source)
    }

    /// The memory of trimmed `texts` with these embeddings by `encoder`, as `source` calls them.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is no text, [`Error::Mismatch`] where their numbers differ.
    pub fn of_texts(
        encoder: &Encoder,
        texts: &[&str],
        embeddings: &TextEmbeddings,
        options: MemoryOptions,
        source: &str,
    ) -> Result<Self> {
        if texts.len() != embeddings.len() || embeddings.width() != encoder.width() {
            return Err(Error::Mismatch(format!(
                "expected {} embeddings of width {}, got {} of width {}",
                texts.len(),
                encoder.width(),
                embeddings.len(),
                embeddings.width()
            )));
        }
        let chosen = MemoryBuilder::choose(texts, options)?;
        let index_of: HashMap<&str, usize> = texts.iter().copied().zip(0..).collect();
        let mut rows = vec![0.0; chosen.captions().len() * encoder.width()];
        for (caption, row) in chosen
            .captions()
            .iter()
            .zip(rows.chunks_exact_mut(encoder.width()))
        {
            embeddings.copy_row(index_of[caption.as_str()], row);
        }
        let info = MemoryInfo {
            encoder_fingerprint: encoder.fingerprint().to_owned(),
            encoder_name: encoder.name().to_owned(),
            source: source.to_owned(),
        };
        chosen.finish(&Embeddings::new(rows, encoder.width())?, info)
    }

    /// This memory and, behind its rows, the captions of `more` that it lacks, with their
    /// embeddings under the same encoder. Existing rows stay as they are, byte for byte.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where widths differ.
    pub fn extended(&self, more: &[String], embeddings: &Embeddings) -> Result<Self> {
        if embeddings.width() != self.width() || embeddings.len() != more.len() {
            return Err(Error::Mismatch(format!(
                "expected {} embeddings of width {}, got {} of width {}",
                more.len(),
                self.width(),
                embeddings.len(),
                embeddings.width()
            )));
        }
        let added = Rows::quantise(embeddings, self.rows.dtype());
        let values = [self.rows.as_bytes(), added.as_bytes()].concat();
        let scales = [self.rows.scales(), added.scales()].concat();
        let rows = Rows::from_bytes(self.rows.dtype(), self.width(), values.into(), scales)
            .map_err(Error::Mismatch)?;
        let sentences = self.captions.iter().chain(more.iter().map(String::as_str));
        Self::new(rows, Captions::from_sentences(sentences), self.info.clone())
    }

    /// At most `max_rows` of its sentences, drawn as [`MemoryBuilder::choose`] draws them; with
    /// one seed, a smaller memory's sentences are among a larger one's.
    ///
    /// # Errors
    /// [`Error::Usage`] for no rows.
    pub fn sample(&self, max_rows: usize, seed: u64) -> Result<Self> {
        if max_rows >= self.len() {
            return Ok(self.clone());
        }
        let drawn = draw(self.len(), max_rows, seed, |row| self.captions.get(row));
        self.select(&drawn)
    }

    /// These of its sentences.
    pub(super) fn select(&self, rows: &[usize]) -> Result<Self> {
        let captions = Captions::from_sentences(rows.iter().map(|&row| self.captions.get(row)));
        let selected = Self::new(self.rows.select(rows), captions, self.info.clone())?;
        Ok(selected.with_precision(self.precision))
    }

    /// Those of `captions`, trimmed and without repetitions, that this memory lacks.
    pub fn missing<S: AsRef<str>>(&self, captions: impl IntoIterator<Item = S>) -> Vec<String> {
        let mut seen: HashSet<String> = self.captions.iter().map(str::to_owned).collect();
        captions
            .into_iter()
            .map(|caption| caption.as_ref().trim().to_owned())
            .filter(|caption| !caption.is_empty() && seen.insert(caption.clone()))
            .collect()
    }
}

/// The `count` of `len` captions with the smallest keys, in ascending order.
fn draw<'a>(len: usize, count: usize, seed: u64, caption: impl Fn(usize) -> &'a str) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by_cached_key(|&index| draw_key(seed, caption(index)));
    order.truncate(count);
    order.sort_unstable();
    order
}

fn draw_key(seed: u64, caption: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update(caption.as_bytes());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(captions: &[&str], max_rows: usize, seed: u64) -> Vec<String> {
        let options = MemoryOptions {
            max_rows,
            seed,
            ..MemoryOptions::default()
        };
        MemoryBuilder::choose(captions, options).unwrap().captions
    }

    #[test]
    fn captions_are_trimmed_and_kept_once() {
        assert_eq!(
            chosen(&["a dog ", "", "a cat", "a dog", "  "], 10, 0),
            ["a dog", "a cat"]
        );
    }

    #[test]
    fn the_draw_follows_its_seed_and_keeps_the_order() {
        let captions: Vec<String> = (0..100).map(|i| format!("caption {i:02}")).collect();
        let captions: Vec<&str> = captions.iter().map(String::as_str).collect();
        let first = chosen(&captions, 10, 1);
        assert_eq!(first.len(), 10);
        assert!(first.is_sorted());
        assert_eq!(first, chosen(&captions, 10, 1));
        assert_ne!(first, chosen(&captions, 10, 2));
        let reversed: Vec<&str> = captions.iter().rev().copied().collect();
        let mut reversed = chosen(&reversed, 10, 1);
        reversed.reverse();
        assert_eq!(first, reversed);
    }

    #[test]
    fn a_sample_keeps_rows_with_their_sentences_and_smaller_ones_lie_in_larger_ones() {
        let captions: Vec<String> = (0..40).map(|i| format!("caption {i:02}")).collect();
        for dtype in [MemoryDtype::F32, MemoryDtype::F16, MemoryDtype::Int8] {
            let options = MemoryOptions {
                dtype,
                ..MemoryOptions::default()
            };
            let values: Vec<f32> = (0..40 * 4).map(|i| (i as f32 * 0.7).sin()).collect();
            let embeddings = Embeddings::new(values, 4).unwrap();
            let info = MemoryInfo {
                encoder_fingerprint: "f".into(),
                encoder_name: "e".into(),
                source: "s".into(),
            };
            let chosen = MemoryBuilder::choose(&captions, options).unwrap();
            let whole = chosen.finish(&embeddings, info).unwrap();
            let (small, large) = (whole.sample(5, 3).unwrap(), whole.sample(20, 3).unwrap());
            assert_eq!((small.len(), large.len()), (5, 20));
            let large_captions: Vec<&str> = large.captions().iter().collect();
            for row in 0..small.len() {
                let caption = small.captions().get(row);
                assert!(large_captions.contains(&caption));
                let place = captions.iter().position(|c| c == caption).unwrap();
                assert_eq!(small.rows().row(row), whole.rows().row(place));
            }
            assert_eq!(whole.sample(40, 3).unwrap().len(), 40);
            assert!(whole.sample(0, 3).is_err());
        }
    }

    #[test]
    fn nothing_to_choose_from_is_an_error() {
        assert!(MemoryBuilder::choose([" "], MemoryOptions::default()).is_err());
    }
}
