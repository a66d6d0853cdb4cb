//! A product of two packed operands: the loops around the tiles, and the threads.

use super::linear::Epilogue;
use super::output::{Output, OutputBlock};
use super::panels::Layout;
use super::tile::{Accumulate, Tile, TileKernel};
use crate::dispatch::KernelSet;
use rayon::prelude::*;
use std::ops::Range;

/// Whether a computation spreads over the rayon pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// Stays on the calling thread, because the caller is parallel itself.
    One,
    /// Uses the pool when the work is worth it.
    All,
}

/// Multiplications below which a second thread costs more than it brings.
const PARALLEL_WORK: usize = 1 << 18;

/// Rows of the first operand per task: their panels of one chunk stay in L2.
const TASK_ROWS: usize = 112;

/// Panels of the second operand per task at most: those of one chunk stay in L2 too.
const TASK_PANELS: usize = 8;

/// Tasks to aim at when the output is small, so that threads share it evenly.
const WANTED_TASKS: usize = 16;

pub(crate) struct Product<'a> {
    pub(crate) set: KernelSet,
    pub(crate) kernel: TileKernel,
    pub(crate) threads: Threads,
    /// Of a product of bytes: factors of the rows of the output; else empty.
    pub(crate) row_scales: &'a [f32],
    /// Of a product of bytes: factors of the columns of all panels; else empty.
    pub(crate) column_scales: &'a [f32],
    pub(crate) a: &'a [u32],
    pub(crate) a_layout: Layout,
    pub(crate) b: &'a [u32],
    pub(crate) b_layout: Layout,
    pub(crate) accumulate: Accumulate,
    pub(crate) epilogue: Epilogue<'a>,
}

impl Product<'_> {
    pub(crate) fn run(&self, out: &Output<'_>) {
        let a_panels = self.a_layout.grouping.panels();
        let b_panels = self.b_layout.grouping.panels();
        let multiplications = out.rows() * out.columns() * self.a_layout.steps;
        let row_blocks = out.rows().div_ceil(TASK_ROWS).min(a_panels);
        let column_blocks = b_panels
            .div_ceil(TASK_PANELS)
            .max(WANTED_TASKS.div_ceil(row_blocks))
            .min(b_panels);
        let share = |blocks: usize, panels: usize, block: usize| {
            block * panels / blocks..(block + 1) * panels / blocks
        };
        let task = |index: usize| {
            let a_range = share(row_blocks, a_panels, index % row_blocks);
            let b_range = share(column_blocks, b_panels, index / row_blocks);
            let rows = self.lines(self.a_layout, &a_range);
            let columns = self.lines(self.b_layout, &b_range);
            // SAFETY: `share` cuts the panels of both operands into disjoint runs, so that no two
            // tasks have an output element in common.
            let block = unsafe { out.block(rows.start, rows.len(), columns.start, columns.len()) };
            self.run_task(a_range, b_range, rows, columns, block);
        };
        let tasks = row_blocks * column_blocks;
        if self.threads == Threads::One || multiplications < PARALLEL_WORK {
            (0..tasks).for_each(task);
        } else {
            (0..tasks).into_par_iter().with_max_len(1).for_each(task);
        }
    }

    fn lines(&self, layout: Layout, panels: &Range<usize>) -> Range<usize> {
        let first = layout.grouping.lines_of(panels.start);
        first.start..layout.grouping.lines_of(panels.end - 1).end
    }

    fn run_task(
        &self,
        a_panels: Range<usize>,
        b_panels: Range<usize>,
        rows: Range<usize>,
        columns: Range<usize>,
        mut block: OutputBlock<'_>,
    ) {
        if self.a_layout.steps == 0 && self.accumulate == Accumulate::Overwrite {
            (0..rows.len()).for_each(|row| block.row(row).fill(0.0));
        }
        for chunk in 0..self.a_layout.chunks() {
            let accumulate = match chunk {
                0 => self.accumulate,
                _ => Accumulate::Add,
            };
            for b_panel in b_panels.clone() {
                let b = &self.b[self.b_layout.panel(chunk, b_panel)];
                let tile_columns = self.b_layout.grouping.lines_of(b_panel);
                let column_scales = match self.column_scales {
                    [] => &[],
                    scales => &scales[tile_columns.start..],
                };
                for a_panel in a_panels.clone() {
                    let a = &self.a[self.a_layout.panel(chunk, a_panel)];
                    let tile_rows = self.a_layout.grouping.lines_of(a_panel);
                    let mut out = block.part(
                        tile_rows.start - rows.start,
                        tile_rows.len(),
                        tile_columns.start - columns.start,
                        tile_columns.len(),
                    );
                    let row_scales = match self.row_scales {
                        [] => &[],
                        scales => &scales[tile_rows.clone()],
                    };
                    let tile = Tile {
                        rows: tile_rows.len(),
                        a,
                        b,
                        row_scales,
                        column_scales,
                        accumulate,
                        out: &mut out,
                    };
                    self.kernel.run(self.set, tile);
                }
            }
        }
        self.epilogue.apply(
            self.set,
            rows,
            columns,
            self.b_layout.grouping.lines(),
            &mut block,
        );
    }
}
