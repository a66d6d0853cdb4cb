//! Linear layers: weights packed once, bias, activation and residual fused into the product.

use super::packed_input::{PackedInput, with_packed_input};
use super::packed_matrix::PackedMatrix;
use super::product::Product;
use crate::epilogue::Epilogue;
use crate::matrix::{Accumulate, MatrixView, MatrixViewMut, Output};
use crate::parallel::Threads;

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
    let rows = match (weight.inputs(), weight.outputs()) {
        (0, 0) => 0,
        (0, outputs) => output.len() / outputs,
        (inputs, _) => input.len() / inputs,
    };
    assert_eq!(
        input.len(),
        rows * weight.inputs(),
        "input of a linear layer"
    );
    assert_eq!(
        output.len(),
        rows * weight.outputs(),
        "output of a linear layer"
    );
    if output.is_empty() {
        return;
    }
    let input = MatrixView::row_major(input, rows, weight.inputs());
    with_packed_input(weight.set(), threads, weight.precision(), input, |packed| {
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
    epilogue.check(rows, weight.outputs());
    if output.is_empty() {
        return;
    }
    let output = MatrixViewMut::row_major(output, rows, weight.outputs());
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
        set: weight.set(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{KernelSet, with_kernels};
    use crate::lanes::Activation;
    use crate::matrix::Precision;
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

    #[test]
    fn layers_agree_with_f64_in_every_precision_under_every_set() {
        for set in KernelSet::supported() {
            for precision in Precision::ALL {
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

    /// All sets round operands alike, and only the order of the sums differs. Activations next to byte weights are the
    /// exception: they are f32 in one set and 16 bits in another, 515 errors of at most 1.5e-5.
    #[test]
    fn sets_agree_with_the_scalar_twin() {
        let (rows, inputs, outputs) = (37, 515, 70);
        let (input, weight) = (random(rows * inputs, 5), random(inputs * outputs, 6));
        for precision in Precision::ALL {
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
