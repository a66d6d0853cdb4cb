//! AVX-512 F, BW, DQ and VL: 16 lanes.

use super::avx512_words::transpose;
use super::multiply_tile::tile_of_rows;
use super::simd::{Kernel, Simd, assert_transposable};
use std::arch::is_x86_feature_detected;
use std::arch::x86_64::*;

/// Proof that the processor has AVX-512 F, BW, DQ and VL, AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// [`is_supported`] must be true.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Self {
        Self(())
    }
}

pub(crate) fn is_supported() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && super::avx2::is_supported()
}

/// Whether the processor also has the dot products of bf16 and of bytes.
pub(crate) fn has_dot_products() -> bool {
    is_supported()
        && is_x86_feature_detected!("avx512bf16")
        && is_x86_feature_detected!("avx512vnni")
}

/// Runs `kernel` compiled with AVX-512.
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    assert!(is_supported(), "AVX-512 kernels called without AVX-512");
    // SAFETY: the assertion above checked every feature that `run_unchecked` enables.
    unsafe { run_unchecked(kernel) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn run_unchecked<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

macro_rules! proven {
    ($operation:expr) => {{
        // SAFETY: an `Avx512` exists only where `is_supported` was true, and each caller below
        // bounds the memory that the operation touches by a slice of that length or by a mask.
        #[allow(unused_unsafe)]
        unsafe {
            $operation
        }
    }};
}

const LANES: usize = 16;

/// The lanes that `len` values fill.
#[inline(always)]
fn mask(len: usize) -> __mmask16 {
    ((1u32 << len.min(LANES)) - 1) as __mmask16
}

impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = LANES;
    tile_of_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        proven!(_mm512_set1_ps(value))
    }
    #[inline(always)]
    fn load(self, source: &[f32]) -> __m512 {
        let source = &source[..LANES];
        proven!(_mm512_loadu_ps(source.as_ptr()))
    }
    #[inline(always)]
    fn load_partial(self, source: &[f32]) -> __m512 {
        proven!(_mm512_maskz_loadu_ps(mask(source.len()), source.as_ptr()))
    }
    #[inline(always)]
    fn store(self, vector: __m512, target: &mut [f32]) {
        let target = &mut target[..LANES];
        proven!(_mm512_storeu_ps(target.as_mut_ptr(), vector))
    }
    #[inline(always)]
    fn store_partial(self, vector: __m512, target: &mut [f32]) {
        let lanes = mask(target.len());
        proven!(_mm512_mask_storeu_ps(target.as_mut_ptr(), lanes, vector))
    }
    #[inline(always)]
    fn load_f16(self, source: &[u16]) -> __m512 {
        let source = &source[..LANES];
        proven!(_mm512_cvtph_ps(_mm256_loadu_si256(source.as_ptr().cast())))
    }
    #[inline(always)]
    fn load_i8(self, source: &[i8]) -> __m512 {
        let source = &source[..LANES];
        proven!(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(
            source.as_ptr().cast()
        ))))
    }
    #[inline(always)]
    fn widen_bf16(self, words: &[u32], part: usize) -> __m512 {
        let words = &words[..LANES];
        proven!({
            let words = _mm512_loadu_si512(words.as_ptr().cast());
            _mm512_castsi512_ps(match part {
                0 => _mm512_slli_epi32::<16>(words),
                _ => _mm512_and_si512(words, _mm512_set1_epi32(-0x1_0000)),
            })
        })
    }
    #[inline(always)]
    fn widen_i8(self, words: &[u32], part: usize) -> __m512 {
        let words = &words[..LANES];
        proven!({
            let words = _mm512_loadu_si512(words.as_ptr().cast());
            let high = match part {
                0 => _mm512_slli_epi32::<24>(words),
                1 => _mm512_slli_epi32::<16>(words),
                2 => _mm512_slli_epi32::<8>(words),
                _ => words,
            };
            _mm512_cvtepi32_ps(_mm512_srai_epi32::<24>(high))
        })
    }
    #[inline(always)]
    fn pack_bf16(self, source: &[f32], words: &mut [u32]) {
        let (source, words) = (&source[..LANES], &mut words[..LANES / 2]);
        proven!({
            let value = _mm512_loadu_ps(source.as_ptr());
            let bits = _mm512_castps_si512(value);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let bias = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
            let none = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(value, value);
            let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x40_0000));
            let rounded = _mm512_mask_mov_epi32(_mm512_add_epi32(bits, bias), none, quiet);
            let halves = _mm512_srli_epi32::<16>(rounded);
            let pairs = _mm512_or_si512(halves, _mm512_srli_epi64::<16>(halves));
            _mm256_storeu_si256(words.as_mut_ptr().cast(), _mm512_cvtepi64_epi32(pairs));
        })
    }
    #[inline(always)]
    fn transpose_words(
        self,
        (source, source_stride): (&[u32], usize),
        rows: usize,
        lines: usize,
        (target, target_stride): (&mut [u32], usize),
    ) {
        if rows == 0 || lines == 0 {
            return;
        }
        let (from, to) = ((source, source_stride), (&*target, target_stride));
        assert_transposable(from, rows, lines, to, LANES);
        let there = mask(rows);
        for first in (0..lines).step_by(LANES) {
            let mut block = [proven!(_mm512_setzero_si512()); LANES];
            for (index, row) in block.iter_mut().enumerate().take(rows) {
                let at = index * source_stride + first;
                // Inside the source, by the assertion above.
                *row = proven!(_mm512_loadu_si512(source.as_ptr().wrapping_add(at).cast()));
            }
            proven!(transpose(&mut block));
            for (index, line) in block.into_iter().enumerate().take(lines - first) {
                let at = (first + index) * target_stride;
                let words = target.as_mut_ptr().wrapping_add(at).cast();
                // Inside the target, by the assertion above.
                proven!(_mm512_mask_storeu_epi32(words, there, line));
            }
        }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_div_ps(a, b))
    }
    /// A division takes sixteen cycles; a 14-bit estimate and one Newton step take four.
    #[inline(always)]
    fn reciprocal(self, a: __m512) -> __m512 {
        let estimate = proven!(_mm512_rcp14_ps(a));
        let error = self.sub(self.splat(2.0), self.mul(a, estimate));
        self.mul(estimate, error)
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        proven!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        proven!(_mm512_sqrt_ps(a))
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        proven!(_mm512_roundscale_ps::<
            { _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC },
        >(a))
    }
    #[inline(always)]
    fn exp2_integer(self, n: __m512) -> __m512 {
        proven!(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(
            _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127))
        )))
    }
    #[inline(always)]
    fn select_less(self, x: __m512, bound: __m512, low: __m512, high: __m512) -> __m512 {
        proven!(_mm512_mask_blend_ps(
            _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, bound),
            high,
            low
        ))
    }
    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        proven!(_mm512_reduce_add_ps(a))
    }
    #[inline(always)]
    fn maximum(self, a: __m512) -> f32 {
        proven!(_mm512_reduce_max_ps(a))
    }
    /// The AVX2 version: memory is the limit, so wider vectors gain nothing.
    #[inline(always)]
    fn dot_bytes(self, numbers: &[i16], bytes: &[i8]) -> i32 {
        proven!(super::avx2::dot_bytes(numbers, bytes))
    }
}
