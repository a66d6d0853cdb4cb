//! Activations between layers, in the form that the next product reads.
//!
//! The matrix unit needs bf16 in tiles. A layer that writes these saves the next one from reading
//! and rearranging f32: on a large batch that traffic takes longer than the products.

#[cfg(target_arch = "x86_64")]
use super::linear::product;
use super::linear::{linear, run_linear};
use super::packed_input::PackedInput;
use super::packed_matrix::PackedMatrix;
use super::packing::Packing;
use super::tile_kernel::TileKernel;
use crate::dispatch::KernelSet;
use crate::epilogue::Epilogue;
use crate::lanes::Activation;
use crate::matrix::{Layout, MatrixView, Order, Pieces, TILE_STEPS};
use crate::parallel::Threads;
use crate::words::{Words, with_f32_scratch};
use rayon::prelude::*;

/// Values that one thread fills alone.
const SERIAL_VALUES: usize = 1 << 14;

/// Rows of activations `[rows, width]`, to be multiplied by weights next.
#[derive(Clone)]
pub struct Activations {
    rows: usize,
    width: usize,
    form: Form,
}

#[derive(Clone)]
enum Form {
    Floats(Vec<f32>),
    Tiles {
        words: Words,
        layout: Layout,
        set: KernelSet,
    },
}

impl Activations {
    /// `rows` of zeros, in the form that products with `weight` read. Other weights with the same number of inputs,
    /// precision and kernels read it too.
    pub fn for_weight(weight: &PackedMatrix, rows: usize) -> Self {
        let width = weight.inputs();
        let form = match Self::form_for(weight, rows) {
            Some(layout) => Form::Tiles {
                words: Words::zeroed(layout.words()),
                layout,
                set: weight.set(),
            },
            None => Form::Floats(vec![0.0; rows * width]),
        };
        Self { rows, width, form }
    }

    /// Makes room for `rows` for products with `weight`; their content is unspecified.
    pub fn resize(&mut self, weight: &PackedMatrix, rows: usize) {
        let wanted = Self::form_for(weight, rows);
        match (&mut self.form, wanted) {
            (Form::Floats(values), None) => values.resize(rows * weight.inputs(), 0.0),
            // Everything past the last column stays zero: panels have one size.
            (Form::Tiles { words, layout, set }, Some(wanted))
                if *set == weight.set()
                    && self.width == weight.inputs()
                    && layout.format == wanted.format =>
            {
                words.grow(wanted.words());
                *layout = wanted;
            }
            _ => return *self = Self::for_weight(weight, rows),
        }
        (self.rows, self.width) = (rows, weight.inputs());
    }

    /// The layout of tiles, if products with `weight` read tiles; None if they read f32.
    fn form_for(weight: &PackedMatrix, rows: usize) -> Option<Layout> {
        let kernel = TileKernel::choose(weight.set(), weight.precision(), rows);
        let (grouping, order) = kernel.group_rows(weight.set(), rows);
        // Integers are scaled by the largest value of a row, which is unknown until the row is complete.
        let tiles = order == Order::Tiles && kernel.largest_integer().is_none();
        tiles.then(|| Layout::new(grouping, kernel.input_format(), order, weight.inputs()))
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Fills pieces of whole rows: `fill(first_row, piece)` with piece `[some rows, width]`.
    pub(crate) fn fill_rows(&mut self, rows_each: usize, fill: impl Fn(usize, &mut [f32]) + Sync) {
        let width = self.width;
        if self.rows == 0 || width == 0 {
            return;
        }
        // Below this a second thread costs more than it saves.
        let least = match self.rows * width < SERIAL_VALUES {
            true => usize::MAX,
            false => 1,
        };
        match &mut self.form {
            Form::Floats(values) => {
                let pieces = values.par_chunks_mut(rows_each * width).enumerate();
                let pieces = pieces.with_min_len(least);
                pieces.for_each(|(index, piece)| fill(index * rows_each, piece));
            }
            Form::Tiles { words, layout, set } => {
                let panel = layout.panel(0, 0).len();
                let words = &mut words.as_mut_slice()[..layout.words()];
                let pieces = words.par_chunks_exact_mut(panel).enumerate();
                pieces.with_min_len(least).for_each(|(index, words)| {
                    let rows = layout.grouping.lines_of(index);
                    with_f32_scratch(rows.len() * width, |values| {
                        fill(rows.start, values);
                        let grouping = layout.grouping.with_lines(rows.len());
                        let packing = Packing {
                            set: *set,
                            threads: Threads::One,
                            operand: MatrixView::row_major(values, rows.len(), width),
                            layout: Layout {
                                grouping,
                                ..*layout
                            },
                            factors: &[],
                        };
                        packing.run(words);
                    });
                });
            }
        }
    }

    /// A writer of columns of single rows; None if the form is f32, or if columns in multiples of `multiple` are not
    /// whole tiles.
    pub(crate) fn column_writer(&mut self, multiple: usize) -> Option<ColumnWriter<'_>> {
        match &mut self.form {
            Form::Tiles { words, layout, .. } if multiple.is_multiple_of(2 * TILE_STEPS) => {
                Some(ColumnWriter {
                    pieces: Pieces::new(words.as_mut_slice()),
                    layout: *layout,
                })
            }
            _ => None,
        }
    }

