//! A product of two packed operands: the loops around the tiles, and the threads.

use super::finish::finish;
use super::tile_kernel::TileKernel;
use crate::dispatch::KernelSet;
use crate::epilogue::Epilogue;
use crate::matrix::{Accumulate, Layout, Output, OutputBlock, Task, Tile};
use crate::parallel::Threads;
#[cfg(target_arch = "x86_64")]
use crate::{
    matrix::Pieces,
    matrix_unit::{self, ExponentialTiles, Target, UnitProduct},
};
use rayon::prelude::*;
use std::ops::Range;

/// With fewer multiplications a second thread costs more than it saves.
const PARALLEL_WORK: usize = 1 << 18;

/// Rows of the first operand per task: their panels of one chunk stay in L2.
const TASK_ROWS: usize = 112;

/// The most panels of the second operand per task: those of one chunk stay in L2 too.
const TASK_PANELS: usize = 8;

/// Tasks to aim at when the output is small, so that threads share it evenly.
const WANTED_TASKS: usize = 16;

pub(crate) struct Product<'a> {
    pub(crate) set: KernelSet,
    pub(crate) kernel: TileKernel,
    pub(crate) threads: Threads,
    /// Factors of the rows of the output, for a product of bytes; else empty.
    pub(crate) row_scales: &'a [f32],
    /// Factors of the columns of all panels, for a product of bytes; else empty.
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
        #[cfg(target_arch = "x86_64")]
        let unit = self.on_matrix_unit().filter(|_| self.a_layout.steps > 0);
        self.cut(out.rows(), out.columns(), |task| {
            // SAFETY: `cut` makes tasks of disjoint rows and columns.
            let mut block = unsafe {
                let (rows, columns) = (&task.rows, &task.columns);
                out.block(rows.start, rows.len(), columns.start, columns.len())
            };
            #[cfg(target_arch = "x86_64")]
            if let Some(unit) = &unit {
                return unit.run_task(&task, Target::Rows(&mut block));
            }
            self.run_task(task, &mut block);
        });
    }

    /// [`Product::run`] on the matrix unit, with bf16 for another such product as its output.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn run_into_tiles(&self, tiles: &Pieces<'_>, layout: Layout) {
        self.run_into(|| Target::Tiles(tiles, layout));
    }

    /// [`Product::run`] on the matrix unit, for a product of logits: into their exponentials.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn run_into_exponentials(&self, tiles: &ExponentialTiles<'_>) {
        self.run_into(|| Target::Exponentials(tiles));
    }

    #[cfg(target_arch = "x86_64")]
    fn run_into<'t>(&self, target: impl Fn() -> Target<'t, 't> + Sync) {
        let Some(unit) = self.on_matrix_unit() else {
            unreachable!("product of the matrix unit");
        };
        let rows = self.a_layout.grouping.lines();
        let columns = self.b_layout.grouping.lines();
        self.cut(rows, columns, |task| unit.run_task(&task, target()));
    }

    /// The product as the matrix unit runs it; None where it does not.
    #[cfg(target_arch = "x86_64")]
    fn on_matrix_unit(&self) -> Option<UnitProduct<'_>> {
        let TileKernel::MatrixUnit(operation) = self.kernel else {
            return None;
        };
        Some(UnitProduct {
            operation,
            row_scales: self.row_scales,
            column_scales: self.column_scales,
            a: self.a,
            a_layout: self.a_layout,
            b: self.b,
            b_layout: self.b_layout,
            accumulate: self.accumulate,
            epilogue: self.epilogue,
        })
    }

    /// Cuts the output into tasks of disjoint panels of both operands, and runs them.
    fn cut(&self, rows: usize, columns: usize, run: impl Fn(Task) + Sync) {
        let a_panels = self.a_layout.grouping.panels();
        let b_panels = self.b_layout.grouping.panels();
        let multiplications = rows * columns * self.a_layout.steps;
        let (row_blocks, column_blocks) = self.blocks(rows, a_panels, b_panels);
        let share = |blocks: usize, panels: usize, block: usize| {
            block * panels / blocks..(block + 1) * panels / blocks
        };
        let task = |index: usize| {
            let a_range = share(row_blocks, a_panels, index % row_blocks);
            let b_range = share(column_blocks, b_panels, index / row_blocks);
            let rows = self.lines(self.a_layout, &a_range);
            let columns = self.lines(self.b_layout, &b_range);
            run(Task {
                a_panels: a_range,
                b_panels: b_range,
                rows,
                columns,
            });
        };
        let tasks = row_blocks * column_blocks;
        if self.threads == Threads::One || multiplications < PARALLEL_WORK {
            (0..tasks).for_each(task);
        } else {
            (0..tasks).into_par_iter().with_max_len(1).for_each(task);
        }
    }

    /// How many blocks to cut rows and columns into.
    fn blocks(&self, rows: usize, a_panels: usize, b_panels: usize) -> (usize, usize) {
        #[cfg(target_arch = "x86_64")]
        if self.kernel.is_of_matrix_unit() {
            return matrix_unit::blocks(a_panels, b_panels, WANTED_TASKS);
        }
        let row_blocks = rows.div_ceil(TASK_ROWS).min(a_panels);
        let column_blocks = b_panels
            .div_ceil(TASK_PANELS)
            .max(WANTED_TASKS.div_ceil(row_blocks))
            .min(b_panels);
        (row_blocks, column_blocks)
    }

    fn lines(&self, layout: Layout, panels: &Range<usize>) -> Range<usize> {
        let first = layout.grouping.lines_of(panels.start);
        first.start..layout.grouping.lines_of(panels.end - 1).end
    }

    fn run_task(&self, task: Task, block: &mut OutputBlock<'_>) {
        let Task {
            a_panels,
            b_panels,
            rows,
            columns,
        } = task;
        if self.a_layout.steps == 0 && self.accumulate == Accumulate::Overwrite {
            (0..rows.len()).for_each(|row| block.row(row).fill(0.0));
        }
        for chunk in 0..self.a_layout.chunks() {
            let accumulate = match chunk {
                0 => self.accumulate,
                _ => Accumulate::Add,
            };
            for (b_words, tile_columns) in self.b_layout.panels_of(chunk, b_panels.clone()) {
                let b = &self.b[b_words];
                let column_scales = match self.column_scales {
                    [] => &[],
                    scales => &scales[tile_columns.start..],
                };
                for (a_words, tile_rows) in self.a_layout.panels_of(chunk, a_panels.clone()) {
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
                        a: &self.a[a_words],
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
        let outputs = self.b_layout.grouping.lines();
        finish(self.set, self.epilogue, rows, columns, outputs, block);
    }
}
