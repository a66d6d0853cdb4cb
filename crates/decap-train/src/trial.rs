//! What a new captioner makes of captions that it has not learned, beside what could be had without it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use caption_words::{DocumentCounts, NgramCounts, Vocabulary, WeightedNgrams, words};
use decap::memory::{Memory, MemoryOptions, TextEmbeddings};
use decap::{Captioner, Embeddings, Method, Result};

use crate::streams::{Purpose, stream};

/// Captions tried, at most.
const MOST: usize = 100;
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
    pub swapped: Option<f64>,
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
        let score = |mut captioner: Captioner, method: Method| -> Result<(Captioner, f64)> {
            captioner.set_memory(memory()?)?;
            let mut options = captioner.options();
            options.method = method;
            let (written, _) = captioner.caption_embeddings(&queries, &options)?;
            let written = written.iter().map(|caption| caption.text.as_str());
            Ok((captioner, judge.mean(written, &wanted)))
        };
        let (captioner, trained) = score(trained, Method::Projection)?;
        let (_, nearest) = score(captioner, Method::Retrieval)?;
        let swapped = match swapped {
            Some(captioner) => Some(score(captioner, Method::Projection)?.1),
            None => None,
        };
        Ok(Some(Self {
            captions: tried.len(),
            trained,
            nearest,
            swapped,
        }))
    }

    /// Whether the decoder has learned to write: it comes near to the sentences that it is given.
    pub fn has_learned(&self) -> bool {
        const NEAR: f64 = 0.5;
        self.trained >= NEAR * self.nearest
    }

    /// Whether the other decoder does better.
    pub fn swap_is_better(&self) -> bool {
        self.swapped.is_some_and(|swapped| swapped > self.trained)
    }
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

    fn mean<'a>(&self, written: impl Iterator<Item = &'a str>, wanted: &[&str]) -> f64 {
        let mut vocabulary = self.vocabulary.clone();
        let mut ngrams = |text: &str| {
            let numbers = vocabulary.numbers(words(text).iter().map(String::as_str));
            WeightedNgrams::new(&NgramCounts::new(&numbers), &self.documents)
        };
        let sum: f64 = written
            .zip(wanted)
            .map(|(written, wanted)| ngrams(written).cider_d(&ngrams(wanted)))
            .sum();
        100.0 * sum / wanted.len().max(1) as f64
    }
}
