//! Operands rearranged into panels, in the order in which the tiles read them.
//!
//! A word holds one f32, two bf16 or four bytes that follow each other along the sum. The sum is cut
//! into chunks of words, and within a chunk panels follow each other. A panel of the first operand is
//! `[lines, steps]`, its lines being rows; one of the second operand is `[steps, lines]`: for each
//! step the words of all its lines, columns of the operand, side by side.

use super::product::Threads;
use super::view::MatrixView;
use crate::arch::{Kernel, Simd, bf16_bits, dispatch, fetch, pack_bf16_plain};
use crate::dispatch::KernelSet;
use rayon::prelude::*;
use std::ops::Range;

/// What a word holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    F32,
    /// Two bf16, the first in the low half.
    Bf16,
    /// Four signed bytes, the first lowest. Each panel starts with one word a line: the negative of
    /// [`BYTE_OFFSET`] times the sum of the line, which undoes the offset of the other operand.
    SignedBytes,
    /// Four bytes to which [`BYTE_OFFSET`] was added.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    OffsetBytes,
    /// Integers of sixteen bits, four values in two words: their high bytes, then their low ones, each
    /// with [`BYTE_OFFSET`] added. The integer is 256 times the high byte plus the low one, both signed.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    SplitBytes,
    /// One f32 that is rounded to bf16.
    WideBf16,
    /// As `F32`, cut as bytes are, to be multiplied by them.
    F32ForBytes,
    /// One f32 that is rounded to an integer of a byte.
    WideBytes,
}

/// Added to the bytes of the first operand, because the dot products want them unsigned.
pub(crate) const BYTE_OFFSET: i32 = 128;

impl Format {
    pub(crate) fn values_per_word(self) -> usize {
        match self {
            Self::F32 | Self::F32ForBytes | Self::WideBf16 | Self::WideBytes => 1,
            Self::Bf16 | Self::SplitBytes => 2,
            Self::SignedBytes | Self::OffsetBytes => 4,
        }
    }

    /// Words along a sum of `depth` values; the matrix unit takes 16 times 32 bits at a time.
    fn steps(self, depth: usize) -> usize {
        match self {
            Self::F32 => depth,
            Self::Bf16 => depth.div_ceil(32) * 16,
            Self::SplitBytes => depth.div_ceil(64) * 32,
            Self::WideBf16 => depth.next_multiple_of(32),
            Self::SignedBytes | Self::OffsetBytes => depth.div_ceil(64) * 16,
            Self::WideBytes | Self::F32ForBytes => depth.next_multiple_of(64),
        }
    }

    /// Words of the sum that are handled at a time: a panel of the second operand stays in L1, and
    /// sums of bytes fit into 32 bits.
    fn chunk_steps(self) -> usize {
        let values = match self {
            Self::F32 => 256,
            Self::Bf16 | Self::WideBf16 => 512,
            Self::SignedBytes
            | Self::OffsetBytes
            | Self::WideBytes
            | Self::SplitBytes
            | Self::F32ForBytes => 1 << 14,
        };
        values / self.values_per_word()
    }

    /// Words a line at the start of each panel.
    pub(crate) fn header(self) -> usize {
        usize::from(self == Self::SignedBytes)
    }
}

/// How the words of a panel follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// `[steps, lines]`
    Steps,
    /// `[lines, steps]`
    Lines,
    /// `[steps / 16, lines, 16]`: a tile of the matrix unit lies in one piece.
    Tiles,
}

/// Words of a line that a tile of the matrix unit holds.
pub(crate) const TILE_STEPS: usize = 16;

/// How the lines of an operand are grouped into panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// Panels of nearly equal size, none above `most`.
    Balanced { lines: usize, most: usize },
    /// Panels of exactly `width` lines, the last one filled with zeros.
    Padded { lines: usize, width: usize },
}

impl Grouping {
    pub(crate) fn lines(self) -> usize {
        match self {
            Self::Balanced { lines, .. } | Self::Padded { lines, .. } => lines,
        }
    }

    /// The same grouping of another number of lines.
    pub(crate) fn with_lines(self, lines: usize) -> Self {
        match self {
            Self::Balanced { most, .. } => Self::Balanced { lines, most },
            Self::Padded { width, .. } => Self::Padded { lines, width },
        }
    }

