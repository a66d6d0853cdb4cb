//! Matrix products: rows or columns dense ([`matmul`](fn@matmul)), or with weights packed ahead ([`linear`](fn@linear)).
//!
//! The blocking is BLIS' (Van Zee and van de Geijn, 2015): panels of both operands, tiles of the
//! output held in registers. The output is cut into tasks by its size alone and the sum is never
//! split between threads, so results do not depend on the number of threads.

mod activations;
mod conversion;
mod finish;
mod linear;
mod matmul;
mod packed_input;
mod packed_matrix;
mod packing;
mod product;
mod row_scales;
mod tile_kernel;

pub use activations::{Activations, linear_from, linear_into};
pub use linear::linear;
pub use matmul::{matmul, matmul_then, matmul_with};
pub use packed_matrix::PackedMatrix;

pub(crate) use linear::{linear_on, product};
#[cfg(target_arch = "x86_64")]
pub(crate) use matmul::with_product;
pub(crate) use matmul::{How, multiply, multiply_packed};
pub(crate) use packed_input::{PackedInput, with_packed_input};
pub(crate) use packing::Packing;
pub(crate) use product::Product;
pub(crate) use tile_kernel::TileKernel;
