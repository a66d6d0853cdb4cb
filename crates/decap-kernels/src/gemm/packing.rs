//! Operands rearranged into panels.

use super::conversion::{convert, merge, pair_rows, separate_halves, write_header};
use crate::arch::{Kernel, Simd, TRANSPOSED_ROWS, fetch};
use crate::dispatch::{KernelSet, dispatch};
use crate::matrix::{Format, Layout, MatrixView, Order, TILE_STEPS};
use crate::parallel::Threads;
use crate::words::{as_words, with_scratch};
#[cfg(target_arch = "x86_64")]
use crate::{arch::avx512_packing, matrix_unit};
use rayon::prelude::*;
use std::ops::Range;

/// An operand with fewer words is packed by one thread.
const PARALLEL_WORDS: usize = 1 << 13;

/// Packs an operand; see the fields.
#[derive(Clone, Copy)]
pub(crate) struct Packing<'a> {
    pub(crate) set: KernelSet,
    pub(crate) threads: Threads,
    /// `[lines, depth]`
    pub(crate) operand: MatrixView<'a>,
    pub(crate) layout: Layout,
    /// Factor of each line before it is rounded to bytes, `[lines]`; empty for floats.
    pub(crate) factors: &'a [f32],
}

/// The most lines that are packed together, for an operand that is dense across its lines: runs of a kilobyte are read
/// several times as fast as the lines of one panel.
const LINES_ACROSS: usize = 256;

/// The fewest pieces of work that an operand is cut into, if it has as many panels.
const LEAST_JOBS: usize = 8;

impl Packing<'_> {
    /// Fills the first [`Layout::words`] of `words`.
    pub(crate) fn run(self, words: &mut [u32]) {
        let layout = self.layout;
        let (panels, chunks) = (layout.grouping.panels(), layout.chunks());
        let together = match self.operand.has_dense_rows() {
            true => 1,
            false => (LINES_ACROSS / layout.grouping.most()).min(panels * chunks / LEAST_JOBS),
        };
        let each = panels.div_ceil(together.max(1));
        let mut rest = &mut words[..layout.words()];
        let jobs = (0..chunks * each).map(|index| {
            let (chunk, part) = (index / each, index % each);
            let panels = part * panels / each..(part + 1) * panels / each;
            let first = layout.panel(chunk, panels.start).start;
            let (words, after) = std::mem::take(&mut rest)
                .split_at_mut(layout.panel(chunk, panels.end - 1).end - first);
            rest = after;
            (chunk, panels, words)
        });
        let pack = |(chunk, panels, words): (usize, Range<usize>, &mut [u32])| {
            with_scratch(BUFFER, |buffer| {
                let job = PackPanels {
                    packing: self,
                    chunk,
                    panels,
                    words,
                    buffer,
                };
                dispatch(self.set, job);
            });
        };
        if self.threads == Threads::One || layout.words() < PARALLEL_WORDS {
            jobs.for_each(pack);
        } else {
            jobs.collect::<Vec<_>>().into_par_iter().for_each(pack);
        }
    }
}

/// Words of a line of a buffer: one vector more than are used, so that the distance of lines is not a power of two.
const BUFFER_LINE: usize = LINES_ACROSS + 16;

/// Words of a buffer in which words are assembled before they are transposed.
const BUFFER: usize = TRANSPOSED_ROWS * BUFFER_LINE;

/// Panels of one chunk that follow each other.
struct PackPanels<'a, 'b> {
    packing: Packing<'a>,
    chunk: usize,
    panels: Range<usize>,
    words: &'b mut [u32],
    /// `[TRANSPOSED_ROWS, BUFFER_LINE]`
    buffer: &'b mut [u32],
}

impl Kernel for PackPanels<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Layout { format, order, .. } = self.packing.layout;
        let steps = self.packing.layout.steps_of(self.chunk).len();
        if !self.packing.operand.has_dense_rows() {
            self.across(simd);
            return;
        }
        let values = self.values();
        for panel in self.panels.clone() {
            let range = self.range_of(panel);
            let words = &mut self.words[range];
            let lines = self.packing.layout.grouping.lines_of(panel);
            let width = words.len() / (steps + format.header()).max(1);
            let (header, words) = words.split_at_mut(width * format.header());
            if lines.len() < width {
                words.fill(0);
            }
            let job = (lines, values.clone(), steps);
            match order {
                Order::Steps => self.packing.interleave_lines(simd, job, self.buffer, words),
                Order::Tiles => self.packing.copy_tiles(simd, job, words),
            }
            if !header.is_empty() {
                write_header(header, words);
            }
        }
    }
}

impl PackPanels<'_, '_> {
    /// Where the words of a panel are.
    fn range_of(&self, panel: usize) -> Range<usize> {
        let layout = self.packing.layout;
        let base = layout.panel(self.chunk, self.panels.start).start;
        let Range { start, end } = layout.panel(self.chunk, panel);
        start - base..end - base
    }

