//! The phrases that occur in the captions at hand, and which of them are paraphrases.
//!
//! The table has millions of phrases, some with thousands of paraphrases, of which a set of
//! captions has few, and its predictions fewer: every pair of captions is then compared by short
//! lists of what the predictions have.

use super::lexicon::Caption;
use super::resources::Phrases;
use rayon::prelude::*;

/// The number of a phrase that occurs nowhere.
const ABSENT: u32 = u32::MAX;

/// Phrases by their numbers among the captions at hand, those of predictions first.
pub(crate) struct CorpusPhrases {
    num_in_predictions: usize,
    paraphrases: Lists<u32>,
    paraphrased: Lists<(u32, u32)>,
}

impl CorpusPhrases {
    /// Numbers the phrases of the images' `(prediction, references)`, which name them by their
    /// place in `table` and after this by their number.
    pub(crate) fn renumber(images: &mut [(Caption, Vec<Caption>)], table: &Phrases) -> Self {
        let mut numbers = vec![ABSENT; table.len()];
        let mut occurring: Vec<u32> = Vec::new();
        let mut renumber = |caption: &mut Caption| {
            for place in &mut caption.phrases {
                let number = &mut numbers[place.phrase as usize];
                if *number == ABSENT {
                    *number = occurring.len() as u32;
                    occurring.push(place.phrase);
                }
                place.phrase = *number;
            }
            occurring.len()
        };
        let mut num_in_predictions = 0;
        for (prediction, _) in images.iter_mut() {
            num_in_predictions = renumber(prediction);
        }
        for caption in images.iter_mut().flat_map(|(_, references)| references) {
            renumber(caption);
        }
        let in_table = |phrase: &u32| table.paraphrases(*phrase as usize).iter();
        let paraphrases = occurring.par_iter().map(|phrase| {
            let numbers = in_table(phrase).map(|&other| numbers[other as usize]);
            let in_predictions = |number: &u32| (*number as usize) < num_in_predictions;
            numbers.filter(in_predictions).collect()
        });
        let of_predictions = occurring[..num_in_predictions].par_iter().map(|phrase| {
            let numbers = in_table(phrase).map(|&other| numbers[other as usize]);
            numbers
                .zip(0..)
                .filter(|&(number, _)| number != ABSENT)
                .collect()
        });
        let paraphrases: Vec<Vec<u32>> = paraphrases.collect();
        let of_predictions: Vec<Vec<(u32, u32)>> = of_predictions.collect();
        let mut paraphrased = vec![Vec::new(); occurring.len()];
        for (phrase, list) in (0..).zip(of_predictions) {
            for (paraphrase, place) in list {
                paraphrased[paraphrase as usize].push((phrase, place));
            }
        }
        Self {
            num_in_predictions,
            paraphrases: Lists::new(&paraphrases),
            paraphrased: Lists::new(&paraphrased),
        }
    }

    /// How many phrases predictions have: these have the first numbers.
    pub(crate) fn num_in_predictions(&self) -> usize {
        self.num_in_predictions
    }

    /// A phrase's paraphrases that predictions have, in the table's order.
    pub(crate) fn paraphrases(&self, phrase: u32) -> &[u32] {
        self.paraphrases.of(phrase)
    }

    /// The predictions' phrases that have this one as a paraphrase, each with its place among
    /// theirs.
    pub(crate) fn paraphrased_by(&self, phrase: u32) -> &[(u32, u32)] {
        self.paraphrased.of(phrase)
    }
}

/// A list for each number.
struct Lists<T> {
    /// Where each list ends.
    ends: Vec<u32>,
    /// One list after the other.
    items: Vec<T>,
}

impl<T: Clone> Lists<T> {
    fn new(lists: &[Vec<T>]) -> Self {
        let mut end = 0;
        let ends = lists.iter().map(|list| {
            end += list.len() as u32;
            end
        });
        Self {
            ends: ends.collect(),
            items: lists.concat(),
        }
    }

    fn of(&self, number: u32) -> &[T] {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.items[start as usize..self.ends[number] as usize]
    }
}
