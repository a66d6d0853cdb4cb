//! One pass over some rows of a memory, for a few queries or for many.

#[cfg(target_arch = "x86_64")]
use super::byte_products::ByteProducts;
use super::few::Few;
#[cfg(target_arch = "x86_64")]
use super::group_lanes::GROUP;
#[cfg(target_arch = "x86_64")]
use super::groups::{Group, Groups};
use super::many::ManyQueries;
use super::partial::{Floor, Partial, negligible};
use super::queries::Queries;
use super::rounded_query::RoundedQuery;
use super::rows::{Decode, MemoryRows, Source};
use crate::dispatch::{KernelSet, dispatch};
use crate::gemm::PackedMatrix;
use crate::matrix::{MatrixView, Precision};
use crate::words::with_f32_scratch;
use std::ops::Range;

/// From this many queries on, the scan is two matrix products instead of dot products and sums of rows.
const MANY_QUERIES: usize = 4;

/// Rows at a time for many queries: they stay in L2.
const MANY_BLOCK: usize = 128;

/// A projection, ready to run over any rows.
pub(super) struct Scan<'a> {
    queries: Queries<'a>,
    precision: Precision,
    memory: MemoryRows<'a>,
    /// For a few queries over byte rows: the queries in 16 bits.
    rounded: Vec<RoundedQuery>,
    /// For many queries: the queries as the weights of a linear layer.
    packed: Option<PackedMatrix>,
    /// For many queries over byte rows, if bytes are multiplied with bytes.
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
            queries: Queries {
                set,
                values: queries,
                lengths,
                width,
                inverse_tau,
                top_k,
                negligible: negligible(memory.count(width), are_rounded),
            },
            precision,
            packed: is_many.then(as_weights),
            #[cfg(target_arch = "x86_64")]
            groups,
            memory,
            rounded: rounded.map(round).collect(),
        }
    }

    /// The partial softmax of each query over `rows`; `floors` is what earlier rows tell.
    pub(super) fn run(&self, rows: Range<usize>, floors: &[Floor]) -> Vec<Partial> {
        let new = |&floor| Partial::new(self.queries.width, self.queries.top_k, floor);
        let mut partials: Vec<Partial> = floors.iter().map(new).collect();
        #[cfg(target_arch = "x86_64")]
        if let (Some((products, groups)), Some((bytes, scales, exact))) =
            (&self.groups, self.memory.bytes())
        {
            let groups = Groups {
                queries: &self.queries,
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
        let many = ManyQueries {
            queries: &self.queries,
            packed,
            precision: self.precision,
            memory: self.memory,
        };
        for first_row in rows.clone().step_by(MANY_BLOCK) {
            let block = first_row..rows.end.min(first_row + MANY_BLOCK);
            let values = block.start * self.queries.width..block.end * self.queries.width;
            if let MemoryRows::F32(memory) = self.memory {
                many.scan(block, &memory[values], &mut partials);
            } else {
                with_f32_scratch(values.len(), |decoded| {
                    let decode = Decode {
                        memory: self.memory,
                        values,
                        decoded,
                    };
                    dispatch(self.queries.set, decode);
                    many.scan(block, decoded, &mut partials);
                });
            }
        }
        partials
    }

    fn few<R: Source + Send>(
        &self,
        rows: Range<usize>,
        source: R,
        bytes: &[i8],
        partials: &mut [Partial],
    ) {
        dispatch(
            self.queries.set,
            Few {
                queries: &self.queries,
                rounded: &self.rounded,
                memory: self.memory,
                rows,
                source,
                bytes,
                partials,
            },
        );
    }
}
