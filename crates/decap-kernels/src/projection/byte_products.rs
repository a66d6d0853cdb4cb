//! The two products of a scan of byte rows: of rows with queries, and of weights with rows.
//!
//! Queries and weights have sixteen bits, given as two bytes each: `256 high + low`. The matrix unit multiplies signed
//! bytes with signed ones; the dot products need one unsigned side, so queries get an offset there.

use super::group_lanes::{COLUMNS, GROUP, ROWS};
use crate::arch::avx512::has_dot_products;
use crate::arch::avx512_words::{load, store};
use crate::arch::fetch;
use crate::dispatch::KernelSet;
use crate::matrix_unit;
use std::arch::x86_64::*;

/// Rows that are multiplied with queries at a time, and lines of weights.
pub(super) const TILE_ROWS: usize = 2 * GROUP;

/// Bytes of a row that are multiplied at a time.
const TILE_BYTES: usize = 64;

/// Lines of the first operand that the dot products handle at a time: twice as many sums stay in registers.
const LINES: usize = 8;

/// Words of the weights of 64 rows.
const PIECE: usize = TILE_ROWS * ROWS / 4;

/// What multiplies bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteProducts {
    MatrixUnit,
    DotProducts,
}

impl ByteProducts {
    pub(super) fn of(set: KernelSet) -> Option<Self> {
        match set {
            KernelSet::Amx => Some(Self::MatrixUnit),
            KernelSet::Avx512Bf16 => Some(Self::DotProducts),
            _ => None,
        }
    }

    /// Four signed bytes of a query in the form that the products read.
    pub(super) fn query_word(self, word: u32) -> u32 {
        match self {
            Self::MatrixUnit => word,
            Self::DotProducts => word ^ 0x8080_8080,
        }
    }

    /// Writes what the sums of each of `rows`, `[rows, width]`, start with, to undo the offset of the queries.
    pub(super) fn starts(self, rows: &[i8], width: usize, starts: &mut [u32]) {
        if self == Self::DotProducts {
            assert!(has_dot_products(), "byte dot products called without them");
            assert!(width.is_multiple_of(TILE_BYTES) && rows.len() == starts.len() * width);
            // SAFETY: the assertion above checked every feature that the function enables.
            unsafe { row_starts(rows, width, starts) }
        }
    }

    /// Dot products of `rows`, `[rows, width]`, with a group of queries, `[width / 4, 2 GROUP]` words of four
    /// bytes: `sums`, `[rows, 2 GROUP]` integers, of the high bytes and then of the low ones.
    pub(super) fn dot_rows(
        self,
        rows: &[i8],
        width: usize,
        queries: &[u32],
        starts: &[u32],
        sums: &mut [u32],
    ) {
        assert!(width > 0 && width.is_multiple_of(TILE_BYTES));
        assert!(queries.len() == width / 4 * COLUMNS);
        assert!(rows.len().is_multiple_of(TILE_ROWS * width));
        let count = rows.len() / width;
        assert!(starts.len() == count && sums.len() == count * COLUMNS);
        match self {
            Self::MatrixUnit => matrix_unit::dot_rows(rows, width, queries, sums),
            Self::DotProducts => {
                assert!(has_dot_products(), "byte dot products called without them");
                let lines = rows.chunks_exact(LINES * width);
                let starts = starts.as_chunks::<LINES>().0;
                let sums = sums.chunks_exact_mut(LINES * COLUMNS);
                for ((rows, starts), sums) in lines.zip(starts).zip(sums) {
                    // SAFETY: the assertion above checked every feature that the function enables.
                    unsafe { dot_lines(rows, width, queries, starts, sums) }
                }
            }
        }
    }

