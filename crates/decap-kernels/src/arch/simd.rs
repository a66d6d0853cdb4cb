//! The vector interface that kernels are written over.

use crate::matrix::{Operands, Tile};

/// A computation written once for all instruction sets.
pub(crate) trait Kernel {
    type Output;

    /// Must be `#[inline(always)]`, so that it is compiled with the instructions of `S`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The most rows that [`Simd::transpose_words`] accepts.
pub(crate) const TRANSPOSED_ROWS: usize = 16;

/// Checks that [`Simd::transpose_words`] stays inside its source and target when it works in vectors of `lanes`;
/// there must be at least one row and one line.
#[cfg(target_arch = "x86_64")]
pub(super) fn assert_transposable(
    (source, source_stride): (&[u32], usize),
    rows: usize,
    lines: usize,
    (target, target_stride): (&[u32], usize),
    lanes: usize,
) {
    let room = |len: usize, stride: usize, steps: usize, last: usize| {
        let before = (steps - 1).checked_mul(stride);
        let end = before.and_then(|before| before.checked_add(last));
        end.is_some_and(|end| end <= len)
    };
    assert!((1..=TRANSPOSED_ROWS).contains(&rows) && lines > 0);
    let read = lines.next_multiple_of(lanes);
    assert!(room(source.len(), source_stride, rows, read));
    assert!(room(target.len(), target_stride, lines, rows));
}

/// Lanes of f32 and the operations that the kernels need.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// `LANES` values of f32.
    type V: Copy;
    const LANES: usize;
    /// Rows of a tile of a matrix product: as many as keep all sums in registers.
    const TILE_ROWS: usize;

    /// Computes a tile of at most `TILE_ROWS` rows; implemented by `tile_of_rows!`.
    fn multiply_tile(self, operands: Operands, tile: Tile<'_, '_>);

    fn splat(self, value: f32) -> Self::V;
    /// The first `LANES` values. Panics when there are fewer.
    fn load(self, source: &[f32]) -> Self::V;
    /// The first `LANES` values, or all and then zeros.
    fn load_partial(self, source: &[f32]) -> Self::V;
    /// Writes `LANES` values. Panics when there is no room.
    fn store(self, vector: Self::V, target: &mut [f32]);
    /// Writes as many values as there is room for, at most `LANES`.
    fn store_partial(self, vector: Self::V, target: &mut [f32]);
    /// The first `LANES` IEEE half-precision values, given as bits.
    fn load_f16(self, source: &[u16]) -> Self::V;
    /// The first `LANES` bytes as numbers.
    fn load_i8(self, source: &[i8]) -> Self::V;

    /// Half `part` (0 low, 1 high) of the first `LANES` words, each half a bf16.
    fn widen_bf16(self, words: &[u32], part: usize) -> Self::V;
    /// Byte `part` (0 lowest) of the first `LANES` words, as signed numbers.
    fn widen_i8(self, words: &[u32], part: usize) -> Self::V;

    /// Rounds `LANES` values to bf16, two to a word, the first in the low half; ties to even.
    fn pack_bf16(self, source: &[f32], words: &mut [u32]);

    /// Transposes at most [`TRANSPOSED_ROWS`] rows of words, `source_stride` apart, into lines `[lines, rows]`,
    /// `target_stride` apart. The rows must hold whole vectors. After the words of a line, zeros may follow up to
    /// the end of a vector, if the target has room. Panics when source or target is too short.
    #[inline(always)]
    fn transpose_words(
        self,
        (source, source_stride): (&[u32], usize),
        rows: usize,
        lines: usize,
        (target, target_stride): (&mut [u32], usize),
    ) {
        for line in 0..lines {
            let target = &mut target[line * target_stride..][..rows];
            for (row, word) in target.iter_mut().enumerate() {
                *word = source[row * source_stride + line];
            }
        }
    }

    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `1 / a` for `a` of at least 1, relative error below 3e-7.
    #[inline(always)]
    fn reciprocal(self, a: Self::V) -> Self::V {
        self.div(self.splat(1.0), a)
    }
    /// `a * b + c`, fused where the processor does so.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    fn sqrt(self, a: Self::V) -> Self::V;
    /// To the nearest integer.
    fn round(self, a: Self::V) -> Self::V;
    /// `2^n` for integer-valued `n` in -126..=127.
    fn exp2_integer(self, n: Self::V) -> Self::V;
    /// Lane by lane `x < bound ? low : high`.
    fn select_less(self, x: Self::V, bound: Self::V, low: Self::V, high: Self::V) -> Self::V;
    fn sum(self, a: Self::V) -> f32;
    fn maximum(self, a: Self::V) -> f32;
    /// Dot product of bytes and as many 16-bit numbers; the result must fit into 32 bits.
    #[inline(always)]
    fn dot_bytes(self, numbers: &[i16], bytes: &[i8]) -> i32 {
        let pairs = numbers.iter().zip(bytes);
        pairs
            .map(|(&number, &byte)| i32::from(number) * i32::from(byte))
            .sum()
    }

    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(0.0)
    }

    /// `e^x`, relative error below 3e-7; exactly 0 below -80, so that no result is denormal.
    ///
    /// The polynomial is Cephes' `expf`.
    #[inline(always)]
    fn exp(self, x: Self::V) -> Self::V {
        let clamped = self.min(self.max(x, self.splat(-87.0)), self.splat(88.0));
        let n = self.round(self.mul(clamped, self.splat(std::f32::consts::LOG2_E)));
        let r = self.mul_add(n, self.splat(-0.693_359_4), clamped);
        let r = self.mul_add(n, self.splat(2.121_944_4e-4), r);
        let mut p = self.splat(1.987_569_1e-4);
        for c in [
            1.398_199_9e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            1.666_666_5e-1,
            0.5,
        ] {
            p = self.mul_add(p, r, self.splat(c));
        }
        let e = self.add(self.mul_add(p, self.mul(r, r), r), self.splat(1.0));
        let result = self.mul(e, self.exp2_integer(n));
        self.select_less(x, self.splat(-80.0), self.zero(), result)
    }
}
