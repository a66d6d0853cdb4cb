//! Products of two operands that are both packed on the spot.

use super::packed_input::{PackedInput, with_packed_input};
use super::packing::Packing;
use super::product::Product;
use super::tile_kernel::tile_columns;
use crate::dispatch::KernelSet;
use crate::epilogue::Epilogue;
use crate::matrix::{
    Accumulate, Grouping, Layout, MatrixView, MatrixViewMut, Order, Output, Precision,
};
use crate::parallel::Threads;
use crate::words::with_scratch;

/// Columns of the second operand are packed in runs of about this many words.
const RUN_WORDS: usize = 1 << 22;

/// `out = a b` or `out += a b`, all f32: `a` `[m, k]`, `b` `[k, n]`, `out` `[m, n]`.
///
/// Uses the threads of the current rayon pool; the result does not depend on their number.
///
/// # Panics
/// When the sizes do not agree.
pub fn matmul(
    a: MatrixView<'_>,
    b: MatrixView<'_>,
    accumulate: Accumulate,
    out: MatrixViewMut<'_>,
) {
    matmul_with(Precision::F32, a, b, accumulate, out);
}

/// [`matmul`] whose operands are rounded to `precision` first; sums and `out` stay f32.
///
/// `Int8` is taken as `Bf16`: gradients do not fit into bytes.
///
/// # Panics
/// When the sizes do not agree.
pub fn matmul_with(
    precision: Precision,
    a: MatrixView<'_>,
    b: MatrixView<'_>,
    accumulate: Accumulate,
    out: MatrixViewMut<'_>,
) {
    let how = How::active(precision);
    multiply(how, a, b, accumulate, &mut Output::new(out));
}

/// `out = activation(a b + bias) + residual`, operands rounded to `precision` first: [`linear`](fn@crate::linear)
/// with weights that are used once.
///
/// `Int8` is taken as `Bf16`.
///
/// # Panics
/// When the sizes do not agree.
pub fn matmul_then(
    precision: Precision,
    a: MatrixView<'_>,
    b: MatrixView<'_>,
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) {
    let (rows, columns) = (a.rows(), b.columns());
    assert_eq!(a.columns(), b.rows(), "inner sizes of a product");
    assert_eq!(out.len(), rows * columns, "output of a product");
    epilogue.check(rows, columns);
    if out.is_empty() {
        return;
    }
    let how = How::active(precision.of_floats());
    let out = Output::new(MatrixViewMut::row_major(out, rows, columns));
    with_packed_input(how.set, how.threads, how.precision, a, |packed| {
        with_product(how, packed, b, |product| {
            Product {
                epilogue,
                ..product
            }
            .run(&out);
        });
    });
}

/// Kernels, threads and precision of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) set: KernelSet,
    pub(crate) threads: Threads,
    pub(crate) precision: Precision,
}

impl How {
    /// With this thread's kernels, on the whole pool.
    pub(crate) fn active(precision: Precision) -> Self {
        Self {
            set: KernelSet::active(),
            threads: Threads::All,
            precision,
        }
    }
}

/// [`matmul_with`] with kernels and threads given.
pub(crate) fn multiply(
    how: How,
    a: MatrixView<'_>,
    b: MatrixView<'_>,
    accumulate: Accumulate,
    out: &mut Output<'_>,
) {
    assert_eq!(a.columns(), b.rows(), "inner sizes of a product");
    assert_eq!(a.rows(), out.rows(), "rows of a product");
    assert_eq!(b.columns(), out.columns(), "columns of a product");
    if out.rows() == 0 || out.columns() == 0 {
        return;
    }
    let how = How {
        precision: how.precision.of_floats(),
        ..how
    };
    with_packed_input(how.set, how.threads, how.precision, a, |packed| {
        multiply_packed(how, packed, b, accumulate, out);
    });
}

/// [`multiply`] whose first operand is packed for a precision of floats.
pub(crate) fn multiply_packed(
    how: How,
    packed: PackedInput<'_>,
    b: MatrixView<'_>,
    accumulate: Accumulate,
    out: &mut Output<'_>,
) {
    let width = tile_columns(how.set);
    let run = (RUN_WORDS / b.rows().max(1))
        .next_multiple_of(width)
        .max(8 * width);
    for start in (0..b.columns()).step_by(run) {
        let columns = run.min(b.columns() - start);
        let rows = out.rows();
        with_product(how, packed, b.columns_range(start, columns), |product| {
            let product = Product {
                accumulate,
                ..product
            };
            // SAFETY: `out` is borrowed mutably, and this is its only block until it is dropped.
            let mut block = unsafe { out.block(0, rows, start, columns) };
            product.run(&block.as_output());
        });
    }
}

