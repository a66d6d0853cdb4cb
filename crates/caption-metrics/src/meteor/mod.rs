//! METEOR 1.5 for English, with all four stages: exact words, stems, synonyms, paraphrases.
//!
//! Its synonyms and paraphrases are data that this crate does not hold: [`prepare`] makes one
//! file of them out of an installed pycocoevalcap, [`Meteor::open`] reads it. Without the file
//! there is no METEOR score; it is never computed with fewer stages.

mod align;
mod corpus_phrases;
mod lexicon;
mod matches;
mod normalize;
mod prepare;
mod resources;
mod statistics;

pub use prepare::{Prepared, prepare};

use crate::error::Error;
use corpus_phrases::CorpusPhrases;
use lexicon::{Caption, Lexicon, LexiconBuilder};
use matches::MatchFinder;
use normalize::{Prefixes, normalize};
use rayon::prelude::*;
use resources::{PrefixCache, Resources};
use std::path::Path;
use std::sync::Arc;

pub(crate) use statistics::MeteorStatistics;

/// The most words of a caption that METEOR reads.
///
/// The search takes time with the product of both captions' lengths; the reference has no
/// limit, and no end on such captions.
pub(crate) const MAX_WORDS: usize = 1000;

/// How many images one task takes at least: each makes tables of its own.
const MIN_IMAGES_PER_TASK: usize = 128;

/// METEOR's data, ready to score with; clones share it.
#[derive(Clone, Debug)]
pub struct Meteor {
    resources: Arc<Resources>,
    prefixes: Arc<Prefixes>,
}

impl Meteor {
    /// Reads a file that [`prepare`] made.
    ///
    /// # Errors
    /// The file cannot be read, is of another kind or version, or damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let resources = Resources::read(path.as_ref())?;
        let prefixes = Arc::new(Prefixes::new(&resources.prefixes));
        Ok(Self {
            resources: Arc::new(resources),
            prefixes,
        })
    }

    /// Statistics of each image's prediction with the reference that suits it best,
    /// `[images]`, and how many captions were cut at [`MAX_WORDS`].
    ///
    /// Captions are tokenized; `references` is `[images][references]`.
    pub(crate) fn statistics(
        &self,
        predictions: &[String],
        references: &[Vec<String>],
    ) -> (Vec<MeteorStatistics>, usize) {
        let words = |caption: &String| normalize(caption, &self.prefixes);
        let prediction_words: Vec<Vec<String>> =
            // pycocoevalcap takes its separator out of predictions.
            predictions.par_iter().map(|caption| words(&caption.replace("|||", ""))).collect();
        let reference_words: Vec<Vec<Vec<String>>> = references
            .par_iter()
            .map(|captions| captions.iter().map(words).collect())
            .collect();

        let mut num_cut = 0;
        let mut builder = LexiconBuilder::new(&self.resources);
        let mut indices = |mut words: Vec<String>| {
            num_cut += usize::from(words.len() > MAX_WORDS);
            words.truncate(MAX_WORDS);
            builder.indices(words)
        };
        let predictions: Vec<Vec<u32>> = prediction_words.into_iter().map(&mut indices).collect();
        let references: Vec<Vec<Vec<u32>>> = reference_words
            .into_iter()
            .map(|captions| captions.into_iter().map(&mut indices).collect())
            .collect();
        let lexicon = builder.finish();
        let phrases = &self.resources.phrases;
        let caption = |cache: &mut PrefixCache, words| lexicon.caption(words, phrases, cache);
        let mut captions: Vec<(Caption, Vec<Caption>)> = predictions
            .into_par_iter()
            .zip(references)
            .with_min_len(MIN_IMAGES_PER_TASK)
            .map_init(PrefixCache::default, |cache, (prediction, references)| {
                let references = references.into_iter().map(|words| caption(cache, words));
                let references = references.collect();
                (caption(cache, prediction), references)
            })
            .collect();
        let phrases = CorpusPhrases::renumber(&mut captions, phrases);
        let statistics = captions
            .into_par_iter()
            .with_min_len(MIN_IMAGES_PER_TASK)
            .map_init(MatchFinder::default, |finder, (prediction, references)| {
                best(&prediction, &references, &lexicon, &phrases, finder)
            })
            .collect();
        (statistics, num_cut)
    }
}

fn best(
    prediction: &Caption,
    references: &[Caption],
    lexicon: &Lexicon,
    phrases: &CorpusPhrases,
    finder: &mut MatchFinder,
) -> MeteorStatistics {
    finder.begin(prediction, lexicon, phrases);
    let mut best: Option<(f64, MeteorStatistics)> = None;
    for reference in references {
        let found = finder.matches(prediction, reference, lexicon, phrases);
        let alignment = align::align(&found, prediction.words.len());
        let statistics = MeteorStatistics::new(prediction, reference, &alignment, lexicon);
        let score = statistics.score();
        if best.is_none_or(|(highest, _)| score > highest) {
            best = Some((score, statistics));
        }
    }
    best.map(|(_, statistics)| statistics).unwrap_or_default()
}
