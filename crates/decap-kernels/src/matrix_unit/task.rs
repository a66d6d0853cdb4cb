//! Tasks of a product on the matrix unit.
//!
//! The unit multiplies faster than the second-level cache delivers, so the sum is cut into passes
//! whose panels fit into the first level side by side. The sums of a task wait in a block of whole
//! tiles between the passes, and each tile is finished while it is hot.

use super::conversion::{halves_to_floats, integers_to_floats, round_tile};
use super::exponentials::ExponentialTiles;
use super::finish::FinishTile;
use super::multiply::{Ahead, COLUMNS, Start, TILE_ROWS, multiply_bf16, multiply_int8};
use super::operation::Operation;
use crate::arch::avx512;
use crate::epilogue::Epilogue;
use crate::matrix::{Accumulate, Format, Layout, OutputBlock, Pieces, TILE_STEPS, Task};
use crate::words::{as_f32, with_scratch};

/// Words of the sum in a pass: 16 KiB of each operand, of 48 KiB of a first-level cache.
const PASS_STEPS: usize = 128;

/// Words of the sums of a tile.
const TILE: usize = TILE_ROWS * COLUMNS;

/// A product of two packed operands.
pub(crate) struct UnitProduct<'a> {
    pub(crate) operation: Operation,
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

/// Where a task writes.
pub(crate) enum Target<'a, 'b> {
    /// Its block of the output.
    Rows(&'a mut OutputBlock<'b>),
    /// Its tiles of the first operand of another product.
    Tiles(&'a Pieces<'b>, Layout),
    /// The sums are logits, and their exponentials become first operands.
    Exponentials(&'a ExponentialTiles<'b>),
}

/// The most tiles of a task: their sums, 4 KiB each, stay in L2.
const MOST_TILES: usize = 192;

/// How many blocks to cut rows and columns into, so that the sums of a task stay in L2, there are `least_tasks` for the
/// threads, and as little as possible of both operands is read more than once.
pub(crate) fn blocks(a_panels: usize, b_panels: usize, least_tasks: usize) -> (usize, usize) {
    let candidates = (1..=a_panels).map(|row_blocks| {
        let rows = a_panels.div_ceil(row_blocks);
        let column_blocks = b_panels
            .div_ceil((MOST_TILES / rows).max(1))
            .max(least_tasks.div_ceil(row_blocks))
            .min(b_panels);
        (row_blocks, column_blocks)
    });
    let reads = |&(row_blocks, column_blocks): &(usize, usize)| {
        column_blocks * a_panels + row_blocks * b_panels
    };
    candidates.min_by_key(reads).unwrap_or((1, 1))
}

