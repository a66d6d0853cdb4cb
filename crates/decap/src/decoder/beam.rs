//! Beam search with length-normalised scores, many inputs side by side.

use std::cmp::Ordering;

use decap_kernels::log_sum_exp;
use rayon::prelude::*;

use super::Decoder;
use super::constraints::Constraints;
use super::forward::Session;
use super::sentence::Sentence;

/// The `count` best sentences, best first, for each of `prefixes` `[rows, prefix_width]`; `width` of
/// them are followed. There are fewer where fewer can be written, and always one.
///
/// A sentence's value is its log-probability under the constrained distribution, divided by its
/// number of tokens to the power `length_penalty`. An input is done when no sentence still
/// followed can reach the `count` best that have ended.
pub(super) fn search_beams(
    decoder: &Decoder,
    prefixes: &[f32],
    constraints: &Constraints,
    max_tokens: usize,
    width: usize,
    length_penalty: f32,
    count: usize,
) -> Vec<Vec<Sentence>> {
    let config = decoder.config();
    let ranking = Ranking {
        max_tokens,
        length_penalty: f64::from(length_penalty),
    };
    let num_inputs = prefixes.len() / config.prefix_width;
    let mut searches: Vec<Search> = (0..num_inputs).map(|_| Search::new(count)).collect();
    let mut session = Session::new(&decoder.network, num_inputs, max_tokens);
    let mut logits = session.start(prefixes, &[]);
    for step in 1..=max_tokens {
        let (mut parents, mut tokens) = (Vec::new(), Vec::new());
        let mut first_row = 0;
        let mut live: Vec<(&mut Search, &[f32])> = Vec::with_capacity(searches.len());
        for search in searches.iter_mut().filter(|search| !search.live.is_empty()) {
            let (own, rest) = logits.split_at(search.live.len() * config.vocabulary_size);
            live.push((search, own));
            logits = rest;
        }
        let candidates: Vec<Vec<Candidate>> = live
            .par_iter()
            .map_init(
                || vec![0.0; config.vocabulary_size],
                |scratch, (search, logits)| {
                    search.candidates(logits, constraints, scratch, 2 * width)
                },
            )
            .collect();
        for ((search, _), candidates) in live.into_iter().zip(candidates) {
            let rows = search.live.len();
            for (beam, token) in search.select(candidates, config.end_token, width, ranking) {
                parents.push(first_row + beam);
                tokens.push(token);
            }
            let followed = search.live.len();
            if step == max_tokens {
                search.offer_unended(ranking);
            } else if search.is_decided(ranking) {
                search.live.clear();
            }
            if search.live.is_empty() {
                parents.truncate(parents.len() - followed);
                tokens.truncate(tokens.len() - followed);
            }
            first_row += rows;
        }
        if parents.is_empty() {
            break;
        }
        session.reorder(&parents);
        logits = session.step(&tokens);
    }
    searches
        .into_iter()
        .map(|search| match search.ended.is_empty() {
            true => vec![Sentence::default()],
            false => search.ended.into_iter().map(|beam| beam.sentence).collect(),
        })
        .collect()
}

/// More than f32 rounding changes a log-probability by.
const ROUNDING: f32 = 1e-3;

#[derive(Clone, Copy)]
struct Ranking {
    max_tokens: usize,
    length_penalty: f64,
}

impl Ranking {
    /// A sentence's value.
    fn value(self, beam: &Beam) -> f64 {
        beam.log_weight / (beam.sentence.tokens.len() as f64).powf(self.length_penalty)
    }

    /// The most that a sentence still followed can be worth: its log-probability only falls.
    fn bound(self, beam: &Beam) -> f64 {
        let next = beam.sentence.tokens.len() + 1;
        let length = if self.length_penalty > 0.0 {
            self.max_tokens
        } else {
            next
        };
        beam.log_weight / (length as f64).powf(self.length_penalty)
    }
}

/// One input's search.
struct Search {
    live: Vec<Beam>,
    /// The `count` best that have ended, best first.
    ended: Vec<Beam>,
    count: usize,
}

#[derive(Clone, Default)]
struct Beam {
    sentence: Sentence,
    /// The log-probability under the constrained distribution, by which beams compete.
    log_weight: f64,
}

struct Candidate {
    beam: usize,
    token: u32,
    log_weight: f64,
    log_probability: f32,
}

