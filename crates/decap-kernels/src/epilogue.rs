//! What follows a product, before its output leaves the cache.

use crate::lanes::Activation;

/// What follows the product: `activation(input weight + bias) + residual`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added to each row, `[outputs]`.
    pub bias: Option<&'a [f32]>,
    /// Applied after the bias.
    pub activation: Activation,
    /// Added last, `[rows, outputs]`.
    pub residual: Option<&'a [f32]>,
}

impl Epilogue<'_> {
    /// Checks that the lengths of bias and residual fit an output `[rows, outputs]`.
    pub(crate) fn check(&self, rows: usize, outputs: usize) {
        if let Some(bias) = self.bias {
            assert_eq!(bias.len(), outputs, "bias of a linear layer");
        }
        if let Some(residual) = self.residual {
            assert_eq!(residual.len(), rows * outputs, "residual of a linear layer");
        }
    }
}