impl UnitProduct<'_> {
    /// Computes the task's part of the output; the sum must not be empty.
    pub(crate) fn run_task(&self, task: &Task, mut target: Target<'_, '_>) {
        let tiles = task.a_panels.len() * task.b_panels.len();
        with_scratch(tiles * TILE, |sums| {
            let last = self.b_layout.chunks() - 1;
            for chunk in 0..=last {
                self.multiply_chunk(task, chunk, sums);
                // Sums of bytes are scaled and added up chunk by chunk: longer sums would not fit into 32 bits.
                let is_whole = chunk == last;
                if is_whole || self.b_layout.format == Format::SignedBytes {
                    self.finish_chunk(task, chunk, is_whole, sums, &mut target);
                }
            }
        });
    }

    /// Adds up the part of the sum that a chunk of the second operand holds.
    fn multiply_chunk(&self, task: &Task, chunk: usize, sums: &mut [u32]) {
        let is_bytes = self.b_layout.format == Format::SignedBytes;
        let chunk_steps = self.b_layout.steps_of(chunk);
        let passes = chunk_steps.clone().step_by(PASS_STEPS);
        let passes =
            passes.flat_map(|first| task.b_panels.clone().map(move |panel| (first, panel)));
        // Panels are read once, from memory: what a pass needs is prefetched during the one before.
        let words_of = |(first, b_panel): (usize, usize)| {
            let b = &self.b[self.b_layout.panel(chunk, b_panel)];
            let (header, b) = b.split_at(self.b_layout.format.header() * COLUMNS);
            let end = (first + PASS_STEPS).min(chunk_steps.end);
            let [first, end] = [first, end].map(|step| step - chunk_steps.start);
            (header, &b[first * COLUMNS..end * COLUMNS])
        };
        let mut following = passes.clone().skip(1);
        let mut tiles = sums.chunks_exact_mut(TILE);
        for (first, b_panel) in passes {
            if b_panel == task.b_panels.start {
                tiles = sums.chunks_exact_mut(TILE);
            }
            let (header, b) = words_of((first, b_panel));
            let ahead = following.next().map_or(&[][..], |pass| words_of(pass).1);
            let start = match self.operation {
                _ if first > chunk_steps.start => Start::Sums,
                operation if operation.sums_integers() => Start::Header(header),
                _ if chunk == 0 || is_bytes => Start::Zero,
                _ => Start::Sums,
            };
            let a_words = first * TILE_ROWS..first * TILE_ROWS + b.len();
            for ((index, a_panel), sums) in task.a_panels.clone().enumerate().zip(&mut tiles) {
                let a = &self.a[self.a_layout.panel(0, a_panel)][a_words.clone()];
                let rows = match self.operation {
                    Operation::Split => TILE_ROWS,
                    _ => self.a_layout.grouping.lines_of(a_panel).len(),
                };
                let ahead = Ahead::part(ahead, index, task.a_panels.len());
                match self.operation {
                    Operation::Bf16 => multiply_bf16(rows, a, b, ahead, start, sums),
                    Operation::Int8 | Operation::Split => {
                        multiply_int8(rows, a, b, ahead, start, sums);
                    }
                }
            }
        }
    }

    fn finish_chunk(
        &self,
        task: &Task,
        chunk: usize,
        is_whole: bool,
        sums: &mut [u32],
        target: &mut Target<'_, '_>,
    ) {
        let bytes = self.b_layout.format == Format::SignedBytes;
        // Lent to the tiles, not copied: a copy with padding waits until all earlier stores are written.
        let epilogue = match is_whole {
            true => self.epilogue,
            false => Epilogue::default(),
        };
        let mut tiles = sums.chunks_exact_mut(TILE);
        for b_panel in task.b_panels.clone() {
            let columns = self.b_layout.grouping.lines_of(b_panel);
            for (a_panel, sums) in task.a_panels.clone().zip(&mut tiles) {
                match self.operation {
                    Operation::Bf16 => {}
                    Operation::Int8 => integers_to_floats(sums),
                    Operation::Split => halves_to_floats(sums),
                }
                let rows = self.a_layout.grouping.lines_of(a_panel);
                if let Target::Exponentials(tiles) = target {
                    tiles.write((a_panel, rows), (b_panel, columns.clone()), sums);
                    continue;
                }
                let rows_len = rows.len();
                let sums = &mut sums[..rows.len() * COLUMNS];
                // The block is read only if the product is added to it.
                let mut out = match target {
                    Target::Rows(block) => Some(block.part(
                        rows.start - task.rows.start,
                        rows.len(),
                        columns.start - task.columns.start,
                        columns.len(),
                    )),
                    Target::Tiles(..) | Target::Exponentials(_) => None,
                };
                let finish = FinishTile {
                    sums: &mut *sums,
                    row_scales: match self.operation.sums_integers() {
                        true => &self.row_scales[rows.clone()],
                        false => &[],
                    },
                    column_scales: match bytes {
                        true => &self.column_scales[columns.start..columns.start + COLUMNS],
                        false => &[],
                    },
                    accumulate: match (bytes, chunk) {
                        (true, 1..) => Accumulate::Add,
                        _ => self.accumulate,
                    },
                    epilogue: &epilogue,
                    outputs: self.b_layout.grouping.lines(),
                    rows,
                    columns: columns.clone(),
                    out: out.as_mut(),
                };
                avx512::run(finish);
                if let Target::Tiles(pieces, layout) = target {
                    let tile = b_panel * TILE_ROWS * TILE_STEPS;
                    let start = layout.panel(0, a_panel).start + tile;
                    // SAFETY: tiles of different panels do not overlap, and no two tasks share
                    // one.
                    let words = unsafe { pieces.piece(start, rows_len * TILE_STEPS) };
                    round_tile(as_f32(sums), words);
                }
            }
        }
    }
}

// Tiles of both operands have the same number of words for each step.
const _: () = assert!(TILE_ROWS == COLUMNS && PASS_STEPS.is_multiple_of(TILE_STEPS));
