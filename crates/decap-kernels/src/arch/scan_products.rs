//! The two products of a scan of byte rows: of rows with queries, and of weights with rows.
//!
//! Queries and weights have sixteen bits, given as two bytes each: `256 high + low`. The matrix unit multiplies signed
//! bytes with signed ones; dot products want one side unsigned, so queries get an offset there.

use super::amx::{self, Ahead, COLUMNS, Start, TILE_ROWS, load, store};
use super::avx512::has_dot_products;
use super::fetch;
use super::group_scan::{GROUP, ROWS};
use crate::dispatch::KernelSet;
use std::arch::asm;
use std::arch::x86_64::*;

/// Bytes of a row of a tile, and of a row of two tiles.
const TILE_BYTES: usize = 64;
const PAIR_BYTES: usize = COLUMNS * size_of::<u32>();

/// Lines of the first operand that the dot products take at a time: twice as many sums stay in registers.
const LINES: usize = 8;

/// Words of the weights of 64 rows.
const PIECE: usize = TILE_ROWS * ROWS / 4;

/// What multiplies bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteProducts {
    MatrixUnit,
    DotProducts,
}

impl ByteProducts {
    pub(crate) fn of(set: KernelSet) -> Option<Self> {
        match set {
            KernelSet::Amx => Some(Self::MatrixUnit),
            KernelSet::Avx512Bf16 => Some(Self::DotProducts),
            _ => None,
        }
    }

    /// Four signed bytes of a query as the products want them.
    pub(crate) fn query_word(self, word: u32) -> u32 {
        match self {
            Self::MatrixUnit => word,
            Self::DotProducts => word ^ 0x8080_8080,
        }
    }

    /// What the sums of each of `rows`, `[rows, width]`, begin with, so that the offset of the queries is undone.
    pub(crate) fn starts(self, rows: &[i8], width: usize, starts: &mut [u32]) {
        if self == Self::DotProducts {
            assert!(has_dot_products(), "byte dot products called without them");
            assert!(width.is_multiple_of(TILE_BYTES) && rows.len() == starts.len() * width);
            // SAFETY: the assertion above checked every feature that the function enables.
            unsafe { row_starts(rows, width, starts) }
        }
    }

    /// Dot products of `rows`, `[rows, width]`, with a group of queries, `[width / 4, 2 GROUP]` words of four
    /// bytes: `sums`, `[rows, 2 GROUP]` integers, of the high bytes and then of the low ones.
    pub(crate) fn dot_rows(
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
            Self::MatrixUnit => dot_rows_of_unit(rows, width, queries, sums),
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
    /// rows, `[rows / 4, 32]` words: `sums`, `[2 GROUP, 32]` integers. What is `ahead` is fetched meanwhile.
    pub(crate) fn mix(self, weights: &[u32], panel: &[u32], ahead: &[i8], sums: &mut [u32]) {
        let pieces = weights.len() / PIECE;
        assert!(weights.len() == pieces * PIECE && panel.len() == pieces * ROWS / 4 * COLUMNS);
        assert!(sums.len() == 2 * GROUP * COLUMNS);
        match self {
            Self::MatrixUnit => {
                let ahead = Ahead::part(ahead, 0, 1);
                amx::multiply_int8(TILE_ROWS, weights, panel, ahead, Start::Zero, sums);
            }
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

/// Adds the product of eight lines of words, `stride` bytes apart, and `b`, `[steps, 32]`, to `sums`; `UNSIGNED` says
/// that the bytes of the lines are unsigned, else those of `b`.
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

/// [`ByteProducts::dot_rows`] on the matrix unit, of checked sizes.
fn dot_rows_of_unit(rows: &[i8], width: usize, queries: &[u32], sums: &mut [u32]) {
    assert!(amx::is_supported(), "matrix unit called without it");
    amx::configure();
    let tiles = rows.chunks_exact(TILE_ROWS * width);
    for (rows, sums) in tiles.zip(sums.chunks_exact_mut(TILE_ROWS * COLUMNS)) {
        // SAFETY: the unit is there and configured. A tile of rows is 16 rows of 64 bytes, `width` apart,
        // at two places 16 rows apart; `width / 64` steps of 64 bytes stay inside the 32 rows. Each step
        // reads 16 rows of 128 bytes of the queries, of which there are `width / 4`, and 32 rows of 128
        // bytes of sums are written.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{a} + {width}*1]",
                "tileloadd tmm6, [{b} + {stride}*1]",
                "tdpbssd tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {stride}*1 + 64]",
                "tdpbssd tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{low} + {width}*1]",
                "tdpbssd tmm2, tmm5, tmm6",
                "tdpbssd tmm3, tmm5, tmm7",
                "add {a}, 64",
                "add {low}, 64",
                "add {b}, 2048",
                "dec {count}",
                "jnz 2b",
                "tilestored [{sums} + {stride}*1], tmm0",
                "tilestored [{sums} + {stride}*1 + 64], tmm1",
                "add {sums}, 2048",
                "tilestored [{sums} + {stride}*1], tmm2",
                "tilestored [{sums} + {stride}*1 + 64], tmm3",
                a = inout(reg) rows.as_ptr() => _,
                low = inout(reg) rows.as_ptr().wrapping_add(GROUP * width) => _,
                width = in(reg) width,
                b = inout(reg) queries.as_ptr() => _,
                stride = in(reg) PAIR_BYTES,
                count = inout(reg) width / TILE_BYTES => _,
                sums = inout(reg) sums.as_mut_ptr() => _,
                options(nostack),
            );
        }
    }
}
