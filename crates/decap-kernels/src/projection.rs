//! Projection onto a support memory: softmax over all rows, in one pass over the memory.
//!
//! `w = softmax(M v / tau)`, mixture `sum w_i m_i` (DeCap, equation 5). The softmax is the online one
//! (Milakov and Gimelshein, 2018): each chunk of rows keeps its own maximum, sum and mixture, and the
//! chunks are merged in order. Chunks are cut by the number of rows alone, so the result does not
//! depend on the number of threads.

use crate::arch::{Kernel, Simd, add_scaled, dispatch, dot};
use crate::dispatch::KernelSet;
use crate::gemm::{
    Accumulate, How, MatrixView, MatrixViewMut, Output, Precision, Threads, multiply,
    with_f32_scratch,
};
use rayon::prelude::*;

/// The rows of a memory, `[rows, width]`.
#[derive(Clone, Copy, Debug)]
pub enum MemoryRows<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// IEEE half precision, as bits.
    F16(&'a [u16]),
    /// Bytes: row `i` is `scales[i] * rows[i]`.
    Int8 {
        /// `[rows, width]`
        rows: &'a [i8],
        /// `[rows]`
        scales: &'a [f32],
    },
}

impl MemoryRows<'_> {
    /// Number of values.
    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::Int8 { rows, .. } => rows.len(),
        }
    }
}

/// What a projection returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// `sum w_i m_i` of each query, `[queries, width]`; not renormalised to unit length.
    pub mixed: Vec<f32>,
    /// The `top_k` largest weights of each query with their rows, largest first, ties by lowest row.
    /// The weights are those of the softmax over all rows.
    pub top: Vec<Vec<(usize, f32)>>,
}

/// Rows that are handled at a time: they stay in L2 between their scores and their mixture.
const BLOCK_ROWS: usize = 128;

/// Blocks of a chunk, the unit of parallel work.
const CHUNK_BLOCKS: usize = 32;

/// Queries from which the scores are a matrix product instead of dot products.
const PRODUCT_QUERIES: usize = 4;

/// Rows whose weight is below e^-30 of the largest so far are left out of the mixture: ten million
/// of them weigh less than one rounding of the sum.
const NEGLIGIBLE: f32 = -30.0;

/// Projects each of `queries`, `[queries, width]`, onto the memory.
///
/// An empty memory gives a mixture of zeros.
///
/// # Panics
/// When the lengths do not agree, `width` is 0 or `tau` is not above 0.
pub fn project(
    queries: &[f32],
    memory: MemoryRows<'_>,
    width: usize,
    tau: f32,
    top_k: usize,
) -> Projection {
    assert!(
        width > 0 && queries.len().is_multiple_of(width),
        "queries of a projection"
    );
    assert!(memory.len().is_multiple_of(width), "rows of a memory");
    assert!(tau > 0.0, "tau of a projection");
    let rows = memory.len() / width;
    if let MemoryRows::Int8 { scales, .. } = memory {
        assert_eq!(scales.len(), rows, "scales of a memory");
    }
    let set = KernelSet::active();
    let chunk_rows = BLOCK_ROWS * CHUNK_BLOCKS;
    let parts: Vec<Vec<Partial>> = (0..rows.div_ceil(chunk_rows))
        .into_par_iter()
        .with_max_len(1)
        .map(|chunk| {
            let scan = Scan {
                queries,
                memory,
                width,
                inverse_tau: 1.0 / tau,
                top_k,
            };
            scan.run(set, chunk * chunk_rows..rows.min((chunk + 1) * chunk_rows))
        })
        .collect();
    let mut mixed = vec![0.0; queries.len()];
    let top = mixed
        .par_chunks_exact_mut(width)
        .enumerate()
        .map(|(query, mixed)| merge(parts.iter().map(|part| &part[query]), top_k, mixed))
        .collect();
    Projection { mixed, top }
}

/// The softmax of one query over some of the rows.
struct Partial {
    largest: f32,
    /// Sum of `e^(score - largest)`.
    sum: f64,
    /// Sum of `e^(score - largest) m`, `[width]`.
    mixed: Vec<f32>,
    /// Scores and rows, best first.
    top: Vec<(f32, usize)>,
}

