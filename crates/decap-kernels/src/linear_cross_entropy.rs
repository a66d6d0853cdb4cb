//! Softmax cross-entropy fused with the tied output layer, whose logits are never all held.

use crate::arch::{Kernel, Simd, dispatch, map_lanes};
#[cfg(target_arch = "x86_64")]
use crate::arch::{add_scaled, amx::COLUMNS, dot};
use crate::cross_entropy::{CrossEntropy, Loss, sum};
#[cfg(target_arch = "x86_64")]
use crate::dispatch::KernelSet;
use crate::gemm::tile::TileKernel;
use crate::gemm::{
    Accumulate, Epilogue, How, MatrixView, MatrixViewMut, Output, PackedInput, PackedMatrix,
    Precision, Product, multiply_packed, product, with_f32_scratch, with_packed_input,
};
#[cfg(target_arch = "x86_64")]
use crate::gemm::{ExponentialTiles, Layout, Pieces, with_product, with_scratch};
use crate::softmax::{exp_sum, maximum};
use rayon::prelude::*;
#[cfg(target_arch = "x86_64")]
use std::{
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
};

/// Gradients that [`linear_cross_entropy`] computes.
#[derive(Debug)]
pub struct LinearCrossEntropyGradients<'a> {
    /// Gradient of the hidden states, `[rows, width]`; overwritten.
    pub hidden: &'a mut [f32],
    /// Gradient of the embedding matrix, `[classes, width]`; overwritten.
    pub embedding: &'a mut [f32],
}

/// Cross-entropy of `logits = hidden embedding'` without ever holding all logits.
///
/// `hidden` is `[rows, width]`, `embedding` `[classes, width]` (tied with the input embedding),
/// `targets` `[rows]`. Rows that do not count cost nothing.
///
/// # Panics
/// When the lengths do not agree or a target that counts is not below `classes`.
pub fn linear_cross_entropy(
    hidden: &[f32],
    embedding: &[f32],
    width: usize,
    targets: &[u32],
    settings: CrossEntropy,
    gradients: Option<LinearCrossEntropyGradients<'_>>,
) -> Loss {
    let precision = Precision::F32;
    linear_cross_entropy_with(
        precision, hidden, embedding, width, targets, settings, gradients,
    )
}

/// [`linear_cross_entropy`] whose products round their operands to `precision`; loss, softmax, sums
/// and gradients stay f32.
///
/// `Int8` is taken as `Bf16`: gradients do not fit into bytes.
///
/// # Panics
/// When the lengths do not agree or a target that counts is not below `classes`.
pub fn linear_cross_entropy_with(
    precision: Precision,
    hidden: &[f32],
    embedding: &[f32],
    width: usize,
    targets: &[u32],
    settings: CrossEntropy,
    mut gradients: Option<LinearCrossEntropyGradients<'_>>,
) -> Loss {
    assert_eq!(
        hidden.len(),
        targets.len() * width,
        "hidden states of a cross-entropy"
    );
    assert!(
        width > 0 && embedding.len().is_multiple_of(width),
        "embedding of a cross-entropy"
    );
    let classes = embedding.len() / width;
    if let Some(gradients) = &mut gradients {
        assert_eq!(gradients.hidden.len(), hidden.len(), "hidden gradient");
        assert_eq!(
            gradients.embedding.len(),
            embedding.len(),
            "embedding gradient"
        );
        gradients.hidden.fill(0.0);
    }
    let counted: Vec<usize> = (0..targets.len())
        .filter(|&row| Some(targets[row]) != settings.ignore_index)
        .collect();
    let hidden: Vec<f32> = counted
        .iter()
        .flat_map(|row| &hidden[row * width..(row + 1) * width])
        .copied()
        .collect();
    let targets: Vec<usize> = counted.iter().map(|&row| targets[row] as usize).collect();
    for &target in &targets {
        assert!(target < classes, "target {target} of {classes} classes");
    }
    let how = How::active(precision.of_floats());
    let mut rows = Vec::with_capacity(counted.len());
    match gradients {
        None => with_blocks(how, &hidden, width, embedding, &targets, |blocks| {
            rows = blocks.row_sums(None);
        }),
        Some(gradients) if counted.is_empty() => gradients.embedding.fill(0.0),
        Some(gradients) => {
            let slope = Slope {
                factor: 1.0 / counted.len() as f32,
                smoothing: settings.label_smoothing,
                classes,
            };
            let chunk = rows_at_once(how, counted.len(), classes);
            let chunks = hidden.chunks(chunk * width).zip(targets.chunks(chunk));
            for ((hidden, targets), counted) in chunks.zip(counted.chunks(chunk)) {
                let mut of_hidden = vec![0.0; hidden.len()];
                let mut into = Gradients {
                    hidden: &mut of_hidden,
                    embedding: &mut *gradients.embedding,
                    accumulate: match rows.is_empty() {
                        true => Accumulate::Overwrite,
                        false => Accumulate::Add,
                    },
                };
                with_blocks(how, hidden, width, embedding, targets, |blocks| {
                    rows.extend(blocks.gradients(slope, &mut into));
                });
                for (row, values) in counted.iter().zip(of_hidden.chunks_exact(width)) {
                    gradients.hidden[row * width..(row + 1) * width].copy_from_slice(values);
                }
            }
        }
    }
    let smoothing = f64::from(settings.label_smoothing);
    let losses = rows.iter().map(|row| {
        let mean = row.total / classes as f64;
        (1.0 - smoothing) * (row.log_sum() - row.target) + smoothing * (row.log_sum() - mean)
    });
    Loss {
        mean: losses.sum::<f64>() / counted.len().max(1) as f64,
        counted: counted.len(),
    }
}

