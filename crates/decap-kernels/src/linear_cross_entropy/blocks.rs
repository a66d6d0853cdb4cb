//! Some rows of the loss, whose logits are computed one block of classes at a time.

use crate::gemm::{How, PackedInput, multiply_packed, with_packed_input};
use crate::matrix::{Accumulate, MatrixView, MatrixViewMut, Output};

/// Classes whose logits are in memory at a time: those of a batch stay in the last-level cache.
pub(super) const BLOCK_CLASSES: usize = 2048;

/// A cross-entropy of some rows whose logits are computed one block of classes at a time.
///
/// Gradients need the sums of the rows first, so exponentials of logits are kept.
pub(super) struct Blocks<'a> {
    pub(super) how: How,
    /// The rows, `[rows, width]`.
    pub(super) hidden: MatrixView<'a>,
    /// The same, as the products with the embedding read them.
    pub(super) packed: PackedInput<'a>,
    /// `[classes, width]`
    pub(super) embedding: &'a [f32],
    pub(super) classes: usize,
    /// `[rows]`
    pub(super) targets: &'a [usize],
}

/// Packs the hidden states of some rows and lends their cross-entropy to `work`.
pub(super) fn with_blocks(
    how: How,
    hidden: &[f32],
    width: usize,
    embedding: &[f32],
    targets: &[usize],
    work: impl FnOnce(Blocks<'_>),
) {
    let hidden = MatrixView::row_major(hidden, targets.len(), width);
    with_packed_input(how.set, how.threads, how.precision, hidden, |packed| {
        work(Blocks {
            how,
            hidden,
            packed,
            embedding,
            classes: embedding.len() / width,
            targets,
        });
    });
}

impl Blocks<'_> {
    /// The embeddings of a block of classes, `[some classes, width]`.
    pub(super) fn block(&self, first: usize) -> MatrixView<'_> {
        let (width, size) = (
            self.hidden.columns(),
            BLOCK_CLASSES.min(self.classes - first),
        );
        let embedding = &self.embedding[first * width..(first + size) * width];
        MatrixView::row_major(embedding, size, width)
    }

    /// The logits of a block of classes, `[rows, classes]`.
    pub(super) fn logits(&self, block: MatrixView<'_>, logits: &mut [f32]) {
        let out = MatrixViewMut::row_major(logits, self.targets.len(), block.rows());
        let out = &mut Output::new(out);
        let block = block.transposed();
        multiply_packed(self.how, self.packed, block, Accumulate::Overwrite, out);
    }
}
