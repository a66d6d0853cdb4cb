//! What a new captioner makes of captions that it has not learned, beside what could be had without it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use caption_words::{DocumentCounts, NgramCounts, Vocabulary, WeightedNgrams, words};
use decap::memory::{Memory, MemoryOptions, TextEmbeddings};
use decap::{Captioner, Embeddings, Method, Result};

use crate::streams::{Purpose, stream};

/// Captions tried, at most.
const MOST: usize = 200;
/// Captions that the memory holds, at most.
const MOST_REMEMBERED: usize = 20_000;
/// Fewer tell nothing.
const FEWEST: usize = 5;
/// How near a query is to its caption: as photos' projections are to their captions, .64 to .66 in cosine,
/// where a caption's own would be far nearer.
const COSINE: f64 = 0.65;

/// CIDEr-D, in hundredths, of what is written for held-out captions, each against its own one. A query is a
/// point near the caption's embedding, as a photo's would be; the memory is captions that were learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// Captions tried.
    pub captions: usize,
    /// What the new decoder writes.
    pub trained: f64,
    /// The nearest sentence of the memory.
    pub nearest: f64,
    /// What the decoder of another model writes from the same memory, where there is one of the encoder.
    pub swapped: Option<Swapped>,
}

/// What another decoder writes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Swapped {
    /// Its CIDEr-D.
    pub score: f64,
    /// The standard error of its difference to the new decoder, caption by caption.
    pub error: f64,
}

impl Trial {
    /// Tries `trained` and, beside it, `swapped`, a captioner of the same encoder, on `captions`, of which
    /// `held_out` are rows that were not learned; embeddings are found in the folder `cache`. `None` where too
    /// few were held out.
    ///
    /// # Errors
    /// What the captioners say.
    pub fn of(
        trained: Captioner,
        swapped: Option<Captioner>,
        captions: &[String],
        held_out: &[usize],
        cache: &Path,
    ) -> Result<Option<Self>> {
        if held_out.len() < FEWEST {
            return Ok(None);
        }
        let texts: Vec<&str> = captions.iter().map(|caption| caption.trim()).collect();
        let encoder = trained.encoder().clone();
        let goes_on = AtomicBool::new(false);
        let embeddings = TextEmbeddings::of(&encoder, &texts, Some(cache), |_| (), &goes_on)?;
        let set_aside: HashSet<usize> = held_out.iter().copied().collect();
        let learned: Vec<usize> = (0..texts.len())
            .filter(|row| !set_aside.contains(row))
            .collect();
        // Of a large text, some from all over: copies of all would take gigabytes.
        let every = learned.len().div_ceil(MOST_REMEMBERED).max(1);
        let learned: Vec<usize> = learned.into_iter().step_by(every).collect();
        let sentences: Vec<&str> = learned.iter().map(|&row| texts[row]).collect();
        let rows = rows_of(&embeddings, &learned);
        let rows = TextEmbeddings::from(&Embeddings::new(rows, embeddings.width())?);
        let memory = || {
            let options = MemoryOptions::default();
            Memory::of_texts(&encoder, &sentences, &rows, options, "captions learned")
        };

        let tried = &held_out[..held_out.len().min(MOST)];
        let queries = blurred(rows_of(&embeddings, tried), embeddings.width())?;
        let wanted: Vec<&str> = tried.iter().map(|&row| texts[row]).collect();
        let judge = Judge::of(&sentences);
        let score = |mut captioner: Captioner, method: Method| -> Result<(Captioner, Vec<f64>)> {
            captioner.set_memory(memory()?)?;
            let mut options = captioner.options();
            options.method = method;
            let (written, _) = captioner.caption_embeddings(&queries, &options)?;
            let written = written.iter().map(|caption| caption.text.as_str());
            Ok((captioner, judge.scores(written, &wanted)))
        };
        let (captioner, trained) = score(trained, Method::Projection)?;
        let (_, nearest) = score(captioner, Method::Retrieval)?;
        let swapped = match swapped {
            Some(captioner) => Some(Swapped::of(
                &score(captioner, Method::Projection)?.1,
                &trained,
            )),
            None => None,
        };
        Ok(Some(Self {
            captions: tried.len(),
            trained: mean(&trained),
            nearest: mean(&nearest),
            swapped,
        }))
    }

