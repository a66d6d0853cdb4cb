//! Projection onto a support memory: softmax over all rows, in one pass over the memory.
//!
//! `w = softmax(M v / tau)`, mixture `sum w_i m_i` (DeCap, equation 5). The softmax is the online one
//! (Milakov and Gimelshein, 2018): each chunk of rows keeps its own maximum, sum and mixture, and the
//! chunks are merged in order. Chunks are cut by the number of rows alone, so the result does not
//! depend on the number of threads.

#[cfg(target_arch = "x86_64")]
mod byte_products;
mod few;
#[cfg(target_arch = "x86_64")]
mod group_lanes;
#[cfg(target_arch = "x86_64")]
mod groups;
mod many;
mod partial;
mod queries;
mod rounded_query;
mod rows;
mod scan;

pub use rows::{ExactRows, MemoryRows, quantize_rows};

use crate::dispatch::KernelSet;
use crate::matrix::Precision;
use partial::{Floor, Partial, merge};
use rayon::prelude::*;
use scan::Scan;

/// What a projection returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// `sum w_i m_i` of each query, `[queries, width]`; not renormalised to unit length.
    pub mixed: Vec<f32>,
    /// The `top_k` largest weights of each query with their rows, largest first, ties by lowest row.
    /// The weights are those of the softmax over all rows.
    pub top: Vec<Vec<(usize, f32)>>,
}

/// Rows of a chunk, the unit of parallel work.
const CHUNK_ROWS: usize = 4096;

/// Projects each of `queries`, `[queries, width]`, onto the memory.
///
/// Scores and mixture are f32 sums over the rows as they are stored. An empty memory gives a mixture
/// of zeros. Rows whose weight is below e^-30 of the largest are left out of the mixture: ten million
/// of them weigh less than one rounding of the sum. [`MemoryRows::Int8Exact`] is scanned as by [`project_with`].
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
    project_with(Precision::F32, queries, memory, width, tau, top_k)
}

