//! The inner loop: one tile of the output from one panel of each operand.

use super::output::OutputBlock;
use super::words::as_f32;
use crate::arch::{Kernel, Simd, dispatch};
use crate::dispatch::KernelSet;

/// Whether a product replaces what is in the output or is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulate {
    /// `out = a b`
    Overwrite,
    /// `out += a b`
    Add,
}

/// Vectors side by side in a tile; each panel of the second operand is this many vectors wide.
pub(crate) const TILE_VECTORS: usize = 2;

/// Size of the tiles of a kernel set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TileShape {
    /// Most rows of a tile.
    pub(crate) rows: usize,
    /// Columns of a tile, and of each panel of the second operand.
    pub(crate) columns: usize,
}

/// One tile `[rows, columns]`, the sum over `steps` words.
pub(crate) struct Tile<'a, 'b> {
    /// Rows of this tile, `1..=shape.rows`.
    pub(crate) rows: usize,
    /// First operand, `[steps, rows]`.
    pub(crate) a: &'a [u32],
    /// Second operand, `[steps, shape.columns]`.
    pub(crate) b: &'a [u32],
    pub(crate) accumulate: Accumulate,
    pub(crate) out: &'a mut OutputBlock<'b>,
}

pub(crate) fn shape_f32(set: KernelSet) -> TileShape {
    struct Shape;
    impl Kernel for Shape {
        type Output = TileShape;
        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> TileShape {
            TileShape {
                rows: S::TILE_ROWS,
                columns: TILE_VECTORS * S::LANES,
            }
        }
    }
    dispatch(set, Shape)
}

/// Computes a tile in f32.
pub(crate) fn tile_f32(set: KernelSet, tile: Tile<'_, '_>) {
    dispatch(set, F32(tile));
}

struct F32<'a, 'b>(Tile<'a, 'b>);

impl Kernel for F32<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        macro_rules! with_rows {
            ($($rows:literal)*) => {
                match self.0.rows {
                    $($rows if $rows <= S::TILE_ROWS => multiply::<S, $rows>(simd, self.0),)*
                    rows => unreachable!("tile of {rows} rows"),
                }
            };
        }
        with_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }
}

#[inline(always)]
fn multiply<S: Simd, const ROWS: usize>(simd: S, tile: Tile<'_, '_>) {
    let mut acc = [[simd.zero(); TILE_VECTORS]; ROWS];
    let a_steps = as_f32(tile.a).chunks_exact(ROWS);
    let b_steps = as_f32(tile.b).chunks_exact(TILE_VECTORS * S::LANES);
    for (a, b) in a_steps.zip(b_steps) {
        let b0 = simd.load(&b[..S::LANES]);
        let b1 = simd.load(&b[S::LANES..]);
        for (a, acc) in a.iter().zip(&mut acc) {
            let a = simd.splat(*a);
            acc[0] = simd.mul_add(a, b0, acc[0]);
            acc[1] = simd.mul_add(a, b1, acc[1]);
        }
    }
    for (row, acc) in acc.into_iter().enumerate() {
        write_row(simd, acc, tile.accumulate, tile.out.row(row));
    }
}

#[inline(always)]
fn write_row<S: Simd>(
    simd: S,
    values: [S::V; TILE_VECTORS],
    accumulate: Accumulate,
    row: &mut [f32],
) {
    for (value, out) in values.into_iter().zip(row.chunks_mut(S::LANES)) {
        if out.len() == S::LANES {
            let value = match accumulate {
                Accumulate::Overwrite => value,
                Accumulate::Add => simd.add(value, simd.load(out)),
            };
            simd.store(value, out);
        } else {
            let value = match accumulate {
                Accumulate::Overwrite => value,
                Accumulate::Add => simd.add(value, simd.load_partial(out)),
            };
            simd.store_partial(value, out);
        }
    }
}