/// Classes whose logits are in memory at a time: those of a batch stay in the last-level cache.
const BLOCK_CLASSES: usize = 2048;

/// Words of exponentials of logits that are kept at most: those of some rows and all classes, in 128 MiB. In tests so
/// few that there is more than one lot of rows.
const KEPT: usize = if cfg!(test) { 1 << 17 } else { 1 << 25 };

/// Rows whose gradients are computed at once.
fn rows_at_once(how: How, rows: usize, classes: usize) -> usize {
    // The matrix unit's are bf16, two to a word.
    let is_of_matrix_unit = TileKernel::choose(how.set, how.precision, rows).is_of_matrix_unit();
    let most = (KEPT << usize::from(is_of_matrix_unit)) / classes;
    rows.div_ceil(rows.div_ceil(most.max(1)))
}

/// A cross-entropy of some rows whose logits are computed a block of classes after the other.
///
/// Gradients need the sums of the rows first, so exponentials of logits are kept: those of the matrix unit in bf16,
/// reduced by the logit of the row's target, as operands of the products that follow, whose results are scaled by
/// what the sums turn out to be; others in f32, reduced by the largest logit so far.
struct Blocks<'a> {
    how: How,
    /// The rows, `[rows, width]`.
    hidden: MatrixView<'a>,
    /// The same, as the products with the embedding read them.
    packed: PackedInput<'a>,
    /// `[classes, width]`
    embedding: &'a [f32],
    classes: usize,
    /// `[rows]`
    targets: &'a [usize],
}

/// Packs the hidden states of some rows and lends their cross-entropy to `work`.
fn with_blocks(
    how: How,
    hidden: &[f32],
    width: usize,
    embedding: &[f32],
    targets: &[usize],
    work: impl FnOnce(Blocks<'_>),
) {
    let hidden = MatrixView::row_major(hidden, targets.len(), width);
    with_packed_input(how.set, how.threads, how.precision, hidden, |packed| {
        work(Blocks {
            how,
            hidden,
            packed,
            embedding,
            classes: embedding.len() / width,
            targets,
        });
    });
}

/// What is known of the logits of a row.
#[derive(Clone, Copy)]
struct RowSums {
    /// The largest of them, or what they are reduced by instead.
    largest: f32,
    /// Sum of `e^(logit - largest)`.
    exponentials: f64,
    /// Sum of the logits.
    total: f64,
    /// Logit of the target.
    target: f64,
}

impl RowSums {
    /// Of no logits, `largest` being what they are reduced by.
    fn new(largest: f32) -> Self {
        Self {
            largest,
            exponentials: 0.0,
            total: 0.0,
            target: 0.0,
        }
    }

    fn log_sum(&self) -> f64 {
        f64::from(self.largest) + self.exponentials.ln()
    }
}

/// How gradients of logits follow from probabilities.
#[derive(Clone, Copy)]
struct Slope {
    /// One over the rows that count.
    factor: f32,
    /// Share of the target that is spread over all classes.
    smoothing: f32,
    classes: usize,
}

impl Slope {
    /// What is taken from the gradient of every class.
    fn spread(self) -> f32 {
        self.smoothing / self.classes as f32 * self.factor
    }

    /// What is taken from the gradient of the target's class.
    fn of_target(self) -> f32 {
        (1.0 - self.smoothing) * self.factor
    }

    /// Takes the target's own part from the gradients of the classes from `first`.
    fn take_target(self, target: usize, first: usize, gradients: &mut [f32]) {
        if let Some(gradient) = gradients.get_mut(target.wrapping_sub(first)) {
            *gradient -= self.of_target();
        }
    }
}

/// Where gradients go.
struct Gradients<'a> {
    /// Those of the rows are added here, `[rows, width]`.
    hidden: &'a mut [f32],
    /// `[classes, width]`
    embedding: &'a mut [f32],
    /// What happens to those of the embedding.
    accumulate: Accumulate,
}

