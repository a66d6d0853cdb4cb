//! Tiles by the AMX matrix unit, through `asm!` because its intrinsics are not stable.
//!
//! Eight tile registers of 16 rows of 64 bytes: four sums (two by two), two of the first operand and
//! two of the second. See Intel's Software Developer's Manual, volume 1, chapter 18.

use super::avx512_dot::{pair_lanes, transpose, wide_sum};
use crate::gemm::TILE_STEPS as STEPS;
use crate::gemm::tile::TILE_VECTORS;
use std::arch::asm;
use std::arch::x86_64::*;
use std::cell::Cell;
use std::sync::OnceLock;

/// Rows of a tile of the output: two registers.
pub(crate) const TILE_ROWS: usize = 32;

const LANES: usize = 16;
/// Columns of a tile of the output: two registers.
pub(crate) const COLUMNS: usize = TILE_VECTORS * LANES;

/// Whether the processor has AMX tiles with bf16 and int8, next to AVX-512 BF16 and VNNI, and the
/// operating system lets this process use them.
pub(crate) fn is_supported() -> bool {
    static SUPPORTED: OnceLock<bool> = OnceLock::new();
    *SUPPORTED.get_or_init(|| {
        super::avx512::has_dot_products()
            && (processor_has_amx() && system_allows_amx() || is_emulated())
    })
}

/// Whether the unit is emulated instead, as tests have it.
fn is_emulated() -> bool {
    #[cfg(all(test, target_os = "linux", not(miri)))]
    return super::amx_emulator::install();
    #[cfg(not(all(test, target_os = "linux", not(miri))))]
    false
}

fn processor_has_amx() -> bool {
    // CPUID leaf 7: EDX bits 22 (AMX-BF16), 24 (AMX-TILE) and 25 (AMX-INT8).
    const WANTED: u32 = (1 << 22) | (1 << 24) | (1 << 25);
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & WANTED == WANTED
}

/// Asks Linux for the tile registers, which it hands out to those processes that ask.
#[cfg(target_os = "linux")]
fn system_allows_amx() -> bool {
    const ARCH_PRCTL: isize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let result: isize;
    // SAFETY: the system call reads no memory and changes nothing but the permission; `syscall`
    // overwrites rcx and r11 only.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn system_allows_amx() -> bool {
    false
}

/// The operand of `ldtilecfg`.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

thread_local! {
    static CONFIGURED: Cell<bool> = const { Cell::new(false) };
}

/// Makes all eight registers of this thread 16 rows of 64 bytes.
pub(super) fn configure() {
    if CONFIGURED.with(Cell::get) {
        return;
    }
    let mut configuration = Configuration {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        row_bytes: [0; 16],
        rows: [0; 16],
    };
    configuration.row_bytes[..8].fill(64);
    configuration.rows[..8].fill(16);
    // SAFETY: callers checked `is_supported`; the operand is the 64 bytes that the instruction reads.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &configuration, options(nostack, readonly)) };
    CONFIGURED.with(|configured| configured.set(true));
}

/// What the sums of a tile begin with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start<'a> {
    Zero,
    /// One row for all, `[COLUMNS]`.
    Header(&'a [u32]),
    /// What they are.
    Sums,
}

/// What is read soon, and fetched from memory meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct Ahead<'a, T> {
    words: &'a [T],
    /// Passes over which it is spread.
    passes: usize,
}

impl<'a, T> Ahead<'a, T> {
    pub(crate) const NOTHING: Self = Self {
        words: &[],
        passes: 1,
    };

