//! Operands rearranged into panels, in the order in which the tiles read them.
//!
//! The sum is cut into chunks of `chunk_steps` words; within a chunk panels follow each other, and
//! a panel is `[steps, lines]`: for each step the words of all its lines (rows of the first operand,
//! columns of the second) side by side.

use super::product::Threads;
use super::view::MatrixView;
use rayon::prelude::*;
use std::ops::Range;

/// Words of the sum that are handled at a time, so that a panel of the second operand stays in L1.
pub(crate) const CHUNK_STEPS: usize = 256;

/// Below this number of words an operand is packed by one thread.
const PARALLEL_WORDS: usize = 1 << 16;

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
    pub(crate) fn stored_before(self, index: usize) -> usize {
        match self {
            Self::Balanced { lines, .. } if index == self.panels() => lines,
            Self::Balanced { .. } => self.lines_of(index).start,
            Self::Padded { width, .. } => index * width,
        }
    }

    /// Lines of memory of all panels.
    pub(crate) fn stored(self) -> usize {
        self.stored_before(self.panels())
    }
}

/// Where the panels of an operand lie in its buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) grouping: Grouping,
    /// Words along the sum.
    pub(crate) steps: usize,
}

impl Layout {
    pub(crate) fn words(self) -> usize {
        self.grouping.stored() * self.steps
    }

    pub(crate) fn chunks(self) -> usize {
        self.steps.div_ceil(CHUNK_STEPS)
    }

    pub(crate) fn steps_of(self, chunk: usize) -> Range<usize> {
        chunk * CHUNK_STEPS..((chunk + 1) * CHUNK_STEPS).min(self.steps)
    }

    /// The words of one panel within one chunk of the sum.
    pub(crate) fn panel(self, chunk: usize, panel: usize) -> Range<usize> {
        let steps = self.steps_of(chunk);
        let before = self.grouping.stored() * steps.start;
        let start = before + self.grouping.stored_before(panel) * steps.len();
        let end = before + self.grouping.stored_before(panel + 1) * steps.len();
        start..end
    }
}

/// Packs `operand`, `[lines, depth]`, as f32 into `words`.
pub(crate) fn pack_f32(
    threads: Threads,
    operand: MatrixView<'_>,
    layout: Layout,
    words: &mut [u32],
) {
    for_each_panel(threads, layout, words, |lines, steps, panel| {
        pack_panel_f32(operand, lines, steps, panel);
    });
}

/// Calls `pack(lines, steps, words)` for each panel of each chunk.
pub(crate) fn for_each_panel(
    threads: Threads,
    layout: Layout,
    words: &mut [u32],
    pack: impl Fn(Range<usize>, Range<usize>, &mut [u32]) + Sync,
) {
    let mut rest = &mut words[..layout.words()];
    let mut jobs = Vec::new();
    for chunk in 0..layout.chunks() {
        for panel in 0..layout.grouping.panels() {
            let (words, after) = rest.split_at_mut(layout.panel(chunk, panel).len());
            rest = after;
            jobs.push((
                layout.grouping.lines_of(panel),
                layout.steps_of(chunk),
                words,
            ));
        }
    }
    if threads == Threads::One || layout.words() < PARALLEL_WORDS {
        jobs.into_iter()
            .for_each(|(lines, steps, words)| pack(lines, steps, words));
    } else {
        jobs.into_par_iter()
            .for_each(|(lines, steps, words)| pack(lines, steps, words));
    }
}

fn pack_panel_f32(
    operand: MatrixView<'_>,
    lines: Range<usize>,
    steps: Range<usize>,
    panel: &mut [u32],
) {
    let width = panel.len() / steps.len().max(1);
    if lines.len() < width {
        panel.fill(0);
    }
    if operand.has_dense_rows() {
        for (index, line) in lines.enumerate() {
            let values = operand.row_slice(line, steps.start, steps.len());
            for (words, value) in panel.chunks_exact_mut(width).zip(values) {
                words[index] = value.to_bits();
            }
        }
        return;
    }
    let across = operand.transposed();
    for (step, words) in steps.zip(panel.chunks_exact_mut(width)) {
        let values = across.row_slice(step, lines.start, lines.len());
        for (word, value) in words.iter_mut().zip(values) {
            *word = value.to_bits();
        }
    }
}
