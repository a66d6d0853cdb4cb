//! The inner loop: one tile of the output from one panel of each operand.

use super::linear::Precision;
use super::output::OutputBlock;
use super::panels::{Format, Grouping, Order};
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

/// One tile `[rows, columns]` of a product.
pub(crate) struct Tile<'a, 'b> {
    /// Rows of this tile.
    pub(crate) rows: usize,
    /// Panel of the first operand, `[steps, rows]`.
    pub(crate) a: &'a [u32],
    /// Panel of the second operand, `[steps, columns]`.
    pub(crate) b: &'a [u32],
    /// Of a product of bytes: factors of the rows of this tile.
    pub(crate) row_scales: &'a [f32],
    /// Of a product of bytes: factors of all columns of the panel.
    pub(crate) column_scales: &'a [f32],
    pub(crate) accumulate: Accumulate,
    pub(crate) out: &'a mut OutputBlock<'b>,
}

/// A way to compute tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TileKernel {
    F32,
    /// bf16 widened to f32.
    Bf16,
    /// Bytes widened to f32.
    Int8,
    /// f32 and bytes widened to f32.
    Int8Weights,
    #[cfg(target_arch = "x86_64")]
    Bf16Dot,
    #[cfg(target_arch = "x86_64")]
    Int8Dot,
    /// Sixteen bits times eight.
    #[cfg(target_arch = "x86_64")]
    SplitDot,
    #[cfg(target_arch = "x86_64")]
    Bf16Amx,
    #[cfg(target_arch = "x86_64")]
    Int8Amx,
    /// Sixteen bits times eight.
    #[cfg(target_arch = "x86_64")]
    SplitAmx,
}

/// Rows below which the matrix unit, which always computes sixteen, does not pay.
#[cfg(target_arch = "x86_64")]
const AMX_ROWS: usize = 5;

/// The same where rows are two rows of bytes: seven are one tile without the matrix unit.
#[cfg(target_arch = "x86_64")]
const SPLIT_AMX_ROWS: usize = 8;

impl TileKernel {
    /// The fastest kernel of a set for a product with `rows` rows.
    pub(crate) fn choose(set: KernelSet, precision: Precision, rows: usize) -> Self {
        #[cfg(not(target_arch = "x86_64"))]
        let _ = rows;
        match (precision, set) {
            (Precision::F32, _) => Self::F32,
            #[cfg(target_arch = "x86_64")]
            (Precision::Bf16, KernelSet::Amx) if rows >= AMX_ROWS => Self::Bf16Amx,
            #[cfg(target_arch = "x86_64")]
            (Precision::Int8, KernelSet::Amx) if rows >= AMX_ROWS => Self::Int8Amx,
            #[cfg(target_arch = "x86_64")]
            (Precision::Int8Weights, KernelSet::Amx) if rows >= SPLIT_AMX_ROWS => Self::SplitAmx,
            #[cfg(target_arch = "x86_64")]
            (Precision::Bf16, KernelSet::Avx512Bf16 | KernelSet::Amx) => Self::Bf16Dot,
            #[cfg(target_arch = "x86_64")]
            (Precision::Int8, KernelSet::Avx512Bf16 | KernelSet::Amx) => Self::Int8Dot,
            #[cfg(target_arch = "x86_64")]
            (Precision::Int8Weights, KernelSet::Avx512Bf16 | KernelSet::Amx) => Self::SplitDot,
            (Precision::Bf16, _) => Self::Bf16,
            (Precision::Int8, _) => Self::Int8,
            (Precision::Int8Weights, _) => Self::Int8Weights,
        }
    }

    /// How the first operand is stored.
    pub(crate) fn input_format(self) -> Format {
        match self {
            Self::F32 => Format::F32,
            Self::Bf16 => Format::WideBf16,
            Self::Int8 => Format::WideBytes,
            Self::Int8Weights => Format::F32ForBytes,
            #[cfg(target_arch = "x86_64")]
            Self::SplitDot | Self::SplitAmx => Format::SplitBytes,
            #[cfg(target_arch = "x86_64")]
            Self::Bf16Dot | Self::Bf16Amx => Format::Bf16,
            #[cfg(target_arch = "x86_64")]
            Self::Int8Dot | Self::Int8Amx => Format::OffsetBytes,
        }
    }

    /// Whether products run in the loops of the matrix unit.
    pub(crate) fn is_of_matrix_unit(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Bf16Amx | Self::Int8Amx | Self::SplitAmx => true,
            _ => false,
        }
    }

    /// What the largest value of a row becomes, where rows are rounded to integers.
    pub(crate) fn largest_integer(self) -> Option<f32> {
        match self.input_format() {
            Format::WideBytes | Format::OffsetBytes => Some(127.0),
            Format::SplitBytes => Some(127.0 * 256.0),
            _ => None,
        }
    }

    /// How the rows of the first operand are grouped, and its words ordered: the matrix unit reads
    /// whole tiles.
    pub(crate) fn group_rows(self, set: KernelSet, rows: usize) -> (Grouping, Order) {
        #[cfg(target_arch = "x86_64")]
        if self.is_of_matrix_unit() {
            let width = match self {
                Self::SplitAmx => crate::arch::amx::TILE_ROWS / 2,
                _ => crate::arch::amx::TILE_ROWS,
            };
            return (Grouping::Padded { lines: rows, width }, Order::Tiles);
        }
        let most = match self.input_format() {
            Format::SplitBytes => dispatch(set, Shape).0 / 2,
            _ => dispatch(set, Shape).0,
        };
        (Grouping::Balanced { lines: rows, most }, Order::Steps)
    }

    /// Computes one tile. Those of the matrix unit have loops of their own.
    pub(crate) fn run(self, set: KernelSet, tile: Tile<'_, '_>) {
        match self {
            Self::F32 => dispatch(set, Widened(Operands::Floats, tile)),
            Self::Bf16 => dispatch(set, Widened(Operands::Halves, tile)),
            Self::Int8 | Self::Int8Weights => dispatch(set, Widened(Operands::Bytes, tile)),
            #[cfg(target_arch = "x86_64")]
            Self::SplitDot => crate::arch::avx512_dot::tile_split(tile),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16Dot => crate::arch::avx512_dot::tile_bf16(tile),
            #[cfg(target_arch = "x86_64")]
            Self::Int8Dot => crate::arch::avx512_dot::tile_int8(tile),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16Amx | Self::Int8Amx | Self::SplitAmx => {
                unreachable!("tile of the matrix unit")
            }
        }
    }
}

/// Columns of a tile of a kernel set, in every precision.
pub(crate) fn tile_columns(set: KernelSet) -> usize {
    dispatch(set, Shape).1
}

struct Shape;

impl Kernel for Shape {
    type Output = (usize, usize);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> (usize, usize) {
        (S::TILE_ROWS, TILE_VECTORS * S::LANES)
    }
}

/// What the second operand holds; the first is f32 by then.
#[derive(Clone, Copy)]
pub(crate) enum Operands {
    Floats,
    Halves,
    Bytes,
}

/// A tile that is multiplied in f32.
struct Widened<'a, 'b>(Operands, Tile<'a, 'b>);

impl Kernel for Widened<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        simd.multiply_tile(self.0, self.1);
    }
}

/// Calls a function with the number of rows, one of those listed, as a constant.
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
            operands: crate::gemm::tile::Operands,
            tile: crate::gemm::tile::Tile<'_, '_>,
        ) {
            crate::gemm::tile::with_rows!(tile, [$($rows)*], |ROWS| {
                crate::gemm::tile::multiply::<Self, ROWS>(self, operands, tile)
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
