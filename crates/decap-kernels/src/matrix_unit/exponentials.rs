//! Exponentials of logits: made while a tile of logits is hot, and written as tiles of first operands.

use super::conversion::{round_tile, round_transposed};
use super::multiply::{COLUMNS, TILE_ROWS};
use crate::arch::{Kernel, Simd, avx512};
use crate::lanes::{map_lanes, sum};
use crate::matrix::{Layout, Pieces, TILE_STEPS};
use crate::row_sums::RowSums;
use crate::words::{as_f32, as_f32_mut};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the exponentials of the logits of some classes go, in bf16, and what they are made from.
pub(crate) struct ExponentialTiles<'a> {
    /// A first operand with one line for each row.
    pub(crate) rows: (Pieces<'a>, Layout),
    /// The transpose: a first operand with one line for each class.
    pub(crate) classes: (Pieces<'a>, Layout),
    /// The first of the classes.
    pub(crate) first_class: usize,
    /// Whether the sums of all logits are wanted.
    pub(crate) wants_totals: bool,
    /// What is subtracted from the logits of each row, `[rows]`.
    pub(crate) references: &'a [f32],
    /// The class of each row whose exponential is left out, `[rows]`.
    pub(crate) targets: &'a [usize],
    pub(crate) sums: &'a TileSums,
}

impl ExponentialTiles<'_> {
    /// Writes the exponentials of a tile of logits, `[TILE_ROWS, COLUMNS]`; everything past the last row or class becomes
    /// 0.
    pub(super) fn write(
        &self,
        (a_panel, rows): (usize, Range<usize>),
        (b_panel, classes): (usize, Range<usize>),
        sums: &mut [u32],
    ) {
        let (tile, padding) = as_f32_mut(sums).split_at_mut(rows.len() * COLUMNS);
        padding.fill(0.0);
        for row in tile.chunks_exact_mut(COLUMNS) {
            row[classes.len()..].fill(0.0);
        }
        self.make(rows, classes, tile);
        let tile = |layout: Layout, panel: usize, step: usize| {
            layout.panel(0, panel).start + step * TILE_ROWS * TILE_STEPS
        };
        let (pieces, layout) = &self.rows;
        // SAFETY: tiles of different panels do not overlap, and no two tasks share one.
        let words =
            unsafe { pieces.piece(tile(*layout, a_panel, b_panel), TILE_ROWS * TILE_STEPS) };
        round_tile(as_f32(sums), words);
        let (pieces, layout) = &self.classes;
        // SAFETY: as above.
        let words =
            unsafe { pieces.piece(tile(*layout, b_panel, a_panel), TILE_ROWS * TILE_STEPS) };
        round_transposed(as_f32(sums), words);
    }

    /// Turns a tile of logits, `[rows, COLUMNS]`, into exponentials and records their sums.
    fn make(&self, rows: Range<usize>, columns: Range<usize>, tile: &mut [f32]) {
        let classes = self.first_class + columns.start..self.first_class + columns.end;
        let (parts, targets) = (self.sums, &self.targets[rows.clone()]);
        for ((row, &target), logits) in rows.clone().zip(targets).zip(tile.chunks_exact(COLUMNS)) {
            if classes.contains(&target) {
                let logit = logits[target - classes.start];
                parts.targets[row].store(logit.to_bits(), Ordering::Relaxed);
            }
        }
        let at = columns.start / COLUMNS * self.targets.len() + rows.start;
        avx512::run(Exponentiate {
            references: &self.references[rows.clone()],
            classes: classes.len(),
            tile: &mut *tile,
            exponentials: &parts.exponentials[at..],
            totals: match self.wants_totals {
                true => &parts.totals[at..],
                false => &[],
            },
        });
        for (&target, exponentials) in targets.iter().zip(tile.chunks_exact_mut(COLUMNS)) {
            if classes.contains(&target) {
                exponentials[target - classes.start] = 0.0;
            }
        }
    }
}

/// Sums of the tiles of a block of classes. Any thread may fill a tile, but only one fills each.
pub(crate) struct TileSums {
    /// Sums of exponentials of each row of a tile, `[panels of classes, rows]`.
    exponentials: Vec<AtomicU32>,
    /// Sums of the logits, in the same order.
    totals: Vec<AtomicU32>,
    /// The logit of each row's target, `[rows]`.
    targets: Vec<AtomicU32>,
}

impl TileSums {
    pub(crate) fn new(rows: usize, classes: usize) -> Self {
        let zeros = |len| (0..len).map(|_| AtomicU32::new(0)).collect();
        let panels = classes.div_ceil(COLUMNS);
        Self {
            exponentials: zeros(panels * rows),
            totals: zeros(panels * rows),
            targets: zeros(rows),
        }
    }

    /// Adds the sums of a block of `classes`.
    pub(crate) fn add_to(&self, sums: &mut [RowSums], classes: usize) {
        /// Rows that a thread adds up at a time.
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
    /// What is subtracted from the logits of each row, `[rows]`.
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
