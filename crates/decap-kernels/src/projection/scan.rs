//! One pass over some rows of a memory, for a few queries or for many.

#[cfg(target_arch = "x86_64")]
use super::groups::{Group, Groups};
use super::partial::{Floor, Partial, Rescore, mix, negligible};
use super::query::RoundedQuery;
use super::rows::{Decode, MemoryRows, Source, dot_row};
#[cfg(target_arch = "x86_64")]
use crate::arch::group_scan::GROUP;
#[cfg(target_arch = "x86_64")]
use crate::arch::scan_products::ByteProducts;
use crate::arch::{Kernel, Simd, dispatch, dot};
use crate::dispatch::KernelSet;
use crate::gemm::{
    Accumulate, Epilogue, How, MatrixView, MatrixViewMut, Output, PackedMatrix, Precision, Threads,
    linear_on, multiply, with_f32_scratch,
};
use std::ops::Range;

/// Queries from which the scan is two matrix products instead of dot products and sums of rows.
const MANY_QUERIES: usize = 4;

/// Rows at a time for a few queries: they stay in L1 between their scores and their mixture.
const FEW_BLOCK: usize = 16;

/// Rows at a time for many queries: they stay in L2.
const MANY_BLOCK: usize = 128;

/// A projection, ready to run over any rows.
pub(super) struct Scan<'a> {
    pub(super) set: KernelSet,
    precision: Precision,
    pub(super) queries: &'a [f32],
    /// Lengths of the queries divided by tau.
    lengths: Vec<f32>,
    memory: MemoryRows<'a>,
    pub(super) width: usize,
    pub(super) inverse_tau: f32,
    pub(super) top_k: usize,
    /// How far below the largest a score must be not to count.
    pub(super) negligible: f32,
    /// Of a few queries over byte rows: the queries in sixteen bits.
    rounded: Vec<RoundedQuery>,
    /// Of many queries: the queries as the weights of a linear layer.
    packed: Option<PackedMatrix>,
    /// Of many queries over byte rows, where bytes are multiplied with bytes.
    #[cfg(target_arch = "x86_64")]
    groups: Option<(ByteProducts, Vec<Group>)>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        set: KernelSet,
        precision: Precision,
        queries: &'a [f32],
        memory: MemoryRows<'a>,
        width: usize,
        inverse_tau: f32,
        top_k: usize,
    ) -> Self {
        let length = |query: &[f32]| {
            let square: f64 = query.iter().map(|&value| f64::from(value).powi(2)).sum();
            square.sqrt() as f32 * inverse_tau
        };
        let precision = precision.of_floats();
        let count = queries.len() / width;
        let as_weights = || {
            let weights = MatrixView::row_major(queries, count, width).transposed();
            PackedMatrix::pack(weights, precision)
        };
        let lengths: Vec<f32> = queries.chunks_exact(width).map(length).collect();
        // A few queries wait for memory, not for the processor.
        let is_many = count >= MANY_QUERIES;
        #[cfg(target_arch = "x86_64")]
        let groups = {
            let is_rounded = precision == Precision::Bf16 && memory.bytes().is_some();
            let fits = is_many && is_rounded && Group::takes(width);
            let products = ByteProducts::of(set).filter(|_| fits);
            products.map(|products| {
                let queries = queries.chunks(GROUP * width).zip(lengths.chunks(GROUP));
                let group =
                    |(queries, lengths)| Group::new(products, queries, lengths, width, inverse_tau);
                (products, queries.map(group).collect::<Vec<_>>())
            })
        };
        let is_exact = matches!(memory, MemoryRows::Int8Exact { .. });
        let are_bytes = is_exact || matches!(memory, MemoryRows::Int8 { .. });
        let are_rounded = is_exact || precision != Precision::F32;
        let most_steps = RoundedQuery::most_steps(width);
        let round = |query| RoundedQuery::new(query, most_steps);
        let rounded = queries.chunks_exact(width);
        let rounded = rounded.filter(|_| !is_many && are_bytes && are_rounded);
        #[cfg(target_arch = "x86_64")]
        let is_many = is_many && groups.is_none();
        Self {
            set,
            precision,
            packed: is_many.then(as_weights),
            #[cfg(target_arch = "x86_64")]
            groups,
            queries,
            lengths,
            memory,
            width,
            inverse_tau,
            top_k,
            negligible: negligible(memory.count(width), are_rounded),
            rounded: rounded.map(round).collect(),
        }
    }

    /// The partial softmax of each query over `rows`; `floors` are what rows before
    /// these say.
    pub(super) fn run(&self, rows: Range<usize>, floors: &[Floor]) -> Vec<Partial> {
        let new = |&floor| Partial::new(self.width, self.top_k, floor);
        let mut partials: Vec<Partial> = floors.iter().map(new).collect();
        #[cfg(target_arch = "x86_64")]
        if let (Some((products, groups)), Some((bytes, scales, exact))) =
            (&self.groups, self.memory.bytes())
        {
            let groups = Groups {
                scan: self,
                products: *products,
                groups,
                bytes,
                scales,
                exact,
                rows,
                partials: &mut partials,
            };
            groups.run();
            return partials;
        }
        let Some(packed) = &self.packed else {
            match self.memory {
                MemoryRows::F32(source) => self.few(rows, source, &[], &mut partials),
                MemoryRows::F16(source) => self.few(rows, source, &[], &mut partials),
                MemoryRows::Int8 { rows: source, .. }
                | MemoryRows::Int8Exact { rows: source, .. } => {
                    self.few(rows, source, source, &mut partials);
                }
            }
            return partials;
        };
        {
            for first_row in rows.clone().step_by(MANY_BLOCK) {
                let block = first_row..rows.end.min(first_row + MANY_BLOCK);
                let values = block.start * self.width..block.end * self.width;
                if let MemoryRows::F32(memory) = self.memory {
                    self.many(packed, block, &memory[values], &mut partials);
                } else {
                    with_f32_scratch(values.len(), |decoded| {
                        let decode = Decode {
                            memory: self.memory,
                            values,
                            decoded,
                        };
                        dispatch(self.set, decode);
                        self.many(packed, block, decoded, &mut partials);
                    });
                }
            }
        }
        partials
    }

    fn scales(&self) -> Option<&'a [f32]> {
        match self.memory {
            MemoryRows::Int8 { scales, .. } | MemoryRows::Int8Exact { scales, .. } => Some(scales),
            MemoryRows::F32(_) | MemoryRows::F16(_) => None,
        }
    }

    /// Most by which rounding to bytes changes a score, over the length of the query and the scale.
    fn byte_slack(&self) -> f32 {
        match self.memory {
            MemoryRows::Int8Exact { .. } => 0.5 * (self.width as f32).sqrt(),
            _ => 0.0,
        }
    }

    fn few<R: Source + Send>(
        &self,
        rows: Range<usize>,
        source: R,
        bytes: &[i8],
        partials: &mut [Partial],
    ) {
        dispatch(
            self.set,
            Few {
                scan: self,
                rows,
                source,
                bytes,
                partials,
            },
        );
    }

    /// Many queries over a block of rows, given as f32 without the scales of byte rows.
    fn many(
        &self,
        queries: &PackedMatrix,
        rows: Range<usize>,
        block: &[f32],
        partials: &mut [Partial],
    ) {
        let (count, len) = (partials.len(), rows.len());
        let how = How {
            set: self.set,
            threads: Threads::One,
            precision: self.precision,
        };
        let block_view = MatrixView::row_major(block, len, self.width);
        with_f32_scratch(2 * count * len + len, |scratch| {
            let (by_row, rest) = scratch.split_at_mut(count * len);
            let (weights, slack) = rest.split_at_mut(count * len);
            linear_on(Threads::One, block, queries, Epilogue::default(), by_row);
            dispatch(
                self.set,
                Weigh {
                    scan: self,
                    rows,
                    block,
                    by_row,
                    weights,
                    slack,
                    partials,
                },
            );
            if weights.iter().all(|&weight| weight == 0.0) {
                return;
            }
            with_f32_scratch(count * self.width, |mixed| {
                let weights = MatrixView::row_major(weights, count, len);
                let mut out = Output::new(MatrixViewMut::row_major(mixed, count, self.width));
                multiply(how, weights, block_view, Accumulate::Overwrite, &mut out);
                for (partial, mixed) in partials.iter_mut().zip(mixed.chunks_exact(self.width)) {
                    for (sum, value) in partial.mixed.iter_mut().zip(mixed) {
                        *sum += value;
                    }
                }
            });
        });
    }
}

