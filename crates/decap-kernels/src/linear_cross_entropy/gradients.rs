//! Gradients of the fused loss: logits are computed once, and their exponentials are kept as operands of the products
//! that follow. The sums of the exponentials are applied later, as a scale of another operand or of the result.

use super::blocks::{BLOCK_CLASSES, Blocks};
use super::exponentials::Exponentials;
use crate::arch::{Kernel, Simd};
use crate::dispatch::{KernelSet, dispatch};
use crate::epilogue::Epilogue;
use crate::gemm::{PackedInput, PackedMatrix, Product, multiply_packed, product};
use crate::lanes::{add_scaled, dot, map_lanes};
use crate::matrix::{Accumulate, Layout, MatrixView, MatrixViewMut, Output};
#[cfg(target_arch = "x86_64")]
use crate::matrix_unit::TileSums;
use crate::row_sums::RowSums;
use crate::words::{with_f32_scratch, with_scratch};
use rayon::prelude::*;

/// Larger sums of exponentials are close to the limit of f32.
const MOST_OF_A_ROW: f64 = 1e30;

/// How gradients of logits follow from probabilities.
#[derive(Clone, Copy)]
pub(super) struct Slope {
    /// One over the rows that count.
    pub(super) factor: f32,
    /// Share of the target that is spread over all classes.
    pub(super) smoothing: f32,
    pub(super) classes: usize,
}

impl Slope {
    /// What is subtracted from the gradient of every class.
    fn spread(self) -> f32 {
        self.smoothing / self.classes as f32 * self.factor
    }

    /// The gradient of the target's logit, without the spread: its probability minus what it should be. The products
    /// leave it out, because they would round both before the subtraction.
    fn of_target(self, row: &RowSums) -> f32 {
        let probability = (row.target - row.log_sum()).exp();
        ((probability - 1.0 + f64::from(self.smoothing)) * f64::from(self.factor)) as f32
    }
}

/// Where gradients go.
pub(super) struct Gradients<'a> {
    /// `[rows, width]`
    pub(super) hidden: &'a mut [f32],
    /// `[classes, width]`
    pub(super) embedding: &'a mut [f32],
    /// Whether those of the embedding are overwritten or added to.
    pub(super) accumulate: Accumulate,
}

impl Blocks<'_> {
    /// The sums of the rows, and the gradients.
    pub(super) fn gradients(&self, slope: Slope, into: &mut Gradients<'_>) -> Vec<RowSums> {
        let references = self.target_logits();
        let rows = self.gradients_relative_to(&references, MOST_OF_A_ROW, slope, into);
        rows.unwrap_or_else(|| {
            let rows = self.row_sums();
            let references: Vec<f32> = rows.iter().map(|row| row.largest).collect();
            // Now sums are at most the number of classes, or logits are NaN.
            self.gradients_relative_to(&references, f64::INFINITY, slope, into)
                .unwrap_or(rows)
        })
    }

    /// Packed words as the operand of a product.
    fn operand<'w>(&self, words: &'w [u32], layout: Layout) -> PackedInput<'w> {
        PackedInput {
            kernel: self.packed.kernel,
            layout,
            words,
            scales: &[],
        }
    }

    /// The logits of the targets, in f32.
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

    /// [`Blocks::gradients`] with `references`, `[rows]`, subtracted from the logits before exp(). None, and meaningless
    /// gradients, if the exponentials of a row add up to more than a finite `most`.
    fn gradients_relative_to(
        &self,
        references: &[f32],
        most: f64,
        slope: Slope,
        into: &mut Gradients<'_>,
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
            #[cfg(target_arch = "x86_64")]
            let tiles = (self.packed.kernel.is_of_matrix_unit())
                .then(|| TileSums::new(rows, BLOCK_CLASSES));
            for (index, kept) in kept.chunks_exact_mut(whole).enumerate() {
                let first = index * BLOCK_CLASSES;
                let block = self.block(first);
                let layouts = [by_row(block.rows()), by_class(block.rows())];
                with_scratch(layouts[0].words(), |words| {
                    let into_words = Exponentials {
                        smoothing: slope.smoothing,
                        by_row: (&mut *words, layouts[0]),
                        by_class: (kept, layouts[1]),
                    };
                    #[cfg(target_arch = "x86_64")]
                    match &tiles {
                        Some(tiles) => self.exponentiate_tiles(first, tiles, &mut sums, into_words),
                        None => self.exponentiate(first, &mut sums, into_words),
                    }
                    #[cfg(not(target_arch = "x86_64"))]
                    self.exponentiate(first, &mut sums, into_words);
                    let out = MatrixViewMut::row_major(into.hidden, rows, width);
                    let out = &mut Output::new(out);
                    let words = self.operand(words, layouts[0]);
                    multiply_packed(self.how, words, block, Accumulate::Add, out);
                });
            }
            // exp() clamps NaN to a number; here it becomes NaN again.
            for (row, _) in sums
                .iter_mut()
                .zip(references)
                .filter(|(_, at)| !at.is_finite())
            {
                row.exponentials = f64::NAN;
            }
            let is_within = |row: &RowSums| row.exponentials <= most;
            if most.is_finite() && !sums.iter().all(is_within) {
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
            for (row, (&target, sums)) in self.targets.iter().zip(&sums).enumerate() {
                let add = ScaleAndAdd {
                    target: &mut into.embedding[target * width..][..width],
                    scale: 1.0,
                    factor: slope.of_target(sums),
                    source: self.hidden.row_slice(row, 0, width),
                };
                dispatch(self.how.set, add);
            }
            Some(sums)
        })
    }

    /// Turns sums of embeddings times exponentials, `[rows, width]`, into gradients.
    fn finish_hidden(&self, slope: Slope, sums: &[RowSums], hidden: &mut [f32]) {
        let (width, set) = (self.hidden.columns(), self.how.set);
        let all = (slope.smoothing > 0.0).then(|| sum_of_rows(set, self.embedding, width));
        let rows = hidden.par_chunks_exact_mut(width).zip(sums);
        rows.zip(self.targets).for_each(|((row, sums), &target)| {
            let scale = ScaleAndAdd {
                target: row,
                scale: slope.factor / sums.exponentials as f32,
                factor: slope.of_target(sums),
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

    /// The hidden states, each times the factor that turns its exponentials into gradients of logits.
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

    /// What the share of the target that is spread over all classes adds to the gradient of each class,
    /// `[width]`; None if nothing is spread.
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
}

/// `target = scale target + factor source`
struct ScaleAndAdd<'a> {
    target: &'a mut [f32],
    scale: f32,
    factor: f32,
    source: &'a [f32],
}

impl Kernel for ScaleAndAdd<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let scale = simd.splat(self.scale);
        map_lanes!(simd, S, self.target, |x| simd.mul(x, scale));
        add_scaled(simd, self.target, self.factor, self.source);
    }
}

struct Dot<'a> {
    hidden: &'a [f32],
    embedding: &'a [f32],
}

impl Kernel for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        dot(simd, self.hidden, self.embedding)
    }
}

/// The sum of the rows of `values`, `[rows, width]`, in an order that does not depend on threads.
fn sum_of_rows(set: KernelSet, values: &[f32], width: usize) -> Vec<f32> {
    /// Rows that are summed to one part.
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
