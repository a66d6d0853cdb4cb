//! The AMX matrix unit: detection.

use std::arch::x86_64::{__cpuid, __cpuid_count};

/// Whether the processor has AMX tiles with bf16 and int8, next to AVX-512 BF16 and VNNI.
pub(crate) fn is_supported() -> bool {
    super::avx512::has_dot_products() && processor_has_amx()
}

fn processor_has_amx() -> bool {
    // CPUID leaf 7: EDX bits 22 (AMX-BF16), 24 (AMX-TILE) and 25 (AMX-INT8).
    const WANTED: u32 = (1 << 22) | (1 << 24) | (1 << 25);
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & WANTED == WANTED
}
