//! Linear layers: weights packed once, bias, activation and residual fused into the product.

use super::output::{Output, OutputBlock};
use super::panels::{Grouping, Layout, pack_f32};
use super::product::{Product, Threads};
use super::tile::{Accumulate, shape_f32};
use super::view::{MatrixView, MatrixViewMut};
use super::words::{Words, with_scratch};
use crate::activation::{Activation, activate};
use crate::arch::{Kernel, Simd, dispatch};
use crate::dispatch::KernelSet;
use std::ops::Range;

/// How weights are stored and multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floats, the reference.
    F32,
    /// bfloat16 operands, f32 sums. Multiplied as f32 where the kernel set has no bf16 product.
    Bf16,
    /// 8-bit weights with a scale for each output, activations rounded to 8 bits row by row.
    /// Multiplied as f32 where the kernel set has no 8-bit product.
    Int8,
}

/// Weights of a linear layer, rearranged for the kernel set that was active when they were packed.
#[derive(Clone)]
pub struct PackedMatrix {
    set: KernelSet,
    precision: Precision,
    inputs: usize,
    outputs: usize,
    words: Words,
}

impl PackedMatrix {
    /// Packs `weight`, `[inputs, outputs]`; a `[outputs, inputs]` matrix is given transposed.
    pub fn pack(weight: MatrixView<'_>, precision: Precision) -> Self {
        let set = KernelSet::active();
        let mut packed = Self {
            set,
            precision,
            inputs: weight.rows(),
            outputs: weight.columns(),
            words: Words::default(),
        };
        let layout = packed.layout();
        packed.words = Words::zeroed(layout.words());
        pack_f32(
            Threads::All,
            weight.transposed(),
            layout,
            packed.words.as_mut_slice(),
        );
        packed
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

    /// Bytes of memory that the packed weights take.
    pub fn size_bytes(&self) -> usize {
        size_of_val(self.words.as_slice())
    }

    fn layout(&self) -> Layout {
        Layout {
            grouping: Grouping::Padded {
                lines: self.outputs,
                width: shape_f32(self.set).columns,
            },
            steps: self.inputs,
        }
    }
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

/// `output = activation(input weight + bias) + residual`.
///
/// `input` is `[rows, inputs]` and `output` `[rows, outputs]`, dense and row-major; the number of
/// rows follows from their lengths. Uses the threads of the current rayon pool; the result does not
/// depend on their number.
///
/// # Panics
/// When the lengths of `input`, `output`, the bias and the residual do not agree.
pub fn linear(input: &[f32], weight: &PackedMatrix, epilogue: Epilogue<'_>, output: &mut [f32]) {
    let rows = match (weight.inputs, weight.outputs) {
        (0, 0) => 0,
        (0, outputs) => output.len() / outputs,
        (inputs, _) => input.len() / inputs,
    };
    assert_eq!(input.len(), rows * weight.inputs, "input of a linear layer");
    assert_eq!(
        output.len(),
        rows * weight.outputs,
        "output of a linear layer"
    );
    if let Some(bias) = epilogue.bias {
        assert_eq!(bias.len(), weight.outputs, "bias of a linear layer");
    }
    if let Some(residual) = epilogue.residual {
        assert_eq!(residual.len(), output.len(), "residual of a linear layer");
    }
    if output.is_empty() {
        return;
    }
    let a_layout = Layout {
        grouping: Grouping::Balanced {
            lines: rows,
            most: shape_f32(weight.set).rows,
        },
        steps: weight.inputs,
    };
    with_scratch(a_layout.words(), |a_words| {
        let input = MatrixView::row_major(input, rows, weight.inputs);
        pack_f32(Threads::All, input, a_layout, a_words);
        let product = Product {
            set: weight.set,
            threads: Threads::All,
            a: a_words,
            a_layout,
            b: weight.words.as_slice(),
            b_layout: weight.layout(),
            accumulate: Accumulate::Overwrite,
            epilogue,
        };
        let output = MatrixViewMut::row_major(output, rows, weight.outputs);
        product.run(&Output::new(output));
    });
}

impl Epilogue<'_> {
    /// Finishes the block at `rows` and `columns` of the output.
    pub(crate) fn apply(
        self,
        set: KernelSet,
        rows: Range<usize>,
        columns: Range<usize>,
        outputs: usize,
        block: &mut OutputBlock<'_>,
    ) {
        let nothing = Activation::Identity == self.activation;
        if self.bias.is_none() && self.residual.is_none() && nothing {
            return;
        }
        dispatch(
            set,
            Finish {
                epilogue: self,
                rows,
                columns,
                outputs,
                block,
            },
        );
    }
}

struct Finish<'a, 'b, 'c> {
    epilogue: Epilogue<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    outputs: usize,
    block: &'b mut OutputBlock<'c>,
}

impl Kernel for Finish<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let bias = self.epilogue.bias.map(|bias| &bias[self.columns.clone()]);
        for index in 0..self.rows.len() {
            let row = self.block.row(index);
            if let Some(bias) = bias {
                add_slice(simd, row, bias);
            }
            activate(simd, self.epilogue.activation, row);
            if let Some(residual) = self.epilogue.residual {
                let start = (self.rows.start + index) * self.outputs;
                let columns = start + self.columns.start..start + self.columns.end;
                add_slice(simd, row, &residual[columns]);
            }
        }
    }
}

#[inline(always)]
fn add_slice<S: Simd>(simd: S, target: &mut [f32], source: &[f32]) {
    crate::arch::add_scaled(simd, target, 1.0, source);
}
