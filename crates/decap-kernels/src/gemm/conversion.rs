//! Values turned into the words of panels.

#[cfg(target_arch = "x86_64")]
use crate::arch::avx512_packing;
use crate::arch::{Simd, bf16_bits, pack_bf16_plain};
use crate::dispatch::KernelSet;
use crate::matrix::{BYTE_OFFSET, Format, TILE_STEPS};

/// Turns values into words.
#[inline(always)]
pub(super) fn convert<S: Simd>(
    simd: S,
    (set, format): (KernelSet, Format),
    values: &[f32],
    factor: f32,
    words: &mut [u32],
) {
    #[cfg(not(target_arch = "x86_64"))]
    let _ = set;
    match format {
        #[cfg(target_arch = "x86_64")]
        Format::Bf16 if set >= KernelSet::Avx512Bf16 => {
            avx512_packing::round_line(values, words);
        }
        Format::F32 | Format::F32ForBytes => {
            for (word, value) in words.iter_mut().zip(values) {
                *word = value.to_bits();
            }
        }
        Format::WideBf16 => {
            for (word, value) in words.iter_mut().zip(values) {
                *word = bf16_bits(*value) << 16;
            }
        }
        Format::WideBytes => {
            for (word, value) in words.iter_mut().zip(values) {
                *word = f32::from(byte(value * factor) as u8 as i8).to_bits();
            }
        }
        Format::Bf16 => {
            let mut sources = values.chunks_exact(S::LANES);
            let mut targets = words.chunks_exact_mut(S::LANES / 2);
            for (target, source) in (&mut targets).zip(&mut sources) {
                simd.pack_bf16(source, target);
            }
            pack_bf16_plain(sources.remainder(), targets.into_remainder());
        }
        Format::SignedBytes => {
            for (word, four) in words.iter_mut().zip(values.chunks_exact(4)) {
                *word = bytes(four, factor);
            }
        }
        Format::OffsetBytes => {
            for (word, four) in words.iter_mut().zip(values.chunks_exact(4)) {
                *word = bytes(four, factor) ^ 0x8080_8080;
            }
        }
        Format::SplitBytes => {
            #[cfg(target_arch = "x86_64")]
            let (values, words) = {
                let whole = values.len() / 16 * 16;
                let (words, tail) = words.split_at_mut(whole / 2);
                avx512_packing::split_bytes(&values[..whole], factor, words);
                (&values[whole..], tail)
            };
            split_bytes(values, factor, words);
        }
    }
}

