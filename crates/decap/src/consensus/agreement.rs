//! How much memory sentences agree with each of several candidates.

use caption_words::{MAX_ORDER, NgramCounts, NgramMap, WeightedNgrams};

use super::Phrases;

/// Candidates, by the n-grams that they have.
///
/// Voters are compared with all candidates at once: each n-gram of a voter finds the candidates that have
/// it, instead of each candidate looking through each voter.
pub(crate) struct Ballot<'p> {
    phrases: &'p Phrases,
    candidates: Vec<Candidate>,
    /// Where each n-gram of a candidate is in `shared`.
    places: NgramMap<u32>,
    shared: Vec<Shared>,
}

struct Candidate {
    words: Vec<u32>,
    norms: [f64; MAX_ORDER],
}

/// An n-gram and who has it.
struct Shared {
    order: usize,
    weight: f64,
    /// Candidates, and how often they have it.
    holders: Vec<(u32, u32)>,
}

impl<'p> Ballot<'p> {
    /// Takes candidates as word numbers of [`Phrases::numbers`].
    pub fn new(phrases: &'p Phrases, candidates: Vec<Vec<u32>>) -> Self {
        let mut places: NgramMap<u32> = NgramMap::default();
        let mut shared: Vec<Shared> = Vec::new();
        let mut ballot = Vec::with_capacity(candidates.len());
        for (index, words) in (0..).zip(candidates) {
            let counts = NgramCounts::new(&words);
            let mut norms = [0.0; MAX_ORDER];
            for &(ngram, count) in &counts.counts {
                let place = *places.entry(ngram).or_insert_with(|| {
                    shared.push(Shared {
                        order: ngram.order_index(),
                        weight: phrases.documents().weight(ngram),
                        holders: Vec::new(),
                    });
                    shared.len() as u32 - 1
                });
                let known = &mut shared[place as usize];
                known.holders.push((index, count));
                let weight = f64::from(count) * known.weight;
                norms[known.order] += weight * weight;
            }
            ballot.push(Candidate {
                words,
                norms: norms.map(f64::sqrt),
            });
        }
        Self {
            phrases,
            candidates: ballot,
            places,
            shared,
        }
    }

    /// The weighted mean of each candidate's CIDEr-D against the `voters`, rows and their weights: in 0..=1
    /// for each candidate, `[candidates]`.
    ///
    /// A candidate is never compared with a sentence of its own words; without any other it has 0.
    pub fn agreement(&self, voters: &[(usize, f32)]) -> Vec<f64> {
        let mut sums = vec![(0.0, 0.0); self.candidates.len()];
        let mut products = vec![[0.0; MAX_ORDER]; self.candidates.len()];
        for &(row, weight) in voters {
            let words = self.phrases.sentence(row);
            let norms = self.phrases.norms(row);
            products.fill([0.0; MAX_ORDER]);
            for (ngram, count) in NgramCounts::new(words).counts {
                let Some(&place) = self.places.get(&ngram) else {
                    continue;
                };
                let shared = &self.shared[place as usize];
                let own = f64::from(count) * shared.weight;
                for &(candidate, count) in &shared.holders {
                    let weight = f64::from(count) * shared.weight;
                    products[candidate as usize][shared.order] += weight.min(own) * own;
                }
            }
            let bigrams = words.len().saturating_sub(1);
            let compared = self.candidates.iter().zip(&products).zip(&mut sums);
            for ((candidate, products), (sum, weights)) in compared {
                if candidate.words == words {
                    continue;
                }
                let cosines = (0..MAX_ORDER).map(|order| {
                    let (own, other) = (candidate.norms[order], norms[order]);
                    WeightedNgrams::normalized(products[order], own, other)
                });
                let cosine = cosines.sum::<f64>() / MAX_ORDER as f64;
                let own_bigrams = candidate.words.len().saturating_sub(1);
                let penalty = WeightedNgrams::length_penalty(own_bigrams, bigrams);
                *sum += f64::from(weight) * cosine * penalty;
                *weights += f64::from(weight);
            }
        }
        let mean = |(sum, weights): (f64, f64)| if weights > 0.0 { sum / weights } else { 0.0 };
        sums.into_iter().map(mean).collect()
    }
}

/// The index of the best candidate, the first of equals: by its agreement, less `repeat_penalty` for each
/// repeated word, and `cosine.1` times its cosine in `cosine.0`; all in standard deviations.
/// All lists are `[candidates]`.
pub(crate) fn best(
    agreement: &[f64],
    repeated: &[usize],
    repeat_penalty: f32,
    cosine: Option<(&[f32], f32)>,
) -> Option<usize> {
    let (mean, deviation) = spread(agreement.iter().copied());
    let mut values: Vec<f64> = agreement
        .iter()
        .zip(repeated)
        .map(|(&agreement, &repeated)| {
            standard(agreement, mean, deviation) - f64::from(repeat_penalty) * repeated as f64
        })
        .collect();
    if let Some((cosines, weight)) = cosine {
        let (mean, deviation) = spread(cosines.iter().map(|&cosine| f64::from(cosine)));
        for (value, &cosine) in values.iter_mut().zip(cosines) {
            *value += f64::from(weight) * standard(f64::from(cosine), mean, deviation);
        }
    }
    let better = |best: usize, index| {
        if values[index] > values[best] {
            index
        } else {
            best
        }
    };
    (0..values.len()).reduce(better)
}

fn standard(value: f64, mean: f64, deviation: f64) -> f64 {
    if deviation > 0.0 {
        (value - mean) / deviation
    } else {
        0.0
    }
}

/// Mean and standard deviation.
fn spread(values: impl ExactSizeIterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    let variance = values
        .map(|value| (value - mean) * (value - mean))
        .sum::<f64>()
        / count;
    (mean, variance.sqrt())
}
