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

/// The matches that start at each word of the reference, `[reference words]`, in the order in
/// which the reference implementation finds them: the search breaks ties by it.
pub(crate) fn matches(
    prediction: &Caption,
    reference: &Caption,
    lexicon: &Lexicon,
    phrases: &CorpusPhrases,
    finder: &mut PhraseFinder,
) -> Vec<Vec<Match>> {
    let mut found: Vec<Vec<Match>> = vec![Vec::new(); reference.words.len()];
    let is_equal = |a: u32, b: u32| a == b;
    words(prediction, reference, &mut found, EXACT, is_equal);
    if prediction.words == reference.words {
        // Other matches of equal captions would only mislead the search.
        return found;
    }
    words(prediction, reference, &mut found, STEM, |a, b| {
        a != b && lexicon.word(a).stem == lexicon.word(b).stem
    });
    words(prediction, reference, &mut found, SYNONYM, |a, b| {
        a != b && intersect(&lexicon.word(a).synonym_sets, &lexicon.word(b).synonym_sets)
    });
    finder.pairs(reference, prediction, phrases, |reference, prediction| {
        found[reference.start as usize].push(Match {
            stage: PARAPHRASE,
            reference_start: reference.start,
            reference_len: reference.len,
            prediction_start: prediction.start,
            prediction_len: prediction.len,
        });
    });
    finder.pairs(prediction, reference, phrases, |prediction, reference| {
        found[reference.start as usize].push(Match {
            stage: PARAPHRASE,
            reference_start: reference.start,
            reference_len: reference.len,
            prediction_start: prediction.start,
            prediction_len: prediction.len,
        });
    });
    found
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

/// Finds phrases of one caption whose paraphrases occur in another.
#[derive(Default)]
pub(crate) struct PhraseFinder {
    /// For each phrase: in which round it was last seen in the other caption.
    rounds: Vec<u32>,
    round: u32,
}

impl PhraseFinder {
    /// Calls `found` with each phrase of `of` and each place of `in_caption` where one of its
    /// paraphrases stands; in the order of the phrases, of their paraphrases, of the places.
    fn pairs(
        &mut self,
        of: &Caption,
        in_caption: &Caption,
        phrases: &CorpusPhrases,
        mut found: impl FnMut(PhraseAt, PhraseAt),
    ) {
        if self.rounds.len() != phrases.len() || self.round == u32::MAX {
            self.rounds = vec![0; phrases.len()];
            self.round = 0;
        }
        self.round += 1;
        for place in &in_caption.phrases {
            self.rounds[place.phrase as usize] = self.round;
        }
        for &phrase in &of.phrases {
            for &paraphrase in phrases.paraphrases(phrase.phrase) {
                if self.rounds[paraphrase as usize] == self.round {
                    let places = in_caption.phrases.iter().filter(|p| p.phrase == paraphrase);
                    for &place in places {
                        found(phrase, place);
                    }
                }
            }
        }
    }
}