    /// The part of `words`, as many bytes as the second operand of a pass, that pass `index` of `passes`
    /// fetches. Even requests keep memory and the unit busy side by side; many at once hold up its loads.
    pub(crate) fn part(words: &'a [T], index: usize, passes: usize) -> Self {
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

    /// Cache lines a step.
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
    // As many lines a step as spread what is ahead over the passes that a panel takes part in.
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

/// Fetches one cache line of what comes next into the second level.
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
    /// Read by the next pass; only fetched.
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
        /// `sums` `[TILE_ROWS, COLUMNS]` start with, and fetches from `ahead` meanwhile. Only the first
        /// sixteen rows are computed when `rows` is no more.
        pub(crate) fn $name<T>(
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

/// Rounds a dense line to bf16 and writes it as line `index` of a panel `[steps / 16, lines, 16]`, whose
/// pieces of `[lines, 16]` have `tile` words; what lies behind its end becomes 0.
pub(crate) fn pack_line(values: &[f32], index: usize, tile: usize, words: &mut [u32]) {
    assert!(is_supported(), "matrix unit called without it");
    // SAFETY: the assertion above implies AVX-512 BF16.
    unsafe { pack(values, index, tile, words) }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn pack(values: &[f32], index: usize, tile: usize, words: &mut [u32]) {
    let mut pieces = values.chunks(2 * LANES);
    for tile in words.chunks_exact_mut(tile) {
        let words = &mut tile[index * STEPS..][..STEPS];
        let mut padded = [0.0; 2 * LANES];
        let piece = match pieces.next() {
            Some(piece) if piece.len() == padded.len() => piece,
            Some(piece) => {
                padded[..piece.len()].copy_from_slice(piece);
                &padded
            }
            None => &padded,
        };
        store(round_pairs(piece), words);
    }
}

/// The first 32 values as bf16, the first in the low half of the first word; ties to even.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn round_pairs(values: &[f32]) -> __m512i {
    let [low, high] = [&values[..LANES], &values[LANES..2 * LANES]].map(|half| {
        // SAFETY: the slice has sixteen values.
        unsafe { _mm512_loadu_ps(half.as_ptr()) }
    });
    let rounded = _mm512_cvtne2ps_pbh(high, low);
    // SAFETY: both types are 512 bits without invalid values.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(rounded) }
}

/// Rounds the sums of a tile, `[rows, COLUMNS]` f32, to bf16: `[rows, 16]` words.
pub(crate) fn round_tile(sums: &[f32], words: &mut [u32]) {
    assert!(is_supported(), "matrix unit called without it");
    // SAFETY: the assertion above implies AVX-512 BF16.
    unsafe { round(sums, words) }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn round(sums: &[f32], words: &mut [u32]) {
    for (row, words) in sums
        .chunks_exact(COLUMNS)
        .zip(words.chunks_exact_mut(STEPS))
    {
        store(round_pairs(row), words);
    }
}

/// Rounds the sums of a tile, `[TILE_ROWS, COLUMNS]` f32, to bf16 and transposes them: `[COLUMNS, 16]` words.
pub(crate) fn round_transposed(sums: &[f32], words: &mut [u32]) {
    assert!(is_supported(), "matrix unit called without it");
    assert!(sums.len() == TILE_ROWS * COLUMNS && words.len() == COLUMNS * STEPS);
    // SAFETY: the assertion above implies AVX-512 BF16.
    unsafe { transpose_tile(sums, words) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,avx2")]
fn transpose_tile(sums: &[f32], words: &mut [u32]) {
    for (first, words) in [0, LANES]
        .into_iter()
        .zip(words.chunks_exact_mut(LANES * STEPS))
    {
        let mut pairs = [_mm512_setzero_si512(); LANES];
        for (pair, rows) in pairs.iter_mut().zip(sums.chunks_exact(2 * COLUMNS)) {
            let [low, high] = [&rows[first..], &rows[COLUMNS + first..]].map(|row| {
                let row = &row[..LANES];
                // SAFETY: the slice has sixteen values.
                unsafe { _mm512_loadu_ps(row.as_ptr()) }
            });
            *pair = pair_lanes(low, high);
        }
        transpose(&mut pairs);
        for (line, words) in pairs.into_iter().zip(words.chunks_exact_mut(STEPS)) {
            store(line, words);
        }
    }
}

/// Turns sums of integers into floats, in place.
pub(crate) fn integers_to_floats(sums: &mut [u32]) {
    assert!(is_supported(), "matrix unit called without it");
    // SAFETY: the assertion above implies AVX-512.
    unsafe { to_floats(sums) }
}

#[target_feature(enable = "avx512f")]
fn to_floats(sums: &mut [u32]) {
    for sums in sums.chunks_exact_mut(LANES) {
        let floats = _mm512_cvtepi32_ps(load(sums));
        store(_mm512_castps_si512(floats), sums);
    }
}

/// Turns sums of integers of high bytes, the first sixteen rows, and of low ones into floats: `256 high + low`,
/// in the first sixteen rows.
pub(crate) fn halves_to_floats(sums: &mut [u32]) {
    assert!(is_supported(), "matrix unit called without it");
    // SAFETY: the assertion above implies AVX-512.
    unsafe { join_halves(sums) }
}

#[target_feature(enable = "avx512f")]
fn join_halves(sums: &mut [u32]) {
    let (high, low) = sums.split_at_mut(LANES * COLUMNS);
    for (high, low) in high.chunks_exact_mut(LANES).zip(low.chunks_exact(LANES)) {
        store(_mm512_castps_si512(wide_sum(load(high), load(low))), high);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(words: &[u32]) -> __m512i {
    let words = &words[..LANES];
    // SAFETY: the slice has sixteen words.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(values: __m512i, words: &mut [u32]) {
    let words = &mut words[..LANES];
    // SAFETY: the slice has sixteen words.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), values) }
}

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
            println!("skipped: this processor or system has no AMX");
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