fn merge<'a>(
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
        let factor = f64::from(part.largest - largest).exp();
        sum += part.sum * factor;
        if part.largest - largest > NEGLIGIBLE {
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
    top.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    top.truncate(top_k);
    let weight = |score: f32| (f64::from(score - largest).exp() / sum) as f32;
    top.into_iter()
        .map(|(score, row)| (row, weight(score)))
        .collect()
}

#[derive(Clone, Copy)]
struct Scan<'a> {
    queries: &'a [f32],
    memory: MemoryRows<'a>,
    width: usize,
    inverse_tau: f32,
    top_k: usize,
}

impl Scan<'_> {
    fn run(self, set: KernelSet, rows: std::ops::Range<usize>) -> Vec<Partial> {
        let width = self.width;
        let count = self.queries.len() / width;
        let mut partials: Vec<Partial> = (0..count)
            .map(|_| Partial {
                largest: f32::NEG_INFINITY,
                sum: 0.0,
                mixed: vec![0.0; width],
                top: Vec::with_capacity(self.top_k.min(rows.len()) + 1),
            })
            .collect();
        for first_row in rows.clone().step_by(BLOCK_ROWS) {
            let block_rows = BLOCK_ROWS.min(rows.end - first_row);
            let values = first_row * width..(first_row + block_rows) * width;
            let mut run = |block: &[f32]| self.block(set, first_row, block, &mut partials);
            match self.memory {
                MemoryRows::F32(memory) => run(&memory[values]),
                _ => with_f32_scratch(values.len(), |block| {
                    let memory = self.memory;
                    let decode = Decode {
                        memory,
                        first_row,
                        width,
                        block,
                    };
                    dispatch(set, decode);
                    run(block);
                }),
            }
        }
        partials
    }

    /// Adds a block of rows to the partial softmax of each query.
    fn block(self, set: KernelSet, first_row: usize, block: &[f32], partials: &mut [Partial]) {
        let width = self.width;
        let (rows, count) = (block.len() / width, partials.len());
        with_f32_scratch(count * rows, |scores| {
            if count >= PRODUCT_QUERIES {
                let queries = MatrixView::row_major(self.queries, count, width);
                let memory = MatrixView::row_major(block, rows, width).transposed();
                let mut out = Output::new(MatrixViewMut::row_major(scores, count, rows));
                let how = How {
                    set,
                    threads: Threads::One,
                    precision: Precision::F32,
                };
                multiply(how, queries, memory, Accumulate::Overwrite, &mut out);
            }
            dispatch(
                set,
                Update {
                    scan: self,
                    first_row,
                    block,
                    scores,
                    partials,
                },
            );
        });
    }
}

/// Turns rows of the memory into f32.
struct Decode<'a> {
    memory: MemoryRows<'a>,
    first_row: usize,
    width: usize,
    block: &'a mut [f32],
}

impl Kernel for Decode<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let start = self.first_row * self.width;
        let values = start..start + self.block.len();
        match self.memory {
            MemoryRows::F32(memory) => self.block.copy_from_slice(&memory[values]),
            MemoryRows::F16(memory) => {
                let mut sources = memory[values].chunks_exact(S::LANES);
                let mut targets = self.block.chunks_exact_mut(S::LANES);
                for (target, source) in (&mut targets).zip(&mut sources) {
                    simd.store(simd.load_f16(source), target);
                }
                let rest = targets.into_remainder().iter_mut().zip(sources.remainder());
                rest.for_each(|(target, &bits)| *target = crate::arch::scalar::f16_to_f32(bits));
            }
            MemoryRows::Int8 { rows, scales } => {
                let rows = rows[values].chunks_exact(self.width);
                let scales = &scales[self.first_row..];
                let targets = self.block.chunks_exact_mut(self.width);
                for ((target, row), &scale) in targets.zip(rows).zip(scales) {
                    let mut sources = row.chunks_exact(S::LANES);
                    let mut targets = target.chunks_exact_mut(S::LANES);
                    for (target, source) in (&mut targets).zip(&mut sources) {
                        simd.store(simd.mul(simd.load_i8(source), simd.splat(scale)), target);
                    }
                    let rest = targets.into_remainder().iter_mut().zip(sources.remainder());
                    rest.for_each(|(target, &byte)| *target = f32::from(byte) * scale);
                }
            }
        }
    }
}

