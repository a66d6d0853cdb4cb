//! CPU kernels of the decap captioner behind safe functions.
//!
//! Matrices are dense, row-major slices of f32 with their sizes beside them. The instruction set is
//! chosen at run time ([`KernelSet`]), threads are those of the current rayon pool, and no result
//! depends on the number of threads.
//!
//! ```
//! use decap_kernels::{Epilogue, MatrixView, PackedMatrix, Precision, linear};
//!
//! let weight = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // [2 inputs, 3 outputs]
//! let packed = PackedMatrix::pack(MatrixView::row_major(&weight, 2, 3), Precision::F32);
//! let epilogue = Epilogue { bias: Some(&[0.0, 0.0, 1.0]), ..Epilogue::default() };
//! let mut output = [0.0; 3];
//! linear(&[1.0, 10.0], &packed, epilogue, &mut output);
//! assert_eq!(output, [41.0, 52.0, 64.0]);
//! ```
//!
//! # Kernel sets
//! `DECAP_KERNELS` forces one; without it the last one that the machine supports is used.
//!
//! | name | instructions | products in f32 / bf16 / int8 |
//! |---|---|---|
//! | `scalar` | any | plain / widened / widened |
//! | `neon` | aarch64 NEON | 4 lanes / widened / widened |
//! | `avx2` | AVX2, FMA, F16C | 8 lanes / widened / widened |
//! | `avx512f` | AVX-512 F, BW, DQ, VL | 16 lanes / widened / widened |
//! | `avx512bf16` | and BF16, VNNI | 16 lanes / dot products / dot products |
//! | `amx` | and AMX tiles | 16 lanes / matrix unit / matrix unit |
//!
//! `avx512` is the better of the two AVX-512 sets that the machine supports. *Widened* operands are
//! rounded and stored like the others but multiplied as f32, so all sets differ only in the order of sums.

// The modules from the bottom up; each uses only those before it in this list:
// `huge_pages`, `words`, `matrix`: memory, and the matrices in it;
// `arch`, `lanes`: one vector interface for all instruction sets, and functions over it;
// `epilogue`, `row_sums`, `matrix_unit`: everything about AMX is in the last, so a reader may skip it;
// `dispatch`, `parallel`: which kernels run, and on which threads;
// `gemm`, `softmax`: products and softmax;
// the others: layers of networks, their losses, the optimizer and the projection.
mod activation;
mod adamw;
mod arch;
mod attention;
mod cross_entropy;
mod dispatch;
mod epilogue;
mod gemm;
mod huge_pages;
mod lanes;
mod layer_norm;
mod linear_cross_entropy;
pub mod mapped_file;
mod matrix;
#[cfg(target_arch = "x86_64")]
mod matrix_unit;
mod parallel;
mod projection;
mod row_sums;
#[cfg(test)]
mod skipped;
mod softmax;
#[cfg(test)]
mod testing;
mod words;

pub use activation::{gelu, gelu_new, gelu_new_backward, gelu_new_into, quick_gelu, relu};
pub use adamw::{AdamW, adamw_step, sum_of_squares};
pub use attention::{
    Attention, KeyValueCache, Mask, Sequences, attention, attention_backward, attention_into,
    attention_step,
};
pub use cross_entropy::{CrossEntropy, Loss, cross_entropy};
pub use dispatch::{KERNELS_VARIABLE, KernelSet, KernelSetError, active_kernels, with_kernels};
pub use epilogue::Epilogue;
pub use gemm::{
    Activations, PackedMatrix, linear, linear_from, linear_into, matmul, matmul_then, matmul_with,
};
pub use huge_pages::prefer_huge_pages;
pub use lanes::Activation;
pub use layer_norm::{
    LayerNormGradients, RowStatistics, layer_norm, layer_norm_backward, layer_norm_into,
    layer_norm_saving,
};
pub use linear_cross_entropy::{
    LinearCrossEntropyGradients, linear_cross_entropy, linear_cross_entropy_with,
};
pub use matrix::{Accumulate, MatrixView, MatrixViewMut, Precision};
pub use parallel::{num_threads, on_pool};
pub use projection::{ExactRows, MemoryRows, Projection, project, project_with, quantize_rows};
pub use softmax::{add_assign, largest_index, log_sum_exp, scale, softmax_rows};
