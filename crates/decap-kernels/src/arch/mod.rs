//! One vector interface, and one file for each instruction set.
//!
//! A value of a type that implements [`Simd`] is a proof that the processor has the instructions: the `run` functions
//! of the sets make one, after the run-time check. Kernels are written once over the trait, in safe code; [`scalar`]
//! is the twin that every other set is compared with.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512_dot;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512_packing;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512_words;
mod fetch;
mod half;
mod multiply_tile;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod scalar;
mod simd;

pub(crate) use fetch::fetch;
pub(crate) use half::{bf16_bits, f16_to_f32, pack_bf16_plain};
pub(crate) use simd::{Kernel, Simd, TRANSPOSED_ROWS};
