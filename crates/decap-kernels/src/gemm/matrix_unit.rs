//! Tasks of a product on the AMX matrix unit.
//!
//! The unit multiplies faster than the second-level cache delivers, so the sum is cut into passes
//! whose panels fit into the first level side by side. The sums of a task wait in a block of whole
//! tiles between the passes, and each tile is finished while it is hot.

use super::linear::Epilogue;
use super::output::{OutputBlock, Pieces};
use super::panels::{Format, Layout, TILE_STEPS};
use super::product::{Product, Task};
use super::tile::{Accumulate, TileKernel};
use super::words::{as_f32, as_f32_mut, with_scratch};
use crate::activation::activate;
use crate::arch::amx::{self, Ahead, COLUMNS, Start, TILE_ROWS};
use crate::arch::{Kernel, Simd, dispatch};
use std::ops::Range;

/// Words of the sum in a pass: 16 KiB of each operand, of 48 KiB of a first-level cache.
const PASS_STEPS: usize = 128;

/// Words of the sums of a tile.
const TILE: usize = TILE_ROWS * COLUMNS;

/// Where a task writes.
pub(crate) enum Target<'a, 'b> {
    /// Its block of the output.
    Rows(&'a mut OutputBlock<'b>),
    /// Its tiles of the first operand of another product.
    Tiles(&'a Pieces<'b>, Layout),
    /// The sums are logits; exponentials of them become first operands.
    Exponentials(&'a ExponentialTiles<'b>),
}

/// Makes exponentials of some rows and classes, in place: `make(rows, classes, tile)`; the tile's rows are
/// [`COLUMNS`] apart.
type MakeTile<'a> = dyn Fn(Range<usize>, Range<usize>, &mut [f32]) + Sync + 'a;

/// Where exponentials of logits `[rows, classes]` go, in bf16, and how they are made.
pub(crate) struct ExponentialTiles<'a> {
    /// A first operand of as many rows.
    pub(crate) rows: (Pieces<'a>, Layout),
    /// The transpose, a first operand with a line a class.
    pub(crate) classes: (Pieces<'a>, Layout),
    pub(crate) make: &'a MakeTile<'a>,
}

impl ExponentialTiles<'_> {
    /// Takes a tile of logits, `[TILE_ROWS, COLUMNS]`; what lies behind the last row or class becomes 0.
    fn write(
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
        (self.make)(rows, classes, tile);
        let tile = |layout: Layout, panel: usize, step: usize| {
            layout.panel(0, panel).start + step * TILE_ROWS * TILE_STEPS
        };
        let (pieces, layout) = &self.rows;
        // SAFETY: tiles of different panels do not overlap, and no two tasks share one.
        let words =
            unsafe { pieces.piece(tile(*layout, a_panel, b_panel), TILE_ROWS * TILE_STEPS) };
        amx::round_tile(as_f32(sums), words);
        let (pieces, layout) = &self.classes;
        // SAFETY: as above.
        let words =
            unsafe { pieces.piece(tile(*layout, b_panel, a_panel), TILE_ROWS * TILE_STEPS) };
        amx::round_transposed(as_f32(sums), words);
    }
}

/// Computes the task's part of the output; the sum must not be empty.
pub(crate) fn run_task(product: &Product<'_>, task: Task, mut target: Target<'_, '_>) {
    let tiles = task.a_panels.len() * task.b_panels.len();
    with_scratch(tiles * TILE, |sums| {
        let last = product.b_layout.chunks() - 1;
        for chunk in 0..=last {
            product.multiply_chunk(&task, chunk, sums);
            // Sums of bytes are scaled and added up chunk by chunk: more would not fit 32 bits.
            let is_whole = chunk == last;
            if is_whole || product.b_layout.format == Format::SignedBytes {
                product.finish_chunk(&task, chunk, is_whole, sums, &mut target);
            }
        }
    });
}

