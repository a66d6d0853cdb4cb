//! The inner loop of a product, once for all instruction sets: a tile of the output from a panel of each operand.

use super::simd::Simd;
use crate::matrix::{Accumulate, Operands, TILE_VECTORS, Tile};
use crate::words::as_f32;

/// Calls a function with the number of rows as a constant; it must be one of those listed.
macro_rules! with_rows {
    ($tile:expr, [$($literal:literal)*], |$rows:ident| $call:expr) => {
        match $tile.rows {
            $($literal => {
                const $rows: usize = $literal;
                $call
            })*
            rows => unreachable!("tile of {rows} rows"),
        }
    };
}
pub(crate) use with_rows;

/// Implements the part of [`Simd`] that depends on how many rows of sums the registers hold.
macro_rules! tile_of_rows {
    ($($rows:literal)*) => {
        const TILE_ROWS: usize = [$($rows),*].len();

        #[inline(always)]
        fn multiply_tile(
            self,
            operands: crate::matrix::Operands,
            tile: crate::matrix::Tile<'_, '_>,
        ) {
            crate::arch::multiply_tile::with_rows!(tile, [$($rows)*], |ROWS| {
                crate::arch::multiply_tile::multiply::<Self, ROWS>(self, operands, tile)
            });
        }
    };
}
pub(crate) use tile_of_rows;

#[inline(always)]
pub(crate) fn multiply<S: Simd, const ROWS: usize>(
    simd: S,
    operands: Operands,
    tile: Tile<'_, '_>,
) {
    match operands {
        Operands::Floats => floats::<S, ROWS>(simd, tile),
        Operands::Halves => halves::<S, ROWS>(simd, tile),
        Operands::Bytes => bytes::<S, ROWS>(simd, tile),
    }
}

#[inline(always)]
fn floats<S: Simd, const ROWS: usize>(simd: S, tile: Tile<'_, '_>) {
    let mut acc = [[simd.zero(); TILE_VECTORS]; ROWS];
    let a_steps = tile.a.as_chunks::<ROWS>().0.iter();
    let b_steps = as_f32(tile.b).chunks_exact(TILE_VECTORS * S::LANES);
    for (a, b) in a_steps.zip(b_steps) {
        let b0 = simd.load(&b[..S::LANES]);
        let b1 = simd.load(&b[S::LANES..]);
        for (a, acc) in a.iter().zip(&mut acc) {
            let a = simd.splat(f32::from_bits(*a));
            acc[0] = simd.mul_add(a, b0, acc[0]);
            acc[1] = simd.mul_add(a, b1, acc[1]);
        }
    }
    for (row, acc) in acc.into_iter().enumerate() {
        write_row(simd, acc, tile.accumulate, tile.out.row(row));
    }
}

#[inline(always)]
fn halves<S: Simd, const ROWS: usize>(simd: S, tile: Tile<'_, '_>) {
    let mut acc = [[simd.zero(); TILE_VECTORS]; ROWS];
    let a_steps = tile.a.as_chunks::<ROWS>().0.as_chunks::<2>().0.iter();
    let b_steps = tile.b.chunks_exact(TILE_VECTORS * S::LANES);
    for (a, b) in a_steps.zip(b_steps) {
        for (part, a) in a.iter().enumerate() {
            let b0 = simd.widen_bf16(&b[..S::LANES], part);
            let b1 = simd.widen_bf16(&b[S::LANES..], part);
            for (a, acc) in a.iter().zip(&mut acc) {
                let a = simd.splat(f32::from_bits(*a));
                acc[0] = simd.mul_add(a, b0, acc[0]);
                acc[1] = simd.mul_add(a, b1, acc[1]);
            }
        }
    }
    for (row, acc) in acc.into_iter().enumerate() {
        write_row(simd, acc, tile.accumulate, tile.out.row(row));
    }
}

/// The header of the panel is skipped: there is no offset to undo. Sums are exact up to 2^24.
#[inline(always)]
fn bytes<S: Simd, const ROWS: usize>(simd: S, tile: Tile<'_, '_>) {
    let columns = TILE_VECTORS * S::LANES;
    let mut acc = [[simd.zero(); TILE_VECTORS]; ROWS];
    let a_steps = tile.a.as_chunks::<ROWS>().0.as_chunks::<4>().0.iter();
    let b_steps = tile.b[columns..].chunks_exact(columns);
    for (a, b) in a_steps.zip(b_steps) {
        for (part, a) in a.iter().enumerate() {
            let b0 = simd.widen_i8(&b[..S::LANES], part);
            let b1 = simd.widen_i8(&b[S::LANES..], part);
            for (a, acc) in a.iter().zip(&mut acc) {
                let a = simd.splat(f32::from_bits(*a));
                acc[0] = simd.mul_add(a, b0, acc[0]);
                acc[1] = simd.mul_add(a, b1, acc[1]);
            }
        }
    }
    for (row, acc) in acc.into_iter().enumerate() {
        write_scaled_row(
            simd,
            acc,
            &tile.row_scales[row],
            tile.column_scales,
            tile.accumulate,
            tile.out.row(row),
        );
    }
}

/// Writes sums of bytes times their factors.
#[inline(always)]
pub(crate) fn write_scaled_row<S: Simd>(
    simd: S,
    sums: [S::V; TILE_VECTORS],
    row_scale: &f32,
    column_scales: &[f32],
    accumulate: Accumulate,
    row: &mut [f32],
) {
    let row_scale = simd.splat(*row_scale);
    let mut values = sums;
    for (value, scales) in values.iter_mut().zip(column_scales.chunks_exact(S::LANES)) {
        *value = simd.mul(*value, simd.mul(simd.load(scales), row_scale));
    }
    write_row(simd, values, accumulate, row);
}

/// Writes a row of a tile, as many values as the row has.
#[inline(always)]
pub(crate) fn write_row<S: Simd>(
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
