//! The softmax of one query over some of the rows, and how partial softmaxes are merged.

use super::rows::{ExactRows, Source, add_rows, dot_row};
use crate::arch::Simd;
use crate::lanes::{map_lanes, maximum};

/// Rows whose score is this far below the largest do not count: ten million of them weigh less than one rounding of
/// the sum.
const NEGLIGIBLE: f32 = -30.0;

/// With rounded scores, the rows that do not count may weigh this much together, 2^-13: rounding changes a score by
/// more than that, and the bytes of a row by a hundred times as much.
const NEGLECTED: f32 = 1.0 / 8192.0;

/// How far below the largest a score must be to be left out, in a memory of `rows`.
pub(super) fn negligible(rows: usize, are_rounded: bool) -> f32 {
    match are_rounded {
        true => (NEGLECTED / rows.max(1) as f32).ln().max(NEGLIGIBLE),
        false => NEGLIGIBLE,
    }
}

/// Rows whose bound allows a score this close to the largest so far are scored exactly.
const MATTERS: f32 = -3.0;

/// The softmax of one query over some of the rows.
pub(super) struct Partial {
    pub(super) largest: f32,
    /// What is known about all rows.
    floor: Floor,
    /// Sum of `e^(score - largest)`.
    pub(super) sum: f64,
    /// Sum of `e^(score - largest) m`, `[width]`.
    pub(super) mixed: Vec<f32>,
    /// Scores and rows, best first.
    pub(super) top: Vec<(f32, usize)>,
}

/// What earlier rows tell about the scores of one query over all rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    /// The largest score is at least this.
    pub(super) largest: f32,
    /// At least `top_k` rows reach this score.
    pub(super) top: f32,
}

impl Floor {
    pub(super) const NONE: Self = Self {
        largest: f32::NEG_INFINITY,
        top: f32::NEG_INFINITY,
    };

    /// What `parts` tell.
    pub(super) fn of<'a>(parts: impl Iterator<Item = &'a Partial> + Clone, top_k: usize) -> Self {
        let largest = parts.clone().map(|part| part.largest);
        let mut tops: Vec<f32> = parts
            .flat_map(|part| part.top.iter().map(|(score, _)| *score))
            .collect();
        tops.sort_by(|a, b| b.total_cmp(a));
        Self {
            largest: largest.fold(f32::NEG_INFINITY, f32::max),
            top: match top_k {
                0 => f32::NEG_INFINITY,
                top_k => tops.get(top_k - 1).copied().unwrap_or(f32::NEG_INFINITY),
            },
        }
    }
}

/// What turns a rounded score into an exact one.
#[derive(Clone, Copy)]
pub(super) struct Rescore<'a> {
    pub(super) query: &'a [f32],
    pub(super) exact: ExactRows<'a>,
    pub(super) inverse_tau: f32,
    /// The largest error of each score of the block, divided by `length`; `[rows]`.
    pub(super) slack: &'a [f32],
    /// Length of the query divided by tau.
    pub(super) length: f32,
}

impl Partial {
    pub(super) fn new(width: usize, top_k: usize, floor: Floor) -> Self {
        Self {
            largest: f32::NEG_INFINITY,
            floor,
            sum: 0.0,
            mixed: vec![0.0; width],
            top: Vec::with_capacity(top_k.min(1024) + 1),
        }
    }

    /// Takes in a block of scores, and replaces each by its weight in the mixture.
    ///
    /// With `rescore`, rows that matter are scored and mixed exactly, and their weight becomes 0.
    #[inline(always)]
    pub(super) fn admit<S: Simd>(
        &mut self,
        simd: S,
        top_k: usize,
        negligible: f32,
        first_row: usize,
        scores: &mut [f32],
        rescore: Option<Rescore<'_>>,
    ) {
        let mut exact = Vec::new();
        match rescore {
            None => {
                let largest = maximum(simd, scores);
                if largest > self.worst_of_top(top_k) {
                    for (index, &score) in scores.iter().enumerate() {
                        self.keep_top(top_k, score, first_row + index);
                    }
                }
                self.raise(simd, largest, &mut []);
            }
            Some(rescore) => {
                exact = self.rescore(simd, top_k, first_row, scores, rescore);
                let largest = maximum(simd, scores);
                let largest = exact
                    .iter()
                    .fold(largest, |largest, (_, score)| largest.max(*score));
                self.raise(simd, largest, &mut []);
            }
        }
        let offset = simd.splat(self.largest);
        // Scores so far below the largest known score, even one of other rows, do not count.
        let negligible = negligible + (self.floor.largest - self.largest).max(0.0);
        let mut sum = simd.zero();
        map_lanes!(simd, S, scores, |score| {
            let distance = simd.sub(score, offset);
            let weight = simd.exp(distance);
            simd.select_less(distance, simd.splat(negligible), simd.zero(), weight)
        });
        for weights in scores.chunks(S::LANES) {
            sum = simd.add(sum, simd.load_partial(weights));
        }
        self.sum += f64::from(simd.sum(sum));
        if let Some(rescore) = rescore {
            for (row, score) in exact {
                self.add_exact(simd, rescore.exact, row, score);
            }
        }
    }

    /// Takes in a row that was scored exactly.
    #[inline(always)]
    pub(super) fn add_exact<S: Simd>(
        &mut self,
        simd: S,
        rows: ExactRows<'_>,
        row: usize,
        score: f32,
    ) {
        let weight = (score - self.largest).exp();
        self.sum += f64::from(weight);
        let start = row * self.mixed.len();
        match rows {
            ExactRows::F32(rows) => add_rows(simd, &mut self.mixed, rows, [start], [weight]),
            ExactRows::F16(rows) => add_rows(simd, &mut self.mixed, rows, [start], [weight]),
        }
    }

