//! Tiles by the AMX matrix unit, through `asm!` because its intrinsics are not stable.
//!
//! Eight tile registers of 16 rows of 64 bytes: four sums (two by two), two of the first operand and
//! two of the second. See Intel's Software Developer's Manual, volume 1, chapter 18.

use super::avx512::Avx512;
use crate::gemm::tile::{TILE_VECTORS, Tile, write_row, write_scaled_row};
use std::arch::asm;
use std::arch::x86_64::*;
use std::cell::Cell;
use std::sync::OnceLock;

/// Rows of a tile of the output: two registers.
pub(crate) const TILE_ROWS: usize = 32;

const LANES: usize = 16;
const COLUMNS: usize = TILE_VECTORS * LANES;

/// Words of the sum that one instruction takes.
const STEPS: usize = 16;

/// Whether the processor has AMX tiles with bf16 and int8, next to AVX-512 BF16 and VNNI, and the
/// operating system lets this process use them.
pub(crate) fn is_supported() -> bool {
    static SUPPORTED: OnceLock<bool> = OnceLock::new();
    *SUPPORTED.get_or_init(|| {
        super::avx512::has_dot_products() && processor_has_amx() && system_allows_amx()
    })
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
fn configure() {
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

/// The sums of one tile of the output, f32 or i32, `[TILE_ROWS, COLUMNS]`.
#[repr(align(64))]
struct Sums([u32; TILE_ROWS * COLUMNS]);

/// Generates a function that multiplies two panels with one dot product instruction.
macro_rules! multiply {
    ($name:ident, $dot:literal) => {
        /// `a` is `[TILE_ROWS, steps]`, `b` `[steps, COLUMNS]`; the sums start from `header`, one
        /// row of them for all. Only the first sixteen rows are computed when `rows` is no more.
        fn $name(rows: usize, a: &[u32], header: &[u32], b: &[u32], sums: &mut Sums) {
            assert!(is_supported(), "matrix unit called without it");
            let steps = b.len() / COLUMNS;
            assert!(steps.is_multiple_of(STEPS) && b.len() == steps * COLUMNS);
            assert!(a.len() == steps * TILE_ROWS && header.len() == COLUMNS);
            configure();
            let a_stride = steps * size_of::<u32>();
            if steps == 0 {
                sums.0.chunks_exact_mut(COLUMNS).for_each(|row| row.copy_from_slice(header));
            } else if rows <= LANES {
                // SAFETY: `is_supported` and `configure` were called. The loop reads sixteen rows
                // of `a` and all of `b`, 64 bytes by 16 rows at a time, whose sizes were asserted;
                // the header is read with stride 0, and the upper half of `sums` is written.
                unsafe {
                    asm!(
                        "tileloadd tmm0, [{header} + {zero}*1]",
                        "tileloadd tmm1, [{header} + {zero}*1 + 64]",
                        "2:",
                        "tileloadd tmm4, [{a} + {a_stride}*1]",
                        "tileloadd tmm6, [{b} + {stride}*1]",
                        "tileloadd tmm7, [{b} + {stride}*1 + 64]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        concat!($dot, " tmm1, tmm4, tmm7"),
                        "add {a}, 64",
                        "add {b}, 2048",
                        "dec {count}",
                        "jnz 2b",
                        "tilestored [{sums} + {stride}*1], tmm0",
                        "tilestored [{sums} + {stride}*1 + 64], tmm1",
                        header = in(reg) header.as_ptr(),
                        zero = in(reg) 0usize,
                        a = inout(reg) a.as_ptr() => _,
                        a_stride = in(reg) a_stride,
                        b = inout(reg) b.as_ptr() => _,
                        stride = in(reg) COLUMNS * size_of::<u32>(),
                        count = inout(reg) steps / STEPS => _,
                        sums = in(reg) sums.0.as_mut_ptr(),
                        options(nostack),
                    );
                }
            } else {
                // SAFETY: as above; `a_low` starts at row 16, so that 32 rows are read, and all of
                // `sums` is written.
                unsafe {
                    asm!(
                        "tileloadd tmm0, [{header} + {zero}*1]",
                        "tileloadd tmm1, [{header} + {zero}*1 + 64]",
                        "tileloadd tmm2, [{header} + {zero}*1]",
                        "tileloadd tmm3, [{header} + {zero}*1 + 64]",
                        "2:",
                        "tileloadd tmm4, [{a} + {a_stride}*1]",
                        "tileloadd tmm6, [{b} + {stride}*1]",
                        "tileloadd tmm7, [{b} + {stride}*1 + 64]",
                        "tileloadd tmm5, [{a_low} + {a_stride}*1]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        concat!($dot, " tmm1, tmm4, tmm7"),
                        concat!($dot, " tmm2, tmm5, tmm6"),
                        concat!($dot, " tmm3, tmm5, tmm7"),
                        "add {a}, 64",
                        "add {a_low}, 64",
                        "add {b}, 2048",
                        "dec {count}",
                        "jnz 2b",
                        "tilestored [{sums} + {stride}*1], tmm0",
                        "tilestored [{sums} + {stride}*1 + 64], tmm1",
                        "tilestored [{sums_low} + {stride}*1], tmm2",
                        "tilestored [{sums_low} + {stride}*1 + 64], tmm3",
                        header = in(reg) header.as_ptr(),
                        zero = in(reg) 0usize,
                        a = inout(reg) a.as_ptr() => _,
                        a_low = inout(reg) a[LANES * steps..].as_ptr() => _,
                        a_stride = in(reg) a_stride,
                        b = inout(reg) b.as_ptr() => _,
                        stride = in(reg) COLUMNS * size_of::<u32>(),
                        count = inout(reg) steps / STEPS => _,
                        sums = in(reg) sums.0.as_mut_ptr(),
                        sums_low = in(reg) sums.0[LANES * COLUMNS..].as_mut_ptr(),
                        options(nostack),
                    );
                }
            }
        }
    };
}

multiply!(multiply_bf16, "tdpbf16ps");
multiply!(multiply_int8, "tdpbusd");

/// A tile of bf16 pairs, summed in f32.
pub(crate) fn tile_bf16(tile: Tile<'_, '_>) {
    let mut sums = Sums([0; TILE_ROWS * COLUMNS]);
    multiply_bf16(tile.rows, tile.a, &[0; COLUMNS], tile.b, &mut sums);
    // SAFETY: `multiply_bf16` asserted `is_supported`, which implies AVX-512.
    unsafe { write_floats(tile, &sums) }
}

/// A tile of bytes, summed in 32-bit integers.
pub(crate) fn tile_int8(tile: Tile<'_, '_>) {
    let mut sums = Sums([0; TILE_ROWS * COLUMNS]);
    let (header, b) = tile.b.split_at(COLUMNS);
    multiply_int8(tile.rows, tile.a, header, b, &mut sums);
    // SAFETY: `multiply_int8` asserted `is_supported`, which implies AVX-512.
    unsafe { write_integers(tile, &sums) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn write_floats(tile: Tile<'_, '_>, sums: &Sums) {
    // SAFETY: the features of this function are those of `Avx512`.
    let simd = unsafe { Avx512::assume() };
    for (row, sums) in sums.0.chunks_exact(COLUMNS).enumerate().take(tile.rows) {
        let values = [load(&sums[..LANES]), load(&sums[LANES..])];
        let values = values.map(|value| _mm512_castsi512_ps(value));
        write_row(simd, values, tile.accumulate, tile.out.row(row));
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn write_integers(tile: Tile<'_, '_>, sums: &Sums) {
    // SAFETY: the features of this function are those of `Avx512`.
    let simd = unsafe { Avx512::assume() };
    for (row, sums) in sums.0.chunks_exact(COLUMNS).enumerate().take(tile.rows) {
        let values = [load(&sums[..LANES]), load(&sums[LANES..])];
        let values = values.map(|value| _mm512_cvtepi32_ps(value));
        write_scaled_row(
            simd,
            values,
            &tile.row_scales[row],
            tile.column_scales,
            tile.accumulate,
            tile.out.row(row),
        );
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(words: &[u32]) -> __m512i {
    let words = &words[..LANES];
    // SAFETY: the slice has sixteen words.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same sums without the matrix unit, `dot` being the product of two words.
    fn twin(a: &[u32], header: &[u32], b: &[u32], dot: impl Fn(u32, u32, u32) -> u32) -> Vec<u32> {
        let steps = b.len() / COLUMNS;
        let mut sums = Vec::new();
        for row in a.chunks_exact(steps) {
            for column in 0..COLUMNS {
                let words = row.iter().zip(b[column..].iter().step_by(COLUMNS));
                sums.push(words.fold(header[column], |sum, (a, b)| dot(sum, *a, *b)));
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
                let mut sums = Sums([0; TILE_ROWS * COLUMNS]);
                let (a, b) = (pairs(steps * TILE_ROWS, 1), pairs(steps * COLUMNS, 2));
                multiply_bf16(rows, &a, &[0; COLUMNS], &b, &mut sums);
                let expected = twin(&a, &[0; COLUMNS], &b, dot_bf16);
                let floats = |sums: &[u32]| -> Vec<f32> {
                    sums[..computed]
                        .iter()
                        .map(|&sum| f32::from_bits(sum))
                        .collect()
                };
                assert_eq!(
                    floats(&sums.0),
                    floats(&expected),
                    "bf16, {rows} rows, {steps} steps"
                );
                let (a, b) = (words(steps * TILE_ROWS, 3), words(steps * COLUMNS, 4));
                let header = words(COLUMNS, 5);
                multiply_int8(rows, &a, &header, &b, &mut sums);
                let expected = twin(&a, &header, &b, dot_int8);
                assert_eq!(
                    sums.0[..computed],
                    expected[..computed],
                    "int8, {rows} rows, {steps} steps"
                );
            }
        }
    }
}