/// A few queries over some rows.
struct Few<'a, 'b, R> {
    scan: &'a Scan<'b>,
    rows: Range<usize>,
    source: R,
    /// The source, where it is bytes; else empty.
    bytes: &'a [i8],
    partials: &'a mut [Partial],
}

impl<R: Source> Kernel for Few<'_, '_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Scan {
            width,
            inverse_tau,
            top_k,
            negligible,
            ..
        } = *self.scan;
        let scales = self.scan.scales();
        let exact = match self.scan.memory {
            MemoryRows::Int8Exact { exact, .. } => Some(exact),
            _ => None,
        };
        let mut buffer = [0.0; FEW_BLOCK];
        let mut slack = [0.0; FEW_BLOCK];
        for first_row in self.rows.clone().step_by(FEW_BLOCK) {
            let len = FEW_BLOCK.min(self.rows.end - first_row);
            for (index, partial) in self.partials.iter_mut().enumerate() {
                let query = &self.scan.queries[index * width..][..width];
                let rounded = self.scan.rounded.get(index);
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
                let length = self.scan.lengths[index];
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

/// Turns scores into weights, for many queries.
struct Weigh<'a, 'b> {
    scan: &'a Scan<'b>,
    rows: Range<usize>,
    /// Rows without their scales, `[rows, width]`.
    block: &'a [f32],
    /// Dot products of those, `[rows, queries]`.
    by_row: &'a mut [f32],
    /// `[queries, rows]`; gets the weights, times the scales of byte rows.
    weights: &'a mut [f32],
    /// Scratch, `[rows]`.
    slack: &'a mut [f32],
    partials: &'a mut [Partial],
}

/// The relative error of a value that is rounded to bf16.
const BF16_ERROR: f32 = 1.0 / 256.0 / 2.0;

impl Kernel for Weigh<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Scan {
            width,
            inverse_tau,
            top_k,
            negligible,
            precision,
            ..
        } = *self.scan;
        let (count, len, first_row) = (self.partials.len(), self.rows.len(), self.rows.start);
        let scales = self.scan.scales().map(|scales| &scales[self.rows.clone()]);
        for (row, scores) in self.by_row.chunks_exact(count).enumerate() {
            let factor = inverse_tau * scales.map_or(1.0, |scales| scales[row]);
            for (query, score) in scores.iter().enumerate() {
                self.weights[query * len + row] = score * factor;
            }
        }
        // Both operands of a product of floats are rounded; bytes are exact in bf16.
        let rounding = match (precision, scales) {
            (Precision::F32, _) => 0.0,
            (_, None) => 2.01 * BF16_ERROR,
            (_, Some(_)) => 1.01 * BF16_ERROR,
        };
        let exact = match (rounding > 0.0, self.scan.memory) {
            (false, MemoryRows::Int8Exact { exact, .. }) => Some(exact),
            (false, _) => None,
            (true, memory) => memory.exact(),
        };
        if exact.is_some() {
            let byte_slack = self.scan.byte_slack();
            for (index, row) in self.block.chunks_exact(width).enumerate() {
                let scale = scales.map_or(1.0, |scales| scales[index]);
                let norm = match rounding > 0.0 {
                    true => dot(simd, row, row).sqrt() * scale,
                    false => 0.0,
                };
                self.slack[index] = rounding * norm + byte_slack * scale;
            }
        }
        let queries = self
            .scan
            .queries
            .chunks_exact(width)
            .zip(&self.scan.lengths);
        let weights = self.weights.chunks_exact_mut(len);
        for (((query, &length), weights), partial) in queries.zip(weights).zip(self.partials) {
            let rescore = exact.map(|exact| Rescore {
                query,
                exact,
                inverse_tau,
                slack: self.slack,
                length,
            });
            partial.admit(simd, top_k, negligible, first_row, weights, rescore);
            if let Some(scales) = scales {
                for (weight, scale) in weights.iter_mut().zip(scales) {
                    *weight *= scale;
                }
            }
        }
    }
}
