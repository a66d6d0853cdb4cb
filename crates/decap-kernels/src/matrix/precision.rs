//! What the operands of a product are rounded to.

use super::panels::Format;

/// How weights are stored and multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floats, the reference.
    F32,
    /// bfloat16 operands, f32 sums.
    Bf16,
    /// 8-bit weights with a scale for each output, activations rounded to 8 bits row by row, sums in
    /// 32-bit integers.
    Int8,
    /// 8-bit weights with a scale for each output, activations as they are or rounded to 16 bits row by
    /// row: as little memory to read as `Int8`, and the activations keep their precision.
    Int8Weights,
}

impl Precision {
    /// Every precision.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 4] = [Self::F32, Self::Bf16, Self::Int8, Self::Int8Weights];

    /// The precision of products of two computed operands: gradients and scores do not fit into bytes.
    pub(crate) fn of_floats(self) -> Self {
        match self {
            Self::F32 => Self::F32,
            Self::Bf16 | Self::Int8 | Self::Int8Weights => Self::Bf16,
        }
    }

    /// The format of the second operand of a product.
    pub(crate) fn weight_format(self) -> Format {
        match self {
            Self::F32 => Format::F32,
            Self::Bf16 => Format::Bf16,
            Self::Int8 | Self::Int8Weights => Format::SignedBytes,
        }
    }

    pub(crate) fn has_byte_weights(self) -> bool {
        matches!(self, Self::Int8 | Self::Int8Weights)
    }
}
