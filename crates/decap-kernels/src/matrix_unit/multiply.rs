//! Products of two panels on the matrix unit, through `asm!` because its intrinsics are not stable.
//!
//! Four of the eight registers hold sums (two by two), two hold the first operand and two the second.

use super::registers::{configure, is_supported};
use crate::arch::avx512_words::LANES;
use crate::matrix::{TILE_STEPS as STEPS, TILE_VECTORS};
use std::arch::asm;

/// Rows of a tile of the output: two registers.
pub(super) const TILE_ROWS: usize = 32;

/// Columns of a tile of the output: two registers.
pub(super) const COLUMNS: usize = TILE_VECTORS * LANES;

/// What the sums of a tile begin with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start<'a> {
    Zero,
    /// The same row for all, `[COLUMNS]`.
    Header(&'a [u32]),
    /// The sums as they are.
    Sums,
}

/// What is read soon, to be prefetched meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Ahead<'a, T> {
    words: &'a [T],
    /// Passes over which it is spread.
    passes: usize,
}

impl<'a, T> Ahead<'a, T> {
    pub(super) const NOTHING: Self = Self {
        words: &[],
        passes: 1,
    };

    /// The part of `words` that pass `index` of `passes` prefetches; `words` has as many bytes as the second operand of
    /// a pass. Evenly spread requests keep memory and the unit busy together; many at once delay its loads.
    pub(super) fn part(words: &'a [T], index: usize, passes: usize) -> Self {
        let passes = match passes {
            0 | 1 => 1,
            2 | 3 => 2,
            _ => 4,
        };
        if index >= passes {
            return Self::NOTHING;
        }
        Self {
            words: &words[index * (words.len() / passes)..],
            passes,
        }
    }

    /// Cache lines for each step.
    fn lines(self) -> usize {
        match self.words {
            [] => 0,
            _ => COLUMNS / self.passes,
        }
    }
}

/// One pass of the registers over two panels: 16 or 32 rows, with or without fetching what comes next.
macro_rules! pass {
    (@16, $dot:literal, [$($fetch:expr),*], $pass:ident) => {
        asm!(
            "tileloadd tmm0, [{first} + {first_stride}*1]",
            "tileloadd tmm1, [{first} + {first_stride}*1 + 64]",
            "2:",
            "tileloadd tmm4, [{a} + {a_stride}*1]",
            "tileloadd tmm6, [{b} + {stride}*1]",
            concat!($dot, " tmm0, tmm4, tmm6"),
            "tileloadd tmm7, [{b} + {stride}*1 + 64]",
            concat!($dot, " tmm1, tmm4, tmm7"),
            $($fetch,)*
            "add {a}, 2048",
            "add {b}, 2048",
            "dec {count}",
            "jnz 2b",
            "tilestored [{sums} + {stride}*1], tmm0",
            "tilestored [{sums} + {stride}*1 + 64], tmm1",
            first = in(reg) $pass.first,
            first_stride = in(reg) $pass.first_stride,
            a = inout(reg) $pass.a => _,
            a_stride = in(reg) STEPS * size_of::<u32>(),
            b = inout(reg) $pass.b => _,
            ahead = inout(reg) $pass.ahead => _,
            stride = in(reg) ROW_BYTES,
            count = inout(reg) $pass.count => _,
            sums = in(reg) $pass.sums,
            options(nostack),
        )
    };
    (@32, $dot:literal, [$($fetch:expr),*], $pass:ident) => {
        asm!(
            "tileloadd tmm0, [{first} + {first_stride}*1]",
            "tileloadd tmm1, [{first} + {first_stride}*1 + 64]",
            "tileloadd tmm2, [{first_low} + {first_stride}*1]",
            "tileloadd tmm3, [{first_low} + {first_stride}*1 + 64]",
            "2:",
            "tileloadd tmm4, [{a} + {a_stride}*1]",
            "tileloadd tmm6, [{b} + {stride}*1]",
            concat!($dot, " tmm0, tmm4, tmm6"),
            "tileloadd tmm7, [{b} + {stride}*1 + 64]",
            concat!($dot, " tmm1, tmm4, tmm7"),
            "tileloadd tmm5, [{a} + {a_stride}*1 + 1024]",
            concat!($dot, " tmm2, tmm5, tmm6"),
            $($fetch,)*
            concat!($dot, " tmm3, tmm5, tmm7"),
            "add {a}, 2048",
            "add {b}, 2048",
            "dec {count}",
            "jnz 2b",
            "tilestored [{sums} + {stride}*1], tmm0",
            "tilestored [{sums} + {stride}*1 + 64], tmm1",
            "add {sums}, 2048",
            "tilestored [{sums} + {stride}*1], tmm2",
            "tilestored [{sums} + {stride}*1 + 64], tmm3",
            first = in(reg) $pass.first,
            first_low = in(reg) $pass.first_low,
            first_stride = in(reg) $pass.first_stride,
            a = inout(reg) $pass.a => _,
            a_stride = in(reg) STEPS * size_of::<u32>(),
            b = inout(reg) $pass.b => _,
            ahead = inout(reg) $pass.ahead => _,
            stride = in(reg) ROW_BYTES,
            count = inout(reg) $pass.count => _,
            sums = inout(reg) $pass.sums => _,
            options(nostack),
        )
    };
    // As many lines for each step as spread what is ahead over the passes of a panel.
    (@fetching 8, $rows:tt, $dot:literal, $pass:ident) => {
        pass!(@$rows, $dot, [
            fetch!(0), fetch!(1), fetch!(2), fetch!(3), fetch!(4), fetch!(5), fetch!(6), fetch!(7),
            "add {ahead}, 512"
        ], $pass)
    };
    (@fetching 16, $rows:tt, $dot:literal, $pass:ident) => {
        pass!(@$rows, $dot, [
            fetch!(0), fetch!(1), fetch!(2), fetch!(3), fetch!(4), fetch!(5), fetch!(6), fetch!(7),
            fetch!(8), fetch!(9), fetch!(10), fetch!(11), fetch!(12), fetch!(13), fetch!(14),
            fetch!(15), "add {ahead}, 1024"
        ], $pass)
    };
    (@fetching 32, $rows:tt, $dot:literal, $pass:ident) => {
        pass!(@$rows, $dot, [
            fetch!(0), fetch!(1), fetch!(2), fetch!(3), fetch!(4), fetch!(5), fetch!(6), fetch!(7),
            fetch!(8), fetch!(9), fetch!(10), fetch!(11), fetch!(12), fetch!(13), fetch!(14),
            fetch!(15), fetch!(16), fetch!(17), fetch!(18), fetch!(19), fetch!(20), fetch!(21),
            fetch!(22), fetch!(23), fetch!(24), fetch!(25), fetch!(26), fetch!(27), fetch!(28),
            fetch!(29), fetch!(30), fetch!(31), "add {ahead}, 2048"
        ], $pass)
    };
}

