//! The tile registers: whether this process has them, and their configuration.
//!
//! There are eight, of 16 rows of 64 bytes. See Intel's Software Developer's Manual, volume 1, chapter 18.

use crate::arch::avx512::has_dot_products;
use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::cell::Cell;
use std::sync::OnceLock;

/// Whether the processor has AMX tiles with bf16 and int8, next to AVX-512 BF16 and VNNI, and the
/// operating system lets this process use them.
pub(crate) fn is_supported() -> bool {
    static SUPPORTED: OnceLock<bool> = OnceLock::new();
    *SUPPORTED.get_or_init(|| {
        has_dot_products() && (processor_has_amx() && system_allows_amx() || is_emulated())
    })
}

/// Whether the unit is emulated instead, as in tests.
fn is_emulated() -> bool {
    #[cfg(all(test, target_os = "linux", not(miri)))]
    return super::emulator::install();
    #[cfg(not(all(test, target_os = "linux", not(miri))))]
    false
}

fn processor_has_amx() -> bool {
    // CPUID leaf 7: EDX bits 22 (AMX-BF16), 24 (AMX-TILE) and 25 (AMX-INT8).
    const WANTED: u32 = (1 << 22) | (1 << 24) | (1 << 25);
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & WANTED == WANTED
}

/// Asks Linux for the tile registers: only a process that asks may use them.
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