/// [`project`] that scans the memory in `precision`.
///
/// With `Bf16` (or `Int8`, which is the same here) the operands of the scan are rounded to bf16 when there are many
/// queries. Over byte rows, queries are rounded to 16 bits instead, and the rows not at all, when there are few queries
/// or bytes are multiplied with bytes.
///
/// The error of each rounded score has a proven bound (Cauchy and Schwarz: the length of the query times the length of
/// the row's rounding error, and the other way round). Every row whose bound allows a weight of more than e^-3 of the
/// largest, or a place among the `top_k`, is scored and mixed again exactly. The others keep their rounded score and
/// row, except for those that together weigh less than 2^-13, which are left out. For unit vectors and `tau` 1/100 a
/// rounded score is off by at most 0.4, and typically by less than 0.01.
///
/// # Panics
/// When the lengths do not agree, `width` is 0 or `tau` is not above 0.
pub fn project_with(
    precision: Precision,
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
    assert!(tau > 0.0, "tau of a projection");
    let rows = memory.count(width);
    let scan = Scan::new(
        KernelSet::active(),
        precision,
        queries,
        memory,
        width,
        1.0 / tau,
        top_k,
    );
    // Later rows know a lower bound of the largest score, so fewer of them need to be scored exactly.
    // Which rows are later depends on the number of rows alone.
    let chunks = rows.div_ceil(CHUNK_ROWS);
    let mut parts = Vec::with_capacity(chunks);
    let mut floors = vec![Floor::NONE; queries.len() / width];
    for stage in [0..chunks.min(2), 2..chunks.min(8), 8..chunks] {
        let run = |chunk| {
            let rows = chunk * CHUNK_ROWS..rows.min((chunk + 1) * CHUNK_ROWS);
            scan.run(rows, &floors)
        };
        let stage: Vec<_> = stage.into_par_iter().with_max_len(1).map(run).collect();
        parts.extend(stage);
        for (query, floor) in floors.iter_mut().enumerate() {
            *floor = Floor::of(parts.iter().map(|part: &Vec<Partial>| &part[query]), top_k);
        }
    }
    let mut mixed = vec![0.0; queries.len()];
    let top = mixed
        .par_chunks_exact_mut(width)
        .enumerate()
        .map(|(query, mixed)| merge(parts.iter().map(|part| &part[query]), top_k, mixed))
        .collect();
    Projection { mixed, top }
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
            .map(|&bits| crate::arch::f16_to_f32(bits))
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
                    assert_close(&got.mixed, &same.mixed, TOLERANCE, &format!("{set} int8"));
                    let got = project(queries, MemoryRows::F16(&halves), width, 0.01, 3);
                    let memory = MemoryRows::F32(&decoded_halves);
                    assert_eq!(got, project(queries, memory, width, 0.01, 3), "{set} f16");
                });
            }
        }
    }

    /// Rounded scores are off by less than 0.1 here, and only those of rows that weigh little are
    /// used.
    const BOUNDED_TOLERANCE: f32 = 5e-3;

    #[test]
    fn bounded_scans_find_the_exact_best_rows_under_every_set() {
        // Rows of whole lines and not, last blocks that are full and not.
        for (rows, width) in [(9000, 70), (9000, 128), (4096, 64), (31, 192)] {
            let memory = unit_rows(rows, width, 8);
            let (bytes, scales) = quantize_rows(ExactRows::F32(&memory), width);
            let stored = MemoryRows::Int8Exact {
                rows: &bytes,
                scales: &scales,
                exact: ExactRows::F32(&memory),
            };
            for count in [1, 3, 9, 33] {
                let queries = unit_rows(count, width, 9);
                let exact = project(&queries, MemoryRows::F32(&memory), width, 0.01, 4);
                for set in KernelSet::supported() {
                    for (what, precision, memory) in [
                        ("bf16", Precision::Bf16, MemoryRows::F32(&memory)),
                        ("int8", Precision::F32, stored),
                        ("int8 in bf16", Precision::Bf16, stored),
                    ] {
                        let run = || project_with(precision, &queries, memory, width, 0.01, 4);
                        let got = with_kernels(set, run);
                        let what = format!("{set} {what} {count} {rows}x{width}");
                        assert_close(&got.mixed, &exact.mixed, BOUNDED_TOLERANCE, &what);
                        for (got, exact) in got.top.iter().zip(&exact.top) {
                            assert_eq!(got.len(), exact.len(), "{what}");
                            for (got, exact) in got.iter().zip(exact) {
                                assert_eq!(got.0, exact.0, "{what}");
                                assert!((got.1 - exact.1).abs() < BOUNDED_TOLERANCE, "{what}");
                            }
                        }
                    }
                }
            }
        }
    }

    /// Queries and weights are rounded to sixteen bits.
    const SIXTEEN_BITS: f32 = 5e-4;

    #[test]
    fn byte_rows_in_bf16_agree_with_f32_under_every_set() {
        for (rows, width) in [(5000, 64), (300, 512), (7, 128)] {
            let memory = unit_rows(rows, width, 11);
            let (bytes, scales) = quantize_rows(ExactRows::F32(&memory), width);
            let stored = MemoryRows::Int8 {
                rows: &bytes,
                scales: &scales,
            };
            for count in [4, 17] {
                let queries = unit_rows(count, width, 12);
                let exact = project(&queries, stored, width, 0.05, 3);
                for set in KernelSet::supported() {
                    // Elsewhere queries and weights are rounded to bf16.
                    let tolerance = match set {
                        KernelSet::Amx | KernelSet::Avx512Bf16 => SIXTEEN_BITS,
                        _ => 0.02,
                    };
                    let run = || project_with(Precision::Bf16, &queries, stored, width, 0.05, 3);
                    let got = with_kernels(set, run);
                    let what = format!("{set} {count} {rows}x{width}");
                    assert_close(&got.mixed, &exact.mixed, tolerance, &what);
                }
            }
        }
    }

    /// A query that rounding to bytes affects as much as the bound allows: the best row by the bytes is
    /// not the best row.
    #[test]
    fn the_bound_holds_where_bytes_mislead() {
        let width = 16;
        let scale = 0.25 / 127.0;
        let mut memory = vec![0.0; 600 * width];
        for (index, row) in memory.chunks_exact_mut(width).enumerate() {
            // Every value is just below or just above the middle between two bytes.
            let nudge = if index == 300 { 0.499 } else { 0.501 };
            row.fill(scale * (50.0 + if index == 300 { 1.0 } else { 0.0 } + nudge - 1.0));
            row[0] = 0.25;
        }
        // Row 300 rounds down by almost half a byte, the others up.
        let (bytes, scales) = quantize_rows(ExactRows::F32(&memory), width);
        let query = [1.0f32; 16];
        let stored = MemoryRows::Int8Exact {
            rows: &bytes,
            scales: &scales,
            exact: ExactRows::F32(&memory),
        };
        let by_bytes = MemoryRows::Int8 {
            rows: &bytes,
            scales: &scales,
        };
        for set in KernelSet::supported() {
            with_kernels(set, || {
                assert_eq!(
                    project(&query, by_bytes, width, 0.01, 1).top[0][0].0,
                    0,
                    "{set}"
                );
                assert_eq!(
                    project(&query, stored, width, 0.01, 1).top[0][0].0,
                    300,
                    "{set}"
                );
            });
        }
    }

    #[test]
    fn bytes_are_off_by_half_a_scale_at_most() {
        let memory = random(50 * 33, 10);
        let (bytes, scales) = quantize_rows(ExactRows::F32(&memory), 33);
        for (index, (&byte, &value)) in bytes.iter().zip(&memory).enumerate() {
            let scale = scales[index / 33];
            assert!((f32::from(byte) * scale - value).abs() <= 0.501 * scale);
        }
        assert_eq!(
            quantize_rows(ExactRows::F32(&[0.0; 4]), 2),
            (vec![0; 4], vec![0.0; 2])
        );
    }

    #[test]
    fn half_precision_decodes_exactly() {
        use crate::arch::f16_to_f32;
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
