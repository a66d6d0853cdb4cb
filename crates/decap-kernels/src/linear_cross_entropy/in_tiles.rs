//! The fused loss on the matrix unit: exponentials of logits stay in its tiles, as operands of the products that
//! follow.

use super::{BLOCK_CLASSES, Blocks, Gradients, RowSums, Slope};
use crate::arch::{Kernel, Simd, add_scaled, amx::COLUMNS, dispatch, dot, map_lanes};
use crate::cross_entropy::sum;
use crate::dispatch::KernelSet;
use crate::gemm::{
    Accumulate, Epilogue, ExponentialTiles, Layout, MatrixView, MatrixViewMut, Output, PackedInput,
    PackedMatrix, Pieces, Product, multiply_packed, product, with_f32_scratch, with_product,
    with_scratch,
};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Sums of exponentials beyond are next to what f32 can hold.
const MOST_OF_A_ROW: f64 = 1e30;

impl Blocks<'_> {
    /// [`Blocks::gradients`] of the matrix unit.
    pub(super) fn gradients_of_matrix_unit(
        &self,
        slope: Slope,
        into: &mut Gradients<'_>,
    ) -> Vec<RowSums> {
        let references = self.target_logits();
        let rows = self.gradients_in_tiles(slope, into, &references, MOST_OF_A_ROW);
        rows.unwrap_or_else(|| {
            let rows = self.row_sums(None);
            let references: Vec<f32> = rows.iter().map(|row| row.largest).collect();
            // Sums are no larger than the number of classes now, or logits no numbers.
            self.gradients_in_tiles(slope, into, &references, f64::INFINITY)
                .unwrap_or(rows)
        })
    }

    /// Tiles that were made, as products take them.
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

    /// [`Blocks::gradients`] of the matrix unit. Exponentials are reduced by `references`, `[rows]`; None, and
    /// gradients of no meaning, where those of a row add up to more than a finite `most`.
    fn gradients_in_tiles(
        &self,
        slope: Slope,
        into: &mut Gradients<'_>,
        references: &[f32],
        most: f64,
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
            // Exponentials of what is no number are some.
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

/// What is known of the tiles of a block of classes. Tiles are filled by any thread, each by one.
struct TileSums {
    /// Sums of exponentials of each row of a tile, `[panels of classes, rows]`.
    exponentials: Vec<AtomicU32>,
    /// Sums of logits, alike.
    totals: Vec<AtomicU32>,
    /// The logit of each row's target, `[rows]`.
    targets: Vec<AtomicU32>,
}

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