    /// The values, if the form is f32.
    pub(crate) fn floats_mut(&mut self) -> Option<&mut [f32]> {
        match &mut self.form {
            Form::Floats(values) => Some(values),
            Form::Tiles { .. } => None,
        }
    }
}

impl std::fmt::Debug for Activations {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Activations")
            .field("rows", &self.rows)
            .field("width", &self.width)
            .finish_non_exhaustive()
    }
}

/// Writes values at a row and a column that is a multiple of a tile's.
pub(crate) struct ColumnWriter<'a> {
    pieces: Pieces<'a>,
    layout: Layout,
}

impl ColumnWriter<'_> {
    /// # Safety
    /// No two threads may write the same row and columns.
    pub(crate) unsafe fn write(&self, row: usize, column: usize, values: &[f32]) {
        let lines = self.layout.panel(0, 0).len() / self.layout.steps;
        let panel = self.layout.panel(0, row / lines).start;
        let tile = lines * TILE_STEPS;
        for (index, values) in values.chunks(2 * TILE_STEPS).enumerate() {
            let at = panel + (column / (2 * TILE_STEPS) + index) * tile;
            // SAFETY: the caller keeps rows and columns apart, and so the pieces.
            let words = unsafe { self.pieces.piece(at + row % lines * TILE_STEPS, TILE_STEPS) };
            #[cfg(target_arch = "x86_64")]
            crate::matrix_unit::pack_line(values, 0, TILE_STEPS, words);
            #[cfg(not(target_arch = "x86_64"))]
            unreachable!("{} words and {} values in tiles", words.len(), values.len());
        }
    }
}

/// [`linear`] of rows that are already in the form that it reads.
///
/// # Panics
/// As [`linear`], and when the rows were made for weights of another precision or kernel set.
pub fn linear_from(
    input: &Activations,
    weight: &PackedMatrix,
    epilogue: Epilogue<'_>,
    output: &mut [f32],
) {
    match &input.form {
        Form::Floats(values) => linear(values, weight, epilogue, output),
        Form::Tiles { .. } => {
            let packed = packed(input, weight);
            run_linear(Threads::All, packed, input.rows, weight, epilogue, output);
        }
    }
}

/// `output = activation(input weight + bias)`, with the output in the form that the next product reads.
///
/// # Panics
/// As [`linear_from`].
pub fn linear_into(
    input: &Activations,
    weight: &PackedMatrix,
    bias: Option<&[f32]>,
    activation: Activation,
    output: &mut Activations,
) {
    assert_eq!(output.rows, input.rows, "rows of a linear layer");
    assert_eq!(output.width, weight.outputs(), "width of a linear layer");
    let epilogue = Epilogue {
        bias,
        activation,
        residual: None,
    };
    match &mut output.form {
        Form::Floats(values) => linear_from(input, weight, epilogue, values),
        #[cfg(target_arch = "x86_64")]
        Form::Tiles { words, layout, .. } if matches!(input.form, Form::Tiles { .. }) => {
            assert_eq!(
                bias.map_or(output.width, <[f32]>::len),
                output.width,
                "bias of a linear layer"
            );
            if output.rows > 0 {
                let product = product(packed(input, weight), Threads::All, weight, epilogue);
                product.run_into_tiles(&Pieces::new(words.as_mut_slice()), *layout);
            }
        }
        Form::Tiles { .. } => {
            with_f32_scratch(output.rows * output.width, |values| {
                linear_from(input, weight, epilogue, values);
                let width = output.width;
                output.fill_rows(1, |row, piece| {
                    piece.copy_from_slice(&values[row * width..][..piece.len()]);
                });
            });
        }
    }
}

