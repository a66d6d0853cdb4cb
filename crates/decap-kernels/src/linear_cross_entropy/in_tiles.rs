//! Exponentials of logits on the matrix unit: made while a tile of logits is hot, and written as tiles.

use super::gradients::Exponentials;
use super::{BLOCK_CLASSES, Blocks, RowSums};
use crate::arch::{Kernel, Simd, amx::COLUMNS, dispatch, map_lanes};
use crate::cross_entropy::sum;
use crate::gemm::{ExponentialTiles, Pieces, with_product};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

impl Blocks<'_> {
    /// The exponentials of the logits of a block of classes, those of targets left out, and what is known of them.
    pub(super) fn exponentiate_tiles(
        &self,
        first: usize,
        parts: &TileSums,
        sums: &mut [RowSums],
        into: Exponentials<'_>,
    ) {
        let block = self.block(first);
        let references: Vec<f32> = sums.iter().map(|row| row.largest).collect();
        let make = |rows: Range<usize>, classes: Range<usize>, tile: &mut [f32]| {
            let classes = first + classes.start..first + classes.end;
            self.exponentiate_tile(into.smoothing, &references, parts, rows, classes, tile);
        };
        let tiles = ExponentialTiles {
            rows: (Pieces::new(into.by_row.0), into.by_row.1),
            classes: (Pieces::new(into.by_class.0), into.by_class.1),
            make: &make,
        };
        with_product(self.how, self.packed, block.transposed(), |product| {
            product.run_into_exponentials(&tiles);
        });
        parts.add_to(sums, block.rows());
    }

    /// Turns a tile of logits, `[rows, COLUMNS]`, into exponentials and keeps what is known of them. `classes`
    /// are of all classes.
    fn exponentiate_tile(
        &self,
        smoothing: f32,
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
            tile: &mut *tile,
            exponentials: &parts.exponentials[panel * parts.targets.len() + rows.start..],
            // The sum of all logits counts where the target is smoothed.
            totals: match smoothing {
                0.0 => &[],
                _ => &parts.totals[panel * parts.targets.len() + rows.start..],
            },
        };
        dispatch(self.how.set, exponentiate);
        for (&target, exponentials) in targets.iter().zip(tile.chunks_exact_mut(COLUMNS)) {
            if classes.contains(&target) {
                exponentials[target - classes.start] = 0.0;
            }
        }
    }
}

/// What is known of the tiles of a block of classes. Tiles are filled by any thread, each by one.
pub(super) struct TileSums {
    /// Sums of exponentials of each row of a tile, `[panels of classes, rows]`.
    exponentials: Vec<AtomicU32>,
    /// Sums of logits, alike.
    totals: Vec<AtomicU32>,
    /// The logit of each row's target, `[rows]`.
    targets: Vec<AtomicU32>,
}

impl TileSums {
    pub(super) fn new(rows: usize) -> Self {
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
