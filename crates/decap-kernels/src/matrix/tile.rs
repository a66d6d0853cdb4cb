//! The parts that a product is cut into: tasks, and the tiles of a task.

use super::output::{Accumulate, OutputBlock};
use std::ops::Range;

/// A block of the output: the panels of both operands, and the rows and columns that they hold.
pub(crate) struct Task {
    pub(crate) a_panels: Range<usize>,
    pub(crate) b_panels: Range<usize>,
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
}

/// Vectors side by side in a tile; each panel of the second operand is this many vectors wide.
pub(crate) const TILE_VECTORS: usize = 2;

/// One tile `[rows, columns]` of a product.
pub(crate) struct Tile<'a, 'b> {
    /// Rows of this tile.
    pub(crate) rows: usize,
    /// Panel of the first operand, `[steps, rows]`.
    pub(crate) a: &'a [u32],
    /// Panel of the second operand, `[steps, columns]`.
    pub(crate) b: &'a [u32],
    /// Factors of the rows of this tile, for a product of bytes.
    pub(crate) row_scales: &'a [f32],
    /// Factors of all columns of the panel, for a product of bytes.
    pub(crate) column_scales: &'a [f32],
    pub(crate) accumulate: Accumulate,
    pub(crate) out: &'a mut OutputBlock<'b>,
}

/// What the second operand holds; the first is f32 already.
#[derive(Clone, Copy)]
pub(crate) enum Operands {
    Floats,
    Halves,
    Bytes,
}