struct Update<'a> {
    scan: Scan<'a>,
    first_row: usize,
    block: &'a [f32],
    /// `[queries, rows]`; dot products, when there are many queries.
    scores: &'a mut [f32],
    partials: &'a mut [Partial],
}

impl Kernel for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.scan.width;
        let rows = self.block.len() / width;
        let dot_products = self.partials.len() < PRODUCT_QUERIES;
        let queries = self.scan.queries.chunks_exact(width);
        let scores = self.scores.chunks_exact_mut(rows);
        for ((query, scores), partial) in queries.zip(scores).zip(self.partials) {
            if dot_products {
                for (score, row) in scores.iter_mut().zip(self.block.chunks_exact(width)) {
                    *score = dot(simd, query, row);
                }
            }
            let mut largest = f32::NEG_INFINITY;
            for score in scores.iter_mut() {
                *score *= self.scan.inverse_tau;
                largest = if *score > largest { *score } else { largest };
            }
            if largest > partial.largest {
                let factor = (partial.largest - largest).exp();
                let factor = if factor < NEGLIGIBLE.exp() {
                    0.0
                } else {
                    factor
                };
                partial.sum *= f64::from(factor);
                partial.mixed.iter_mut().for_each(|value| *value *= factor);
                partial.largest = largest;
            }
            for (index, &score) in scores.iter().enumerate() {
                keep_top(
                    &mut partial.top,
                    self.scan.top_k,
                    score,
                    self.first_row + index,
                );
            }
            for (score, row) in scores.iter().zip(self.block.chunks_exact(width)) {
                let distance = score - partial.largest;
                if distance > NEGLIGIBLE {
                    let weight = distance.exp();
                    partial.sum += f64::from(weight);
                    add_scaled(simd, &mut partial.mixed, weight, row);
                }
            }
        }
    }
}

