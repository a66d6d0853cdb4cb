//! A scan for a few queries, row by row: memory is the limit.

use super::partial::{Partial, Rescore, mix};
use super::queries::Queries;
use super::rounded_query::RoundedQuery;
use super::rows::{MemoryRows, Source, dot_row};
use crate::arch::{Kernel, Simd};
use std::ops::Range;

/// Rows at a time for a few queries: they stay in L1 between their scores and their mixture.
const BLOCK: usize = 16;

/// A few queries over some rows.
pub(super) struct Few<'a, 'b, R> {
    pub(super) queries: &'a Queries<'b>,
    /// The queries in 16 bits, if the rows are bytes; else empty.
    pub(super) rounded: &'a [RoundedQuery],
    pub(super) memory: MemoryRows<'a>,
    pub(super) rows: Range<usize>,
    /// The rows of the memory.
    pub(super) source: R,
    /// The source, if it is bytes; else empty.
    pub(super) bytes: &'a [i8],
    pub(super) partials: &'a mut [Partial],
}

impl<R: Source> Kernel for Few<'_, '_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Queries {
            width,
            inverse_tau,
            top_k,
            negligible,
            ..
        } = *self.queries;
        let scales = self.memory.scales();
        let exact = match self.memory {
            MemoryRows::Int8Exact { exact, .. } => Some(exact),
            _ => None,
        };
        let mut buffer = [0.0; BLOCK];
        let mut slack = [0.0; BLOCK];
        for first_row in self.rows.clone().step_by(BLOCK) {
            let len = BLOCK.min(self.rows.end - first_row);
            for (index, partial) in self.partials.iter_mut().enumerate() {
                let query = &self.queries.values[index * width..][..width];
                let rounded = self.rounded.get(index);
                let scores = &mut buffer[..len];
                for (index, score) in scores.iter_mut().enumerate() {
                    let row = first_row + index;
                    let dot = match rounded {
                        Some(query) => {
                            let bytes = &self.bytes[row * width..(row + 1) * width];
                            simd.dot_bytes(&query.numbers, bytes) as f32 * query.step
                        }
                        None => dot_row(simd, query, self.source, row * width),
                    };
                    *score = dot * inverse_tau * scales.map_or(1.0, |scales| scales[row]);
                }
                let length = self.queries.lengths[index];
                if let (Some(scales), Some(rounded), true) = (scales, rounded, length > 0.0) {
                    let most = rounded.slack(length / inverse_tau) * inverse_tau / length;
                    for (slack, scale) in slack.iter_mut().zip(&scales[first_row..]) {
                        *slack = scale * most;
                    }
                }
                let rescore = exact.map(|exact| Rescore {
                    query,
                    exact,
                    inverse_tau,
                    slack: &slack[..len],
                    length,
                });
                partial.admit(simd, top_k, negligible, first_row, scores, rescore);
                mix(
                    simd,
                    &mut partial.mixed,
                    self.source,
                    first_row,
                    scores,
                    scales,
                );
            }
        }
    }
}