/// Prefetches one cache line of what comes next into the second level.
macro_rules! fetch {
    ($line:literal) => {
        concat!("prefetcht1 [{ahead} + 64*", $line, "]")
    };
}

/// Bytes of a row of sums, and of a step of the second operand.
const ROW_BYTES: usize = COLUMNS * size_of::<u32>();

/// What a pass reads and writes.
struct Pass {
    /// The registers are filled from here with this stride, the lower two from `first_low`.
    first: *const u32,
    first_low: *const u32,
    first_stride: usize,
    a: *const u32,
    b: *const u32,
    /// What the next pass reads; only prefetched here.
    ahead: *const u32,
    count: usize,
    sums: *mut u32,
}

impl Pass {
    /// Checks the sizes: `a` is `[steps / 16, TILE_ROWS, 16]`, `b` `[steps, COLUMNS]`, `sums`
    /// `[TILE_ROWS, COLUMNS]`, words.
    fn new<T>(a: &[u32], b: &[u32], ahead: &[T], start: Start<'_>, sums: &mut [u32]) -> Self {
        assert!(is_supported(), "matrix unit called without it");
        let steps = b.len() / COLUMNS;
        assert!(steps > 0 && steps.is_multiple_of(STEPS) && b.len() == steps * COLUMNS);
        assert!(a.len() == steps * TILE_ROWS && sums.len() == TILE_ROWS * COLUMNS);
        configure();
        let sums = sums.as_mut_ptr();
        let low = sums.wrapping_add(LANES * COLUMNS).cast_const();
        let (first, first_low, first_stride) = match start {
            Start::Zero => (ZEROS.0.as_ptr(), ZEROS.0.as_ptr(), 0),
            Start::Header(header) => {
                assert!(header.len() == COLUMNS);
                (header.as_ptr(), header.as_ptr(), 0)
            }
            Start::Sums => (sums.cast_const(), low, ROW_BYTES),
        };
        Self {
            first,
            first_low,
            first_stride,
            a: a.as_ptr(),
            b: b.as_ptr(),
            ahead: ahead.as_ptr().cast(),
            count: steps / STEPS,
            sums,
        }
    }
}