/// Exponentials of the logits of some rows, one block of classes, `[rows, classes]`, after the other.
struct Kept<'a> {
    exponentials: &'a mut [f32],
    /// What each row's logits were reduced by before, of each block, `[blocks, rows]`.
    references: Vec<f32>,
}

impl Blocks<'_> {
    /// The sums of the rows; their exponentials go to `kept`.
    fn row_sums(&self, mut kept: Option<&mut Kept<'_>>) -> Vec<RowSums> {
        let len = self.targets.len();
        let mut rows = vec![RowSums::new(f32::NEG_INFINITY); len];
        if rows.is_empty() {
            return rows;
        }
        for first in (0..self.classes).step_by(BLOCK_CLASSES) {
            let block = self.block(first);
            let size = block.rows();
            let mut add = |logits: &mut [f32]| {
                self.logits(block, logits);
                let pairs = rows.par_iter_mut().zip(logits.par_chunks_exact_mut(size));
                pairs
                    .zip(self.targets)
                    .for_each(|((row, logits), &target)| {
                        if (first..first + size).contains(&target) {
                            row.target = f64::from(logits[target - first]);
                        }
                        dispatch(self.how.set, AddLogits { row, logits });
                    });
            };
            match &mut kept {
                None => with_f32_scratch(len * size, add),
                Some(kept) => {
                    add(&mut kept.exponentials[len * first..len * (first + size)]);
                    kept.references.extend(rows.iter().map(|row| row.largest));
                }
            }
        }
        rows
    }

    /// The sums of the rows, and the gradients.
    fn gradients(&self, slope: Slope, into: &mut Gradients<'_>) -> Vec<RowSums> {
        #[cfg(target_arch = "x86_64")]
        if self.packed.kernel.is_of_matrix_unit() {
            let references = self.target_logits();
            let rows = self.gradients_in_tiles(slope, into, &references);
            return rows.unwrap_or_else(|| {
                let rows = self.row_sums(None);
                let references: Vec<f32> = rows.iter().map(|row| row.largest).collect();
                self.gradients_in_tiles(slope, into, &references)
                    .unwrap_or(rows)
            });
        }
        let hidden = PackedMatrix::pack(self.hidden, self.how.precision);
        let How {
            set,
            threads,
            precision,
        } = self.how;
        let len = self.targets.len();
        with_f32_scratch(len * self.classes, |exponentials| {
            let mut kept = Kept {
                exponentials,
                references: Vec::new(),
            };
            let rows = self.row_sums(Some(&mut kept));
            let blocks = kept.exponentials.chunks_mut(len * BLOCK_CLASSES);
            let blocks = blocks.zip(kept.references.chunks_exact(len));
            for (index, (values, references)) in blocks.enumerate() {
                let first = index * BLOCK_CLASSES;
                let size = values.len() / len;
                let each = values.par_chunks_exact_mut(size).zip(references);
                let each = each.zip(&rows).zip(self.targets);
                each.for_each(|(((values, reference), row), &target)| {
                    let factor = (f64::from(*reference) - row.log_sum()).exp();
                    let scale = ScaleExponentials {
                        factor: factor as f32 * slope.factor,
                        spread: slope.spread(),
                        values,
                    };
                    dispatch(set, scale);
                    slope.take_target(target, first, values);
                });
                let gradients = MatrixView::row_major(values, len, size);
                with_packed_input(set, threads, precision, gradients, |by_row| {
                    let transposed = gradients.transposed();
                    with_packed_input(set, threads, precision, transposed, |by_class| {
                        self.add_products(first, by_row, by_class, &hidden, into);
                    });
                });
            }
            rows
        })
    }

    /// Adds what the gradients of the logits of a block of classes, `[rows, classes]` and transposed, bring.
    fn add_products(
        &self,
        first: usize,
        by_row: PackedInput<'_>,
        by_class: PackedInput<'_>,
        hidden: &PackedMatrix,
        into: &mut Gradients<'_>,
    ) {
        let (block, width) = (self.block(first), self.hidden.columns());
        let out = MatrixViewMut::row_major(into.hidden, self.targets.len(), width);
        let out = &mut Output::new(out);
        multiply_packed(self.how, by_row, block, Accumulate::Add, out);
        let values = &mut into.embedding[first * width..][..block.rows() * width];
        let out = Output::new(MatrixViewMut::row_major(values, block.rows(), width));
        Product {
            accumulate: into.accumulate,
            ..product(by_class, self.how.threads, hidden, Epilogue::default())
        }
        .run(&out);
    }

    /// Tiles that were made, as products take them.
    #[cfg(target_arch = "x86_64")]
    fn operand<'w>(&self, words: &'w [u32], layout: Layout) -> PackedInput<'w> {
        PackedInput {
            kernel: self.packed.kernel,
            layout,
            words,
            scales: &[],
        }
    }

    /// The logits of the targets, in f32.
    #[cfg(target_arch = "x86_64")]
    fn target_logits(&self) -> Vec<f32> {
        let width = self.hidden.columns();
        let rows = self.targets.par_iter().enumerate();
        rows.map(|(row, &target)| {
            let hidden = self.hidden.row_slice(row, 0, width);
            let embedding = &self.embedding[target * width..(target + 1) * width];
            dispatch(self.how.set, Dot { hidden, embedding })
        })
        .collect()
    }

    /// [`Blocks::gradients`] of the matrix unit. Exponentials are reduced by `references`, `[rows]`; None, and
    /// gradients of no meaning, where one of them is so far below its row's largest logit that exponentials get
    /// out of range.
    #[cfg(target_arch = "x86_64")]
    fn gradients_in_tiles(
        &self,
        slope: Slope,
        into: &mut Gradients<'_>,
        references: &[f32],
    ) -> Option<Vec<RowSums>> {
        let (rows, width) = (self.targets.len(), self.hidden.columns());
        let layout = |lines, depth| {
            let (grouping, order) = self.packed.kernel.group_rows(self.how.set, lines);
            Layout::new(grouping, self.packed.layout.format, order, depth)
        };
        let by_row = |size| layout(rows, size);
        let by_class = |size| layout(size, rows);
        let blocks = self.classes.div_ceil(BLOCK_CLASSES);
        let whole = by_class(BLOCK_CLASSES).words();
        into.hidden.fill(0.0);
        with_scratch(blocks * whole, |kept| {
            let mut sums: Vec<RowSums> = references.iter().map(|&at| RowSums::new(at)).collect();
            let parts = TileSums::new(rows);
            for (index, kept) in kept.chunks_exact_mut(whole).enumerate() {
                let first = index * BLOCK_CLASSES;
                let block = self.block(first);
                let layouts = [by_row(block.rows()), by_class(block.rows())];
                with_scratch(layouts[0].words(), |words| {
                    let make = |rows: Range<usize>, classes: Range<usize>, tile: &mut [f32]| {
                        let classes = first + classes.start..first + classes.end;
                        self.exponentiate(slope, references, &parts, rows, classes, tile);
                    };
                    let tiles = ExponentialTiles {
                        rows: (Pieces::new(words), layouts[0]),
                        classes: (Pieces::new(kept), layouts[1]),
                        make: &make,
                    };
                    with_product(self.how, self.packed, block.transposed(), |product| {
                        product.run_into_exponentials(&tiles);
                    });
                    parts.add_to(&mut sums, block.rows());
                    let out = MatrixViewMut::row_major(into.hidden, rows, width);
                    let out = &mut Output::new(out);
                    let words = self.operand(words, layouts[0]);
                    multiply_packed(self.how, words, block, Accumulate::Add, out);
                });
            }
            /// Exponentials beyond are next to what f32 can hold.
            const MOST: f64 = 1e30;
            if !sums.iter().all(|row| row.exponentials <= MOST) {
                return None;
            }
            self.finish_hidden(slope, &sums, into.hidden);
            let scaled = self.scaled_hidden(slope, &sums);
            let spread = self.spread_of_hidden(slope);
            let epilogue = Epilogue {
                bias: spread.as_deref(),
                ..Epilogue::default()
            };
            for (index, kept) in kept.chunks_exact(whole).enumerate() {
                let first = index * BLOCK_CLASSES;
                let size = self.block(first).rows();
                let layout = by_class(size);
                let values = &mut into.embedding[first * width..][..size * width];
                let out = Output::new(MatrixViewMut::row_major(values, size, width));
                let kept = self.operand(&kept[..layout.words()], layout);
                Product {
                    accumulate: into.accumulate,
                    ..product(kept, self.how.threads, &scaled, epilogue)
                }
                .run(&out);
            }
            for (row, &target) in self.targets.iter().enumerate() {
                let hidden = self.hidden.row_slice(row, 0, width);
                let take = ScaleAndAdd {
                    target: &mut into.embedding[target * width..][..width],
                    scale: 1.0,
                    factor: -slope.of_target(),
                    source: hidden,
                };
                dispatch(self.how.set, take);
            }
            Some(sums)
        })
    }
    /// Turns a tile of logits, `[rows, COLUMNS]`, into exponentials and keeps what is known of them. `classes`
    /// are of all classes.
    #[cfg(target_arch = "x86_64")]
    fn exponentiate(
        &self,
        slope: Slope,
        references: &[f32],
        parts: &TileSums,
        rows: Range<usize>,
        classes: Range<usize>,
        tile: &mut [f32],
    ) {
        let targets = &self.targets[rows.clone()];
        for ((row, &target), logits) in rows.clone().zip(targets).zip(tile.chunks_exact(COLUMNS)) {
            if classes.contains(&target) {
                let logit = logits[target - classes.start];
                parts.targets[row].store(logit.to_bits(), Ordering::Relaxed);
            }
        }
        let panel = classes.start % BLOCK_CLASSES / COLUMNS;
        let exponentiate = Exponentiate {
            references: &references[rows.clone()],
            classes: classes.len(),
            tile,
            exponentials: &parts.exponentials[panel * parts.targets.len() + rows.start..],
            // The sum of all logits counts where the target is smoothed.
            totals: match slope.smoothing {
                0.0 => &[],
                _ => &parts.totals[panel * parts.targets.len() + rows.start..],
            },
        };
        dispatch(self.how.set, exponentiate);
    }

    /// Turns sums of embeddings times exponentials, `[rows, width]`, into gradients.
    #[cfg(target_arch = "x86_64")]
    fn finish_hidden(&self, slope: Slope, sums: &[RowSums], hidden: &mut [f32]) {
        let (width, set) = (self.hidden.columns(), self.how.set);
        let all = (slope.smoothing > 0.0).then(|| sum_of_rows(set, self.embedding, width));
        let rows = hidden.par_chunks_exact_mut(width).zip(sums);
        rows.zip(self.targets).for_each(|((row, sums), &target)| {
            let scale = ScaleAndAdd {
                target: row,
                scale: slope.factor / sums.exponentials as f32,
                factor: -slope.of_target(),
                source: &self.embedding[target * width..(target + 1) * width],
            };
            dispatch(set, scale);
            if let Some(all) = &all {
                let spread = ScaleAndAdd {
                    target: row,
                    scale: 1.0,
                    factor: -slope.spread(),
                    source: all,
                };
                dispatch(set, spread);
            }
        });
    }

    /// The hidden states, each times what turns its exponentials into gradients of logits.
    #[cfg(target_arch = "x86_64")]
    fn scaled_hidden(&self, slope: Slope, sums: &[RowSums]) -> PackedMatrix {
        let (rows, width) = (self.targets.len(), self.hidden.columns());
        with_f32_scratch(rows * width, |values| {
            let scaled = values.par_chunks_exact_mut(width).zip(sums).enumerate();
            scaled.for_each(|(row, (values, sums))| {
                let factor = slope.factor / sums.exponentials as f32;
                let hidden = self.hidden.row_slice(row, 0, width);
                for (value, hidden) in values.iter_mut().zip(hidden) {
                    *value = factor * hidden;
                }
            });
            PackedMatrix::pack(
                MatrixView::row_major(values, rows, width),
                self.how.precision,
            )
        })
    }

    /// What the share of the target that is spread over all classes adds to the gradient of each of them,
    /// `[width]`; None where there is none.
    #[cfg(target_arch = "x86_64")]
    fn spread_of_hidden(&self, slope: Slope) -> Option<Vec<f32>> {
        let width = self.hidden.columns();
        (slope.smoothing > 0.0).then(|| {
            let rows = (0..self.targets.len()).flat_map(|row| self.hidden.row_slice(row, 0, width));
            let rows: Vec<f32> = rows.copied().collect();
            let mut sums = sum_of_rows(self.how.set, &rows, width);
            sums.iter_mut().for_each(|sum| *sum *= -slope.spread());
            sums
        })
    }

    /// The embeddings of a block of classes, `[some classes, width]`.
    fn block(&self, first: usize) -> MatrixView<'_> {
        let (width, size) = (
            self.hidden.columns(),
            BLOCK_CLASSES.min(self.classes - first),
        );
        let embedding = &self.embedding[first * width..(first + size) * width];
        MatrixView::row_major(embedding, size, width)
    }

    /// The logits of a block of classes, `[rows, classes]`.
    fn logits(&self, block: MatrixView<'_>, logits: &mut [f32]) {
        let out = MatrixViewMut::row_major(logits, self.targets.len(), block.rows());
        let out = &mut Output::new(out);
        let block = block.transposed();
        multiply_packed(self.how, self.packed, block, Accumulate::Overwrite, out);
    }
}

