//! aarch64 NEON: 4 lanes. Every aarch64 processor that Rust's standard library runs on has it.

use super::half::{f16_to_f32, pack_bf16_plain};
use super::multiply_tile::tile_of_rows;
use super::simd::{Kernel, Simd};
use std::arch::aarch64::*;

/// The processor is an aarch64 one, which implies NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

/// Runs `kernel` with NEON.
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Neon(()))
}

macro_rules! proven {
    ($operation:expr) => {{
        // SAFETY: NEON is part of the aarch64 targets, and each caller below bounds the memory
        // that the operation touches by a slice of that length.
        #[allow(unused_unsafe)]
        unsafe {
            $operation
        }
    }};
}

const LANES: usize = 4;

impl Simd for Neon {
    type V = float32x4_t;
    const LANES: usize = LANES;
    tile_of_rows!(1 2 3 4 5 6 7 8);

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        proven!(vdupq_n_f32(value))
    }
    #[inline(always)]
    fn load(self, source: &[f32]) -> float32x4_t {
        let source = &source[..LANES];
        proven!(vld1q_f32(source.as_ptr()))
    }
    #[inline(always)]
    fn load_partial(self, source: &[f32]) -> float32x4_t {
        let mut lanes = [0.0; LANES];
        let len = source.len().min(LANES);
        lanes[..len].copy_from_slice(&source[..len]);
        self.load(&lanes)
    }
    #[inline(always)]
    fn store(self, vector: float32x4_t, target: &mut [f32]) {
        let target = &mut target[..LANES];
        proven!(vst1q_f32(target.as_mut_ptr(), vector))
    }
    #[inline(always)]
    fn store_partial(self, vector: float32x4_t, target: &mut [f32]) {
        let mut lanes = [0.0; LANES];
        self.store(vector, &mut lanes);
        let len = target.len().min(LANES);
        target[..len].copy_from_slice(&lanes[..len]);
    }
    #[inline(always)]
    fn load_f16(self, source: &[u16]) -> float32x4_t {
        let source = &source[..LANES];
        self.load(&std::array::from_fn::<f32, LANES, _>(|i| {
            f16_to_f32(source[i])
        }))
    }
    #[inline(always)]
    fn load_i8(self, source: &[i8]) -> float32x4_t {
        let source = &source[..LANES];
        self.load(&std::array::from_fn::<f32, LANES, _>(|i| {
            f32::from(source[i])
        }))
    }
    #[inline(always)]
    fn widen_bf16(self, words: &[u32], part: usize) -> float32x4_t {
        let words = &words[..LANES];
        self.load(&std::array::from_fn::<f32, LANES, _>(|i| {
            f32::from_bits((words[i] >> (16 * part)) << 16)
        }))
    }
    #[inline(always)]
    fn widen_i8(self, words: &[u32], part: usize) -> float32x4_t {
        let words = &words[..LANES];
        self.load(&std::array::from_fn::<f32, LANES, _>(|i| {
            f32::from((words[i] >> (8 * part)) as u8 as i8)
        }))
    }
    #[inline(always)]
    fn pack_bf16(self, source: &[f32], words: &mut [u32]) {
        pack_bf16_plain(&source[..LANES], &mut words[..LANES / 2]);
    }
    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        proven!(vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        proven!(vsubq_f32(a, b))
    }
    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        proven!(vmulq_f32(a, b))
    }
    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        proven!(vdivq_f32(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        proven!(vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        proven!(vmaxq_f32(a, b))
    }
    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        proven!(vminq_f32(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: float32x4_t) -> float32x4_t {
        proven!(vsqrtq_f32(a))
    }
    #[inline(always)]
    fn round(self, a: float32x4_t) -> float32x4_t {
        proven!(vrndnq_f32(a))
    }
    #[inline(always)]
    fn exp2_integer(self, n: float32x4_t) -> float32x4_t {
        proven!(vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(
            vcvtq_s32_f32(n),
            vdupq_n_s32(127)
        ))))
    }
    #[inline(always)]
    fn select_less(
        self,
        x: float32x4_t,
        bound: float32x4_t,
        low: float32x4_t,
        high: float32x4_t,
    ) -> float32x4_t {
        proven!(vbslq_f32(vcltq_f32(x, bound), low, high))
    }
    #[inline(always)]
    fn sum(self, a: float32x4_t) -> f32 {
        proven!(vaddvq_f32(a))
    }
    #[inline(always)]
    fn maximum(self, a: float32x4_t) -> f32 {
        proven!(vmaxvq_f32(a))
    }
}
