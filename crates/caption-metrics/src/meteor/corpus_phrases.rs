//! The phrases that occur in the captions at hand, and which of them are paraphrases.
//!
//! The table has millions of phrases, some with thousands of paraphrases, of which a set of
//! captions has few: every pair of captions is then compared by short lists.

use super::lexicon::Caption;
use super::resources::Phrases;
use rayon::prelude::*;

/// The number of a phrase that occurs nowhere.
const ABSENT: u32 = u32::MAX;

/// Phrases by their numbers among the captions at hand.
pub(crate) struct CorpusPhrases {
    /// Where each phrase's list of paraphrases ends, `[phrases]`.
    list_ends: Vec<u32>,
    /// Those paraphrases that occur, one list after the other, in the table's order.
    lists: Vec<u32>,
}

impl CorpusPhrases {
    /// Numbers the phrases of `captions`, which name them by their place in `table` and after this
    /// by their number.
    pub(crate) fn renumber<'a>(
        captions: impl Iterator<Item = &'a mut Caption>,
        table: &Phrases,
    ) -> Self {
        let mut numbers = vec![ABSENT; table.len()];
        let mut occurring: Vec<u32> = Vec::new();
        for caption in captions {
            for place in &mut caption.phrases {
                let number = &mut numbers[place.phrase as usize];
                if *number == ABSENT {
                    *number = occurring.len() as u32;
                    occurring.push(place.phrase);
                }
                place.phrase = *number;
            }
        }
        let lists: Vec<Vec<u32>> = occurring
            .par_iter()
            .map(|&phrase| {
                let paraphrases = table.paraphrases(phrase as usize).iter();
                let numbers = paraphrases.map(|&paraphrase| numbers[paraphrase as usize]);
                numbers.filter(|&number| number != ABSENT).collect()
            })
            .collect();
        let mut list_ends = Vec::with_capacity(lists.len());
        let mut end = 0;
        for list in &lists {
            end += list.len() as u32;
            list_ends.push(end);
        }
        Self {
            list_ends,
            lists: lists.concat(),
        }
    }

    /// How many phrases there are.
    pub(crate) fn len(&self) -> usize {
        self.list_ends.len()
    }

    /// A phrase's paraphrases.
    pub(crate) fn paraphrases(&self, phrase: u32) -> &[u32] {
        let phrase = phrase as usize;
        let start = phrase
            .checked_sub(1)
            .map_or(0, |before| self.list_ends[before]);
        &self.lists[start as usize..self.list_ends[phrase] as usize]
    }
}
