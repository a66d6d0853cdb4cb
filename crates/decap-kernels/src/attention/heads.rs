//! One head of one sequence: its part of the matrices, and its products.

use super::sequences::{Attention, Sequence, Sequences};
use crate::dispatch::KernelSet;
use crate::gemm::{self, How};
use crate::matrix::{Accumulate, MatrixView, MatrixViewMut, Output, OutputBlock, Precision};
use crate::parallel::Threads;

/// One head of one sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) sequence: Sequence,
    pub(super) index: usize,
}

pub(super) fn heads(sequences: Sequences<'_>, attention: Attention) -> Vec<Head> {
    let sequences = sequences.iterate(attention.num_heads).into_iter();
    let per_head =
        |sequence: Sequence| (0..attention.num_heads).map(move |index| Head { sequence, index });
    sequences
        .filter(|sequence| sequence.tokens > 0)
        .flat_map(per_head)
        .collect()
}

impl Head {
    /// Queries (`part` 0), keys (1) or values (2) of the head, `[tokens, head_width]`.
    pub(super) fn view<'a>(
        &self,
        qkv: &'a [f32],
        attention: Attention,
        part: usize,
    ) -> MatrixView<'a> {
        let stride = 3 * attention.width();
        let column = part * attention.width() + self.index * attention.head_width;
        let start = self.sequence.first_row * stride + column;
        let tokens = self.sequence.tokens;
        MatrixView::with_row_stride(&qkv[start..], tokens, attention.head_width, stride)
    }

    /// The head's rows and columns in an output whose rows hold one or three widths.
    ///
    /// # Safety
    /// As for [`Output::block`].
    pub(super) unsafe fn block<'a>(
        &self,
        output: &'a Output<'_>,
        attention: Attention,
        part: usize,
    ) -> OutputBlock<'a> {
        let column = part * attention.width() + self.index * attention.head_width;
        let (row, tokens) = (self.sequence.first_row, self.sequence.tokens);
        // SAFETY: the caller's promise is the same.
        unsafe { output.block(row, tokens, column, attention.head_width) }
    }
}

pub(super) fn square(values: &mut [f32], tokens: usize) -> Output<'_> {
    Output::new(MatrixViewMut::row_major(values, tokens, tokens))
}

pub(super) fn multiply(
    (set, precision): (KernelSet, Precision),
    a: MatrixView<'_>,
    b: MatrixView<'_>,
    mut out: Output<'_>,
) {
    let how = How {
        set,
        threads: Threads::One,
        precision,
    };
    gemm::multiply(how, a, b, Accumulate::Overwrite, &mut out);
}
