//! Vectors of sixteen words.

use std::arch::x86_64::*;

pub(crate) const LANES: usize = 16;

/// The first sixteen words.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load(words: &[u32]) -> __m512i {
    let words = &words[..LANES];
    // SAFETY: the slice has sixteen words.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// Writes the first sixteen words.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store(values: __m512i, words: &mut [u32]) {
    let words = &mut words[..LANES];
    // SAFETY: the slice has sixteen words.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), values) }
}

/// Transposes sixteen rows of sixteen words.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn transpose(rows: &mut [__m512i; LANES]) {
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

/// `256 high + low`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn wide_sum(high: __m512i, low: __m512i) -> __m512 {
    let [high, low] = [_mm512_cvtepi32_ps(high), _mm512_cvtepi32_ps(low)];
    _mm512_fmadd_ps(high, _mm512_set1_ps(256.0), low)
}

/// Rounds both to bf16 and pairs them up in words, `low` in the low halves.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(crate) fn pair_lanes(low: __m512, high: __m512) -> __m512i {
    let [low, high] = [low, high].map(|lanes| {
        let rounded = _mm512_cvtneps_pbh(lanes);
        // SAFETY: both types are 256 bits without invalid values.
        _mm512_cvtepu16_epi32(unsafe { std::mem::transmute::<__m256bh, __m256i>(rounded) })
    });
    _mm512_or_si512(low, _mm512_slli_epi32::<16>(high))
}