    /// The score from which on a row is scored exactly, if some score is known to be at least `least`.
    #[inline(always)]
    pub(super) fn bar(&self, top_k: usize, least: f32) -> f32 {
        let largest = self.largest.max(self.floor.largest).max(least);
        (largest + MATTERS).min(self.worst_of_top(top_k))
    }

    /// The exact score of a row whose score is at most `most`, if that matters; it may join the best ones.
    #[inline(always)]
    pub(super) fn score_again<S: Simd>(
        &mut self,
        simd: S,
        top_k: usize,
        row: usize,
        most: f32,
        rescore: &Rescore<'_>,
    ) -> Option<f32> {
        if most < self.bar(top_k, f32::NEG_INFINITY) {
            return None;
        }
        let start = row * rescore.query.len();
        let dot = match rescore.exact {
            ExactRows::F32(rows) => dot_row(simd, rescore.query, rows, start),
            ExactRows::F16(rows) => dot_row(simd, rescore.query, rows, start),
        };
        let score = dot * rescore.inverse_tau;
        self.floor.largest = self.floor.largest.max(score);
        self.keep_top(top_k, score, row);
        Some(score)
    }

    /// Scores exactly what may matter, and removes it from `scores`; returns rows and exact scores.
    #[inline(always)]
    fn rescore<S: Simd>(
        &mut self,
        simd: S,
        top_k: usize,
        first_row: usize,
        scores: &mut [f32],
        rescore: Rescore<'_>,
    ) -> Vec<(usize, f32)> {
        let Rescore { slack, length, .. } = rescore;
        let mut exact = Vec::new();
        // Rounding of f32 sums, generously.
        let rounding = 1e-5 * length;
        let widest = maximum(simd, slack) * length + rounding;
        if maximum(simd, scores) + widest < self.bar(top_k, f32::NEG_INFINITY) {
            return exact;
        }
        for (index, score) in scores.iter_mut().enumerate() {
            let most = *score + slack[index] * length + rounding;
            let row = first_row + index;
            if let Some(again) = self.score_again(simd, top_k, row, most, &rescore) {
                exact.push((row, again));
                *score = f32::NEG_INFINITY;
            }
        }
        exact
    }

    /// Makes `largest` the reference of the sums, and of the sums in `more`, if it is larger than the one so far.
    #[inline(always)]
    pub(super) fn raise<S: Simd>(&mut self, simd: S, largest: f32, more: &mut [f32]) {
        if largest > self.largest {
            let distance = self.largest - largest;
            let factor = if distance > NEGLIGIBLE {
                distance.exp()
            } else {
                0.0
            };
            self.sum *= f64::from(factor);
            let factor = simd.splat(factor);
            map_lanes!(simd, S, self.mixed, |value| simd.mul(value, factor));
            map_lanes!(simd, S, more, |value| simd.mul(value, factor));
            self.largest = largest;
        }
    }

    /// The score that a row must pass to be among the best.
    #[inline(always)]
    pub(super) fn worst_of_top(&self, top_k: usize) -> f32 {
        match self.top.last() {
            _ if top_k == 0 => f32::INFINITY,
            Some(last) if self.top.len() == top_k => last.0.max(self.floor.top),
            _ => self.floor.top,
        }
    }

    /// Inserts a score into the best ones; rows arrive in ascending order, so the earlier row wins a tie.
    #[inline(always)]
    pub(super) fn keep_top(&mut self, top_k: usize, score: f32, row: usize) {
        if score > self.worst_of_top(top_k) {
            let place = self.top.partition_point(|better| better.0 >= score);
            self.top.insert(place, (score, row));
            self.top.truncate(top_k);
        }
    }
}

/// Adds up the mixtures into `mixed` and returns rows and weights of the best.
pub(super) fn merge<'a>(
    parts: impl Iterator<Item = &'a Partial> + Clone,
    top_k: usize,
    mixed: &mut [f32],
) -> Vec<(usize, f32)> {
    let largest = parts
        .clone()
        .map(|part| part.largest)
        .fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    let mut top = Vec::new();
    for part in parts {
        if part.largest - largest > NEGLIGIBLE {
            let factor = f64::from(part.largest - largest).exp();
            sum += part.sum * factor;
            for (mixed, value) in mixed.iter_mut().zip(&part.mixed) {
                *mixed += *value * factor as f32;
            }
        }
        top.extend_from_slice(&part.top);
    }
    if sum > 0.0 {
        let inverse = (1.0 / sum) as f32;
        mixed.iter_mut().for_each(|value| *value *= inverse);
    }
    top.sort_by(|a: &(f32, usize), b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    top.truncate(top_k);
    let weight = |score: f32| (f64::from(score - largest).exp() / sum) as f32;
    top.into_iter()
        .map(|(score, row)| (row, weight(score)))
        .collect()
}

/// Mixes rows of a block by their weights, four at a time, in ascending order.
#[inline(always)]
pub(super) fn mix<S: Simd>(
    simd: S,
    mixed: &mut [f32],
    source: impl Source,
    first_row: usize,
    weights: &[f32],
    scales: Option<&[f32]>,
) {
    let width = mixed.len();
    let (mut starts, mut factors) = ([0; 4], [0.0; 4]);
    let mut held = 0;
    for (index, &weight) in weights.iter().enumerate() {
        if weight == 0.0 {
            continue;
        }
        let scale = scales.map_or(1.0, |scales| scales[first_row + index]);
        starts[held] = (first_row + index) * width;
        factors[held] = weight * scale;
        held += 1;
        if held == 4 {
            add_rows(simd, mixed, source, starts, factors);
            held = 0;
        }
    }
    for held in 0..held {
        add_rows(simd, mixed, source, [starts[held]], [factors[held]]);
    }
}
