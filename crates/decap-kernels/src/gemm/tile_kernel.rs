//! Which kernel computes the tiles of a product.

#[cfg(target_arch = "x86_64")]
use crate::arch::avx512_dot;
use crate::arch::{Kernel, Simd};
use crate::dispatch::{KernelSet, dispatch};
use crate::matrix::{Format, Grouping, Operands, Order, Precision, TILE_VECTORS, Tile};
#[cfg(target_arch = "x86_64")]
use crate::matrix_unit::Operation;

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
    MatrixUnit(Operation),
}

impl TileKernel {
    /// The fastest kernel of a set for a product with `rows` rows.
    pub(crate) fn choose(set: KernelSet, precision: Precision, rows: usize) -> Self {
        #[cfg(not(target_arch = "x86_64"))]
        let _ = rows;
        #[cfg(target_arch = "x86_64")]
        if let (KernelSet::Amx, Some(operation)) = (set, Operation::choose(precision, rows)) {
            return Self::MatrixUnit(operation);
        }
        match (precision, set) {
            (Precision::F32, _) => Self::F32,
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
            Self::SplitDot => Format::SplitBytes,
            #[cfg(target_arch = "x86_64")]
            Self::Bf16Dot => Format::Bf16,
            #[cfg(target_arch = "x86_64")]
            Self::Int8Dot => Format::OffsetBytes,
            #[cfg(target_arch = "x86_64")]
            Self::MatrixUnit(operation) => operation.input_format(),
        }
    }

    /// Whether products run in the loops of the matrix unit.
    pub(crate) fn is_of_matrix_unit(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::MatrixUnit(_) => true,
            _ => false,
        }
    }

    /// What the largest value of a row becomes, if rows are rounded to integers.
    pub(crate) fn largest_integer(self) -> Option<f32> {
        match self.input_format() {
            Format::WideBytes | Format::OffsetBytes => Some(127.0),
            Format::SplitBytes => Some(127.0 * 256.0),
            _ => None,
        }
    }

    /// How the rows of the first operand are grouped, and its words ordered.
    pub(crate) fn group_rows(self, set: KernelSet, rows: usize) -> (Grouping, Order) {
        #[cfg(target_arch = "x86_64")]
        if let Self::MatrixUnit(operation) = self {
            return operation.group_rows(rows);
        }
        let most = match self.input_format() {
            Format::SplitBytes => dispatch(set, Shape).0 / 2,
            _ => dispatch(set, Shape).0,
        };
        (Grouping::Balanced { lines: rows, most }, Order::Steps)
    }

    /// Computes one tile. The matrix unit has loops of its own.
    pub(crate) fn run(self, set: KernelSet, tile: Tile<'_, '_>) {
        match self {
            Self::F32 => dispatch(set, Widened(Operands::Floats, tile)),
            Self::Bf16 => dispatch(set, Widened(Operands::Halves, tile)),
            Self::Int8 | Self::Int8Weights => dispatch(set, Widened(Operands::Bytes, tile)),
            #[cfg(target_arch = "x86_64")]
            Self::SplitDot => avx512_dot::tile_split(tile),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16Dot => avx512_dot::tile_bf16(tile),
            #[cfg(target_arch = "x86_64")]
            Self::Int8Dot => avx512_dot::tile_int8(tile),
            #[cfg(target_arch = "x86_64")]
            Self::MatrixUnit(_) => unreachable!("tile of the matrix unit"),
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

/// A tile that is multiplied in f32.
struct Widened<'a, 'b>(Operands, Tile<'a, 'b>);

impl Kernel for Widened<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        simd.multiply_tile(self.0, self.1);
    }
}
