//! Products of byte rows of a memory, as they are stored.

use super::multiply::{Ahead, COLUMNS, Start, TILE_ROWS, multiply_int8};
use super::registers::{configure, is_supported};
use crate::arch::avx512_words::LANES;
use std::arch::asm;

/// Bytes of a row of a tile, and of a row of two tiles.
const TILE_BYTES: usize = 64;
const PAIR_BYTES: usize = COLUMNS * size_of::<u32>();

/// Dot products of `rows`, `[rows, width]` bytes, with the words of `queries`, `[width / 4, 32]`: `sums`, `[rows, 32]`
/// integers. Both operands are signed; `rows` are a multiple of 32 and `width` of 64.
pub(crate) fn dot_rows(rows: &[i8], width: usize, queries: &[u32], sums: &mut [u32]) {
    assert!(is_supported(), "matrix unit called without it");
    configure();
    assert!(width > 0 && width.is_multiple_of(TILE_BYTES));
    assert!(queries.len() == width / 4 * COLUMNS && rows.len().is_multiple_of(TILE_ROWS * width));
    assert!(sums.len() == rows.len() / width * COLUMNS);
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
                low = inout(reg) rows.as_ptr().wrapping_add(LANES * width) => _,
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

/// The product of unsigned bytes `weights`, `[rows / 64, 32, 16]` words, and signed ones of `panel`, `[rows / 4, 32]`
/// words: `sums`, `[32, 32]` integers. `ahead` is prefetched meanwhile.
pub(crate) fn mix_rows(weights: &[u32], panel: &[u32], ahead: &[i8], sums: &mut [u32]) {
    let ahead = Ahead::part(ahead, 0, 1);
    multiply_int8(TILE_ROWS, weights, panel, ahead, Start::Zero, sums);
}
