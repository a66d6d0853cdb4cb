//! A scan of byte rows for groups of sixteen queries, on the matrix unit or by dot products of bytes.
//!
//! Queries are rounded to 16 bits, relative to their largest value, and weights to 16 bits, relative to the heaviest of
//! a block. Both are stored as two bytes, which are multiplied with the rows as they are.

use super::byte_products::{ByteProducts, TILE_ROWS};
use super::group_lanes::{self, COLUMNS, GROUP, Lanes, ROWS};
use super::partial::{Partial, Rescore};
use super::queries::Queries;
use super::rounded_query::RoundedQuery;
use super::rows::ExactRows;
use crate::arch::{Kernel, Simd};
use crate::dispatch::dispatch;
use crate::words::{Words, as_f32_mut, with_f32_scratch, with_scratch};
use std::ops::Range;

/// Rows at a time: they and what is computed from them stay in the second-level cache.
const BLOCK: usize = 4 * ROWS;

/// Sixteen bits of a query: two signed bytes reach 127 * 256.
const QUERY_STEPS: i16 = 127 * 256;

/// Sixteen bits of a weight.
const WEIGHT_STEPS: f32 = 65535.0;

/// At most sixteen queries, ready to be multiplied.
pub(super) struct Group {
    /// `[width / 4, 2 GROUP]` words of four bytes: the high bytes of each query, then the low ones.
    bytes: Words,
    /// The factor from a sum of bytes to a score, without the scale of the row.
    factors: Lanes,
    /// The largest error of a score: in proportion to the scale of the row, and independent of it.
    slack: Lanes,
    rounding: Lanes,
    /// Lengths of the queries divided by tau.
    lengths: Lanes,
}

impl Group {
    /// Whether rows of this width can be scanned this way.
    pub(super) fn takes(width: usize) -> bool {
        // Up to there sums of high bytes are exact in f32.
        width.is_multiple_of(ROWS) && width <= 1024
    }

    /// Rounds `queries`, `[at most GROUP, width]`.
    pub(super) fn new(
        products: ByteProducts,
        queries: &[f32],
        lengths: &[f32],
        width: usize,
        inverse_tau: f32,
    ) -> Self {
        let mut group = Self {
            bytes: Words::zeroed(width / 4 * COLUMNS),
            factors: [0.0; GROUP],
            slack: [0.0; GROUP],
            rounding: [0.0; GROUP],
            lengths: [0.0; GROUP],
        };
        let words = group.bytes.as_mut_slice();
        for (lane, (query, &length)) in queries.chunks_exact(width).zip(lengths).enumerate() {
            let rounded = RoundedQuery::new(query, QUERY_STEPS);
            for (at, &number) in rounded.numbers.iter().enumerate() {
                let high = (i32::from(number) + 128) >> 8;
                for (column, byte) in [(lane, high), (GROUP + lane, i32::from(number) - 256 * high)]
                {
                    let word = &mut words[at / 4 * COLUMNS + column];
                    *word |= u32::from(byte as i8 as u8) << (8 * (at % 4));
                }
            }
            group.factors[lane] = rounded.step * inverse_tau;
            group.slack[lane] = rounded.slack(length / inverse_tau) * inverse_tau;
            // Rounding of f32 sums, generously.
            group.rounding[lane] = 1e-5 * length;
            group.lengths[lane] = length;
        }
        for word in words {
            *word = products.query_word(*word);
        }
        group
    }
}

/// Groups of queries over some byte rows.
pub(super) struct Groups<'a, 'b> {
    pub(super) queries: &'a Queries<'b>,
    pub(super) products: ByteProducts,
    pub(super) groups: &'a [Group],
    pub(super) bytes: &'b [i8],
    pub(super) scales: &'b [f32],
    /// The exact rows to score again from, if the bytes are rounded rows.
    pub(super) exact: Option<ExactRows<'b>>,
    pub(super) rows: Range<usize>,
    pub(super) partials: &'a mut [Partial],
}

impl Groups<'_, '_> {
    pub(super) fn run(mut self) {
        let width = self.queries.width;
        let count = self.partials.len();
        with_f32_scratch(count * width, |mixed| {
            mixed.fill(0.0);
            with_scratch(BLOCK * width / 4, |interleaved| {
                for first in self.rows.clone().step_by(BLOCK) {
                    let rows = first..self.rows.end.min(first + BLOCK);
                    let values = &self.bytes[rows.start * width..rows.end * width];
                    let whole = rows.len().next_multiple_of(ROWS);
                    let interleaved = &mut interleaved[..whole * width / 4];
                    if rows.len() == whole {
                        self.run_block(rows, values, interleaved, mixed);
                        continue;
                    }
                    let mut padded = vec![0; whole * width];
                    padded[..values.len()].copy_from_slice(values);
                    self.run_block(rows, &padded, interleaved, mixed);
                }
            });
            for (partial, mixed) in self.partials.iter_mut().zip(mixed.chunks_exact(width)) {
                group_lanes::add_in_natural_order(mixed, &mut partial.mixed);
            }
        });
    }

