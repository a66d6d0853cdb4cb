//! AVX2, FMA and F16C: 8 lanes.

use super::half::pack_bf16_plain;
use super::multiply_tile::tile_of_rows;
use super::simd::{Kernel, Simd, assert_transposable};
use crate::words::as_f32_mut;
use std::arch::is_x86_feature_detected;
use std::arch::x86_64::*;

/// Proof that the processor has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

pub(crate) fn is_supported() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

/// Runs `kernel` compiled with AVX2 and FMA.
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    assert!(is_supported(), "AVX2 kernels called without AVX2");
    // SAFETY: the assertion above checked every feature that `run_unchecked` enables.
    unsafe { run_unchecked(kernel) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn run_unchecked<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

macro_rules! proven {
    ($operation:expr) => {{
        // SAFETY: an `Avx2` exists only where `is_supported` was true, and each caller below
        // bounds the memory that the operation touches by a slice of that length.
        #[allow(unused_unsafe)]
        unsafe {
            $operation
        }
    }};
}

const LANES: usize = 8;

/// Transposes eight rows of eight words.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: &mut [__m256; LANES]) {
    // Words, then pairs of them, inside halves of four rows; then the halves.
    let mut pairs = *rows;
    for (pairs, rows) in pairs.chunks_exact_mut(4).zip(rows.chunks_exact(4)) {
        let [ab_low, ab_high, cd_low, cd_high] = [
            _mm256_unpacklo_ps(rows[0], rows[1]),
            _mm256_unpackhi_ps(rows[0], rows[1]),
            _mm256_unpacklo_ps(rows[2], rows[3]),
            _mm256_unpackhi_ps(rows[2], rows[3]),
        ];
        pairs[0] = _mm256_shuffle_ps::<0x44>(ab_low, cd_low);
        pairs[1] = _mm256_shuffle_ps::<0xee>(ab_low, cd_low);
        pairs[2] = _mm256_shuffle_ps::<0x44>(ab_high, cd_high);
        pairs[3] = _mm256_shuffle_ps::<0xee>(ab_high, cd_high);
    }
    for j in 0..4 {
        rows[j] = _mm256_permute2f128_ps::<0x20>(pairs[j], pairs[4 + j]);
        rows[4 + j] = _mm256_permute2f128_ps::<0x31>(pairs[j], pairs[4 + j]);
    }
}

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = LANES;
    tile_of_rows!(1 2 3 4 5 6);

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        proven!(_mm256_set1_ps(value))
    }
    #[inline(always)]
    fn load(self, source: &[f32]) -> __m256 {
        let source = &source[..LANES];
        proven!(_mm256_loadu_ps(source.as_ptr()))
    }
    #[inline(always)]
    fn load_partial(self, source: &[f32]) -> __m256 {
        let mut lanes = [0.0; LANES];
        let len = source.len().min(LANES);
        lanes[..len].copy_from_slice(&source[..len]);
        self.load(&lanes)
    }
    #[inline(always)]
    fn store(self, vector: __m256, target: &mut [f32]) {
        let target = &mut target[..LANES];
        proven!(_mm256_storeu_ps(target.as_mut_ptr(), vector))
    }
    #[inline(always)]
    fn store_partial(self, vector: __m256, target: &mut [f32]) {
        let mut lanes = [0.0; LANES];
        self.store(vector, &mut lanes);
        let len = target.len().min(LANES);
        target[..len].copy_from_slice(&lanes[..len]);
    }
    #[inline(always)]
    fn load_f16(self, source: &[u16]) -> __m256 {
        let source = &source[..LANES];
        proven!(_mm256_cvtph_ps(_mm_loadu_si128(source.as_ptr().cast())))
    }
    #[inline(always)]
    fn load_i8(self, source: &[i8]) -> __m256 {
        let source = &source[..LANES];
        proven!(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(
            source.as_ptr().cast()
        ))))
    }
    #[inline(always)]
    fn widen_bf16(self, words: &[u32], part: usize) -> __m256 {
        let words = &words[..LANES];
        proven!({
            let words = _mm256_loadu_si256(words.as_ptr().cast());
            _mm256_castsi256_ps(match part {
                0 => _mm256_slli_epi32::<16>(words),
                _ => _mm256_and_si256(words, _mm256_set1_epi32(-0x1_0000)),
            })
        })
    }
    #[inline(always)]
    fn widen_i8(self, words: &[u32], part: usize) -> __m256 {
        let words = &words[..LANES];
        proven!({
            let words = _mm256_loadu_si256(words.as_ptr().cast());
            let high = match part {
                0 => _mm256_slli_epi32::<24>(words),
                1 => _mm256_slli_epi32::<16>(words),
                2 => _mm256_slli_epi32::<8>(words),
                _ => words,
            };
            _mm256_cvtepi32_ps(_mm256_srai_epi32::<24>(high))
        })
    }
    #[inline(always)]
    fn pack_bf16(self, source: &[f32], words: &mut [u32]) {
        pack_bf16_plain(&source[..LANES], &mut words[..LANES / 2]);
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
        for first in (0..lines).step_by(LANES) {
            for half in (0..rows).step_by(LANES) {
                let mut block = [self.zero(); LANES];
                for (index, row) in block.iter_mut().enumerate().take(rows - half) {
                    let at = (half + index) * source_stride + first;
                    // Inside the source, by the assertion above.
                    *row = proven!(_mm256_loadu_ps(source.as_ptr().wrapping_add(at).cast()));
                }
                proven!(transpose(&mut block));
                for (index, line) in block.into_iter().enumerate().take(lines - first) {
                    let words = &mut target[(first + index) * target_stride + half..];
                    if let Some(words) = words.first_chunk_mut::<LANES>() {
                        // Words after the rows belong to the next lines, which are written later.
                        proven!(_mm256_storeu_ps(words.as_mut_ptr().cast(), line));
                    } else {
                        self.store_partial(line, as_f32_mut(words));
                    }
                }
            }
        }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        proven!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        proven!(_mm256_sqrt_ps(a))
    }
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        proven!(_mm256_round_ps::<
            { _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC },
        >(a))
    }
    #[inline(always)]
    fn exp2_integer(self, n: __m256) -> __m256 {
        proven!(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(
            _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127))
        )))
    }
    #[inline(always)]
    fn select_less(self, x: __m256, bound: __m256, low: __m256, high: __m256) -> __m256 {
        proven!(_mm256_blendv_ps(
            high,
            low,
            _mm256_cmp_ps::<_CMP_LT_OQ>(x, bound)
        ))
    }
    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        proven!({
            let half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
        })
    }
    #[inline(always)]
    fn maximum(self, a: __m256) -> f32 {
        proven!({
            let half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)))
        })
    }
    #[inline(always)]
    fn dot_bytes(self, numbers: &[i16], bytes: &[i8]) -> i32 {
        proven!(dot_bytes(numbers, bytes))
    }
}