/// Adds more logits of a row to its sums.
struct AddLogits<'a> {
    row: &'a mut RowSums,
    logits: &'a mut [f32],
}

impl Kernel for AddLogits<'_> {
    type Output = ();

    /// The logits are replaced by `e^(logit - largest)`.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let row = self.row;
        row.total += sum(simd, self.logits);
        let largest = maximum(simd, self.logits).max(row.largest);
        row.exponentials *= f64::from(row.largest - largest).exp();
        row.largest = largest;
        row.exponentials += f64::from(exp_sum(simd, self.logits, 1.0, -largest));
    }
}

/// Turns exponentials of logits into their gradients, the target's own part aside.
struct ScaleExponentials<'a> {
    factor: f32,
    spread: f32,
    values: &'a mut [f32],
}

impl Kernel for ScaleExponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (factor, spread) = (simd.splat(self.factor), simd.splat(-self.spread));
        map_lanes!(simd, S, self.values, |x| simd.mul_add(x, factor, spread));
    }
}

/// What is known of the tiles of a block of classes. Tiles are filled by any thread, each by one.
#[cfg(target_arch = "x86_64")]
struct TileSums {
    /// Sums of exponentials of each row of a tile, `[panels of classes, rows]`.
    exponentials: Vec<AtomicU32>,
    /// Sums of logits, alike.
    totals: Vec<AtomicU32>,
    /// The logit of each row's target, `[rows]`.
    targets: Vec<AtomicU32>,
}

