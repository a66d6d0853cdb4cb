//! Plain Rust: the portable kernels, and the twin that the others are compared with.

use super::half::{f16_to_f32, pack_bf16_plain};
use super::multiply_tile::tile_of_rows;
use super::simd::Simd;

/// Eight lanes of plain f32; any processor has them.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

const LANES: usize = 8;

#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl Simd for Scalar {
    type V = [f32; LANES];
    const LANES: usize = LANES;
    tile_of_rows!(1 2 3 4);

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; LANES]
    }
    #[inline(always)]
    fn load(self, source: &[f32]) -> Self::V {
        std::array::from_fn(|i| source[..LANES][i])
    }
    #[inline(always)]
    fn load_partial(self, source: &[f32]) -> Self::V {
        std::array::from_fn(|i| source.get(i).copied().unwrap_or(0.0))
    }
    #[inline(always)]
    fn store(self, vector: Self::V, target: &mut [f32]) {
        target[..LANES].copy_from_slice(&vector);
    }
    #[inline(always)]
    fn store_partial(self, vector: Self::V, target: &mut [f32]) {
        for (t, v) in target.iter_mut().zip(vector) {
            *t = v;
        }
    }
    #[inline(always)]
    fn load_f16(self, source: &[u16]) -> Self::V {
        std::array::from_fn(|i| f16_to_f32(source[..LANES][i]))
    }
    #[inline(always)]
    fn load_i8(self, source: &[i8]) -> Self::V {
        std::array::from_fn(|i| f32::from(source[..LANES][i]))
    }
    #[inline(always)]
    fn widen_bf16(self, words: &[u32], part: usize) -> Self::V {
        let words = &words[..LANES];
        std::array::from_fn(|i| f32::from_bits((words[i] >> (16 * part)) << 16))
    }
    #[inline(always)]
    fn widen_i8(self, words: &[u32], part: usize) -> Self::V {
        let words = &words[..LANES];
        std::array::from_fn(|i| f32::from((words[i] >> (8 * part)) as u8 as i8))
    }
    #[inline(always)]
    fn pack_bf16(self, source: &[f32], words: &mut [u32]) {
        pack_bf16_plain(&source[..LANES], &mut words[..LANES / 2]);
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn sqrt(self, a: Self::V) -> Self::V {
        a.map(f32::sqrt)
    }
    #[inline(always)]
    fn round(self, a: Self::V) -> Self::V {
        a.map(f32::round_ties_even)
    }
    #[inline(always)]
    fn exp2_integer(self, n: Self::V) -> Self::V {
        n.map(|n| f32::from_bits(((n as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    fn select_less(self, x: Self::V, bound: Self::V, low: Self::V, high: Self::V) -> Self::V {
        std::array::from_fn(|i| if x[i] < bound[i] { low[i] } else { high[i] })
    }
    #[inline(always)]
    fn sum(self, a: Self::V) -> f32 {
        ((a[0] + a[4]) + (a[1] + a[5])) + ((a[2] + a[6]) + (a[3] + a[7]))
    }
    #[inline(always)]
    fn maximum(self, a: Self::V) -> f32 {
        a.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}