    /// The product of weights over rows, `[rows / 64, 2 GROUP, 16]` words of four unsigned bytes, with a panel of the
    /// rows, `[rows / 4, 32]` words: `sums`, `[2 GROUP, 32]` integers. `ahead` is prefetched meanwhile.
    pub(super) fn mix(self, weights: &[u32], panel: &[u32], ahead: &[i8], sums: &mut [u32]) {
        let pieces = weights.len() / PIECE;
        assert!(weights.len() == pieces * PIECE && panel.len() == pieces * ROWS / 4 * COLUMNS);
        assert!(sums.len() == 2 * GROUP * COLUMNS);
        match self {
            Self::MatrixUnit => matrix_unit::mix_rows(weights, panel, ahead, sums),
            Self::DotProducts => {
                assert!(has_dot_products(), "byte dot products called without them");
                let tiles = sums.chunks_exact_mut(LINES * COLUMNS);
                let part = ahead.len() / tiles.len();
                for (index, sums) in tiles.enumerate() {
                    fetch(&ahead[index * part..][..part]);
                    // SAFETY: the assertion above checked every feature that the function enables.
                    unsafe { mix_lines(weights, index * LINES, panel, sums) }
                }
            }
        }
    }
}

/// Sums of eight lines.
type Sums = [[__m512i; 2]; LINES];

