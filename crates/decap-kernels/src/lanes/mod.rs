//! Functions over vectors that several kernels share: written once over [`Simd`](crate::arch::Simd), inlined into each.

mod activation;
mod sums;

pub use activation::Activation;

pub(crate) use activation::{activate, gelu_new_slope};
pub(crate) use sums::{add_scaled, dot, exp_sum, map_lanes, maximum, sum};