/// Rows in tiles, as the product with `weight` reads them.
fn packed<'a>(input: &'a Activations, weight: &PackedMatrix) -> PackedInput<'a> {
    let Form::Tiles { words, layout, .. } = &input.form else {
        unreachable!("rows in tiles");
    };
    let kernel = TileKernel::choose(weight.set(), weight.precision(), input.rows);
    assert_eq!(input.width, weight.inputs(), "input of a linear layer");
    assert_eq!(
        layout.format,
        kernel.input_format(),
        "form of a linear layer's input"
    );
    assert!(
        kernel.is_of_matrix_unit(),
        "kernels of a linear layer's input"
    );
    PackedInput {
        kernel,
        layout: *layout,
        words: words.as_slice(),
        scales: &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::with_kernels;
    use crate::matrix::Precision;
    use crate::testing::random;

    /// A chain of two layers gives bit for bit the same result as with f32 between them.
    #[test]
    fn chains_equal_layers_one_by_one() {
        for set in KernelSet::supported() {
            for precision in [
                Precision::F32,
                Precision::Bf16,
                Precision::Int8,
                Precision::Int8Weights,
            ] {
                for rows in [0, 1, 5, 32, 50, 70] {
                    for (inputs, hidden, outputs) in [(64, 128, 32), (40, 70, 33), (800, 1100, 20)]
                    {
                        let x = random(rows * inputs, 1);
                        let (w1, w2) = (random(inputs * hidden, 2), random(hidden * outputs, 3));
                        let (b1, b2) = (random(hidden, 4), random(outputs, 5));
                        let activation = Activation::QuickGelu;
                        let (expected, result) = with_kernels(set, || {
                            let pack = |w: &[f32], rows, columns| {
                                PackedMatrix::pack(
                                    MatrixView::row_major(w, rows, columns),
                                    precision,
                                )
                            };
                            let (w1, w2) = (pack(&w1, inputs, hidden), pack(&w2, hidden, outputs));
                            let first = Epilogue {
                                bias: Some(&b1),
                                activation,
                                residual: None,
                            };
                            let last = Epilogue {
                                bias: Some(&b2),
                                ..Epilogue::default()
                            };
                            let mut middle = vec![0.0; rows * hidden];
                            let mut expected = vec![0.0; rows * outputs];
                            linear(&x, &w1, first, &mut middle);
                            linear(&middle, &w2, last, &mut expected);

                            let mut input = Activations::for_weight(&w1, rows);
                            input.fill_rows(3, |row, piece| {
                                piece.copy_from_slice(&x[row * inputs..][..piece.len()]);
                            });
                            let mut middle = Activations::for_weight(&w2, rows);
                            linear_into(&input, &w1, Some(&b1), activation, &mut middle);
                            let mut result = vec![0.0; rows * outputs];
                            linear_from(&middle, &w2, last, &mut result);
                            (expected, result)
                        });
                        assert_eq!(
                            result, expected,
                            "{set} {precision:?} {rows} {inputs} {hidden}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn columns_are_written_where_rows_are() {
        let (rows, width) = (50, 128);
        let values = random(rows * width, 6);
        for set in KernelSet::supported() {
            with_kernels(set, || {
                let weight = random(width * 8, 7);
                let weight =
                    PackedMatrix::pack(MatrixView::row_major(&weight, width, 8), Precision::Bf16);
                let mut by_columns = Activations::for_weight(&weight, rows);
                let Some(writer) = by_columns.column_writer(64) else {
                    return;
                };
                for row in 0..rows {
                    for column in [0, 64] {
                        // SAFETY: one thread writes.
                        unsafe { writer.write(row, column, &values[row * width + column..][..64]) };
                    }
                }
                let mut by_rows = Activations::for_weight(&weight, rows);
                by_rows.fill_rows(1, |row, piece| {
                    piece.copy_from_slice(&values[row * width..][..piece.len()]);
                });
                let [a, b] = [&by_columns, &by_rows].map(|activations| {
                    let mut output = vec![0.0; rows * 8];
                    linear_from(activations, &weight, Epilogue::default(), &mut output);
                    output
                });
                assert_eq!(a, b, "{set}");
            });
        }
    }
}