/// Adds the product of eight lines of words, `stride` bytes apart, and `b`, `[steps, 32]`, to `sums`. With `UNSIGNED`
/// the bytes of the lines are unsigned, otherwise those of `b`.
///
/// # Safety
/// As many words as `b` has steps can be read from each line.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn add_product<const UNSIGNED: bool>(
    lines: *const u32,
    stride: usize,
    b: &[u32],
    mut sums: Sums,
) -> Sums {
    for (step, b) in b.chunks_exact(COLUMNS).enumerate() {
        let (b0, b1) = (load(&b[..GROUP]), load(&b[GROUP..]));
        let words = lines.wrapping_add(step);
        for (line, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller vouches for the word.
            let word = unsafe { words.wrapping_byte_add(line * stride).read_unaligned() };
            let a = _mm512_set1_epi32(word as i32);
            if UNSIGNED {
                sums[0] = _mm512_dpbusd_epi32(sums[0], a, b0);
                sums[1] = _mm512_dpbusd_epi32(sums[1], a, b1);
            } else {
                sums[0] = _mm512_dpbusd_epi32(sums[0], b0, a);
                sums[1] = _mm512_dpbusd_epi32(sums[1], b1, a);
            }
        }
    }
    sums
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dot_lines(rows: &[i8], width: usize, queries: &[u32], starts: &[u32; LINES], sums: &mut [u32]) {
    assert!(rows.len() == LINES * width && queries.len() <= width / 4 * COLUMNS);
    let mut acc = [[_mm512_setzero_si512(); 2]; LINES];
    for (acc, &start) in acc.iter_mut().zip(starts) {
        *acc = [_mm512_set1_epi32(start as i32); 2];
    }
    // SAFETY: the assertion above keeps the words of each line in the rows.
    let acc = unsafe { add_product::<false>(rows.as_ptr().cast(), width, queries, acc) };
    write_sums(acc, sums);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn mix_lines(weights: &[u32], first: usize, panel: &[u32], sums: &mut [u32]) {
    let pieces = weights.chunks_exact(PIECE);
    let mut acc = [[_mm512_setzero_si512(); 2]; LINES];
    for (weights, panel) in pieces.zip(panel.chunks_exact(ROWS / 4 * COLUMNS)) {
        let lines = &weights[first * ROWS / 4..][..LINES * ROWS / 4];
        // SAFETY: a line of a piece has as many words as the panel has steps for it.
        acc = unsafe { add_product::<true>(lines.as_ptr(), ROWS, panel, acc) };
    }
    write_sums(acc, sums);
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn write_sums(acc: Sums, sums: &mut [u32]) {
    for (acc, sums) in acc.into_iter().zip(sums.chunks_exact_mut(COLUMNS)) {
        store(acc[0], &mut sums[..GROUP]);
        store(acc[1], &mut sums[GROUP..]);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn row_starts(rows: &[i8], width: usize, starts: &mut [u32]) {
    let offset = _mm512_set1_epi8(i8::MIN); // 128, unsigned
    for (row, start) in rows.chunks_exact(width).zip(starts) {
        let mut sum = _mm512_setzero_si512();
        for bytes in row.chunks_exact(TILE_BYTES) {
            // SAFETY: the chunk has 64 bytes.
            let bytes = unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) };
            sum = _mm512_dpbusd_epi32(sum, offset, bytes);
        }
        *start = _mm512_reduce_add_epi32(sum).wrapping_neg() as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::group_lanes::{
        add_in_natural_order, add_sums, interleave, pack_weights, scores,
    };

    fn bytes(len: usize, seed: usize) -> Vec<i8> {
        let byte = |i: usize| ((i + seed).wrapping_mul(0x9E37_79B9) >> 11) as i8;
        (0..len).map(byte).collect()
    }

    /// The ways in which this machine can multiply bytes.
    #[track_caller]
    fn products() -> Vec<ByteProducts> {
        let products: Vec<_> = KernelSet::supported()
            .filter_map(ByteProducts::of)
            .collect();
        if products.is_empty() {
            crate::skipped::skip("a processor with dot products of bytes");
        }
        products
    }

    #[test]
    fn scores_agree_with_plain_sums() {
        products().into_iter().for_each(check_scores);
    }

    fn check_scores(products: ByteProducts) {
        let (rows, width) = (64, 128);
        let (values, queries) = (bytes(rows * width, 1), bytes(2 * GROUP * width, 2));
        let mut words = vec![0; width / 4 * COLUMNS];
        for (column, query) in queries.chunks_exact(width).enumerate() {
            for (at, &byte) in query.iter().enumerate() {
                words[at / 4 * COLUMNS + column] |= u32::from(byte as u8) << (8 * (at % 4));
            }
        }
        words
            .iter_mut()
            .for_each(|word| *word = products.query_word(*word));
        let mut starts = vec![7; rows];
        products.starts(&values, width, &mut starts);
        let mut sums = vec![7; rows * COLUMNS];
        products.dot_rows(&values, width, &words, &starts, &mut sums);
        let row_factors: Vec<f32> = (0..rows).map(|row| 1.0 + row as f32).collect();
        let factors = std::array::from_fn(|lane| 0.5 + lane as f32);
        let mut found = vec![0.0; rows * GROUP];
        let largest = scores(&sums, &row_factors, &factors, &mut found);
        let dot = |row: usize, query: usize| -> i32 {
            let row = &values[row * width..][..width];
            let query = &queries[query * width..][..width];
            row.iter()
                .zip(query)
                .map(|(&a, &b)| i32::from(a) * i32::from(b))
                .sum()
        };
        for lane in 0..GROUP {
            let mut most = f32::NEG_INFINITY;
            for row in 0..rows {
                let sum = (256 * dot(row, lane) + dot(row, GROUP + lane)) as f32;
                let expected = sum * (factors[lane] * row_factors[row]);
                assert_eq!(
                    found[row * GROUP + lane],
                    expected,
                    "{products:?} row {row}, query {lane}"
                );
                most = most.max(expected);
            }
            assert_eq!(largest[lane], most);
        }
    }

    #[test]
    fn mixtures_agree_with_plain_sums() {
        products().into_iter().for_each(check_mixtures);
    }

    fn check_mixtures(products: ByteProducts) {
        let (rows, width) = (2 * ROWS, 64);
        let values = bytes(rows * width, 3);
        let weights: Vec<f32> = bytes(rows * GROUP, 4)
            .iter()
            .map(|&byte| f32::from(byte as u8) * 257.0)
            .collect();
        let mut panels = vec![0; rows * width / 4];
        interleave(&values, width, &mut panels);
        let mut packed = vec![0; rows / ROWS * 2 * GROUP * GROUP];
        pack_weights(&weights, &[1.0; GROUP], &mut packed);
        let mut mixed = vec![0.0; GROUP * width];
        let mut sums = vec![0; TILE_ROWS * COLUMNS];
        for (index, panel) in panels.chunks_exact(rows / 4 * COLUMNS).enumerate() {
            products.mix(&packed, panel, &[], &mut sums);
            add_sums(&sums, &[1.0; GROUP], index * COLUMNS, width, &mut mixed);
        }
        for (query, mixed) in mixed.chunks_exact(width).enumerate() {
            let mut natural = vec![0.0; width];
            add_in_natural_order(mixed, &mut natural);
            for (column, &got) in natural.iter().enumerate() {
                let product = |row: usize| {
                    f64::from(weights[row * GROUP + query])
                        * f64::from(values[row * width + column])
                };
                let expected: f64 = (0..rows).map(product).sum();
                // Two f32 roundings.
                assert!(
                    (f64::from(got) - expected).abs() <= expected.abs() * 2e-7,
                    "{products:?} query {query}, column {column}"
                );
            }
        }
    }
}