    pub(crate) fn panels(self) -> usize {
        match self {
            Self::Balanced { lines, most } => lines.div_ceil(most),
            Self::Padded { lines, width } => lines.div_ceil(width),
        }
    }

    /// The lines of the operand that panel `index` holds.
    pub(crate) fn lines_of(self, index: usize) -> Range<usize> {
        match self {
            Self::Balanced { lines, .. } => {
                let (size, larger) = (lines / self.panels(), lines % self.panels());
                let start = index * size + index.min(larger);
                start..start + size + usize::from(index < larger)
            }
            Self::Padded { lines, width } => index * width..((index + 1) * width).min(lines),
        }
    }

    /// Lines of memory before panel `index`.
    fn stored_before(self, index: usize) -> usize {
        match self {
            Self::Balanced { lines, .. } if index == self.panels() => lines,
            Self::Balanced { .. } => self.lines_of(index).start,
            Self::Padded { width, .. } => index * width,
        }
    }

    /// Lines of memory of all panels.
    fn stored(self) -> usize {
        self.stored_before(self.panels())
    }
}

/// Where the panels of an operand lie in its buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) grouping: Grouping,
    pub(crate) format: Format,
    pub(crate) order: Order,
    /// Words along the sum.
    pub(crate) steps: usize,
}

impl Layout {
    /// The layout of an operand whose sum runs over `depth` values.
    pub(crate) fn new(grouping: Grouping, format: Format, order: Order, depth: usize) -> Self {
        Self {
            grouping,
            format,
            order,
            steps: format.steps(depth),
        }
    }

    pub(crate) fn words(self) -> usize {
        self.grouping.stored() * (self.steps + self.chunks() * self.format.header())
    }

    pub(crate) fn chunks(self) -> usize {
        self.steps.div_ceil(self.chunk_steps().max(1))
    }

    /// The loops of the matrix unit cut the sum themselves.
    fn chunk_steps(self) -> usize {
        match self.order {
            Order::Tiles => self.steps,
            Order::Steps | Order::Lines => self.format.chunk_steps(),
        }
    }

    /// The words along the sum that a chunk holds.
    pub(crate) fn steps_of(self, chunk: usize) -> Range<usize> {
        let chunk_steps = self.chunk_steps();
        chunk * chunk_steps..((chunk + 1) * chunk_steps).min(self.steps)
    }

    /// The words of one panel within one chunk of the sum.
    pub(crate) fn panel(self, chunk: usize, panel: usize) -> Range<usize> {
        let (steps, header) = (self.steps_of(chunk), self.format.header());
        let before = self.grouping.stored() * (steps.start + chunk * header);
        let start = before + self.grouping.stored_before(panel) * (steps.len() + header);
        let end = before + self.grouping.stored_before(panel + 1) * (steps.len() + header);
        start..end
    }
}

/// Below this number of words an operand is packed by one thread.
const PARALLEL_WORDS: usize = 1 << 16;

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

impl Packing<'_> {
    /// Fills `words`, of which there are [`Layout::words`].
    pub(crate) fn run(self, words: &mut [u32]) {
        let layout = self.layout;
        let panels = layout.grouping.panels();
        let mut rest = &mut words[..layout.words()];
        let jobs = (0..layout.chunks() * panels).map(|index| {
            let (chunk, panel) = (index / panels, index % panels);
            let (words, after) =
                std::mem::take(&mut rest).split_at_mut(layout.panel(chunk, panel).len());
            rest = after;
            PackPanel {
                packing: self,
                lines: layout.grouping.lines_of(panel),
                steps: layout.steps_of(chunk),
                words,
            }
        });
        if self.threads == Threads::One || layout.words() < PARALLEL_WORDS {
            jobs.for_each(|job| dispatch(self.set, job));
        } else {
            let jobs: Vec<_> = jobs.collect();
            jobs.into_par_iter().for_each(|job| dispatch(self.set, job));
        }
    }
}

struct PackPanel<'a, 'b> {
    packing: Packing<'a>,
    lines: Range<usize>,
    steps: Range<usize>,
    words: &'b mut [u32],
}