#[cfg(target_arch = "x86_64")]
impl TileSums {
    fn new(rows: usize) -> Self {
        let zeros = |len| (0..len).map(|_| AtomicU32::new(0)).collect();
        let panels = BLOCK_CLASSES.div_ceil(COLUMNS);
        Self {
            exponentials: zeros(panels * rows),
            totals: zeros(panels * rows),
            targets: zeros(rows),
        }
    }

    /// Adds the sums of a block of `classes`.
    fn add_to(&self, sums: &mut [RowSums], classes: usize) {
        /// Rows a thread adds up at a time.
        const ROWS: usize = 64;
        let rows = sums.len();
        let number = |word: &AtomicU32| f64::from(f32::from_bits(word.load(Ordering::Relaxed)));
        let chunks = sums.par_chunks_mut(ROWS).enumerate();
        chunks.for_each(|(chunk, sums)| {
            for panel in 0..classes.div_ceil(COLUMNS) {
                let at = panel * rows + chunk * ROWS;
                let parts = self.exponentials[at..].iter().zip(&self.totals[at..]);
                for (sums, (exponentials, total)) in sums.iter_mut().zip(parts) {
                    sums.exponentials += number(exponentials);
                    sums.total += number(total);
                }
            }
            for (sums, target) in sums.iter_mut().zip(&self.targets[chunk * ROWS..]) {
                sums.target = number(target);
            }
        });
    }
}