/// Generates a function that multiplies two panels with one dot product instruction.
macro_rules! multiply {
    ($name:ident, $dot:literal) => {
        /// Adds the product of `a` `[steps / 16, TILE_ROWS, 16]` and `b` `[steps, COLUMNS]` to what
        /// `sums` `[TILE_ROWS, COLUMNS]` start with, and prefetches `ahead` meanwhile. Computes only the first
        /// sixteen rows when `rows` is at most sixteen.
        pub(super) fn $name<T>(
            rows: usize,
            a: &[u32],
            b: &[u32],
            ahead: Ahead<'_, T>,
            start: Start<'_>,
            sums: &mut [u32],
        ) {
            let pass = Pass::new(a, b, ahead.words, start, sums);
            // SAFETY: `Pass::new` checked that the matrix unit is there, and the sizes. The loop reads
            // 16 or 32 rows of each tile of `a` and all of `b`, 64 bytes by 16 rows at a time; the
            // registers start from one row, read with stride 0, or from `sums`, of which as many rows
            // are written. What is ahead is fetched but not read, which no address forbids.
            unsafe {
                match (rows <= LANES, ahead.lines()) {
                    (true, 0) => pass!(@16, $dot, ["/* {ahead} */"], pass),
                    (true, 8) => pass!(@fetching 8, 16, $dot, pass),
                    (true, 16) => pass!(@fetching 16, 16, $dot, pass),
                    (true, _) => pass!(@fetching 32, 16, $dot, pass),
                    (false, 0) => pass!(@32, $dot, ["/* {ahead} */"], pass),
                    (false, 8) => pass!(@fetching 8, 32, $dot, pass),
                    (false, 16) => pass!(@fetching 16, 32, $dot, pass),
                    (false, _) => pass!(@fetching 32, 32, $dot, pass),
                }
            }
        }
    };
}

multiply!(multiply_bf16, "tdpbf16ps");
multiply!(multiply_int8, "tdpbusd");

#[repr(align(64))]
struct Zeros([u32; COLUMNS]);

static ZEROS: Zeros = Zeros([0; COLUMNS]);

#[cfg(test)]
mod tests {
    use super::*;

    /// The same sums without the matrix unit, `dot` being the product of two words.
    fn twin(a: &[u32], first: &[u32], b: &[u32], dot: impl Fn(u32, u32, u32) -> u32) -> Vec<u32> {
        let mut sums = Vec::new();
        for row in 0..TILE_ROWS {
            let row = a.chunks_exact(STEPS).skip(row).step_by(TILE_ROWS).flatten();
            for column in 0..COLUMNS {
                let words = row.clone().zip(b[column..].iter().step_by(COLUMNS));
                let first = first[sums.len() % first.len()];
                sums.push(words.fold(first, |sum, (a, b)| dot(sum, *a, *b)));
            }
        }
        sums
    }

    fn dot_bf16(sum: u32, a: u32, b: u32) -> u32 {
        let half = |word: u32, part: u32| f32::from_bits((word >> (16 * part)) << 16);
        let product = half(a, 0) * half(b, 0) + half(a, 1) * half(b, 1);
        (f32::from_bits(sum) + product).to_bits()
    }

    fn dot_int8(sum: u32, a: u32, b: u32) -> u32 {
        let bytes = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
        let product: i32 = bytes.map(|(a, b)| i32::from(a) * i32::from(b as i8)).sum();
        sum.wrapping_add(product as u32)
    }

    #[test]
    fn the_matrix_unit_agrees_with_its_twin() {
        if !is_supported() {
            crate::skipped::skip("a processor and a system with AMX");
            return;
        }
        for steps in [16, 64, 256] {
            // Small integers, exact in bf16 and in f32 sums of any order.
            let bf16 =
                |seed: usize| move |i: usize| (((i * 31 + seed) % 17) as f32 - 8.0).to_bits() >> 16;
            let pairs = |len: usize, seed| -> Vec<u32> {
                (0..len)
                    .map(|i| bf16(seed)(2 * i) | (bf16(seed)(2 * i + 1) << 16))
                    .collect()
            };
            let words = |len: usize, seed: u32| -> Vec<u32> {
                (0..len as u32)
                    .map(|i| (i + seed).wrapping_mul(0x9E37_79B9))
                    .collect()
            };
            for rows in [1, 16, 17, 32] {
                let computed = if rows <= LANES { LANES } else { TILE_ROWS } * COLUMNS;
                let what = format!("{rows} rows, {steps} steps");
                let (a, b) = (pairs(steps * TILE_ROWS, 1), pairs(steps * COLUMNS, 2));
                let mut sums = vec![7; TILE_ROWS * COLUMNS];
                multiply_bf16::<u32>(rows, &a, &b, Ahead::NOTHING, Start::Zero, &mut sums);
                let expected = twin(&a, &[0; COLUMNS], &b, dot_bf16);
                assert_eq!(sums[..computed], expected[..computed], "bf16, {what}");
                multiply_bf16(rows, &a, &b, Ahead::part(&b, 1, 2), Start::Sums, &mut sums);
                let expected = twin(&a, &expected, &b, dot_bf16);
                assert_eq!(sums[..computed], expected[..computed], "bf16 again, {what}");

                let (a, b) = (words(steps * TILE_ROWS, 3), words(steps * COLUMNS, 4));
                let header = words(COLUMNS, 5);
                multiply_int8(
                    rows,
                    &a,
                    &b,
                    Ahead::part(&a, 0, 5),
                    Start::Header(&header),
                    &mut sums,
                );
                let expected = twin(&a, &header, &b, dot_int8);
                assert_eq!(sums[..computed], expected[..computed], "int8, {what}");
            }
        }
    }
}