impl Kernel for PackPanel<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Layout { format, order, .. } = self.packing.layout;
        let steps = self.steps.len();
        let width = self.words.len() / (steps + format.header()).max(1);
        let (header, words) = self.words.split_at_mut(width * format.header());
        if self.lines.len() < width {
            words.fill(0);
        }
        let first_value = self.steps.start * format.values_per_word();
        let values = first_value..first_value + steps * format.values_per_word();
        let job = (self.lines, values, steps);
        match (self.packing.operand.has_dense_rows(), order) {
            (true, Order::Lines) => self.packing.copy_lines(simd, job, words),
            (true, Order::Steps) => self.packing.interleave_lines(simd, job, words),
            (false, Order::Steps) => self.packing.copy_steps(job, words),
            (false, Order::Lines) => self.packing.transpose_steps(job, words),
            (true, Order::Tiles) => self.packing.copy_tiles(simd, job, words),
            (false, Order::Tiles) => self.packing.transpose_tiles(job, words),
        }
        if !header.is_empty() {
            write_header(header, words);
        }
    }
}

/// Lines and values of an operand, and the words along the sum that they become.
type Job = (Range<usize>, Range<usize>, usize);

impl Packing<'_> {
    /// Dense lines to `[lines, steps]`.
    #[inline(always)]
    fn copy_lines<S: Simd>(&self, simd: S, (lines, values, steps): Job, words: &mut [u32]) {
        for (line, words) in lines.zip(words.chunks_exact_mut(steps)) {
            self.convert_line(simd, line, values.clone(), words);
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
                crate::arch::amx::pack_line(line, index, tile, words);
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

    /// An operand that is dense across its lines to `[steps / 16, lines, 16]`.
    #[inline(always)]
    fn transpose_tiles(&self, (lines, values, steps): Job, words: &mut [u32]) {
        /// Lines of a panel at most.
        const LINES: usize = 32;
        let per_word = self.layout.format.values_per_word();
        let tile = words.len() / steps.max(1) * TILE_STEPS;
        let factors = self.factors_of(&lines);
        let across = self.operand.transposed();
        let mut merged = [[0; LINES]; TILE_STEPS];
        let starts = values.step_by(TILE_STEPS * per_word);
        for (start, tile) in starts.zip(words.chunks_exact_mut(tile)) {
            for (step, merged) in merged.iter_mut().enumerate() {
                let value = start + step * per_word;
                self.fetch_across(value, per_word, &lines);
                let row = |part| across.row_slice(value + part, lines.start, lines.len());
                let there = per_word.min(self.operand.columns().saturating_sub(value));
                if self.layout.format == Format::Bf16 && there == 2 {
                    pair_rows(self.set, row(0), row(1), &mut merged[..lines.len()]);
                    continue;
                }
                merged.fill(0);
                for part in 0..there {
                    merge(self.layout.format, row(part), factors, part, merged);
                }
            }
            #[cfg(target_arch = "x86_64")]
            if self.set >= KernelSet::Avx512Bf16 {
                crate::arch::avx512_dot::transpose_words(&merged, lines.len(), tile);
                continue;
            }
            for (line, words) in tile
                .chunks_exact_mut(TILE_STEPS)
                .enumerate()
                .take(lines.len())
            {
                for (word, merged) in words.iter_mut().zip(&merged) {
                    *word = merged[line];
                }
            }
        }
    }

    /// Dense lines to `[steps, lines]`.
    #[inline(always)]
    fn interleave_lines<S: Simd>(&self, simd: S, (lines, values, steps): Job, words: &mut [u32]) {
        /// Words that are converted at a time.
        const RUN: usize = 64;
        let per_word = self.layout.format.values_per_word();
        let width = words.len() / steps.max(1);
        #[cfg(target_arch = "x86_64")]
        if self.layout.format == Format::Bf16 && self.set >= KernelSet::Avx512Bf16 {
            /// Lines that are transposed at a time.
            const LINES: usize = 16;
            let end = values.end.min(self.operand.columns());
            let start = values.start.min(end);
            for first in lines.clone().step_by(LINES) {
                let mut group = [&[][..]; LINES];
                let there = LINES.min(lines.end - first);
                for (index, line) in group[..there].iter_mut().enumerate() {
                    *line = self.operand.row_slice(first + index, start, end - start);
                }
                let words = &mut words[first - lines.start..];
                crate::arch::avx512_dot::interleave_pairs(&group[..there], width, words);
            }
            return;
        }
        let mut converted = [0; RUN];
        for (index, line) in lines.enumerate() {
            for (run, words) in words.chunks_mut(RUN * width).enumerate() {
                let converted = &mut converted[..words.len() / width];
                let start = values.start + run * RUN * per_word;
                self.convert_line(
                    simd,
                    line,
                    start..start + converted.len() * per_word,
                    converted,
                );
                for (step, word) in words.chunks_exact_mut(width).zip(converted.iter()) {
                    step[index] = *word;
                }
            }
        }
    }

    /// Converts some values of a dense line; those beyond its end are 0.
    #[inline(always)]
    fn convert_line<S: Simd>(&self, simd: S, line: usize, values: Range<usize>, words: &mut [u32]) {
        let format = self.layout.format;
        let per_word = format.values_per_word();
        let factor = self.factors.get(line).copied().unwrap_or(1.0);
        let end = values.end.min(self.operand.columns());
        let there = end.saturating_sub(values.start);
        let line = self.operand.row_slice(line, values.start.min(end), there);
        // Sixteen bits of four values are one piece.
        let unit = match format {
            Format::SplitBytes => 4,
            _ => per_word,
        };
        let (whole, rest) = line.split_at(there / unit * unit);
        let (words, tail) = words.split_at_mut(whole.len() / per_word);
        convert(simd, format, whole, factor, words);
        tail.fill(0);
        if !rest.is_empty() {
            let mut padded = [0.0; 4];
            padded[..rest.len()].copy_from_slice(rest);
            let tail = &mut tail[..unit / per_word];
            convert(simd, format, &padded[..unit], factor, tail);
        }
    }

    /// An operand that is dense across its lines to `[steps, lines]`.
    #[inline(always)]
    fn copy_steps(&self, (lines, values, steps): Job, words: &mut [u32]) {
        let per_word = self.layout.format.values_per_word();
        let width = words.len() / steps.max(1);
        let factors = self.factors_of(&lines);
        for (value, words) in values.step_by(per_word).zip(words.chunks_exact_mut(width)) {
            let words = &mut words[..lines.len()];
            let across = self.operand.transposed();
            self.fetch_across(value, per_word, &lines);
            if self.layout.format == Format::F32 {
                let row = across.row_slice(value, lines.start, lines.len());
                for (word, value) in words.iter_mut().zip(row) {
                    *word = value.to_bits();
                }
                continue;
            }
            if self.layout.format == Format::Bf16 && value + 1 < self.operand.columns() {
                let low = across.row_slice(value, lines.start, lines.len());
                let high = across.row_slice(value + 1, lines.start, lines.len());
                pair_rows(self.set, low, high, words);
                continue;
            }
            words.fill(0);
            for part in 0..per_word.min(self.operand.columns().saturating_sub(value)) {
                let row = across.row_slice(value + part, lines.start, lines.len());
                merge(self.layout.format, row, factors, part, words);
            }
        }
    }

    /// An operand that is dense across its lines to `[lines, steps]`.
    #[inline(always)]
    fn transpose_steps(&self, (lines, values, steps): Job, words: &mut [u32]) {
        /// Lines of a panel at most.
        const LINES: usize = 32;
        let per_word = self.layout.format.values_per_word();
        let factors = self.factors_of(&lines);
        let mut merged = [0; LINES];
        let merged = &mut merged[..lines.len()];
        for (step, value) in values.step_by(per_word).enumerate() {
            merged.fill(0);
            for part in 0..per_word.min(self.operand.columns().saturating_sub(value)) {
                let across = self.operand.transposed();
                let across = across.row_slice(value + part, lines.start, lines.len());
                merge(self.layout.format, across, factors, part, merged);
            }
            for (word, words) in merged.iter().zip(words.chunks_exact_mut(steps)) {
                words[step] = *word;
            }
        }
    }

    /// Has the lines' values that come soon fetched: few of them lie side by side, in rows far apart.
    #[inline(always)]
    fn fetch_across(&self, value: usize, count: usize, lines: &Range<usize>) {
        /// Rows ahead.
        const AHEAD: usize = 24;
        for value in value + AHEAD..(value + AHEAD + count).min(self.operand.columns()) {
            let across = self.operand.transposed();
            fetch(across.row_slice(value, lines.start, lines.len()));
        }
    }

    #[inline(always)]
    fn factors_of(&self, lines: &Range<usize>) -> &[f32] {
        match self.factors {
            [] => &[],
            factors => &factors[lines.clone()],
        }
    }
}

/// Turns values into words.
#[inline(always)]
fn convert<S: Simd>(simd: S, format: Format, values: &[f32], factor: f32, words: &mut [u32]) {
    match format {
        Format::F32 | Format::F32ForBytes => {
            for (word, value) in words.iter_mut().zip(values) {
                *word = value.to_bits();
            }
        }
        Format::WideBf16 => {
            for (word, value) in words.iter_mut().zip(values) {
                *word = bf16_bits(*value) << 16;
            }
        }
        Format::WideBytes => {
            for (word, value) in words.iter_mut().zip(values) {
                *word = f32::from(byte(value * factor) as u8 as i8).to_bits();
            }
        }
        Format::Bf16 => {
            let mut sources = values.chunks_exact(S::LANES);
            let mut targets = words.chunks_exact_mut(S::LANES / 2);
            for (target, source) in (&mut targets).zip(&mut sources) {
                simd.pack_bf16(source, target);
            }
            pack_bf16_plain(sources.remainder(), targets.into_remainder());
        }
        Format::SignedBytes => {
            for (word, four) in words.iter_mut().zip(values.chunks_exact(4)) {
                *word = bytes(four, factor);
            }
        }
        Format::OffsetBytes => {
            for (word, four) in words.iter_mut().zip(values.chunks_exact(4)) {
                *word = bytes(four, factor) ^ 0x8080_8080;
            }
        }
        Format::SplitBytes => {
            #[cfg(target_arch = "x86_64")]
            let (values, words) = {
                let whole = values.len() / 16 * 16;
                let (words, tail) = words.split_at_mut(whole / 2);
                crate::arch::avx512_dot::split_bytes(&values[..whole], factor, words);
                (&values[whole..], tail)
            };
            split_bytes(values, factor, words);
        }
    }
}

/// Rounds two rows to bf16, `low` for the low halves of the words and `high` for the others.
#[inline(always)]
fn pair_rows(set: KernelSet, low: &[f32], high: &[f32], words: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    if set >= KernelSet::Avx512Bf16 {
        return crate::arch::avx512_dot::pair_rows(low, high, words);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = set;
    for ((word, low), high) in words.iter_mut().zip(low).zip(high) {
        *word = bf16_bits(*low) | (bf16_bits(*high) << 16);
    }
}

/// Puts values into the given part of words.
#[inline(always)]
fn merge(format: Format, values: &[f32], factors: &[f32], part: usize, words: &mut [u32]) {
    match format {
        Format::F32 | Format::F32ForBytes => {
            for (word, value) in words.iter_mut().zip(values) {
                *word = value.to_bits();
            }
        }
        Format::WideBf16 => {
            for (word, value) in words.iter_mut().zip(values) {
                *word = bf16_bits(*value) << 16;
            }
        }
        Format::WideBytes => {
            for ((word, value), factor) in words.iter_mut().zip(values).zip(factors) {
                *word = f32::from(byte(value * factor) as u8 as i8).to_bits();
            }
        }
        Format::Bf16 => {
            for (word, value) in words.iter_mut().zip(values) {
                *word |= bf16_bits(*value) << (16 * part);
            }
        }
        Format::SignedBytes | Format::OffsetBytes => {
            let flip = match format {
                Format::OffsetBytes => 0x80,
                _ => 0,
            };
            for ((word, value), factor) in words.iter_mut().zip(values).zip(factors) {
                *word |= (byte(value * factor) ^ flip) << (8 * part);
            }
        }
        Format::SplitBytes => unreachable!("first operands of bytes have dense rows"),
    }
}

#[inline(always)]
fn bytes(four: &[f32], factor: f32) -> u32 {
    byte(four[0] * factor)
        | byte(four[1] * factor) << 8
        | byte(four[2] * factor) << 16
        | byte(four[3] * factor) << 24
}

/// The low byte of the nearest integer, for values in -127..=127.
///
/// Adding 1.5 * 2^23 moves the integer into the low bits of the sum.
#[inline(always)]
fn byte(value: f32) -> u32 {
    (value + 12_582_912.0).to_bits() & 0xff
}

/// The high and the low bytes of the nearest integers, for values in -32512..=32512.
#[inline(always)]
fn split_bytes(values: &[f32], factor: f32, words: &mut [u32]) {
    for (words, four) in words.chunks_exact_mut(2).zip(values.chunks_exact(4)) {
        words.fill(0);
        for (part, value) in four.iter().enumerate() {
            // As in `byte`; with the offsets added.
            let integer = (value * factor + 12_582_912.0).to_bits() + 0x8080;
            words[0] |= ((integer >> 8) & 0xff) << (8 * part);
            words[1] |= (integer & 0xff) << (8 * part);
        }
    }
}

/// Puts every other word of each 32 into a tile of its own.
fn separate_halves(words: &mut [u32]) {
    for words in words.chunks_exact_mut(2 * TILE_STEPS) {
        let mut both = [0; 2 * TILE_STEPS];
        for (index, word) in words.iter().enumerate() {
            both[index / 2 + index % 2 * TILE_STEPS] = *word;
        }
        words.copy_from_slice(&both);
    }
}

/// Writes `-BYTE_OFFSET` times the sum of each line; `words` is `[steps, lines]`.
#[inline(always)]
fn write_header(header: &mut [u32], words: &[u32]) {
    header.fill(0);
    for step in words.chunks_exact(header.len()) {
        for (sum, word) in header.iter_mut().zip(step) {
            let [a, b, c, d] = word.to_le_bytes().map(|byte| i32::from(byte as i8));
            *sum = sum.wrapping_sub((BYTE_OFFSET * (a + b + c + d)) as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_to_nearest_even() {
        let cases = [
            (1.0, 0x3f80),
            (f32::from_bits(0x3f80_8000), 0x3f80),
            (f32::from_bits(0x3f81_8000), 0x3f82),
            (f32::from_bits(0x3f80_8001), 0x3f81),
            (f32::INFINITY, 0x7f80),
            (-0.0, 0x8000),
        ];
        for (value, bits) in cases {
            assert_eq!(bf16_bits(value), bits, "{value}");
        }
        assert!(f32::from_bits(bf16_bits(f32::NAN) << 16).is_nan());
    }

    #[test]
    fn bytes_round_to_nearest() {
        for (value, expected) in [(0.0, 0), (1.4, 1), (-1.6, -2), (127.0, 127), (-127.0, -127)] {
            assert_eq!(byte(value) as u8 as i8, expected, "{value}");
        }
    }

    #[test]
    fn sixteen_bits_split_into_bytes() {
        let values = [0.0, 1.4, -1.6, 32512.0, -32512.0, 127.0, 128.0, -129.0].repeat(2);
        let mut words = [7; 8];
        split_bytes(&values, 1.0, &mut words);
        #[cfg(target_arch = "x86_64")]
        if KernelSet::Avx512Bf16.is_supported() {
            let mut same = [9; 8];
            crate::arch::avx512_dot::split_bytes(&values, 1.0, &mut same);
            assert_eq!(same, words);
        }
        for (index, value) in values.iter().enumerate() {
            let byte = |word: u32| ((word >> (8 * (index % 4))) & 0xff) as i32 - BYTE_OFFSET;
            let [high, low] = [words[index / 4 * 2], words[index / 4 * 2 + 1]].map(byte);
            assert!((-127..=127).contains(&high), "{value}");
            assert_eq!(256 * high + low, value.round() as i32, "{value}");
        }
    }

    #[test]
    fn panels_cover_every_line_once() {
        for lines in 1..80 {
            for grouping in [
                Grouping::Balanced { lines, most: 14 },
                Grouping::Padded { lines, width: 16 },
            ] {
                let covered: Vec<usize> = (0..grouping.panels())
                    .flat_map(|panel| grouping.lines_of(panel))
                    .collect();
                assert_eq!(covered, (0..lines).collect::<Vec<_>>());
            }
        }
    }
}