impl Product<'_> {
    /// Adds up the part of the sum that a chunk of the second operand holds.
    fn multiply_chunk(&self, task: &Task, chunk: usize, sums: &mut [u32]) {
        let is_bytes = self.b_layout.format == Format::SignedBytes;
        let chunk_steps = self.b_layout.steps_of(chunk);
        let passes = chunk_steps.clone().step_by(PASS_STEPS);
        let passes =
            passes.flat_map(|first| task.b_panels.clone().map(move |panel| (first, panel)));
        // Panels are read once, from memory: what a pass needs is fetched during the one before.
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
            let start = match self.kernel {
                _ if first > chunk_steps.start => Start::Sums,
                TileKernel::Int8Amx | TileKernel::SplitAmx => Start::Header(header),
                _ if chunk == 0 || is_bytes => Start::Zero,
                _ => Start::Sums,
            };
            let a_words = first * TILE_ROWS..first * TILE_ROWS + b.len();
            for ((index, a_panel), sums) in task.a_panels.clone().enumerate().zip(&mut tiles) {
                let a = &self.a[self.a_layout.panel(0, a_panel)][a_words.clone()];
                let rows = match self.kernel {
                    TileKernel::SplitAmx => TILE_ROWS,
                    _ => self.a_layout.grouping.lines_of(a_panel).len(),
                };
                let ahead = Ahead::part(ahead, index, task.a_panels.len());
                match self.kernel {
                    TileKernel::Int8Amx | TileKernel::SplitAmx => {
                        amx::multiply_int8(rows, a, b, ahead, start, sums);
                    }
                    _ => amx::multiply_bf16(rows, a, b, ahead, start, sums),
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
        // Lent to the tiles, not copied: a copy with padding waits until all that was stored is written.
        let epilogue = match is_whole {
            true => self.epilogue,
            false => Epilogue::default(),
        };
        let mut tiles = sums.chunks_exact_mut(TILE);
        for b_panel in task.b_panels.clone() {
            let columns = self.b_layout.grouping.lines_of(b_panel);
            for (a_panel, sums) in task.a_panels.clone().zip(&mut tiles) {
                match self.kernel {
                    TileKernel::Int8Amx => amx::integers_to_floats(sums),
                    TileKernel::SplitAmx => amx::halves_to_floats(sums),
                    _ => {}
                }
                let rows = self.a_layout.grouping.lines_of(a_panel);
                if let Target::Exponentials(tiles) = target {
                    tiles.write((a_panel, rows), (b_panel, columns.clone()), sums);
                    continue;
                }
                let rows_len = rows.len();
                let sums = &mut sums[..rows.len() * COLUMNS];
                // A block that is read only where it is added to.
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
                    row_scales: match self.kernel {
                        TileKernel::Int8Amx | TileKernel::SplitAmx => {
                            &self.row_scales[rows.clone()]
                        }
                        _ => &[],
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
                dispatch(self.set, finish);
                if let Target::Tiles(pieces, layout) = target {
                    let tile = b_panel * TILE_ROWS * TILE_STEPS;
                    let start = layout.panel(0, a_panel).start + tile;
                    // SAFETY: tiles of different panels do not overlap, and no two tasks share
                    // one.
                    let words = unsafe { pieces.piece(start, rows_len * TILE_STEPS) };
                    amx::round_tile(as_f32(sums), words);
                }
            }
        }
    }
}

/// Turns the sums of a tile into its part of the output.
struct FinishTile<'a, 'b, 'c> {
    /// `[rows, COLUMNS]`, f32.
    sums: &'a mut [u32],
    /// Factors of the rows, where both operands are bytes, and of all columns, where one is; else empty.
    row_scales: &'a [f32],
    column_scales: &'a [f32],
    accumulate: Accumulate,
    epilogue: &'a Epilogue<'b>,
    /// Columns of the whole output.
    outputs: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    /// None where the sums themselves are the result.
    out: Option<&'a mut OutputBlock<'c>>,
}

impl Kernel for FinishTile<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let sums = as_f32_mut(self.sums);
        if !self.column_scales.is_empty() {
            for (index, row) in sums.chunks_exact_mut(COLUMNS).enumerate() {
                let row_scale = simd.splat(self.row_scales.get(index).copied().unwrap_or(1.0));
                let scales = self.column_scales.chunks_exact(S::LANES);
                for (values, scales) in row.chunks_exact_mut(S::LANES).zip(scales) {
                    let scale = simd.mul(simd.load(scales), row_scale);
                    simd.store(simd.mul(simd.load(values), scale), values);
                }
            }
        }
        let mut out = self.out;
        if let (Accumulate::Add, Some(out)) = (self.accumulate, &mut out) {
            for (index, row) in sums.chunks_exact_mut(COLUMNS).enumerate() {
                add_lanes(simd, row, out.row(index));
            }
        }
        if let Some(bias) = self.epilogue.bias {
            let bias = &bias[self.columns.clone()];
            for row in sums.chunks_exact_mut(COLUMNS) {
                add_lanes(simd, row, bias);
            }
        }
        activate(simd, self.epilogue.activation, sums);
        if let Some(residual) = self.epilogue.residual {
            for (index, row) in sums.chunks_exact_mut(COLUMNS).enumerate() {
                let start = (self.rows.start + index) * self.outputs + self.columns.start;
                add_lanes(simd, row, &residual[start..start + self.columns.len()]);
            }
        }
        let Some(out) = out else { return };
        for (index, row) in sums.chunks_exact(COLUMNS).enumerate() {
            let lanes = out.row(index).chunks_mut(S::LANES);
            for (values, out) in row.chunks_exact(S::LANES).zip(lanes) {
                simd.store_partial(simd.load(values), out);
            }
        }
    }
}

/// `values += others`, of which there may be fewer.
#[inline(always)]
fn add_lanes<S: Simd>(simd: S, values: &mut [f32], others: &[f32]) {
    let values = values.chunks_exact_mut(S::LANES);
    for (values, others) in values.zip(others.chunks(S::LANES)) {
        let sum = simd.add(simd.load(values), simd.load_partial(others));
        simd.store(sum, values);
    }
}

// Tiles of both operands have as many words a step.
const _: () = assert!(TILE_ROWS == COLUMNS && PASS_STEPS.is_multiple_of(TILE_STEPS));