/// Turns a tile of logits into exponentials and adds up each row.
#[cfg(target_arch = "x86_64")]
struct Exponentiate<'a> {
    /// What the logits of a row are reduced by, `[rows]`.
    references: &'a [f32],
    /// Columns that count.
    classes: usize,
    /// `[rows, COLUMNS]`
    tile: &'a mut [f32],
    /// `[rows]`, and more.
    exponentials: &'a [AtomicU32],
    /// Likewise; empty where they are not wanted.
    totals: &'a [AtomicU32],
}

#[cfg(target_arch = "x86_64")]
impl Kernel for Exponentiate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let rows = self.tile.chunks_exact_mut(COLUMNS).zip(self.references);
        for (index, (row, reference)) in rows.enumerate() {
            let row = &mut row[..self.classes];
            if let Some(total) = self.totals.get(index) {
                total.store((sum(simd, row) as f32).to_bits(), Ordering::Relaxed);
            }
            let reference = simd.splat(*reference);
            map_lanes!(simd, S, row, |x| simd.exp(simd.sub(x, reference)));
            let mut lanes = simd.zero();
            for values in row.chunks(S::LANES) {
                lanes = simd.add(lanes, simd.load_partial(values));
            }
            self.exponentials[index].store(simd.sum(lanes).to_bits(), Ordering::Relaxed);
        }
    }
}

