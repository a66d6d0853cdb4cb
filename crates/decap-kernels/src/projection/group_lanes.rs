//! A scan of byte rows for groups of sixteen queries: the steps before, between and after its
//! [products](super::byte_products), on sixteen lanes, one for each query.

use crate::arch::Simd;
use crate::arch::avx512::{Avx512, has_dot_products};
use crate::arch::avx512_words::{load, store, transpose, wide_sum};
use std::arch::x86_64::*;

/// Queries of a group.
pub(super) const GROUP: usize = 16;

/// Words of a step of a second operand: the high bytes of a group of queries, then the low ones.
pub(super) const COLUMNS: usize = 2 * GROUP;

/// Rows that the second product handles at a time.
pub(super) const ROWS: usize = 64;

/// The first value of each query, the second of each query, and so on.
pub(super) type Lanes = [f32; GROUP];

/// Bytes of a vector.
const VECTOR_BYTES: usize = 64;

/// Puts four rows into the bytes of words, as the second operand of a product over rows: panels
/// `[width / 32, rows / 4, 32]` of `rows`, `[rows, width]`, whose columns [`add_in_natural_order`] sorts.
pub(super) fn interleave(rows: &[i8], width: usize, words: &mut [u32]) {
    assert!(has_dot_products(), "lanes of a scan called without them");
    assert!(
        width.is_multiple_of(VECTOR_BYTES)
            && rows.len().is_multiple_of(4 * width)
            && 4 * words.len() == rows.len()
    );
    // SAFETY: the assertion above checked every feature that the function enables.
    unsafe { interleave_lanes(rows, width, words) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn interleave_lanes(rows: &[i8], width: usize, words: &mut [u32]) {
    let panel = rows.len() / width / 4 * COLUMNS;
    for (step, four) in rows.chunks_exact(4 * width).enumerate() {
        for (index, panels) in words.chunks_exact_mut(2 * panel).enumerate() {
            let at = |row: usize| load_bytes(&four[row * width + index * VECTOR_BYTES..]);
            let [a, b, c, d] = [at(0), at(1), at(2), at(3)];
            let [ab, cd] = [_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d)];
            let (first, second) = panels.split_at_mut(panel);
            let first = &mut first[step * COLUMNS..][..COLUMNS];
            store(_mm512_unpacklo_epi16(ab, cd), &mut first[..GROUP]);
            store(_mm512_unpackhi_epi16(ab, cd), &mut first[GROUP..]);
            let [ab, cd] = [_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d)];
            let second = &mut second[step * COLUMNS..][..COLUMNS];
            store(_mm512_unpacklo_epi16(ab, cd), &mut second[..GROUP]);
            store(_mm512_unpackhi_epi16(ab, cd), &mut second[GROUP..]);
        }
    }
}

/// Adds values in the column order of [`interleave`] to values in natural order.
pub(super) fn add_in_natural_order(interleaved: &[f32], natural: &mut [f32]) {
    assert!(interleaved.len() == natural.len() && natural.len().is_multiple_of(VECTOR_BYTES));
    for (from, to) in interleaved
        .chunks_exact(VECTOR_BYTES)
        .zip(natural.chunks_exact_mut(VECTOR_BYTES))
    {
        for (place, to) in to.chunks_exact_mut(4).enumerate() {
            let from = &from[(place % 4) * GROUP + place / 4 * 4..][..4];
            for (to, from) in to.iter_mut().zip(from) {
                *to += from;
            }
        }
    }
}

