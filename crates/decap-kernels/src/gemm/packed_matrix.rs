//! The weights of a linear layer, packed once.

use super::packing::Packing;
use super::row_scales::integer_scales;
use super::tile_kernel::tile_columns;
use crate::dispatch::KernelSet;
use crate::matrix::{Grouping, Layout, MatrixView, Order, Precision};
use crate::parallel::Threads;
use crate::words::Words;

/// Weights of a linear layer, rearranged for the kernel set that was active when they were packed.
#[derive(Clone)]
pub struct PackedMatrix {
    set: KernelSet,
    precision: Precision,
    inputs: usize,
    outputs: usize,
    /// Factors of the outputs of all panels if the weights are bytes; else empty.
    pub(super) scales: Vec<f32>,
    pub(super) words: Words,
}

impl PackedMatrix {
    /// Packs `weight`, `[inputs, outputs]`; a `[outputs, inputs]` matrix is given transposed.
    pub fn pack(weight: MatrixView<'_>, precision: Precision) -> Self {
        let set = KernelSet::active();
        let lines = weight.transposed();
        let (mut factors, mut scales) = (Vec::new(), Vec::new());
        if precision.has_byte_weights() {
            factors = vec![0.0; lines.rows()];
            scales = vec![0.0; lines.rows()];
            integer_scales(set, lines, 127.0, &mut factors, &mut scales);
            scales.resize(scales.len().next_multiple_of(tile_columns(set)), 0.0);
        }
        let layout = layout_of(set, precision, weight.rows(), weight.columns());
        let mut words = Words::pooled(layout.words());
        let packing = Packing {
            set,
            threads: Threads::All,
            operand: lines,
            layout,
            factors: &factors,
        };
        packing.run(words.as_mut_slice());
        Self {
            set,
            precision,
            inputs: weight.rows(),
            outputs: weight.columns(),
            scales,
            words,
        }
    }

    /// Values of a row of the input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Values of a row of the output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The precision asked for.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The kernels that the weights were packed for.
    pub(crate) fn set(&self) -> KernelSet {
        self.set
    }

    /// Bytes of memory that the packed weights take.
    pub fn size_bytes(&self) -> usize {
        size_of_val(self.words.as_slice()) + size_of_val(&self.scales[..])
    }

    pub(super) fn layout(&self) -> Layout {
        layout_of(self.set, self.precision, self.inputs, self.outputs)
    }
}

fn layout_of(set: KernelSet, precision: Precision, inputs: usize, outputs: usize) -> Layout {
    let grouping = Grouping::Padded {
        lines: outputs,
        width: tile_columns(set),
    };
    Layout::new(grouping, precision.weight_format(), Order::Steps, inputs)
}

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PackedMatrix")
            .field("set", &self.set)
            .field("precision", &self.precision)
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::with_kernels;
    use crate::testing::random;

    #[test]
    fn weights_given_transposed_pack_alike() {
        let (inputs, outputs) = (70, 45);
        let weight = random(inputs * outputs, 7);
        let mut transposed = vec![0.0; weight.len()];
        for (at, value) in weight.iter().enumerate() {
            transposed[at % outputs * inputs + at / outputs] = *value;
        }
        for set in KernelSet::supported() {
            for precision in Precision::ALL {
                with_kernels(set, || {
                    let weight = MatrixView::row_major(&weight, inputs, outputs);
                    let view = MatrixView::row_major(&transposed, outputs, inputs).transposed();
                    let packed = PackedMatrix::pack(weight, precision);
                    let other = PackedMatrix::pack(view, precision);
                    let what = format!("{set} {precision:?}");
                    assert_eq!(packed.words.as_slice(), other.words.as_slice(), "{what}");
                    assert_eq!(packed.scales, other.scales, "{what}");
                });
            }
        }
    }
}