    /// The values along the sum.
    fn values(&self) -> Range<usize> {
        let steps = self.packing.layout.steps_of(self.chunk);
        let per_word = self.packing.layout.format.values_per_word();
        steps.start * per_word..steps.end * per_word
    }

    /// An operand that is dense across its lines: a few steps of all lines at a time.
    #[inline(always)]
    fn across<S: Simd>(self, simd: S) {
        let Layout {
            grouping,
            format,
            order,
            ..
        } = self.packing.layout;
        let (values, per_word) = (self.values(), format.values_per_word());
        let steps = values.len() / per_word;
        let first = grouping.lines_of(self.panels.start).start;
        let lines = first..grouping.lines_of(self.panels.end - 1).end;
        for start in (0..steps).step_by(TILE_STEPS) {
            let there = TILE_STEPS.min(steps - start);
            let block = self.buffer.chunks_exact_mut(BUFFER_LINE).take(there);
            for (step, merged) in block.enumerate() {
                let value = values.start + (start + step) * per_word;
                self.packing
                    .merge_lines(&lines, value, &mut merged[..lines.len()]);
            }
            for panel in self.panels.clone() {
                let part = grouping.lines_of(panel);
                let range = self.range_of(panel);
                let words = &mut self.words[range];
                let width = words.len() / (steps + format.header());
                let words = &mut words[width * format.header()..];
                if part.len() < width && start == 0 {
                    words.fill(0);
                }
                let columns = part.start - first..part.end - first;
                match order {
                    Order::Steps => {
                        let words = words[start * width..].chunks_exact_mut(width);
                        let block = self.buffer.chunks_exact(BUFFER_LINE).take(there);
                        for (words, merged) in words.zip(block) {
                            words[..part.len()].copy_from_slice(&merged[columns.clone()]);
                        }
                    }
                    Order::Tiles => {
                        let merged = (&self.buffer[columns.start..], BUFFER_LINE);
                        let words = (&mut words[start * width..], TILE_STEPS);
                        simd.transpose_words(merged, TILE_STEPS, columns.len(), words);
                    }
                }
            }
        }
        if format.header() > 0 {
            for panel in self.panels.clone() {
                let range = self.range_of(panel);
                let words = &mut self.words[range];
                let width = words.len() / (steps + format.header());
                let (header, words) = words.split_at_mut(width * format.header());
                write_header(header, words);
            }
        }
    }
}

/// Lines and values of an operand, and the words along the sum that they become.
type Job = (Range<usize>, Range<usize>, usize);