/// Turns sums of rows and queries into `scores`, `[rows, GROUP]`, with a factor for each row and one for each query;
/// returns the largest score of each query.
pub(super) fn scores(
    sums: &[u32],
    row_factors: &[f32],
    factors: &Lanes,
    scores: &mut [f32],
) -> Lanes {
    assert!(has_dot_products(), "lanes of a scan called without them");
    // SAFETY: the assertion above checked every feature that the function enables.
    unsafe { scores_of_lanes(sums, row_factors, factors, scores) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn scores_of_lanes(
    sums: &[u32],
    row_factors: &[f32],
    factors: &Lanes,
    scores: &mut [f32],
) -> Lanes {
    // SAFETY: the features of this function imply those of `Avx512`.
    let simd = unsafe { Avx512::assume() };
    let factors = simd.load(factors);
    let mut largest = simd.splat(f32::NEG_INFINITY);
    let rows = sums.chunks_exact(COLUMNS).zip(row_factors);
    for ((sums, &row_factor), scores) in rows.zip(scores.chunks_exact_mut(GROUP)) {
        let sum = wide_sum(load(&sums[..GROUP]), load(&sums[GROUP..]));
        let score = simd.mul(sum, simd.mul(factors, simd.splat(row_factor)));
        largest = simd.max(largest, score);
        simd.store(score, scores);
    }
    lanes(simd, largest)
}

/// The largest of the `scores`, `[rows, GROUP]`, of each query.
pub(super) fn largest(scores: &[f32]) -> Lanes {
    assert!(has_dot_products(), "lanes of a scan called without them");
    // SAFETY: the assertion above checked every feature that the function enables.
    unsafe { largest_of_lanes(scores) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn largest_of_lanes(scores: &[f32]) -> Lanes {
    // SAFETY: the features of this function imply those of `Avx512`.
    let simd = unsafe { Avx512::assume() };
    let mut largest = simd.splat(f32::NEG_INFINITY);
    for scores in scores.chunks_exact(GROUP) {
        largest = simd.max(largest, simd.load(scores));
    }
    lanes(simd, largest)
}

/// Finds rows with a score that, plus `row_slack * slack`, is at least `bar`; one bit for each query.
pub(super) fn at_least(
    scores: &[f32],
    row_slack: &[f32],
    slack: &Lanes,
    bar: &Lanes,
    found: &mut Vec<(usize, u16)>,
) {
    assert!(has_dot_products(), "lanes of a scan called without them");
    // SAFETY: the assertion above checked every feature that the function enables.
    unsafe { at_least_lanes(scores, row_slack, slack, bar, found) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn at_least_lanes(
    scores: &[f32],
    row_slack: &[f32],
    slack: &Lanes,
    bar: &Lanes,
    found: &mut Vec<(usize, u16)>,
) {
    // SAFETY: the features of this function imply those of `Avx512`.
    let simd = unsafe { Avx512::assume() };
    let (slack, bar) = (simd.load(slack), simd.load(bar));
    for (row, (scores, &row_slack)) in scores.chunks_exact(GROUP).zip(row_slack).enumerate() {
        let most = simd.mul_add(slack, simd.splat(row_slack), simd.load(scores));
        let queries = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(most, bar);
        if queries != 0 {
            found.push((row, queries));
        }
    }
}

/// Turns `scores`, `[rows, GROUP]`, into weights `e^(score - largest)`, 0 where that is below e^`negligible`,
/// times a factor of each row; returns the sums before that factor and the largest after it.
pub(super) fn weigh(
    scores: &mut [f32],
    row_factors: &[f32],
    largest: &Lanes,
    negligible: f32,
) -> (Lanes, Lanes) {
    assert!(has_dot_products(), "lanes of a scan called without them");
    // SAFETY: the assertion above checked every feature that the function enables.
    unsafe { weigh_lanes(scores, row_factors, largest, negligible) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn weigh_lanes(
    scores: &mut [f32],
    row_factors: &[f32],
    largest: &Lanes,
    negligible: f32,
) -> (Lanes, Lanes) {
    // SAFETY: the features of this function imply those of `Avx512`.
    let simd = unsafe { Avx512::assume() };
    let (offset, negligible) = (simd.load(largest), simd.splat(negligible));
    let (mut sum, mut heaviest) = (simd.zero(), simd.zero());
    for (scores, &factor) in scores.chunks_exact_mut(GROUP).zip(row_factors) {
        let distance = simd.sub(simd.load(scores), offset);
        let weight = simd.exp(distance);
        let weight = simd.select_less(distance, negligible, simd.zero(), weight);
        sum = simd.add(sum, weight);
        let weight = simd.mul(weight, simd.splat(factor));
        heaviest = simd.max(heaviest, weight);
        simd.store(weight, scores);
    }
    (lanes(simd, sum), lanes(simd, heaviest))
}

/// Rounds `weights`, `[rows, GROUP]`, times a factor of each query, to two bytes: the first operand
/// `[rows / 64, 2 GROUP, 16]` of a product over rows, of the high bytes and then of the low ones.
pub(super) fn pack_weights(weights: &[f32], factors: &Lanes, words: &mut [u32]) {
    assert!(has_dot_products(), "lanes of a scan called without them");
    assert!(
        weights.len().is_multiple_of(ROWS * GROUP)
            && words.len() == weights.len() / ROWS * 2 * GROUP
    );
    // SAFETY: the assertion above checked every feature that the function enables.
    unsafe { pack_lanes(weights, factors, words) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn pack_lanes(weights: &[f32], factors: &Lanes, words: &mut [u32]) {
    // SAFETY: the features of this function imply those of `Avx512`.
    let simd = unsafe { Avx512::assume() };
    let factors = simd.load(factors);
    let byte = _mm512_set1_epi32(0xff);
    for (weights, words) in weights
        .chunks_exact(ROWS * GROUP)
        .zip(words.chunks_exact_mut(2 * GROUP * GROUP))
    {
        let mut high = [_mm512_setzero_si512(); GROUP];
        let mut low = high;
        let fours = weights.chunks_exact(4 * GROUP);
        for ((high, low), four) in high.iter_mut().zip(&mut low).zip(fours) {
            let round =
                |row: usize| _mm512_cvtps_epi32(simd.mul(simd.load(&four[row * GROUP..]), factors));
            let [a, b, c, d] = [round(0), round(1), round(2), round(3)];
            // Of words 0x0000hhll: (a and b, c and d) side by side, then their bytes.
            let [ab, cd] = [
                _mm512_or_si512(a, _mm512_slli_epi32::<16>(b)),
                _mm512_or_si512(c, _mm512_slli_epi32::<16>(d)),
            ];
            let bytes = _mm512_or_si512(byte, _mm512_slli_epi32::<16>(byte));
            let (low_ab, low_cd) = (_mm512_and_si512(ab, bytes), _mm512_and_si512(cd, bytes));
            let (high_ab, high_cd) = (_mm512_srli_epi16::<8>(ab), _mm512_srli_epi16::<8>(cd));
            // The bytes are in the order a, c, b, d; the rows of the second operand in the order a, b, c, d.
            *low = in_row_order(_mm512_or_si512(low_ab, _mm512_slli_epi16::<8>(low_cd)));
            *high = in_row_order(_mm512_or_si512(high_ab, _mm512_slli_epi16::<8>(high_cd)));
        }
        transpose(&mut high);
        transpose(&mut low);
        for (row, words) in high
            .into_iter()
            .chain(low)
            .zip(words.chunks_exact_mut(GROUP))
        {
            store(row, words);
        }
    }
}

/// Swaps the middle bytes of each word.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn in_row_order(words: __m512i) -> __m512i {
    let order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    _mm512_shuffle_epi8(words, _mm512_broadcast_i32x4(order))
}

/// Adds the sums of a product over rows, `[2 GROUP, COLUMNS]` integers, times a factor of each query, to
/// columns `first..` of `mixed`, `[queries, width]`.
pub(super) fn add_sums(
    sums: &[u32],
    factors: &[f32],
    first: usize,
    width: usize,
    mixed: &mut [f32],
) {
    assert!(has_dot_products(), "lanes of a scan called without them");
    // SAFETY: the assertion above checked every feature that the function enables.
    unsafe { add_lanes(sums, factors, first, width, mixed) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn add_lanes(sums: &[u32], factors: &[f32], first: usize, width: usize, mixed: &mut [f32]) {
    // SAFETY: the features of this function imply those of `Avx512`.
    let simd = unsafe { Avx512::assume() };
    let (high, low) = sums.split_at(GROUP * COLUMNS);
    let rows = high.chunks_exact(COLUMNS).zip(low.chunks_exact(COLUMNS));
    for (((high, low), &factor), mixed) in rows.zip(factors).zip(mixed.chunks_exact_mut(width)) {
        let factor = simd.splat(factor);
        let mixed = &mut mixed[first..first + COLUMNS];
        for at in [0, GROUP] {
            let sum = wide_sum(load(&high[at..]), load(&low[at..]));
            let sum = simd.mul_add(sum, factor, simd.load(&mixed[at..]));
            simd.store(sum, &mut mixed[at..]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn lanes(simd: Avx512, vector: __m512) -> Lanes {
    let mut lanes = [0.0; GROUP];
    simd.store(vector, &mut lanes);
    lanes
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_bytes(bytes: &[i8]) -> __m512i {
    let bytes = &bytes[..VECTOR_BYTES];
    // SAFETY: the slice has 64 bytes.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}
