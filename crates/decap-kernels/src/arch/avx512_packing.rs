//! Operands rounded and rearranged with AVX-512 BF16 and VNNI, for the dot products and for the matrix unit.

use super::avx512::has_dot_products;
use super::avx512_words::{LANES, pair_lanes, transpose};
use std::arch::x86_64::*;

/// Multiplies values by a factor and rounds them to 16-bit integers. Each group of four gives two words: the high
/// bytes, then the low ones, with 128 added to each byte. The number of values must be a multiple of sixteen.
pub(crate) fn split_bytes(values: &[f32], factor: f32, words: &mut [u32]) {
    assert!(
        has_dot_products(),
        "splitting into bytes called without AVX-512"
    );
    assert!(values.len().is_multiple_of(LANES) && 2 * words.len() == values.len());
    // SAFETY: the assertion above checked every feature that the function enables.
    unsafe { split_lanes(values, factor, words) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2")]
fn split_lanes(values: &[f32], factor: f32, words: &mut [u32]) {
    let factor = _mm512_set1_ps(factor);
    let offset = _mm512_set1_epi32(0x8080);
    for (values, words) in values
        .chunks_exact(LANES)
        .zip(words.chunks_exact_mut(LANES / 2))
    {
        // SAFETY: the chunk has sixteen values.
        let values = unsafe { _mm512_loadu_ps(values.as_ptr()) };
        let integers = _mm512_cvtps_epi32(_mm512_mul_ps(values, factor));
        let integers = _mm512_add_epi32(integers, offset);
        let high = _mm512_cvtepi32_epi8(_mm512_srli_epi32::<8>(integers));
        let low = _mm512_cvtepi32_epi8(integers);
        let both = _mm256_set_m128i(_mm_unpackhi_epi32(high, low), _mm_unpacklo_epi32(high, low));
        // SAFETY: the chunk has eight words.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), both) };
    }
}

/// Rounds at most sixteen lines of values to bf16 and puts them side by side: two values a word, `[steps]` rows
/// of words `width` apart. Everything past the end of a line becomes 0.
pub(crate) fn interleave_pairs(lines: &[&[f32]], width: usize, words: &mut [u32]) {
    assert!(has_dot_products(), "bf16 rounding called without it");
    assert!(lines.len() <= LANES && width >= lines.len());
    // SAFETY: the assertion above checked every feature that the function enables.
    unsafe { interleave_lanes(lines, width, words) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,avx2")]
fn interleave_lanes(lines: &[&[f32]], width: usize, words: &mut [u32]) {
    let there = ((1u32 << lines.len()) - 1) as __mmask16;
    for (piece, words) in words.chunks_mut(LANES * width).enumerate() {
        let mut rows = [_mm512_setzero_si512(); LANES];
        for (row, line) in rows.iter_mut().zip(lines) {
            *row = pairs_at(line, piece * 2 * LANES);
        }
        transpose(&mut rows);
        for (row, words) in rows.into_iter().zip(words.chunks_mut(width)) {
            let words = &mut words[..lines.len()];
            // SAFETY: the mask covers as many words as there are lines.
            unsafe { _mm512_mask_storeu_epi32(words.as_mut_ptr().cast(), there, row) };
        }
    }
}

/// Rounds values to bf16, two to a word, the first in the low half; ties to even.
pub(crate) fn round_line(values: &[f32], words: &mut [u32]) {
    assert!(has_dot_products(), "bf16 rounding called without it");
    assert_eq!(values.len(), 2 * words.len(), "values of a line");
    // SAFETY: the assertion above checked every feature that the function enables.
    unsafe { round(values, words) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,avx2")]
fn round(values: &[f32], words: &mut [u32]) {
    for (index, words) in words.chunks_mut(LANES).enumerate() {
        let rounded = pairs_at(values, index * 2 * LANES);
        let mask = ((1u32 << words.len()) - 1) as __mmask16;
        // SAFETY: the mask covers as many words as there are.
        unsafe { _mm512_mask_storeu_epi32(words.as_mut_ptr().cast(), mask, rounded) };
    }
}

/// Values `at..at + 32` of a line as bf16, 0 past its end.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn pairs_at(line: &[f32], at: usize) -> __m512i {
    let line = line.get(at..).unwrap_or_default();
    let [low, high] = [0, LANES].map(|first| {
        let values = line.get(first..).unwrap_or_default();
        let mask = ((1u32 << values.len().min(LANES)) - 1) as __mmask16;
        // SAFETY: the mask covers as many values as there are.
        unsafe { _mm512_maskz_loadu_ps(mask, values.as_ptr()) }
    });
    let rounded = _mm512_cvtne2ps_pbh(high, low);
    // SAFETY: both types are 512 bits without invalid values.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(rounded) }
}

/// Rounds two rows to bf16 and pairs them up in words: `low` in the low halves, `high` in the high ones.
pub(crate) fn pair_rows(low: &[f32], high: &[f32], words: &mut [u32]) {
    assert!(has_dot_products(), "bf16 rounding called without it");
    assert!(low.len() == words.len() && high.len() == words.len());
    // SAFETY: the assertion above checked every feature that the function enables.
    unsafe { pair(low, high, words) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,avx2")]
fn pair(low: &[f32], high: &[f32], words: &mut [u32]) {
    let rows = low.chunks(LANES).zip(high.chunks(LANES));
    for ((low, high), words) in rows.zip(words.chunks_mut(LANES)) {
        let mask = ((1u32 << low.len()) - 1) as __mmask16;
        let [low, high] = [low, high].map(|row| {
            // SAFETY: the mask covers as many values as the row has.
            unsafe { _mm512_maskz_loadu_ps(mask, row.as_ptr()) }
        });
        let pairs = pair_lanes(low, high);
        // SAFETY: the words are as many as the values.
        unsafe { _mm512_mask_storeu_epi32(words.as_mut_ptr().cast(), mask, pairs) };
    }
}