/// Packs the second operand and lends the product of both to `work`.
pub(crate) fn with_product(
    how: How,
    packed: PackedInput<'_>,
    b: MatrixView<'_>,
    work: impl FnOnce(Product<'_>),
) {
    let grouping = Grouping::Padded {
        lines: b.columns(),
        width: tile_columns(how.set),
    };
    let format = how.precision.weight_format();
    let b_layout = Layout::new(grouping, format, Order::Steps, b.rows());
    with_scratch(b_layout.words(), |b_words| {
        let packing = Packing {
            set: how.set,
            threads: how.threads,
            operand: b.transposed(),
            layout: b_layout,
            factors: &[],
        };
        packing.run(b_words);
        work(Product {
            set: how.set,
            kernel: packed.kernel,
            threads: how.threads,
            row_scales: &[],
            column_scales: &[],
            a: packed.words,
            a_layout: packed.layout,
            b: b_words,
            b_layout,
            accumulate: Accumulate::Overwrite,
            epilogue: Epilogue::default(),
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::with_kernels;
    use crate::testing::{assert_close, random, sizes};

    /// f32 sums of a few hundred products of values in -1..1, against f64.
    const TOLERANCE: f32 = 2e-5;

    fn reference(a: &[f32], b: &[f32], m: usize, k: usize, n: usize) -> Vec<f32> {
        let mut out = vec![0.0; m * n];
        for (i, row) in out.chunks_exact_mut(n.max(1)).enumerate().take(m) {
            for (j, out) in row.iter_mut().enumerate() {
                let products = (0..k).map(|l| f64::from(a[i * k + l]) * f64::from(b[l * n + j]));
                *out = products.sum::<f64>() as f32;
            }
        }
        out
    }

    fn transpose(data: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        let mut out = vec![0.0; data.len()];
        for i in 0..rows {
            for j in 0..columns {
                out[j * rows + i] = data[i * columns + j];
            }
        }
        out
    }

    #[test]
    fn products_of_awkward_shapes_agree_with_f64_under_every_set() {
        for set in KernelSet::supported() {
            for &m in &sizes() {
                for &n in &sizes() {
                    for &k in &[0, 1, 7, 64, 300] {
                        let (a, b) = (random(m * k, 1), random(k * n, 2));
                        let expected = reference(&a, &b, m, k, n);
                        let mut out = vec![f32::NAN; m * n];
                        with_kernels(set, || {
                            matmul(
                                MatrixView::row_major(&a, m, k),
                                MatrixView::row_major(&b, k, n),
                                Accumulate::Overwrite,
                                MatrixViewMut::row_major(&mut out, m, n),
                            );
                        });
                        assert_close(&out, &expected, TOLERANCE, &format!("{set} {m}x{k}x{n}"));
                    }
                }
            }
        }
    }

    #[test]
    fn transposed_and_accumulated_products_agree() {
        for set in KernelSet::supported() {
            // The last shape has more lines than are packed together.
            for (m, k, n) in [
                (1, 1, 1),
                (17, 65, 33),
                (63, 7, 130),
                (5, 300, 40),
                (610, 33, 1100),
            ] {
                let (a, b) = (random(m * k, 3), random(k * n, 4));
                let (a_t, b_t) = (transpose(&a, m, k), transpose(&b, k, n));
                let mut expected = reference(&a, &b, m, k, n);
                expected.iter_mut().for_each(|value| *value += 0.5);
                for transpose_a in [false, true] {
                    for transpose_b in [false, true] {
                        let a = match transpose_a {
                            false => MatrixView::row_major(&a, m, k),
                            true => MatrixView::row_major(&a_t, k, m).transposed(),
                        };
                        let b = match transpose_b {
                            false => MatrixView::row_major(&b, k, n),
                            true => MatrixView::row_major(&b_t, n, k).transposed(),
                        };
                        let mut out = vec![0.5; m * n];
                        let view = MatrixViewMut::row_major(&mut out, m, n);
                        with_kernels(set, || matmul(a, b, Accumulate::Add, view));
                        assert_close(&out, &expected, TOLERANCE, &format!("{set} {m}x{k}x{n}"));
                    }
                }
            }
        }
    }

    #[test]
    fn rows_between_strides_are_left_alone() {
        let (a, b) = (random(3 * 4, 5), random(4 * 2, 6));
        let mut out = [7.0; 3 * 5];
        matmul(
            MatrixView::row_major(&a, 3, 4),
            MatrixView::row_major(&b, 4, 2),
            Accumulate::Overwrite,
            MatrixViewMut::with_row_stride(&mut out[1..], 3, 2, 5),
        );
        let expected = reference(&a, &b, 3, 4, 2);
        for row in 0..3 {
            let [left, x, y, more @ ..] = &out[row * 5..row * 5 + 5] else {
                unreachable!()
            };
            assert_eq!((left, more), (&7.0, &[7.0, 7.0][..]));
            assert_close(
                &[*x, *y],
                &expected[row * 2..row * 2 + 2],
                TOLERANCE,
                "strided",
            );
        }
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let (m, k, n) = (130, 515, 700);
        let (a, b) = (random(m * k, 7), random(k * n, 8));
        let with_threads = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let mut out = vec![0.0; m * n];
            pool.unwrap().install(|| {
                matmul(
                    MatrixView::row_major(&a, m, k),
                    MatrixView::row_major(&b, k, n),
                    Accumulate::Overwrite,
                    MatrixViewMut::row_major(&mut out, m, n),
                );
            });
            out
        };
        assert_eq!(with_threads(1), with_threads(3));
    }
}