/// [`Simd::dot_bytes`], also for sets that have more than AVX2.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
pub(crate) unsafe fn dot_bytes(numbers: &[i16], bytes: &[i8]) -> i32 {
    const WORDS: usize = 16;
    const SUMS: usize = 4;
    let numbers = numbers.chunks_exact(SUMS * WORDS);
    let bytes = bytes.chunks_exact(SUMS * WORDS);
    let rest = numbers.remainder().iter().zip(bytes.remainder());
    // SAFETY: the caller has AVX2, and all loads are inside the chunks.
    let sum = unsafe {
        let mut sums = [_mm256_setzero_si256(); SUMS];
        for (numbers, bytes) in numbers.zip(bytes) {
            for (part, sum) in sums.iter_mut().enumerate() {
                let numbers = _mm256_loadu_si256(numbers[part * WORDS..].as_ptr().cast());
                let bytes = _mm_loadu_si128(bytes[part * WORDS..].as_ptr().cast());
                let products = _mm256_madd_epi16(_mm256_cvtepi8_epi16(bytes), numbers);
                *sum = _mm256_add_epi32(*sum, products);
            }
        }
        let low = _mm256_add_epi32(sums[0], sums[1]);
        let sum = _mm256_add_epi32(low, _mm256_add_epi32(sums[2], sums[3]));
        let half = _mm_add_epi32(
            _mm256_castsi256_si128(sum),
            _mm256_extracti128_si256::<1>(sum),
        );
        let pair = _mm_add_epi32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half));
        _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_shuffle_epi32::<1>(pair)))
    };
    let rest = rest.map(|(&number, &byte)| i32::from(number) * i32::from(byte));
    sum + rest.sum::<i32>()
}
