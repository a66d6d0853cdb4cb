//! The rows of a memory, in the formats in which they are stored.

use crate::arch::{Kernel, Simd, f16_to_f32};
use crate::dispatch::{KernelSet, dispatch};
use crate::huge_pages::prefer_huge_pages;
use crate::parallel::rows_per_chunk;
use crate::words::with_f32_scratch;
use rayon::prelude::*;
use std::ops::Range;

/// The rows of a memory, `[rows, width]`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum MemoryRows<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// IEEE half precision, as bits.
    F16(&'a [u16]),
    /// Bytes: row `i` is `scales[i] * rows[i]`.
    Int8 {
        /// `[rows, width]`
        rows: &'a [i8],
        /// `[rows]`
        scales: &'a [f32],
    },
    /// Bytes that [`quantize_rows`] made, to scan, and the rows that they were made from.
    ///
    /// A byte is off by half its scale at most, which bounds the error of each score by
    /// `length of the query * scale / 2 * sqrt(width) / tau`. Every row whose bound allows a weight of more
    /// than e^-3 of the largest, or a place among the `top_k`, is scored and mixed from the exact rows; the
    /// others are mixed from the bytes.
    Int8Exact {
        /// `[rows, width]`
        rows: &'a [i8],
        /// `[rows]`
        scales: &'a [f32],
        /// `[rows, width]`
        exact: ExactRows<'a>,
    },
}

/// Rows of floats, `[rows, width]`.
#[derive(Clone, Copy, Debug)]
pub enum ExactRows<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// IEEE half precision, as bits.
    F16(&'a [u16]),
}

impl<'a> MemoryRows<'a> {
    /// Number of rows; checks that all parts agree.
    pub(super) fn count(self, width: usize) -> usize {
        let (len, scales, exact) = match self {
            Self::F32(values) => (values.len(), None, None),
            Self::F16(values) => (values.len(), None, None),
            Self::Int8 { rows, scales } => (rows.len(), Some(scales), None),
            Self::Int8Exact {
                rows,
                scales,
                exact,
            } => (rows.len(), Some(scales), Some(exact)),
        };
        assert!(len.is_multiple_of(width), "rows of a memory");
        if let Some(scales) = scales {
            assert_eq!(scales.len(), len / width, "scales of a memory");
        }
        match exact {
            Some(ExactRows::F32(values)) => assert_eq!(values.len(), len, "exact rows"),
            Some(ExactRows::F16(values)) => assert_eq!(values.len(), len, "exact rows"),
            None => {}
        }
        len / width
    }

    /// Byte rows, their scales and the rows that they were made from, if the rows are bytes.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn bytes(self) -> Option<(&'a [i8], &'a [f32], Option<ExactRows<'a>>)> {
        match self {
            Self::F32(_) | Self::F16(_) => None,
            Self::Int8 { rows, scales } => Some((rows, scales, None)),
            Self::Int8Exact {
                rows,
                scales,
                exact,
            } => Some((rows, scales, Some(exact))),
        }
    }

    /// The scales of the rows, if the rows are bytes.
    pub(super) fn scales(self) -> Option<&'a [f32]> {
        match self {
            Self::Int8 { scales, .. } | Self::Int8Exact { scales, .. } => Some(scales),
            Self::F32(_) | Self::F16(_) => None,
        }
    }

    /// The rows to score and mix exactly; none when the scanned rows are not floats.
    pub(super) fn exact(self) -> Option<ExactRows<'a>> {
        match self {
            Self::F32(values) => Some(ExactRows::F32(values)),
            Self::F16(values) => Some(ExactRows::F16(values)),
            Self::Int8 { .. } => None,
            Self::Int8Exact { exact, .. } => Some(exact),
        }
    }
}

/// Rows that a kernel reads lane by lane; the factor of a row is applied by the caller.
pub(super) trait Source: Copy {
    fn len(self) -> usize;
    /// `LANES` values from `at`.
    ///
    /// # Safety
    /// `at + LANES` must not be above [`Source::len`].
    unsafe fn load<S: Simd>(self, simd: S, at: usize) -> S::V;
    fn value(self, at: usize) -> f32;
}

macro_rules! source {
    ($element:ty, $load:ident, |$value:ident| $widen:expr) => {
        impl Source for &[$element] {
            #[inline(always)]
            fn len(self) -> usize {
                <[$element]>::len(self)
            }
            #[inline(always)]
            unsafe fn load<S: Simd>(self, simd: S, at: usize) -> S::V {
                // SAFETY: the caller keeps the range inside the slice.
                simd.$load(unsafe { self.get_unchecked(at..at + S::LANES) })
            }
            #[inline(always)]
            fn value(self, at: usize) -> f32 {
                let $value = self[at];
                $widen
            }
        }
    };
}

source!(f32, load, |value| value);
source!(u16, load_f16, |bits| f16_to_f32(bits));
source!(i8, load_i8, |byte| f32::from(byte));

/// Dot product of a query with the row that starts at `start`.
///
/// One row after the other, in the order in which they are stored: reading several rows side by side is half as fast.
#[inline(always)]
pub(super) fn dot_row<S: Simd>(simd: S, query: &[f32], source: impl Source, start: usize) -> f32 {
    const SUMS: usize = 4;
    assert!(start <= source.len() && query.len() <= source.len() - start);
    let mut sums = [simd.zero(); SUMS];
    let chunks = query.chunks_exact(SUMS * S::LANES);
    let done = query.len() - chunks.remainder().len();
    for (index, query) in chunks.enumerate() {
        let at = start + index * SUMS * S::LANES;
        for (part, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the query has `SUMS * LANES` values from there, and the assertion above says that the row has
            // as many values as the query.
            let row = unsafe { source.load(simd, at + part * S::LANES) };
            *sum = simd.mul_add(row, simd.load(&query[part * S::LANES..]), *sum);
        }
    }
    let mut sum = simd.sum(simd.add(simd.add(sums[0], sums[1]), simd.add(sums[2], sums[3])));
    for (at, query) in query.iter().enumerate().skip(done) {
        sum += source.value(start + at) * query;
    }
    sum
}

