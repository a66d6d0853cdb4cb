//! What the unit multiplies, and how its first operand is packed.

use super::multiply::TILE_ROWS;
use crate::matrix::{Format, Grouping, Order, Precision};

/// What the unit multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Pairs of bf16.
    Bf16,
    /// Bytes.
    Int8,
    /// Sixteen bits times eight.
    Split,
}

/// With fewer rows the matrix unit does not pay: it always computes sixteen.
const LEAST_ROWS: usize = 5;

/// The same if each row is two rows of bytes: without the matrix unit, seven fit into one tile.
const LEAST_SPLIT_ROWS: usize = 8;

impl Operation {
    /// The operation of a product with `rows` rows; None if the unit has none or does not pay.
    pub(crate) fn choose(precision: Precision, rows: usize) -> Option<Self> {
        match precision {
            Precision::Bf16 if rows >= LEAST_ROWS => Some(Self::Bf16),
            Precision::Int8 if rows >= LEAST_ROWS => Some(Self::Int8),
            Precision::Int8Weights if rows >= LEAST_SPLIT_ROWS => Some(Self::Split),
            _ => None,
        }
    }

    /// How the first operand is stored.
    pub(crate) fn input_format(self) -> Format {
        match self {
            Self::Bf16 => Format::Bf16,
            Self::Int8 => Format::OffsetBytes,
            Self::Split => Format::SplitBytes,
        }
    }

    /// How the rows of the first operand are grouped, and its words ordered: the unit reads whole tiles.
    pub(crate) fn group_rows(self, rows: usize) -> (Grouping, Order) {
        let width = match self {
            Self::Split => TILE_ROWS / 2,
            _ => TILE_ROWS,
        };
        (Grouping::Padded { lines: rows, width }, Order::Tiles)
    }

    /// Whether the sums are integers of bytes.
    pub(super) fn sums_integers(self) -> bool {
        match self {
            Self::Bf16 => false,
            Self::Int8 | Self::Split => true,
        }
    }
}
