//! What the vector unit does before and after the matrix unit: rounding to bf16 in tiles, sums of integers to floats.

use super::multiply::{COLUMNS, TILE_ROWS};
use super::registers::is_supported;
use crate::arch::avx512_words::{LANES, load, pair_lanes, store, transpose, wide_sum};
use crate::matrix::TILE_STEPS as STEPS;
use std::arch::x86_64::*;

/// Rounds a dense line to bf16 and writes it as line `index` of a panel `[steps / 16, lines, 16]`, whose
/// pieces of `[lines, 16]` have `tile` words; everything past the end of the line becomes 0.
pub(crate) fn pack_line(values: &[f32], index: usize, tile: usize, words: &mut [u32]) {
    assert!(is_supported(), "matrix unit called without it");
    // SAFETY: the assertion above implies AVX-512 BF16.
    unsafe { pack(values, index, tile, words) }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn pack(values: &[f32], index: usize, tile: usize, words: &mut [u32]) {
    let mut pieces = values.chunks(2 * LANES);
    for tile in words.chunks_exact_mut(tile) {
        let words = &mut tile[index * STEPS..][..STEPS];
        let mut padded = [0.0; 2 * LANES];
        let piece = match pieces.next() {
            Some(piece) if piece.len() == padded.len() => piece,
            Some(piece) => {
                padded[..piece.len()].copy_from_slice(piece);
                &padded
            }
            None => &padded,
        };
        store(round_pairs(piece), words);
    }
}

/// The first 32 values as bf16, the first in the low half of the first word; ties to even.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn round_pairs(values: &[f32]) -> __m512i {
    let [low, high] = [&values[..LANES], &values[LANES..2 * LANES]].map(|half| {
        // SAFETY: the slice has sixteen values.
        unsafe { _mm512_loadu_ps(half.as_ptr()) }
    });
    let rounded = _mm512_cvtne2ps_pbh(high, low);
    // SAFETY: both types are 512 bits without invalid values.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(rounded) }
}

/// Rounds the sums of a tile, `[rows, COLUMNS]` f32, to bf16: `[rows, 16]` words.
pub(super) fn round_tile(sums: &[f32], words: &mut [u32]) {
    assert!(is_supported(), "matrix unit called without it");
    // SAFETY: the assertion above implies AVX-512 BF16.
    unsafe { round(sums, words) }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn round(sums: &[f32], words: &mut [u32]) {
    for (row, words) in sums
        .chunks_exact(COLUMNS)
        .zip(words.chunks_exact_mut(STEPS))
    {
        store(round_pairs(row), words);
    }
}

/// Rounds the sums of a tile, `[TILE_ROWS, COLUMNS]` f32, to bf16 and transposes them: `[COLUMNS, 16]` words.
pub(super) fn round_transposed(sums: &[f32], words: &mut [u32]) {
    assert!(is_supported(), "matrix unit called without it");
    assert!(sums.len() == TILE_ROWS * COLUMNS && words.len() == COLUMNS * STEPS);
    // SAFETY: the assertion above implies AVX-512 BF16.
    unsafe { transpose_tile(sums, words) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,avx2")]
fn transpose_tile(sums: &[f32], words: &mut [u32]) {
    for (first, words) in [0, LANES]
        .into_iter()
        .zip(words.chunks_exact_mut(LANES * STEPS))
    {
        let mut pairs = [_mm512_setzero_si512(); LANES];
        for (pair, rows) in pairs.iter_mut().zip(sums.chunks_exact(2 * COLUMNS)) {
            let [low, high] = [&rows[first..], &rows[COLUMNS + first..]].map(|row| {
                let row = &row[..LANES];
                // SAFETY: the slice has sixteen values.
                unsafe { _mm512_loadu_ps(row.as_ptr()) }
            });
            *pair = pair_lanes(low, high);
        }
        transpose(&mut pairs);
        for (line, words) in pairs.into_iter().zip(words.chunks_exact_mut(STEPS)) {
            store(line, words);
        }
    }
}

/// Turns sums of integers into floats, in place.
pub(super) fn integers_to_floats(sums: &mut [u32]) {
    assert!(is_supported(), "matrix unit called without it");
    // SAFETY: the assertion above implies AVX-512.
    unsafe { to_floats(sums) }
}

#[target_feature(enable = "avx512f")]
fn to_floats(sums: &mut [u32]) {
    for sums in sums.chunks_exact_mut(LANES) {
        let floats = _mm512_cvtepi32_ps(load(sums));
        store(_mm512_castps_si512(floats), sums);
    }
}

/// Joins sums of high bytes, in the first sixteen rows, and of low bytes, in the others, to floats `256 high + low` in
/// the first sixteen rows.
pub(super) fn halves_to_floats(sums: &mut [u32]) {
    assert!(is_supported(), "matrix unit called without it");
    // SAFETY: the assertion above implies AVX-512.
    unsafe { join_halves(sums) }
}

#[target_feature(enable = "avx512f")]
fn join_halves(sums: &mut [u32]) {
    let (high, low) = sums.split_at_mut(LANES * COLUMNS);
    for (high, low) in high.chunks_exact_mut(LANES).zip(low.chunks_exact(LANES)) {
        store(_mm512_castps_si512(wide_sum(load(high), load(low))), high);
    }
}