impl Candidate {
    /// Better first; ties go to the earlier beam, then to the lower id.
    fn order(&self, other: &Self) -> Ordering {
        let by_weight = other.log_weight.total_cmp(&self.log_weight);
        by_weight
            .then(self.beam.cmp(&other.beam))
            .then(self.token.cmp(&other.token))
    }
}

impl Search {
    fn new(count: usize) -> Self {
        Self {
            live: vec![Beam::default()],
            ended: Vec::with_capacity(count + 1),
            count,
        }
    }

    /// The `count` best continuations by `logits` `[live beams, vocabulary_size]`, best first.
    fn candidates(
        &self,
        logits: &[f32],
        constraints: &Constraints,
        scratch: &mut [f32],
        count: usize,
    ) -> Vec<Candidate> {
        let mut best: Vec<Candidate> = Vec::with_capacity(count + 1);
        for (index, (beam, raw)) in self
            .live
            .iter()
            .zip(logits.chunks_exact(scratch.len()))
            .enumerate()
        {
            scratch.copy_from_slice(raw);
            constraints.apply(&beam.sentence.tokens, scratch);
            let raw_norm = log_sum_exp(raw);
            let norm = match constraints.are_none() {
                true => raw_norm,
                false => log_sum_exp(scratch),
            };
            // A logit below this cannot pass the worst of a full list: most are done with at once.
            let mut bar = f32::NEG_INFINITY;
            for (token, &logit) in (0..).zip(scratch.iter()) {
                if logit < bar {
                    continue;
                }
                let log_weight = beam.log_weight + f64::from(logit - norm);
                let worst = best
                    .last()
                    .map_or(f64::NEG_INFINITY, |worst| worst.log_weight);
                // Later tokens lose ties, so only a better one displaces a full list's last.
                if logit == f32::NEG_INFINITY || (best.len() == count && log_weight <= worst) {
                    continue;
                }
                let log_probability = raw[token as usize] - raw_norm;
                let candidate = Candidate {
                    beam: index,
                    token,
                    log_weight,
                    log_probability,
                };
                let place = best.partition_point(|other| other.order(&candidate) == Ordering::Less);
                best.insert(place, candidate);
                best.truncate(count);
                if let [.., worst] = &best[..]
                    && best.len() == count
                {
                    bar = (worst.log_weight - beam.log_weight) as f32 + norm - ROUNDING;
                }
            }
        }
        best
    }

    /// Takes ended sentences aside and follows the `width` best others; gives each one's parent
    /// beam and token.
    fn select(
        &mut self,
        candidates: Vec<Candidate>,
        end_token: u32,
        width: usize,
        ranking: Ranking,
    ) -> Vec<(usize, u32)> {
        let mut live = Vec::with_capacity(width);
        let mut chosen = Vec::with_capacity(width);
        for (rank, candidate) in candidates.into_iter().enumerate() {
            let ended = candidate.token == end_token;
            // An end that is not among the `width` best is no likely end (as in transformers).
            if (ended && rank >= width) || (!ended && live.len() == width) {
                continue;
            }
            let mut beam = self.live[candidate.beam].clone();
            beam.sentence
                .push(candidate.token, candidate.log_probability);
            beam.sentence.ended = ended;
            beam.log_weight = candidate.log_weight;
            if ended {
                self.offer(beam, ranking);
            } else {
                chosen.push((candidate.beam, candidate.token));
                live.push(beam);
            }
        }
        self.live = live;
        chosen
    }

    fn is_decided(&self, ranking: Ranking) -> bool {
        let Some(worst) = self.ended.last().filter(|_| self.ended.len() == self.count) else {
            return false;
        };
        let worst = ranking.value(worst);
        self.live.iter().all(|beam| ranking.bound(beam) <= worst)
    }

    /// At the greatest length sentences count though they have not ended.
    fn offer_unended(&mut self, ranking: Ranking) {
        for beam in std::mem::take(&mut self.live) {
            self.offer(beam, ranking);
        }
    }

    /// Puts a sentence in its place; of equal ones the earlier is better.
    fn offer(&mut self, beam: Beam, ranking: Ranking) {
        let value = ranking.value(&beam);
        let place = self
            .ended
            .partition_point(|other| ranking.value(other) >= value);
        self.ended.insert(place, beam);
        self.ended.truncate(self.count);
    }
}
