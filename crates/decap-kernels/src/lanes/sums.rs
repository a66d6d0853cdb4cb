//! Sums, products and maxima of rows.

use crate::arch::Simd;

/// Replaces every vector `x` of a slice by an expression.
///
/// A macro, because a closure is compiled without the instruction set of the function around it.
macro_rules! map_lanes {
    ($simd:ident, $simd_type:ident, $values:expr, |$x:ident| $map:expr) => {{
        let mut chunks = $values.chunks_exact_mut($simd_type::LANES);
        for chunk in &mut chunks {
            let $x = $simd.load(chunk);
            let result = $map;
            $simd.store(result, chunk);
        }
        let rest = chunks.into_remainder();
        if !rest.is_empty() {
            let $x = $simd.load_partial(rest);
            let result = $map;
            $simd.store_partial(result, rest);
        }
    }};
}
pub(crate) use map_lanes;

/// Sum of products, four accumulators wide.
#[inline(always)]
pub(crate) fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let mut acc = [simd.zero(); 4];
    let mut a_chunks = a.chunks_exact(4 * S::LANES);
    let mut b_chunks = b.chunks_exact(4 * S::LANES);
    for (a, b) in (&mut a_chunks).zip(&mut b_chunks) {
        for (i, acc) in acc.iter_mut().enumerate() {
            let at = i * S::LANES;
            *acc = simd.mul_add(simd.load(&a[at..]), simd.load(&b[at..]), *acc);
        }
    }
    let (a, b) = (a_chunks.remainder(), b_chunks.remainder());
    for (a, b) in a.chunks(S::LANES).zip(b.chunks(S::LANES)) {
        acc[0] = simd.mul_add(simd.load_partial(a), simd.load_partial(b), acc[0]);
    }
    simd.sum(simd.add(simd.add(acc[0], acc[1]), simd.add(acc[2], acc[3])))
}

/// `target += factor * source`.
#[inline(always)]
pub(crate) fn add_scaled<S: Simd>(simd: S, target: &mut [f32], factor: f32, source: &[f32]) {
    let factor = simd.splat(factor);
    let mut targets = target.chunks_exact_mut(S::LANES);
    let mut sources = source.chunks_exact(S::LANES);
    for (t, s) in (&mut targets).zip(&mut sources) {
        let sum = simd.mul_add(simd.load(s), factor, simd.load(t));
        simd.store(sum, t);
    }
    let rest = targets.into_remainder();
    if !rest.is_empty() {
        let s = simd.load_partial(sources.remainder());
        let sum = simd.mul_add(s, factor, simd.load_partial(rest));
        simd.store_partial(sum, rest);
    }
}

/// Sum of a long row: f32 over short runs, f64 over the runs.
#[inline(always)]
pub(crate) fn sum<S: Simd>(simd: S, row: &[f32]) -> f64 {
    let mut total = 0.0;
    for run in row.chunks(64 * S::LANES) {
        let mut lanes = simd.zero();
        for values in run.chunks(S::LANES) {
            lanes = simd.add(lanes, simd.load_partial(values));
        }
        total += f64::from(simd.sum(lanes));
    }
    total
}

/// Replaces each value by `e^(factor * value + offset)` and returns the sum.
#[inline(always)]
pub(crate) fn exp_sum<S: Simd>(simd: S, row: &mut [f32], factor: f32, offset: f32) -> f32 {
    let (factor, offset) = (simd.splat(factor), simd.splat(offset));
    let mut sum = simd.zero();
    let mut chunks = row.chunks_exact_mut(S::LANES);
    for chunk in &mut chunks {
        let e = simd.exp(simd.mul_add(simd.load(chunk), factor, offset));
        sum = simd.add(sum, e);
        simd.store(e, chunk);
    }
    let mut total = simd.sum(sum);
    let rest = chunks.into_remainder();
    if !rest.is_empty() {
        let e = simd.exp(simd.mul_add(simd.load_partial(rest), factor, offset));
        simd.store_partial(e, rest);
        total += rest.iter().sum::<f32>();
    }
    total
}

/// The largest value; minus infinity for none.
#[inline(always)]
pub(crate) fn maximum<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let mut largest = simd.splat(f32::NEG_INFINITY);
    let chunks = row.chunks_exact(S::LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        largest = simd.max(simd.load(chunk), largest);
    }
    rest.iter().copied().fold(simd.maximum(largest), f32::max)
}
