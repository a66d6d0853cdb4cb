//! Linear layers: weights packed once, bias, activation and residual fused into the product.

use super::output::{Output, OutputBlock};
use super::packing::Packing;
use super::panels::{Format, Grouping, Layout, Order};
use super::product::{Product, Threads};
use super::tile::{Accumulate, TileKernel, tile_columns};
use super::view::{MatrixView, MatrixViewMut};
use super::words::{Words, with_f32_scratch, with_scratch};
use crate::activation::{Activation, activate};
use crate::arch::{Kernel, Simd, add_scaled, dispatch};
use crate::dispatch::KernelSet;
use rayon::prelude::*;
use std::ops::Range;

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
    /// row: as little to read as `Int8`, and the activations keep their precision.
    Int8Weights,
}

/// Weights of a linear layer, rearranged for the kernel set that was active when they were packed.
#[derive(Clone)]
pub struct PackedMatrix {
    set: KernelSet,
    precision: Precision,
    inputs: usize,
    outputs: usize,
    /// Of bytes: factors of the outputs, of all panels; else empty.
    scales: Vec<f32>,
    words: Words,
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

    fn layout(&self) -> Layout {
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

impl Precision {
    /// What two operands that are both made on the spot are rounded to: gradients and scores do not fit into bytes.
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

    fn has_byte_weights(self) -> bool {
        matches!(self, Self::Int8 | Self::Int8Weights)
    }
}

/// For each line of `operand` the factor that makes its largest value `largest`, and its inverse.
fn integer_scales(
    set: KernelSet,
    operand: MatrixView<'_>,
    largest: f32,
    factors: &mut [f32],
    scales: &mut [f32],
) {
    /// Lines per piece of work.
    const LINES: usize = 64;
    let job = |(index, (factors, scales)): (usize, (&mut [f32], &mut [f32]))| {
        let first = index * LINES;
        dispatch(
            set,
            LargestMagnitudes {
                operand,
                first,
                largest: scales,
            },
        );
        for (factor, scale) in factors.iter_mut().zip(scales) {
            *factor = if *scale > 0.0 { largest / *scale } else { 0.0 };
            *scale /= largest;
        }
    };
    if factors.len() <= LINES {
        job((0, (factors, scales)));
    } else {
        let pieces = factors
            .par_chunks_mut(LINES)
            .zip(scales.par_chunks_mut(LINES));
        pieces.enumerate().for_each(job);
    }
}

struct LargestMagnitudes<'a> {
    operand: MatrixView<'a>,
    first: usize,
    largest: &'a mut [f32],
}

impl Kernel for LargestMagnitudes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let depth = self.operand.columns();
        if self.operand.has_dense_rows() {
            for (index, largest) in self.largest.iter_mut().enumerate() {
                let line = self.operand.row_slice(self.first + index, 0, depth);
                let mut lanes = simd.zero();
                for values in line.chunks(S::LANES) {
                    let values = simd.load_partial(values);
                    let magnitudes = simd.max(values, simd.sub(simd.zero(), values));
                    lanes = simd.max(magnitudes, lanes);
                }
                *largest = simd.maximum(lanes);
            }
        } else {
            self.largest.fill(0.0);
            for value in 0..depth {
                let across = self.operand.transposed();
                let across = across.row_slice(value, self.first, self.largest.len());
                for (largest, value) in self.largest.iter_mut().zip(across) {
                    *largest = if value.abs() > *largest {
                        value.abs()
                    } else {
                        *largest
                    };
                }
            }
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
    linear_on(Threads::All, input, weight, epilogue, output);
}

/// [`linear`] with the threads given.
pub(crate) fn linear_on(
    threads: Threads,
    input: &[f32],
    weight: &PackedMatrix,
    epilogue: Epilogue<'_>,
    output: &mut [f32],
) {
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
    if output.is_empty() {
        return;
    }
    let input = MatrixView::row_major(input, rows, weight.inputs);
    with_packed_input(weight.set, threads, weight.precision, input, |packed| {
        run_linear(threads, packed, rows, weight, epilogue, output);
    });
}

/// [`linear_on`] whose input is packed.
pub(crate) fn run_linear(
    threads: Threads,
    packed: PackedInput<'_>,
    rows: usize,
    weight: &PackedMatrix,
    epilogue: Epilogue<'_>,
    output: &mut [f32],
) {
    epilogue.check(rows, weight.outputs);
    if output.is_empty() {
        return;
    }
    let output = MatrixViewMut::row_major(output, rows, weight.outputs);
    product(packed, threads, weight, epilogue).run(&Output::new(output));
}

/// The product of a packed input with `weight`.
pub(crate) fn product<'a>(
    packed: PackedInput<'a>,
    threads: Threads,
    weight: &'a PackedMatrix,
    epilogue: Epilogue<'a>,
) -> Product<'a> {
    Product {
        set: weight.set,
        kernel: packed.kernel,
        threads,
        row_scales: packed.scales,
        column_scales: &weight.scales,
        a: packed.words,
        a_layout: packed.layout,
        b: weight.words.as_slice(),
        b_layout: weight.layout(),
        accumulate: Accumulate::Overwrite,
        epilogue,
    }
}

