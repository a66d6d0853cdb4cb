//! Panels of operands: where their words lie, in the order in which the tiles read them.
//!
//! A word holds one f32, two bf16 or four bytes that follow each other along the sum. The sum is cut
//! into chunks of words, and within a chunk panels follow each other. A panel is `[steps, lines]`: for each
//! step the words of all its lines, rows of the first operand or columns of the second, side by side. The
//! matrix unit's first operand is cut into tiles instead.

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

    /// Words of the sum that are handled at a time: a panel of the second operand stays in L1 or, in bf16, in L2,
    /// and sums of bytes fit into 32 bits.
    fn chunk_steps(self) -> usize {
        let values = match self {
            Self::F32 => 256,
            Self::Bf16 | Self::WideBf16 => 1024,
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

    /// Lines of a panel at most.
    pub(crate) fn most(self) -> usize {
        match self {
            Self::Balanced { most, .. } => most,
            Self::Padded { width, .. } => width,
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
            Order::Steps => self.format.chunk_steps(),
        }
    }

    /// The words along the sum that a chunk holds.
    pub(crate) fn steps_of(self, chunk: usize) -> Range<usize> {
        let chunk_steps = self.chunk_steps();
        chunk * chunk_steps..((chunk + 1) * chunk_steps).min(self.steps)
    }

    /// The words of some panels within one chunk of the sum, each with the lines that it holds: as
    /// [`Layout::panel`] and [`Grouping::lines_of`], without a division for each.
    pub(crate) fn panels_of(
        self,
        chunk: usize,
        panels: Range<usize>,
    ) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let steps = self.steps_of(chunk).len() + self.format.header();
        let all = self.grouping.lines();
        let (size, larger) = match self.grouping {
            Grouping::Balanced { lines, .. } => {
                let count = self.grouping.panels().max(1);
                (lines / count, lines % count)
            }
            Grouping::Padded { width, .. } => (width, 0),
        };
        let mut line = panels.start * size + panels.start.min(larger);
        let mut word = self.panel(chunk, panels.start).start;
        panels.map(move |panel| {
            let stored = size + usize::from(panel < larger);
            let words = word..word + stored * steps;
            let lines = line..(line + stored).min(all);
            (word, line) = (words.end, lines.end);
            (words, lines)
        })
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

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn panels_in_turn_are_those_one_by_one() {
        for lines in 1..40 {
            for grouping in [
                Grouping::Balanced { lines, most: 14 },
                Grouping::Padded { lines, width: 16 },
            ] {
                for format in [Format::F32, Format::SignedBytes] {
                    let layout = Layout::new(grouping, format, Order::Steps, 300);
                    let count = grouping.panels();
                    for (chunk, first) in
                        (0..layout.chunks()).flat_map(|c| (0..count).map(move |f| (c, f)))
                    {
                        let one = |panel| (layout.panel(chunk, panel), grouping.lines_of(panel));
                        let all: Vec<_> = (first..count).map(one).collect();
                        let got: Vec<_> = layout.panels_of(chunk, first..count).collect();
                        assert_eq!(got, all);
                    }
                }
            }
        }
    }
}