/// Inserts a score into the best ones; rows come in ascending order, so that ties stay behind.
#[inline(always)]
fn keep_top(top: &mut Vec<(f32, usize)>, top_k: usize, score: f32, row: usize) {
    if top.len() == top_k && top.last().is_none_or(|last| score <= last.0) {
        return;
    }
    let place = top.partition_point(|better| better.0 >= score);
    top.insert(place, (score, row));
    top.truncate(top_k);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::with_kernels;
    use crate::testing::{assert_close, random};

    /// Scores reach 100 and are good to a few f32 roundings, which `e^x` turns into relative errors
    /// of the weights.
    const TOLERANCE: f32 = 5e-5;

    fn unit_rows(rows: usize, width: usize, seed: u64) -> Vec<f32> {
        let mut values = random(rows * width, seed);
        for row in values.chunks_mut(width) {
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.iter_mut().for_each(|x| *x /= norm);
        }
        values
    }

    /// Mixture and weights of one query in f64.
    fn exact(query: &[f32], memory: &[f32], tau: f64) -> (Vec<f32>, Vec<f64>) {
        let width = query.len();
        let scores: Vec<f64> = memory
            .chunks(width)
            .map(|row| {
                let products = row
                    .iter()
                    .zip(query)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b));
                products.sum::<f64>() / tau
            })
            .collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
        let weights: Vec<f64> = scores
            .iter()
            .map(|score| (score - largest).exp() / sum)
            .collect();
        let mixed = (0..width)
            .map(|j| {
                let column = memory.chunks(width).zip(&weights);
                column
                    .map(|(row, weight)| f64::from(row[j]) * weight)
                    .sum::<f64>() as f32
            })
            .collect();
        (mixed, weights)
    }

    fn check(queries: &[f32], memory: &[f32], width: usize, got: &Projection, what: &str) {
        for (index, query) in queries.chunks(width).enumerate() {
            let (mixed, weights) = exact(query, memory, 0.01);
            let got_mixed = &got.mixed[index * width..(index + 1) * width];
            assert_close(got_mixed, &mixed, TOLERANCE, what);
            let mut order: Vec<usize> = (0..weights.len()).collect();
            order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
            assert_eq!(got.top[index].len(), weights.len().min(3), "{what}");
            for (&(row, weight), best) in got.top[index].iter().zip(order) {
                assert!((f64::from(weight) - weights[row]).abs() < 5e-5, "{what}");
                assert!((weights[best] - weights[row]).abs() < 5e-5, "{what}");
            }
        }
    }

    #[test]
    fn projections_agree_with_f64_under_every_set() {
        for set in KernelSet::supported() {
            for rows in [1, 2, 17, 129, 5000] {
                for (count, width) in [(1, 1), (1, 33), (3, 64), (9, 40)] {
                    let queries = unit_rows(count, width, 1);
                    let memory = unit_rows(rows, width, 2);
                    let got = with_kernels(set, || {
                        project(&queries, MemoryRows::F32(&memory), width, 0.01, 3)
                    });
                    let what = format!("{set} {count} queries {rows}x{width}");
                    check(&queries, &memory, width, &got, &what);
                }
            }
        }
    }

    #[test]
    fn compact_memories_agree_with_their_decoded_rows() {
        let (rows, width) = (300, 43);
        let bytes: Vec<i8> = random(rows * width, 3)
            .iter()
            .map(|x| (127.0 * x) as i8)
            .collect();
        let scales: Vec<f32> = random(rows, 4).iter().map(|x| 0.001 + 0.0005 * x).collect();
        let decoded: Vec<f32> = bytes
            .iter()
            .enumerate()
            .map(|(at, &byte)| f32::from(byte) * scales[at / width])
            .collect();
        let halves: Vec<u16> = (0..rows * width)
            .map(|at| (at * 37 % 0x3c00) as u16)
            .collect();
        let decoded_halves: Vec<f32> = halves
            .iter()
            .map(|&bits| crate::arch::scalar::f16_to_f32(bits))
            .collect();
        let queries = unit_rows(5, width, 5);
        for set in KernelSet::supported() {
            for count in [1, 5] {
                let queries = &queries[..count * width];
                with_kernels(set, || {
                    let memory = MemoryRows::Int8 {
                        rows: &bytes,
                        scales: &scales,
                    };
                    let got = project(queries, memory, width, 0.01, 3);
                    let same = project(queries, MemoryRows::F32(&decoded), width, 0.01, 3);
                    assert_eq!(got, same, "{set} int8");
                    let got = project(queries, MemoryRows::F16(&halves), width, 0.01, 3);
                    let memory = MemoryRows::F32(&decoded_halves);
                    assert_eq!(got, project(queries, memory, width, 0.01, 3), "{set} f16");
                });
            }
        }
    }

    #[test]
    fn half_precision_decodes_exactly() {
        use crate::arch::scalar::f16_to_f32;
        let cases = [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x7c00, f32::INFINITY),
        ];
        for (bits, value) in cases {
            assert_eq!(f16_to_f32(bits).to_bits(), f32::to_bits(value), "{bits:#x}");
        }
        assert!(f16_to_f32(0x7e00).is_nan());
    }

    #[test]
    fn ties_go_to_the_lowest_row() {
        let memory = [1.0, 0.0].repeat(6000);
        let got = project(&[1.0, 0.0], MemoryRows::F32(&memory), 2, 0.01, 3);
        let rows: Vec<usize> = got.top[0].iter().map(|(row, _)| *row).collect();
        assert_eq!(rows, [0, 1, 2]);
        assert!((got.mixed[0] - 1.0).abs() < 1e-5);
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let (memory, queries) = (unit_rows(20_000, 16, 6), unit_rows(6, 16, 7));
        let with_threads = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let run = || project(&queries, MemoryRows::F32(&memory), 16, 0.01, 5);
            pool.unwrap().install(run)
        };
        assert_eq!(with_threads(1), with_threads(3));
    }

    #[test]
    fn an_empty_memory_gives_zeros() {
        let got = project(&[1.0, 2.0], MemoryRows::F32(&[]), 2, 0.01, 3);
        assert_eq!((got.mixed, got.top), (vec![0.0, 0.0], vec![vec![]]));
    }
}