    /// Scans a block of `values`: rows, padded with zeros to whole tiles.
    fn run_block(
        &mut self,
        rows: Range<usize>,
        values: &[i8],
        interleaved: &mut [u32],
        mixed: &mut [f32],
    ) {
        let (width, products) = (self.queries.width, self.products);
        group_lanes::interleave(values, width, interleaved);
        let mut next = &self.bytes[rows.end * width..];
        let whole = values.len() / width;
        let words = whole * (COLUMNS + 1 + GROUP) + TILE_ROWS * COLUMNS;
        with_scratch(words, |scratch| {
            let (sums, scratch) = scratch.split_at_mut(whole * COLUMNS);
            let (starts, scratch) = scratch.split_at_mut(whole);
            products.starts(values, width, starts);
            let (scores, tile) = scratch.split_at_mut(whole * GROUP);
            let scores = as_f32_mut(scores);
            for (index, group) in self.groups.iter().enumerate() {
                let members = index * GROUP..self.partials.len().min((index + 1) * GROUP);
                products.dot_rows(values, width, group.bytes.as_slice(), starts, sums);
                let mixed = &mut mixed[members.start * width..members.end * width];
                let weigh = Weigh {
                    groups: self,
                    group,
                    members,
                    rows: rows.clone(),
                    sums,
                    scores,
                    mixed,
                };
                let Some(factors) = dispatch(weigh.groups.queries.set, weigh) else {
                    continue;
                };
                // The sums are no longer needed; the packed weights reuse their space.
                let packed = &mut sums[..whole / ROWS * 2 * GROUP * GROUP];
                let inverse = factors.map(|factor| if factor > 0.0 { 1.0 / factor } else { 0.0 });
                group_lanes::pack_weights(scores, &inverse, packed);
                let panels = interleaved.chunks_exact(whole / 4 * COLUMNS);
                for (index, panel) in panels.enumerate() {
                    // Each panel prefetches a part of the next rows that is as large as the panel.
                    let bytes = 4 * panel.len();
                    let ahead = next.get(index * bytes..).unwrap_or_default();
                    let ahead = &ahead[..bytes.min(ahead.len())];
                    products.mix(packed, panel, ahead, tile);
                    group_lanes::add_sums(tile, &factors, index * COLUMNS, width, mixed);
                }
                next = &[];
            }
        });
    }
}

/// Turns sums of bytes into scores, and scores into weights; returns the step to which the weights of each query are
/// rounded, or None if all weights are 0.
struct Weigh<'a, 'b, 'c> {
    groups: &'a mut Groups<'b, 'c>,
    group: &'a Group,
    /// The queries of the group.
    members: Range<usize>,
    rows: Range<usize>,
    sums: &'a [u32],
    /// `[rows, GROUP]`, padding included; gets the weights.
    scores: &'a mut [f32],
    /// The mixtures of the group so far.
    mixed: &'a mut [f32],
}

impl Kernel for Weigh<'_, '_, '_> {
    type Output = Option<Lanes>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Option<Lanes> {
        let Self {
            groups,
            group,
            members,
            rows,
            sums,
            scores,
            mixed,
        } = self;
        let Queries {
            width,
            top_k,
            inverse_tau,
            negligible,
            values: queries,
            ..
        } = *groups.queries;
        let scales = &groups.scales[rows.clone()];
        let (scores, padding) = scores.split_at_mut(rows.len() * GROUP);
        let partials = &mut groups.partials[members.clone()];
        let mut largest = group_lanes::scores(sums, scales, &group.factors, scores);
        let widest = scales
            .iter()
            .fold(0.0, |widest: f32, &scale| widest.max(scale));
        let slack = match groups.exact {
            Some(_) => group.slack,
            None => [0.0; GROUP],
        };
        let mut bars = [f32::INFINITY; GROUP];
        for (lane, partial) in partials.iter_mut().enumerate() {
            bars[lane] = match groups.exact {
                Some(_) => {
                    let least = largest[lane] - widest * slack[lane] - group.rounding[lane];
                    partial.bar(top_k, least) - group.rounding[lane]
                }
                None => partial.worst_of_top(top_k),
            };
        }
        let mut found = Vec::new();
        group_lanes::at_least(scores, scales, &slack, &bars, &mut found);
        let mut exact = Vec::new();
        for (row, lanes) in found {
            for (lane, partial) in partials.iter_mut().enumerate() {
                if lanes & (1 << lane) == 0 {
                    continue;
                }
                let score = &mut scores[row * GROUP + lane];
                let Some(exact_rows) = groups.exact else {
                    partial.keep_top(top_k, *score, rows.start + row);
                    continue;
                };
                let query = &queries[(members.start + lane) * width..][..width];
                let rescore = Rescore {
                    query,
                    exact: exact_rows,
                    inverse_tau,
                    slack: &[],
                    length: group.lengths[lane],
                };
                let most = *score + scales[row] * slack[lane] + group.rounding[lane];
                if let Some(again) =
                    partial.score_again(simd, top_k, rows.start + row, most, &rescore)
                {
                    exact.push((lane, rows.start + row, again));
                    *score = f32::NEG_INFINITY;
                }
            }
        }
        if !exact.is_empty() {
            largest = group_lanes::largest(scores);
        }
        let mut references = [0.0; GROUP];
        for (lane, partial) in partials.iter_mut().enumerate() {
            let mixed = &mut mixed[lane * width..][..width];
            let others = exact.iter().filter(|(of, ..)| *of == lane);
            let largest = others.fold(largest[lane], |largest, (.., score)| largest.max(*score));
            partial.raise(simd, largest, mixed);
            references[lane] = partial.largest;
        }
        let (sums, heaviest) = group_lanes::weigh(scores, scales, &references, negligible);
        padding.fill(0.0);
        for (partial, sum) in partials.iter_mut().zip(sums) {
            partial.sum += f64::from(sum);
        }
        if let Some(exact_rows) = groups.exact {
            for (lane, row, score) in exact {
                partials[lane].add_exact(simd, exact_rows, row, score);
            }
        }
        let factors = heaviest.map(|heaviest| heaviest / WEIGHT_STEPS);
        let any = factors[..partials.len()].iter().any(|&factor| factor > 0.0);
        any.then_some(factors)
    }
}
