//! All ways in which words and phrases of two captions match.

use super::corpus_phrases::CorpusPhrases;
use super::lexicon::{Caption, Lexicon, PhraseAt};

/// The stages, in order: exact words, stems, synonyms, paraphrases.
pub(crate) const NUM_STAGES: usize = 4;
const EXACT: u8 = 0;
const STEM: u8 = 1;
const SYNONYM: u8 = 2;
const PARAPHRASE: u8 = 3;

/// A match of words of the prediction with words of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) stage: u8,
    /// First word in the reference.
    pub(crate) reference_start: u32,
    /// Words in the reference.
    pub(crate) reference_len: u32,
    /// First word in the prediction.
    pub(crate) prediction_start: u32,
    /// Words in the prediction.
    pub(crate) prediction_len: u32,
}

impl Match {
    fn word(stage: u8, reference: usize, prediction: usize) -> Self {
        Self {
            stage,
            reference_start: reference as u32,
            reference_len: 1,
            prediction_start: prediction as u32,
            prediction_len: 1,
        }
    }

    /// Its words in the reference.
    pub(crate) fn reference_words(&self) -> std::ops::Range<usize> {
        self.reference_start as usize..(self.reference_start + self.reference_len) as usize
    }

    /// Its words in the prediction.
    pub(crate) fn prediction_words(&self) -> std::ops::Range<usize> {
        self.prediction_start as usize..(self.prediction_start + self.prediction_len) as usize
    }
}

/// Finds matches of one prediction with its references, one after the other.
#[derive(Default)]
pub(crate) struct MatchFinder {
    round: u32,
    /// For each synonym set: in which round a prediction had it last, and at which of its words.
    sets: Vec<(u32, u64)>,
    /// For each phrase of predictions: in which round one had it last.
    phrases: Vec<u32>,
    /// Phrases of the prediction with paraphrases in the reference: both places, and between them
    /// the paraphrase's place in its list.
    paraphrased: Vec<(u32, u32, u32)>,
}

impl MatchFinder {
    /// Takes the prediction whose matches are to be found.
    pub(crate) fn begin(
        &mut self,
        prediction: &Caption,
        lexicon: &Lexicon,
        phrases: &CorpusPhrases,
    ) {
        let is_new = self.sets.len() != lexicon.num_synonym_sets
            || self.phrases.len() != phrases.num_in_predictions();
        if is_new || self.round == u32::MAX {
            self.sets = vec![(0, 0); lexicon.num_synonym_sets];
            self.phrases = vec![0; phrases.num_in_predictions()];
            self.round = 0;
        }
        self.round += 1;
        for (place, &word) in prediction.words.iter().enumerate().take(64) {
            for &set in &lexicon.word(word).synonym_sets {
                let (round, places) = &mut self.sets[set as usize];
                if *round != self.round {
                    (*round, *places) = (self.round, 0);
                }
                *places |= 1 << place;
            }
        }
        for place in &prediction.phrases {
            self.phrases[place.phrase as usize] = self.round;
        }
    }

    /// The matches that start at each word of the reference, `[reference words]`, in the order in
    /// which the reference implementation finds them: the search breaks ties by it.
    ///
    /// The prediction is the one of [`Self::begin`].
    pub(crate) fn matches(
        &mut self,
        prediction: &Caption,
        reference: &Caption,
        lexicon: &Lexicon,
        phrases: &CorpusPhrases,
    ) -> Vec<Vec<Match>> {
        let mut found: Vec<Vec<Match>> = vec![Vec::new(); reference.words.len()];
        words(prediction, reference, &mut found, EXACT, |a, b| a == b);
        if prediction.words == reference.words {
            // Other matches of equal captions would only mislead the search.
            return found;
        }
        words(prediction, reference, &mut found, STEM, |a, b| {
            a != b && lexicon.word(a).stem == lexicon.word(b).stem
        });
        self.synonyms(prediction, reference, lexicon, &mut found);
        self.paraphrases(prediction, reference, phrases, &mut found);
        found
    }

    fn synonyms(
        &self,
        prediction: &Caption,
        reference: &Caption,
        lexicon: &Lexicon,
        found: &mut [Vec<Match>],
    ) {
        if prediction.words.len() > 64 {
            return words(prediction, reference, found, SYNONYM, |a, b| {
                a != b && intersect(&lexicon.word(a).synonym_sets, &lexicon.word(b).synonym_sets)
            });
        }
        for (j, &b) in reference.words.iter().enumerate() {
            let mut places = 0;
            for &set in &lexicon.word(b).synonym_sets {
                let (round, places_of_set) = self.sets[set as usize];
                if round == self.round {
                    places |= places_of_set;
                }
            }
            while places != 0 {
                let i = places.trailing_zeros() as usize;
                places &= places - 1;
                if prediction.words[i] != b {
                    found[j].push(Match::word(SYNONYM, j, i));
                }
            }
        }
    }

    /// Phrases of the reference whose paraphrases stand in the prediction, in the order of the
    /// phrases, of their paraphrases, of the places; then the other way around.
    fn paraphrases(
        &mut self,
        prediction: &Caption,
        reference: &Caption,
        phrases: &CorpusPhrases,
        found: &mut [Vec<Match>],
    ) {
        let places_of = |phrase: u32| {
            let places = prediction.phrases.iter().zip(0..);
            places.filter(move |(place, _)| place.phrase == phrase)
        };
        let mut push = |reference: PhraseAt, prediction: PhraseAt| {
            found[reference.start as usize].push(Match {
                stage: PARAPHRASE,
                reference_start: reference.start,
                reference_len: reference.len,
                prediction_start: prediction.start,
                prediction_len: prediction.len,
            });
        };
        self.paraphrased.clear();
        for (&place, index) in reference.phrases.iter().zip(0..) {
            for &paraphrase in phrases.paraphrases(place.phrase) {
                if self.phrases[paraphrase as usize] == self.round {
                    places_of(paraphrase).for_each(|(&other, _)| push(place, other));
                }
            }
            for &(phrase, order) in phrases.paraphrased_by(place.phrase) {
                if self.phrases[phrase as usize] == self.round {
                    let others = places_of(phrase).map(|(_, other)| (other, order, index));
                    self.paraphrased.extend(others);
                }
            }
        }
        self.paraphrased.sort_unstable();
        for &(in_prediction, _, in_reference) in &self.paraphrased {
            push(
                reference.phrases[in_reference as usize],
                prediction.phrases[in_prediction as usize],
            );
        }
    }
}

fn words(
    prediction: &Caption,
    reference: &Caption,
    found: &mut [Vec<Match>],
    stage: u8,
    is_match: impl Fn(u32, u32) -> bool,
) {
    for (j, &b) in reference.words.iter().enumerate() {
        for (i, &a) in prediction.words.iter().enumerate() {
            if is_match(a, b) {
                found[j].push(Match::word(stage, j, i));
            }
        }
    }
}

/// Whether two ascending lists share a number.
fn intersect(a: &[u32], b: &[u32]) -> bool {
    let (mut a, mut b) = (a, b);
    while let ([first, ..], [second, ..]) = (a, b) {
        match first.cmp(second) {
            std::cmp::Ordering::Less => a = &a[1..],
            std::cmp::Ordering::Greater => b = &b[1..],
            std::cmp::Ordering::Equal => return true,
        }
    }
    false
}
