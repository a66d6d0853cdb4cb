//! What a scan looks for.

use crate::dispatch::KernelSet;

/// The queries of a projection, and how their scores are used.
pub(super) struct Queries<'a> {
    pub(super) set: KernelSet,
    /// `[queries, width]`
    pub(super) values: &'a [f32],
    /// Lengths of the queries divided by tau, `[queries]`.
    pub(super) lengths: Vec<f32>,
    pub(super) width: usize,
    pub(super) inverse_tau: f32,
    pub(super) top_k: usize,
    /// How far below the largest a score must be to be left out.
    pub(super) negligible: f32,
}