    /// Whether the decoder has learned to write: it comes near to the sentences that it is given.
    pub fn has_learned(&self) -> bool {
        const NEAR: f64 = 0.5;
        self.trained >= NEAR * self.nearest
    }

    /// Whether the other decoder does better, beyond chance: by more than two standard errors. Written for one
    /// caption each, both score low, and photos may say otherwise where the difference is small.
    pub fn swap_is_better(&self) -> bool {
        self.swapped
            .is_some_and(|swapped| swapped.score - self.trained > 2.0 * swapped.error)
    }
}

impl Swapped {
    /// Its scores beside those of the new decoder, for the same captions.
    fn of(scores: &[f64], trained: &[f64]) -> Self {
        let differences: Vec<f64> = scores.iter().zip(trained).map(|(a, b)| a - b).collect();
        let middle = mean(&differences);
        let squares = differences.iter().map(|one| (one - middle).powi(2));
        let count = differences.len() as f64;
        let variance = squares.sum::<f64>() / (count - 1.0).max(1.0);
        Self {
            score: mean(scores),
            error: (variance / count.max(1.0)).sqrt(),
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The rows, end to end.
fn rows_of(embeddings: &TextEmbeddings, rows: &[usize]) -> Vec<f32> {
    let width = embeddings.width();
    let mut values = vec![0.0; rows.len() * width];
    for (&row, values) in rows.iter().zip(values.chunks_exact_mut(width)) {
        embeddings.copy_row(row, values);
    }
    values
}

/// Points at about [`COSINE`] to `rows` `[rows, width]`, which are unit vectors.
fn blurred(mut rows: Vec<f32>, width: usize) -> Result<Embeddings> {
    let random = stream(0, Purpose::Noise, 0, 1);
    let deviation = (COSINE.powi(-2) - 1.0).sqrt() / (width as f64).sqrt();
    for (place, value) in (0..).zip(&mut rows) {
        *value += (deviation * random.gaussian(place)) as f32;
    }
    Embeddings::new(rows, width)
}

/// CIDEr-D by the words of a text.
struct Judge {
    vocabulary: Vocabulary,
    documents: DocumentCounts,
}

impl Judge {
    fn of(sentences: &[&str]) -> Self {
        let mut vocabulary = Vocabulary::default();
        let mut documents = DocumentCounts::default();
        for sentence in sentences {
            let numbers = vocabulary.numbers(words(sentence).iter().map(String::as_str));
            documents.add(&[NgramCounts::new(&numbers)]);
        }
        Self {
            vocabulary,
            documents,
        }
    }

    /// In hundredths.
    fn scores<'a>(&self, written: impl Iterator<Item = &'a str>, wanted: &[&str]) -> Vec<f64> {
        let mut vocabulary = self.vocabulary.clone();
        let mut ngrams = |text: &str| {
            let numbers = vocabulary.numbers(words(text).iter().map(String::as_str));
            WeightedNgrams::new(&NgramCounts::new(&numbers), &self.documents)
        };
        written
            .zip(wanted)
            .map(|(written, wanted)| 100.0 * ngrams(written).cider_d(&ngrams(wanted)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(trained: &[f64], swapped: &[f64]) -> Trial {
        Trial {
            captions: trained.len(),
            trained: mean(trained),
            nearest: 5.0,
            swapped: Some(Swapped::of(swapped, trained)),
        }
    }

    #[test]
    fn another_decoder_is_better_only_beyond_chance() {
        let trained = [1.0, 9.0, 2.0, 8.0, 5.0, 7.0];
        assert!(!trial(&trained, &[9.0, 1.0, 8.0, 2.0, 7.0, 8.0]).swap_is_better());
        assert!(trial(&trained, &trained.map(|one| one + 1.0)).swap_is_better());
        assert!(!trial(&trained, &trained.map(|one| one - 1.0)).swap_is_better());
    }
}