impl Packing<'_> {
    /// The words from `value` of some lines of an operand that is dense across them.
    #[inline(always)]
    fn merge_lines(&self, lines: &Range<usize>, value: usize, words: &mut [u32]) {
        /// How many rows ahead to prefetch: they are far apart.
        const AHEAD: usize = 4;
        let format = self.layout.format;
        let per_word = format.values_per_word();
        let across = self.operand.transposed();
        let row = |value| across.row_slice(value, lines.start, lines.len());
        for value in value + AHEAD..(value + AHEAD + per_word).min(self.operand.columns()) {
            fetch(row(value));
        }
        let there = per_word.min(self.operand.columns().saturating_sub(value));
        if format == Format::Bf16 && there == per_word {
            return pair_rows(self.set, row(value), row(value + 1), words);
        }
        words.fill(0);
        let factors = match self.factors {
            [] => &[],
            factors => &factors[lines.clone()],
        };
        for part in 0..there {
            merge(format, row(value + part), factors, part, words);
        }
    }

    /// Dense lines to `[steps / 16, lines, 16]`.
    #[inline(always)]
    fn copy_tiles<S: Simd>(&self, simd: S, (lines, values, steps): Job, words: &mut [u32]) {
        /// Words that are converted at a time.
        const RUN: usize = 8 * TILE_STEPS;
        let per_word = self.layout.format.values_per_word();
        let tile = words.len() / steps.max(1) * TILE_STEPS;
        let mut converted = [0; RUN];
        for (index, line) in lines.enumerate() {
            #[cfg(target_arch = "x86_64")]
            if self.layout.format == Format::Bf16 {
                let line = self.operand.row_slice(line, 0, self.operand.columns());
                matrix_unit::pack_line(line, index, tile, words);
                continue;
            }
            for (run, tiles) in words.chunks_mut(RUN / TILE_STEPS * tile).enumerate() {
                let converted = &mut converted[..tiles.len() / tile * TILE_STEPS];
                let start = values.start + run * RUN * per_word;
                let end = start + converted.len() * per_word;
                self.convert_line(simd, line, start..end, converted);
                if self.layout.format == Format::SplitBytes {
                    separate_halves(converted);
                }
                let parts = converted.chunks_exact(TILE_STEPS);
                for (tile, part) in tiles.chunks_exact_mut(tile).zip(parts) {
                    tile[index * TILE_STEPS..][..TILE_STEPS].copy_from_slice(part);
                }
            }
        }
    }

    /// Dense lines to `[steps, lines]`.
    #[inline(always)]
    fn interleave_lines<S: Simd>(
        &self,
        simd: S,
        (lines, values, steps): Job,
        buffer: &mut [u32],
        words: &mut [u32],
    ) {
        /// The most words that are converted at a time.
        const MOST: usize = LINES_ACROSS;
        let per_word = self.layout.format.values_per_word();
        let width = words.len() / steps.max(1);
        if width == 1 {
            return self.convert_line(simd, lines.start, values, words);
        }
        #[cfg(target_arch = "x86_64")]
        if self.layout.format == Format::Bf16 && self.set >= KernelSet::Avx512Bf16 {
            let end = values.end.min(self.operand.columns());
            let start = values.start.min(end);
            for first in lines.clone().step_by(TRANSPOSED_ROWS) {
                let mut group = [&[][..]; TRANSPOSED_ROWS];
                let there = TRANSPOSED_ROWS.min(lines.end - first);
                for (index, line) in group[..there].iter_mut().enumerate() {
                    *line = self.operand.row_slice(first + index, start, end - start);
                }
                let words = &mut words[first - lines.start..];
                avx512_packing::interleave_pairs(&group[..there], width, words);
            }
            return;
        }
        if self.layout.format == Format::F32 {
            return self.interleave_floats(simd, (lines, values, steps), words);
        }
        // Whole lines are read in the order in which they are stored, which is faster; otherwise a buffer of half the
        // first-level cache is faster.
        let run_steps = match values.len() >= self.operand.columns() {
            true => MOST,
            false => MOST / 2,
        };
        for first in lines.clone().step_by(TRANSPOSED_ROWS) {
            let group = first..lines.end.min(first + TRANSPOSED_ROWS);
            let words = &mut words[first - lines.start..];
            for (run, words) in words.chunks_mut(run_steps * width).enumerate() {
                let start = run * run_steps;
                let len = run_steps.min(steps - start);
                let first_value = values.start + start * per_word;
                let values = first_value..first_value + len * per_word;
                let converted = buffer.chunks_exact_mut(BUFFER_LINE);
                for (converted, line) in converted.zip(group.clone()) {
                    self.convert_line(simd, line, values.clone(), &mut converted[..len]);
                }
                let source = (&*buffer, BUFFER_LINE);
                simd.transpose_words(source, group.len(), len, (words, width));
            }
        }
    }

    /// [`Packing::interleave_lines`] of f32, straight from the operand.
    #[inline(always)]
    fn interleave_floats<S: Simd>(&self, simd: S, (lines, values, steps): Job, words: &mut [u32]) {
        let width = words.len() / steps.max(1);
        // Whole vectors of each line at once, the rest one by one.
        let whole = steps / S::LANES * S::LANES;
        for first in lines.clone().step_by(TRANSPOSED_ROWS) {
            let rows = TRANSPOSED_ROWS.min(lines.end - first);
            let words = &mut words[first - lines.start..];
            let (source, stride) = self.operand.rows_from(first, values.start, rows, whole);
            simd.transpose_words((as_words(source), stride), rows, whole, (words, width));
            for index in 0..rows {
                let start = values.start + whole;
                let rest = self.operand.row_slice(first + index, start, steps - whole);
                let words = words.iter_mut().skip(whole * width + index).step_by(width);
                for (word, value) in words.zip(rest) {
                    *word = value.to_bits();
                }
            }
        }
    }

    /// Converts some values of a dense line; those past its end are 0.
    #[inline(always)]
    fn convert_line<S: Simd>(&self, simd: S, line: usize, values: Range<usize>, words: &mut [u32]) {
        let format = self.layout.format;
        let per_word = format.values_per_word();
        let factor = self.factors.get(line).copied().unwrap_or(1.0);
        let end = values.end.min(self.operand.columns());
        let there = end.saturating_sub(values.start);
        let line = self.operand.row_slice(line, values.start.min(end), there);
        // Four 16-bit values form one piece.
        let unit = match format {
            Format::SplitBytes => 4,
            _ => per_word,
        };
        let (whole, rest) = line.split_at(there / unit * unit);
        let (words, tail) = words.split_at_mut(whole.len() / per_word);
        convert(simd, (self.set, format), whole, factor, words);
        tail.fill(0);
        if !rest.is_empty() {
            let mut padded = [0.0; 4];
            padded[..rest.len()].copy_from_slice(rest);
            let tail = &mut tail[..unit / per_word];
            convert(simd, (self.set, format), &padded[..unit], factor, tail);
        }
    }
}
