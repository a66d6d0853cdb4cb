//! Tiles by the dot products of AVX-512 BF16 and VNNI.

use super::avx512::{Avx512, has_dot_products};
use crate::gemm::tile::{TILE_VECTORS, Tile, with_rows, write_row, write_scaled_row};
use std::arch::x86_64::*;

const LANES: usize = 16;
const COLUMNS: usize = TILE_VECTORS * LANES;

/// Words ahead of those in use that are fetched: a token reads every weight once, from memory.
const AHEAD: usize = 2048;

/// Fetches a step of the second operand that comes soon.
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

/// A tile of integers of sixteen bits, in two bytes, and bytes, summed in 32-bit integers.
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

/// Rounds values, in multiples of sixteen, times a factor to integers of sixteen bits; of four each, the high
/// bytes are a word, then the low ones, with 128 added to each byte.
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
/// of words `width` apart. What lies behind the end of a line becomes 0.
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

/// Words of two bf16 each, those of `low` in the low halves.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) fn pair_lanes(low: __m512, high: __m512) -> __m512i {
    let [low, high] = [low, high].map(|lanes| {
        let rounded = _mm512_cvtneps_pbh(lanes);
        // SAFETY: both types are 256 bits without invalid values.
        _mm512_cvtepu16_epi32(unsafe { std::mem::transmute::<__m256bh, __m256i>(rounded) })
    });
    _mm512_or_si512(low, _mm512_slli_epi32::<16>(high))
}

/// Values `at..at + 32` of a line as bf16, 0 behind its end.
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

/// Transposes sixteen rows of sixteen words.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn transpose(rows: &mut [__m512i; LANES]) {
    // Words, then pairs of them, inside quarters of four rows; then the quarters.
    let mut pairs = *rows;
    for (pairs, rows) in pairs.chunks_exact_mut(4).zip(rows.chunks_exact(4)) {
        let [ab, cd] = [
            _mm512_unpacklo_epi32(rows[0], rows[1]),
            _mm512_unpacklo_epi32(rows[2], rows[3]),
        ];
        pairs[0] = _mm512_unpacklo_epi64(ab, cd);
        pairs[1] = _mm512_unpackhi_epi64(ab, cd);
        let [ab, cd] = [
            _mm512_unpackhi_epi32(rows[0], rows[1]),
            _mm512_unpackhi_epi32(rows[2], rows[3]),
        ];
        pairs[2] = _mm512_unpacklo_epi64(ab, cd);
        pairs[3] = _mm512_unpackhi_epi64(ab, cd);
    }
    // `pairs[4 i + j]` holds words 4 l + j of rows 4 i .. 4 i + 4 in its quarter l.
    for j in 0..4 {
        let [a, b, c, d] = [pairs[j], pairs[4 + j], pairs[8 + j], pairs[12 + j]];
        let [ab_even, ab_odd] = [
            _mm512_shuffle_i32x4::<0x88>(a, b),
            _mm512_shuffle_i32x4::<0xdd>(a, b),
        ];
        let [cd_even, cd_odd] = [
            _mm512_shuffle_i32x4::<0x88>(c, d),
            _mm512_shuffle_i32x4::<0xdd>(c, d),
        ];
        rows[j] = _mm512_shuffle_i32x4::<0x88>(ab_even, cd_even);
        rows[4 + j] = _mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd);
        rows[8 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_even, cd_even);
        rows[12 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_odd, cd_odd);
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

/// Rounds two rows to bf16 and puts them into the halves of words: `low` and `high` side by side.
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

/// `256 high + low`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn wide_sum(high: __m512i, low: __m512i) -> __m512 {
    let [high, low] = [_mm512_cvtepi32_ps(high), _mm512_cvtepi32_ps(low)];
    _mm512_fmadd_ps(high, _mm512_set1_ps(256.0), low)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(words: &[u32]) -> __m512i {
    let words = &words[..LANES];
    // SAFETY: the slice has sixteen words.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn as_bf16(words: __m512i) -> __m512bh {
    // SAFETY: both types are 512 bits without invalid values.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(words) }
}