/// Rounds two rows to bf16, `low` for the low halves of the words and `high` for the others.
#[inline(always)]
pub(super) fn pair_rows(set: KernelSet, low: &[f32], high: &[f32], words: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    if set >= KernelSet::Avx512Bf16 {
        return avx512_packing::pair_rows(low, high, words);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = set;
    for ((word, low), high) in words.iter_mut().zip(low).zip(high) {
        *word = bf16_bits(*low) | (bf16_bits(*high) << 16);
    }
}

/// Puts values into the given part of words.
#[inline(always)]
pub(super) fn merge(
    format: Format,
    values: &[f32],
    factors: &[f32],
    part: usize,
    words: &mut [u32],
) {
    match format {
        Format::F32 | Format::F32ForBytes => {
            for (word, value) in words.iter_mut().zip(values) {
                *word = value.to_bits();
            }
        }
        Format::WideBf16 => {
            for (word, value) in words.iter_mut().zip(values) {
                *word = bf16_bits(*value) << 16;
            }
        }
        Format::WideBytes => {
            for ((word, value), factor) in words.iter_mut().zip(values).zip(factors) {
                *word = f32::from(byte(value * factor) as u8 as i8).to_bits();
            }
        }
        Format::Bf16 => {
            for (word, value) in words.iter_mut().zip(values) {
                *word |= bf16_bits(*value) << (16 * part);
            }
        }
        Format::SignedBytes | Format::OffsetBytes => {
            let flip = match format {
                Format::OffsetBytes => 0x80,
                _ => 0,
            };
            for ((word, value), factor) in words.iter_mut().zip(values).zip(factors) {
                *word |= (byte(value * factor) ^ flip) << (8 * part);
            }
        }
        Format::SplitBytes => unreachable!("first operands of bytes have dense rows"),
    }
}

#[inline(always)]
fn bytes(four: &[f32], factor: f32) -> u32 {
    byte(four[0] * factor)
        | byte(four[1] * factor) << 8
        | byte(four[2] * factor) << 16
        | byte(four[3] * factor) << 24
}

/// The low byte of the nearest integer, for values in -127..=127.
///
/// Adding 1.5 * 2^23 moves the integer into the low bits of the sum.
#[inline(always)]
fn byte(value: f32) -> u32 {
    (value + 12_582_912.0).to_bits() & 0xff
}

/// The high and the low bytes of the nearest integers, for values in -32512..=32512.
#[inline(always)]
fn split_bytes(values: &[f32], factor: f32, words: &mut [u32]) {
    for (words, four) in words.chunks_exact_mut(2).zip(values.chunks_exact(4)) {
        words.fill(0);
        for (part, value) in four.iter().enumerate() {
            // As in `byte`, with the offsets added.
            let integer = (value * factor + 12_582_912.0).to_bits() + 0x8080;
            words[0] |= ((integer >> 8) & 0xff) << (8 * part);
            words[1] |= (integer & 0xff) << (8 * part);
        }
    }
}

/// Puts every other word of each 32 into a tile of its own.
pub(super) fn separate_halves(words: &mut [u32]) {
    for words in words.chunks_exact_mut(2 * TILE_STEPS) {
        let mut both = [0; 2 * TILE_STEPS];
        for (index, word) in words.iter().enumerate() {
            both[index / 2 + index % 2 * TILE_STEPS] = *word;
        }
        words.copy_from_slice(&both);
    }
}

/// Writes `-BYTE_OFFSET` times the sum of each line; `words` is `[steps, lines]`.
#[inline(always)]
pub(super) fn write_header(header: &mut [u32], words: &[u32]) {
    header.fill(0);
    for step in words.chunks_exact(header.len()) {
        for (sum, word) in header.iter_mut().zip(step) {
            let [a, b, c, d] = word.to_le_bytes().map(|byte| i32::from(byte as i8));
            *sum = sum.wrapping_sub((BYTE_OFFSET * (a + b + c + d)) as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_to_nearest_even() {
        let cases = [
            (1.0, 0x3f80),
            (f32::from_bits(0x3f80_8000), 0x3f80),
            (f32::from_bits(0x3f81_8000), 0x3f82),
            (f32::from_bits(0x3f80_8001), 0x3f81),
            (f32::INFINITY, 0x7f80),
            (-0.0, 0x8000),
        ];
        for (value, bits) in cases {
            assert_eq!(bf16_bits(value), bits, "{value}");
        }
        assert!(f32::from_bits(bf16_bits(f32::NAN) << 16).is_nan());
    }

    #[test]
    fn bytes_round_to_nearest() {
        for (value, expected) in [(0.0, 0), (1.4, 1), (-1.6, -2), (127.0, 127), (-127.0, -127)] {
            assert_eq!(byte(value) as u8 as i8, expected, "{value}");
        }
    }

    #[test]
    fn sixteen_bits_split_into_bytes() {
        let values = [0.0, 1.4, -1.6, 32512.0, -32512.0, 127.0, 128.0, -129.0].repeat(2);
        let mut words = [7; 8];
        split_bytes(&values, 1.0, &mut words);
        #[cfg(target_arch = "x86_64")]
        if KernelSet::Avx512Bf16.is_supported() {
            let mut same = [9; 8];
            avx512_packing::split_bytes(&values, 1.0, &mut same);
            assert_eq!(same, words);
        }
        for (index, value) in values.iter().enumerate() {
            let byte = |word: u32| ((word >> (8 * (index % 4))) & 0xff) as i32 - BYTE_OFFSET;
            let [high, low] = [words[index / 4 * 2], words[index / 4 * 2 + 1]].map(byte);
            assert!((-127..=127).contains(&high), "{value}");
            assert_eq!(256 * high + low, value.round() as i32, "{value}");
        }
    }
}