/// `target += sum of weights[i] * row at starts[i]`.
#[inline(always)]
pub(super) fn add_rows<S: Simd, const ROWS: usize>(
    simd: S,
    target: &mut [f32],
    source: impl Source,
    starts: [usize; ROWS],
    weights: [f32; ROWS],
) {
    for start in starts {
        assert!(start <= source.len() && target.len() <= source.len() - start);
    }
    let done = target.len() / S::LANES * S::LANES;
    let mut factors = [simd.zero(); ROWS];
    for (factor, weight) in factors.iter_mut().zip(weights) {
        *factor = simd.splat(weight);
    }
    let (whole, rest) = target.split_at_mut(done);
    for (index, target) in whole.chunks_exact_mut(S::LANES).enumerate() {
        let mut sum = simd.load(target);
        for (factor, start) in factors.iter().zip(starts) {
            // SAFETY: the target has `LANES` values from there, and the assertion above says that
            // the row has as many values as the target.
            let row = unsafe { source.load(simd, start + index * S::LANES) };
            sum = simd.mul_add(row, *factor, sum);
        }
        simd.store(sum, target);
    }
    for (at, target) in rest.iter_mut().enumerate() {
        for (weight, start) in weights.iter().zip(starts) {
            *target += weight * source.value(start + done + at);
        }
    }
}

/// Turns rows into f32, without the factors of byte rows.
pub(super) struct Decode<'a> {
    pub(super) memory: MemoryRows<'a>,
    pub(super) values: Range<usize>,
    pub(super) decoded: &'a mut [f32],
}

impl Kernel for Decode<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.memory {
            MemoryRows::F32(memory) => self.decoded.copy_from_slice(&memory[self.values]),
            MemoryRows::F16(memory) => decode(simd, &memory[self.values], self.decoded),
            MemoryRows::Int8 { rows, .. } | MemoryRows::Int8Exact { rows, .. } => {
                decode(simd, &rows[self.values], self.decoded);
            }
        }
    }
}

#[inline(always)]
fn decode<S: Simd>(simd: S, source: impl Source, target: &mut [f32]) {
    assert!(target.len() <= source.len());
    let done = target.len() / S::LANES * S::LANES;
    let (whole, rest) = target.split_at_mut(done);
    for (index, target) in whole.chunks_exact_mut(S::LANES).enumerate() {
        // SAFETY: the target has `LANES` values from there, and the source as many as the target.
        simd.store(unsafe { source.load(simd, index * S::LANES) }, target);
    }
    for (at, target) in rest.iter_mut().enumerate() {
        *target = source.value(done + at);
    }
}

/// Bytes and scales of `rows`, `[rows, width]`: the largest value of a row becomes 127 or -127.
///
/// # Panics
/// When `width` is 0 or the length of `rows` is no multiple of it.
pub fn quantize_rows(rows: ExactRows<'_>, width: usize) -> (Vec<i8>, Vec<f32>) {
    let len = match rows {
        ExactRows::F32(rows) => rows.len(),
        ExactRows::F16(rows) => rows.len(),
    };
    assert!(width > 0 && len.is_multiple_of(width), "rows to quantize");
    let set = KernelSet::active();
    let mut bytes = vec![0; len];
    prefer_huge_pages(&bytes);
    let mut scales = vec![0.0; len / width];
    let chunk = rows_per_chunk(width);
    bytes
        .par_chunks_mut(chunk * width)
        .zip(scales.par_chunks_mut(chunk))
        .enumerate()
        .for_each(|(index, (bytes, scales))| {
            let start = index * chunk * width;
            let values = start..start + bytes.len();
            with_f32_scratch(bytes.len(), |decoded| {
                let memory = match rows {
                    ExactRows::F32(rows) => MemoryRows::F32(rows),
                    ExactRows::F16(rows) => MemoryRows::F16(rows),
                };
                let decode = Decode {
                    memory,
                    values,
                    decoded,
                };
                dispatch(set, decode);
                let quantize = Quantize {
                    rows: decoded,
                    width,
                    bytes,
                    scales,
                };
                dispatch(set, quantize);
            });
        });
    (bytes, scales)
}

/// Rounds rows to bytes. The loops are plain, and compiled for each kernel set.
struct Quantize<'a> {
    rows: &'a [f32],
    width: usize,
    bytes: &'a mut [i8],
    scales: &'a mut [f32],
}

impl Kernel for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let rows = self.rows.chunks_exact(self.width);
        let rows = rows.zip(self.bytes.chunks_exact_mut(self.width));
        for ((row, bytes), scale) in rows.zip(self.scales) {
            let mut largest = 0.0f32;
            for value in row {
                largest = if value.abs() > largest {
                    value.abs()
                } else {
                    largest
                };
            }
            let factor = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            *scale = largest / 127.0;
            for (byte, value) in bytes.iter_mut().zip(row) {
                *byte = (value * factor).round_ties_even() as i8;
            }
        }
    }
}