/// A first operand as the tiles of a kernel read it.
#[derive(Clone, Copy)]
pub(crate) struct PackedInput<'a> {
    pub(crate) kernel: TileKernel,
    pub(crate) layout: Layout,
    pub(crate) words: &'a [u32],
    /// Where the second operand is of bytes: factors of the rows; else empty.
    pub(crate) scales: &'a [f32],
}

/// Packs `input`, `[rows, inputs]`, into scratch memory and lends it to `work`.
pub(crate) fn with_packed_input<R>(
    set: KernelSet,
    threads: Threads,
    precision: Precision,
    input: MatrixView<'_>,
    work: impl FnOnce(PackedInput<'_>) -> R,
) -> R {
    let rows = input.rows();
    let kernel = TileKernel::choose(set, precision, rows);
    let (grouping, order) = kernel.group_rows(set, rows);
    let layout = Layout::new(grouping, kernel.input_format(), order, input.columns());
    let scaled_rows = if precision.has_byte_weights() {
        rows
    } else {
        0
    };
    with_f32_scratch(2 * scaled_rows, |scales| {
        let (factors, scales) = scales.split_at_mut(scaled_rows);
        let factors = match kernel.largest_integer() {
            Some(largest) => {
                integer_scales(set, input, largest, factors, scales);
                &*factors
            }
            None => {
                scales.fill(1.0);
                &[]
            }
        };
        with_scratch(layout.words(), |words| {
            let packing = Packing {
                set,
                threads,
                operand: input,
                layout,
                factors,
            };
            packing.run(words);
            work(PackedInput {
                kernel,
                layout,
                words,
                scales,
            })
        })
    })
}

impl Epilogue<'_> {
    /// Checks that bias and residual are as long as an output `[rows, outputs]` wants them.
    pub(crate) fn check(&self, rows: usize, outputs: usize) {
        if let Some(bias) = self.bias {
            assert_eq!(bias.len(), outputs, "bias of a linear layer");
        }
        if let Some(residual) = self.residual {
            assert_eq!(residual.len(), rows * outputs, "residual of a linear layer");
        }
    }

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
                add_scaled(simd, row, 1.0, bias);
            }
            activate(simd, self.epilogue.activation, row);
            if let Some(residual) = self.epilogue.residual {
                let start = (self.rows.start + index) * self.outputs;
                let columns = start + self.columns.start..start + self.columns.end;
                add_scaled(simd, row, 1.0, &residual[columns]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::with_kernels;
    use crate::testing::{assert_close, random};

    /// `activation(input weight + bias) + residual` in f64.
    fn reference(
        input: &[f32],
        weight: &[f32],
        [rows, inputs, outputs]: [usize; 3],
        epilogue: Epilogue<'_>,
    ) -> Vec<f32> {
        let mut output = Vec::new();
        for row in 0..rows {
            for column in 0..outputs {
                let products = (0..inputs).map(|l| {
                    f64::from(input[row * inputs + l]) * f64::from(weight[l * outputs + column])
                });
                let bias = epilogue.bias.map_or(0.0, |bias| bias[column]);
                let mut value = [(products.sum::<f64>() + f64::from(bias)) as f32];
                epilogue.activation.apply(&mut value);
                let residual = epilogue.residual.map_or(0.0, |r| r[row * outputs + column]);
                output.push(value[0] + residual);
            }
        }
        output
    }

    /// Rounding errors of operands in -1..1, by precision: bf16 keeps 8 bits (relative 2^-9), bytes
    /// 1/254 of the largest; sums of n terms grow with sqrt(n).
    fn tolerance(precision: Precision, inputs: usize) -> f32 {
        let root = (inputs as f32).sqrt().max(1.0);
        match precision {
            Precision::F32 => 2e-5,
            Precision::Bf16 => 4e-3 * root,
            Precision::Int8 => 8e-3 * root,
            Precision::Int8Weights => 5e-3 * root,
        }
    }

    const PRECISIONS: [Precision; 4] = [
        Precision::F32,
        Precision::Bf16,
        Precision::Int8,
        Precision::Int8Weights,
    ];

    #[test]
    fn layers_agree_with_f64_in_every_precision_under_every_set() {
        for set in KernelSet::supported() {
            for precision in PRECISIONS {
                for rows in [1, 2, 5, 7, 16, 17, 33, 65] {
                    for (inputs, outputs) in [(1, 1), (7, 17), (65, 63), (300, 40), (1100, 130)] {
                        let (input, weight) =
                            (random(rows * inputs, 1), random(inputs * outputs, 2));
                        let bias = random(outputs, 3);
                        let residual = random(rows * outputs, 4);
                        let epilogue = Epilogue {
                            bias: Some(&bias),
                            activation: Activation::QuickGelu,
                            residual: Some(&residual),
                        };
                        let shape = [rows, inputs, outputs];
                        let expected = reference(&input, &weight, shape, epilogue);
                        let mut output = vec![f32::NAN; rows * outputs];
                        with_kernels(set, || {
                            let weight = MatrixView::row_major(&weight, inputs, outputs);
                            let packed = PackedMatrix::pack(weight, precision);
                            linear(&input, &packed, epilogue, &mut output);
                        });
                        let what = format!("{set} {precision:?} {shape:?}");
                        assert_close(&output, &expected, tolerance(precision, inputs), &what);
                    }
                }
            }
        }
    }

    /// All sets round operands alike, and only the order of the sums differs; but for activations beside
    /// byte weights, which are f32 in one set and 16 bits in another: 515 errors of 1.5e-5 at most.
    #[test]
    fn sets_agree_with_the_scalar_twin() {
        let (rows, inputs, outputs) = (37, 515, 70);
        let (input, weight) = (random(rows * inputs, 5), random(inputs * outputs, 6));
        for precision in PRECISIONS {
            let run = |set| {
                let mut output = vec![f32::NAN; rows * outputs];
                with_kernels(set, || {
                    let weight = MatrixView::row_major(&weight, inputs, outputs);
                    let packed = PackedMatrix::pack(weight, precision);
                    linear(&input, &packed, Epilogue::default(), &mut output);
                });
                output
            };
            let twin = run(KernelSet::Scalar);
            let tolerance = match precision {
                Precision::Int8Weights => 6e-4,
                _ => 2e-5,
            };
            for set in KernelSet::supported() {
                assert_close(&run(set), &twin, tolerance, &format!("{set} {precision:?}"));
            }
        }
    }

    #[test]
    fn weights_given_transposed_pack_alike() {
        let (inputs, outputs) = (70, 45);
        let weight = random(inputs * outputs, 7);
        let mut transposed = vec![0.0; weight.len()];
        for (at, value) in weight.iter().enumerate() {
            transposed[at % outputs * inputs + at / outputs] = *value;
        }
        for set in KernelSet::supported() {
            for precision in PRECISIONS {
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

    #[test]
    fn extreme_inputs_of_bytes_stay_in_range() {
        for set in KernelSet::supported() {
            let weight = [1.0, -1.0].repeat(64);
            let mut output = [0.0; 4];
            with_kernels(set, || {
                let weight = MatrixView::row_major(&weight, 64, 2);
                let packed = PackedMatrix::pack(weight, Precision::Int8);
                let input = [[3.0; 64], [0.0; 64]].concat();
                linear(&input, &packed, Epilogue::default(), &mut output);
            });
            assert_close(&output, &[192.0, -192.0, 0.0, 0.0], 1e-6, set.name());
        }
    }
}
