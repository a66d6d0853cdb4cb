//! Tiles by the dot products of AVX-512 BF16 and VNNI.

use super::avx512::{Avx512, has_dot_products};
use super::avx512_words::{LANES, load, wide_sum};
use super::multiply_tile::{with_rows, write_row, write_scaled_row};
use crate::matrix::{TILE_VECTORS, Tile};
use std::arch::x86_64::*;

const COLUMNS: usize = TILE_VECTORS * LANES;

/// How many words ahead to prefetch: each token reads every weight once, from memory.
const AHEAD: usize = 2048;

/// Prefetches a step of the second operand that is needed soon.
#[inline]
#[target_feature(enable = "avx512f")]
fn fetch_ahead(step: &[u32]) {
    for line in [AHEAD, AHEAD + LANES] {
        #[allow(unused_unsafe)] // not of every compiler
        // SAFETY: nothing is read, which no address forbids.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(step.as_ptr().wrapping_add(line).cast())
        };
    }
}

/// A tile of bf16 pairs, summed in f32.
pub(crate) fn tile_bf16(tile: Tile<'_, '_>) {
    assert!(has_dot_products(), "bf16 dot products called without them");
    with_rows!(tile, [1 2 3 4 5 6 7 8 9 10 11 12 13 14], |ROWS| {
        // SAFETY: the assertion above checked every feature that the function enables.
        unsafe { bf16::<ROWS>(tile) }
    });
}

/// A tile of bytes, summed in 32-bit integers.
pub(crate) fn tile_int8(tile: Tile<'_, '_>) {
    assert!(has_dot_products(), "byte dot products called without them");
    with_rows!(tile, [1 2 3 4 5 6 7 8 9 10 11 12 13 14], |ROWS| {
        // SAFETY: the assertion above checked every feature that the function enables.
        unsafe { int8::<ROWS>(tile) }
    });
}

/// A tile of 16-bit integers, each stored as two bytes, times bytes, summed in 32-bit integers.
pub(crate) fn tile_split(tile: Tile<'_, '_>) {
    assert!(has_dot_products(), "byte dot products called without them");
    with_rows!(tile, [1 2 3 4 5 6 7], |ROWS| {
        // SAFETY: the assertion above checked every feature that the function enables.
        unsafe { split::<ROWS>(tile) }
    });
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
fn bf16<const ROWS: usize>(tile: Tile<'_, '_>) {
    let mut acc = [[_mm512_setzero_ps(); TILE_VECTORS]; ROWS];
    let a_steps = tile.a.as_chunks::<ROWS>().0.iter();
    for (a, b) in a_steps.zip(tile.b.chunks_exact(COLUMNS)) {
        fetch_ahead(b);
        let b0 = as_bf16(load(&b[..LANES]));
        let b1 = as_bf16(load(&b[LANES..]));
        for (a, acc) in a.iter().zip(&mut acc) {
            let a = as_bf16(_mm512_set1_epi32(*a as i32));
            acc[0] = _mm512_dpbf16_ps(acc[0], a, b0);
            acc[1] = _mm512_dpbf16_ps(acc[1], a, b1);
        }
    }
    // SAFETY: the features of this function imply those of `Avx512`.
    let simd = unsafe { Avx512::assume() };
    for (row, acc) in acc.into_iter().enumerate() {
        write_row(simd, acc, tile.accumulate, tile.out.row(row));
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
fn int8<const ROWS: usize>(tile: Tile<'_, '_>) {
    let (header, b) = tile.b.split_at(COLUMNS);
    let mut acc = [[load(&header[..LANES]), load(&header[LANES..])]; ROWS];
    let a_steps = tile.a.as_chunks::<ROWS>().0.iter();
    for (a, b) in a_steps.zip(b.chunks_exact(COLUMNS)) {
        fetch_ahead(b);
        let b0 = load(&b[..LANES]);
        let b1 = load(&b[LANES..]);
        for (a, acc) in a.iter().zip(&mut acc) {
            let a = _mm512_set1_epi32(*a as i32);
            acc[0] = _mm512_dpbusd_epi32(acc[0], a, b0);
            acc[1] = _mm512_dpbusd_epi32(acc[1], a, b1);
        }
    }
    // SAFETY: the features of this function imply those of `Avx512`.
    let simd = unsafe { Avx512::assume() };
    for (row, acc) in acc.into_iter().enumerate() {
        let sums = [_mm512_cvtepi32_ps(acc[0]), _mm512_cvtepi32_ps(acc[1])];
        write_scaled_row(
            simd,
            sums,
            &tile.row_scales[row],
            tile.column_scales,
            tile.accumulate,
            tile.out.row(row),
        );
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
fn split<const ROWS: usize>(tile: Tile<'_, '_>) {
    let (header, b) = tile.b.split_at(COLUMNS);
    let header = [load(&header[..LANES]), load(&header[LANES..])];
    let mut high = [header; ROWS];
    let mut low = [header; ROWS];
    let a_steps = tile.a.as_chunks::<ROWS>().0.as_chunks::<2>().0.iter();
    for ([a_high, a_low], b) in a_steps.zip(b.chunks_exact(COLUMNS)) {
        fetch_ahead(b);
        let b0 = load(&b[..LANES]);
        let b1 = load(&b[LANES..]);
        let sums = high.iter_mut().zip(&mut low);
        for ((a_high, a_low), (high, low)) in a_high.iter().zip(a_low).zip(sums) {
            let [a_high, a_low] = [a_high, a_low].map(|word| _mm512_set1_epi32(*word as i32));
            high[0] = _mm512_dpbusd_epi32(high[0], a_high, b0);
            high[1] = _mm512_dpbusd_epi32(high[1], a_high, b1);
            low[0] = _mm512_dpbusd_epi32(low[0], a_low, b0);
            low[1] = _mm512_dpbusd_epi32(low[1], a_low, b1);
        }
    }
    // SAFETY: the features of this function imply those of `Avx512`.
    let simd = unsafe { Avx512::assume() };
    for (row, (high, low)) in high.into_iter().zip(low).enumerate() {
        let sums = [wide_sum(high[0], low[0]), wide_sum(high[1], low[1])];
        write_scaled_row(
            simd,
            sums,
            &tile.row_scales[row],
            tile.column_scales,
            tile.accumulate,
            tile.out.row(row),
        );
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn as_bf16(words: __m512i) -> __m512bh {
    // SAFETY: both types are 512 bits without invalid values.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(words) }
}
