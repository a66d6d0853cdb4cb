//! From an alignment to a score (`edu.cmu.meteor.scorer.MeteorScorer` 1.5, English, task
//! "rank"); Denkowski and Lavie 2014.

use super::align::Alignment;
use super::lexicon::{Caption, Lexicon};
use super::matches::NUM_STAGES;

/// How much precision and recall weigh.
const ALPHA: f64 = 0.85;
/// How fast the penalty grows with fragmentation.
const BETA: f64 = 0.2;
/// The most that fragmentation can cost.
const GAMMA: f64 = 0.6;
/// How much content words weigh; function words weigh the rest.
const DELTA: f64 = 0.75;
/// How much a match of each stage counts.
const STAGE_WEIGHTS: [f64; NUM_STAGES] = [1.0, 0.6, 0.8, 0.6];

/// What METEOR needs to know of one caption pair, or, summed, of many.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct MeteorStatistics {
    prediction: Side,
    reference: Side,
    num_chunks: f64,
}

/// Word counts of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Side {
    num_words: f64,
    num_function_words: f64,
    /// Matched content words by stage, `[4]`.
    content: [f64; NUM_STAGES],
    /// Matched function words by stage, `[4]`.
    function: [f64; NUM_STAGES],
}

impl MeteorStatistics {
    pub(crate) fn new(
        prediction: &Caption,
        reference: &Caption,
        alignment: &Alignment,
        lexicon: &Lexicon,
    ) -> Self {
        let mut statistics = Self {
            prediction: Side::new(prediction, lexicon),
            reference: Side::new(reference, lexicon),
            num_chunks: f64::from(alignment.num_chunks),
        };
        for one in &alignment.matches {
            let stage = usize::from(one.stage);
            for &word in &prediction.words[one.prediction_words()] {
                statistics
                    .prediction
                    .count(stage, lexicon.word(word).is_function_word);
            }
            for &word in &reference.words[one.reference_words()] {
                statistics
                    .reference
                    .count(stage, lexicon.word(word).is_function_word);
            }
        }
        statistics
    }

    /// The score as a fraction; 0 where nothing matches.
    pub(crate) fn score(&self) -> f64 {
        let precision = self.prediction.weighted_matches() / self.prediction.weighted_len();
        let recall = self.reference.weighted_matches() / self.reference.weighted_len();
        let mean = 1.0 / ((1.0 - ALPHA) / precision + ALPHA / recall);
        let fragmentation = if self.is_perfect() {
            0.0
        } else {
            let num_matched = self.prediction.num_matched() + self.reference.num_matched();
            self.num_chunks / (num_matched / 2.0)
        };
        let score = mean * (1.0 - GAMMA * fragmentation.powf(BETA));
        if score.is_nan() { 0.0 } else { score.max(0.0) }
    }

    /// All words match in one run.
    fn is_perfect(&self) -> bool {
        self.prediction.num_matched() == self.prediction.num_words
            && self.reference.num_matched() == self.reference.num_words
            && self.num_chunks == 1.0
    }
}

impl std::ops::AddAssign for MeteorStatistics {
    fn add_assign(&mut self, other: Self) {
        self.prediction.add(&other.prediction);
        self.reference.add(&other.reference);
        // The one chunk of a perfect match is no fragmentation.
        if !other.is_perfect() {
            self.num_chunks += other.num_chunks;
        }
    }
}

impl Side {
    fn new(caption: &Caption, lexicon: &Lexicon) -> Self {
        let is_function = |word: &&u32| lexicon.word(**word).is_function_word;
        Self {
            num_words: caption.words.len() as f64,
            num_function_words: caption.words.iter().filter(is_function).count() as f64,
            ..Self::default()
        }
    }

    fn count(&mut self, stage: usize, is_function_word: bool) {
        let counts = if is_function_word {
            &mut self.function
        } else {
            &mut self.content
        };
        counts[stage] += 1.0;
    }

    fn num_matched(&self) -> f64 {
        self.content.iter().sum::<f64>() + self.function.iter().sum::<f64>()
    }

    fn weighted_len(&self) -> f64 {
        DELTA * (self.num_words - self.num_function_words) + (1.0 - DELTA) * self.num_function_words
    }

    /// Summed term by term in the reference implementation's order: which of two references
    /// suits better can hang on the last bit.
    fn weighted_matches(&self) -> f64 {
        let weighted = |counts: &[f64; NUM_STAGES], weight: f64| -> [f64; NUM_STAGES] {
            std::array::from_fn(|stage| counts[stage] * STAGE_WEIGHTS[stage] * weight)
        };
        let content = weighted(&self.content, DELTA);
        let function = weighted(&self.function, 1.0 - DELTA);
        content
            .into_iter()
            .chain(function)
            .fold(0.0, |sum, term| sum + term)
    }

    fn add(&mut self, other: &Self) {
        self.num_words += other.num_words;
        self.num_function_words += other.num_function_words;
        for stage in 0..NUM_STAGES {
            self.content[stage] += other.content[stage];
            self.function[stage] += other.function[stage];
        }
    }
}