/// `target = scale target + factor source`
#[cfg(target_arch = "x86_64")]
struct ScaleAndAdd<'a> {
    target: &'a mut [f32],
    scale: f32,
    factor: f32,
    source: &'a [f32],
}

#[cfg(target_arch = "x86_64")]
impl Kernel for ScaleAndAdd<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let scale = simd.splat(self.scale);
        map_lanes!(simd, S, self.target, |x| simd.mul(x, scale));
        add_scaled(simd, self.target, self.factor, self.source);
    }
}

#[cfg(target_arch = "x86_64")]
struct Dot<'a> {
    hidden: &'a [f32],
    embedding: &'a [f32],
}

#[cfg(target_arch = "x86_64")]
impl Kernel for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        dot(simd, self.hidden, self.embedding)
    }
}

/// The sum of the rows of `values`, `[rows, width]`, in an order that does not depend on threads.
#[cfg(target_arch = "x86_64")]
fn sum_of_rows(set: KernelSet, values: &[f32], width: usize) -> Vec<f32> {
    /// Rows whose sum is one of those that are added up.
    const ROWS: usize = 256;
    let add = |sums: &mut [f32], rows: &[f32]| {
        for row in rows.chunks_exact(width) {
            let add = ScaleAndAdd {
                target: &mut *sums,
                scale: 1.0,
                factor: 1.0,
                source: row,
            };
            dispatch(set, add);
        }
    };
    let parts = values.par_chunks(ROWS * width).map(|rows| {
        let mut sums = vec![0.0; width];
        add(&mut sums, rows);
        sums
    });
    let parts: Vec<f32> = parts.collect::<Vec<_>>().concat();
    let mut sums = vec![0.0; width];
    add(&mut sums, &parts);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cross_entropy::tests::{CASES, TOLERANCE, exact, targets};
    use crate::dispatch::{KernelSet, with_kernels};
    use crate::testing::{assert_close, random};

    #[test]
    fn fused_loss_agrees_with_f64_under_every_set() {
        let width = 33;
        for set in KernelSet::supported() {
            for (rows, classes, settings) in CASES {
                let (hidden, embedding) = (random(rows * width, 2), random(classes * width, 3));
                let targets = targets(rows, classes);
                let at = |values: &[f32], i: usize, l: usize| f64::from(values[i * width + l]);
                let logits: Vec<f64> = (0..rows * classes)
                    .map(|i| {
                        let (row, class) = (i / classes, i % classes);
                        (0..width)
                            .map(|l| at(&hidden, row, l) * at(&embedding, class, l))
                            .sum()
                    })
                    .collect();
                let (loss, slope) = exact(&logits, classes, &targets, settings);
                let mut expected_hidden = vec![0.0; rows * width];
                let mut expected_embedding = vec![0.0; classes * width];
                for (i, slope) in slope.iter().enumerate() {
                    let (row, class) = (i / classes, i % classes);
                    for l in 0..width {
                        expected_hidden[row * width + l] +=
                            (slope * at(&embedding, class, l)) as f32;
                        expected_embedding[class * width + l] +=
                            (slope * at(&hidden, row, l)) as f32;
                    }
                }
                let mut hidden_gradient = vec![f32::NAN; rows * width];
                let mut embedding_gradient = vec![f32::NAN; classes * width];
                let got = with_kernels(set, || {
                    let gradients = LinearCrossEntropyGradients {
                        hidden: &mut hidden_gradient,
                        embedding: &mut embedding_gradient,
                    };
                    linear_cross_entropy(
                        &hidden,
                        &embedding,
                        width,
                        &targets,
                        settings,
                        Some(gradients),
                    )
                });
                let what = format!("{set} {rows}x{classes}");
                assert!(
                    (got.mean - loss).abs() < 1e-6 * loss.max(1.0),
                    "{what}: {got:?} {loss}"
                );
                assert_close(&hidden_gradient, &expected_hidden, TOLERANCE, &what);
                assert_close(&embedding_gradient, &expected_embedding, TOLERANCE, &what);
            }
        }
    }

    /// The loss in `precision`, and the gradients of the hidden states and of the embedding.
    fn run(
        precision: Precision,
        (hidden, embedding, width): (&[f32], &[f32], usize),
        targets: &[u32],
        settings: CrossEntropy,
    ) -> (f64, Vec<f32>, Vec<f32>) {
        let mut of_hidden = vec![f32::NAN; hidden.len()];
        let mut of_embedding = vec![f32::NAN; embedding.len()];
        let gradients = LinearCrossEntropyGradients {
            hidden: &mut of_hidden,
            embedding: &mut of_embedding,
        };
        let gradients = Some(gradients);
        let loss = linear_cross_entropy_with(
            precision, hidden, embedding, width, targets, settings, gradients,
        );
        (loss.mean, of_hidden, of_embedding)
    }

    /// bf16 keeps 8 bits: logits of 33 products are off by a few 1e-3, gradients by as much of them.
    #[test]
    fn fused_loss_in_bf16_is_close_under_every_set() {
        // One block of classes, and more with a last one that is not whole.
        for (rows, classes, width) in [(40, 200, 33), (67, BLOCK_CLASSES + 45, 40)] {
            let (hidden, embedding) = (random(rows * width, 4), random(classes * width, 5));
            let matrices = (&hidden[..], &embedding[..], width);
            let targets = targets(rows, classes);
            for (label_smoothing, ignore_index) in [(0.0, None), (0.1, Some(targets[3]))] {
                let settings = CrossEntropy {
                    label_smoothing,
                    ignore_index,
                };
                let exact = run(Precision::F32, matrices, &targets, settings);
                for set in KernelSet::supported() {
                    let got =
                        with_kernels(set, || run(Precision::Bf16, matrices, &targets, settings));
                    assert!((got.0 - exact.0).abs() < 1e-2 * exact.0, "{set}");
                    assert_close(&got.1, &exact.1, 1e-3, set.name());
                    assert_close(&got.2, &exact.2, 1e-3, set.name());
                }
            }
        }
    }

    /// Values that bf16 holds exactly, whose logits lie hundreds apart: exponentials relative to the target's do
    /// not fit into f32.
    #[test]
    fn logits_far_above_the_target_do_not_overflow() {
        let (rows, classes, width) = (40, 200, 33);
        let steps = |len, factor: usize| -> Vec<f32> {
            let step = |i: usize| ((i * factor + i / 7) % 17) as f32 - 8.0;
            (0..len).map(step).collect()
        };
        let (hidden, embedding) = (steps(rows * width, 31), steps(classes * width, 13));
        let matrices = (&hidden[..], &embedding[..], width);
        let (targets, settings) = (targets(rows, classes), CrossEntropy::default());
        let exact = run(Precision::F32, matrices, &targets, settings);
        assert!(exact.0 > 100.0, "a loss that is large, not {}", exact.0);
        for set in KernelSet::supported() {
            let got = with_kernels(set, || run(Precision::Bf16, matrices, &targets, settings));
            assert!((got.0 - exact.0).abs() < 1e-5 * exact.0, "{set} {}", got.0);
            // Gradients are as large as 8, and as exact as probabilities in bf16.
            assert_close(&got.1, &exact.1, 2e-2, set.name());
            assert_close(&got.2, &exact.2, 2e-2, set.name());
        }
    }

    #[test]
    fn nothing_counted_is_no_loss() {
        let settings = CrossEntropy {
            ignore_index: Some(0),
            ..CrossEntropy::default()
        };
        let loss = linear_cross_entropy(&[1.0; 4], &[1.0; 6], 2, &[0, 0], settings, None);
        assert_eq!(loss, Loss::default());
    }
}
