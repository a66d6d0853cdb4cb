//! Exponentials of the logits of a block of classes, as operands of the products that follow.

use super::blocks::Blocks;
use crate::arch::{Kernel, Simd};
use crate::dispatch::dispatch;
use crate::gemm::Packing;
#[cfg(target_arch = "x86_64")]
use crate::gemm::with_product;
use crate::lanes::{exp_sum, sum};
use crate::matrix::{Layout, MatrixView};
use crate::row_sums::RowSums;
use crate::words::with_f32_scratch;
#[cfg(target_arch = "x86_64")]
use crate::{
    matrix::Pieces,
    matrix_unit::{ExponentialTiles, TileSums},
};
use rayon::prelude::*;

/// Where the exponentials of a block of classes go: first operands with a line for each row, and for each class.
pub(super) struct Exponentials<'a> {
    /// Share of the target that is spread over all classes; the sum of all logits is needed only if it is above 0.
    pub(super) smoothing: f32,
    pub(super) by_row: (&'a mut [u32], Layout),
    pub(super) by_class: (&'a mut [u32], Layout),
}

impl Blocks<'_> {
    /// The exponentials of the logits of a block of classes, without those of the targets, and their sums.
    pub(super) fn exponentiate(&self, first: usize, sums: &mut [RowSums], into: Exponentials<'_>) {
        let block = self.block(first);
        let (rows, size) = (self.targets.len(), block.rows());
        with_f32_scratch(rows * size, |logits| {
            self.logits(block, logits);
            let pairs = sums.par_iter_mut().zip(logits.par_chunks_exact_mut(size));
            pairs
                .zip(self.targets)
                .for_each(|((sums, logits), &target)| {
                    if let Some(logit) = logits.get(target.wrapping_sub(first)) {
                        sums.target = f64::from(*logit);
                    }
                    let exponentiate = Exponentiate {
                        smoothing: into.smoothing,
                        sums,
                        logits: &mut *logits,
                    };
                    dispatch(self.how.set, exponentiate);
                    if let Some(of_target) = logits.get_mut(target.wrapping_sub(first)) {
                        *of_target = 0.0;
                    }
                });
            let exponentials = MatrixView::row_major(logits, rows, size);
            let both = [
                (exponentials, into.by_row),
                (exponentials.transposed(), into.by_class),
            ];
            for (operand, (words, layout)) in both {
                let packing = Packing {
                    set: self.how.set,
                    threads: self.how.threads,
                    operand,
                    layout,
                    factors: &[],
                };
                packing.run(words);
            }
        });
    }

    /// [`Blocks::exponentiate`] on the matrix unit, while each tile of logits is hot; `parts` is scratch for the sums of
    /// the tiles.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn exponentiate_tiles(
        &self,
        first: usize,
        parts: &TileSums,
        sums: &mut [RowSums],
        into: Exponentials<'_>,
    ) {
        let block = self.block(first);
        let references: Vec<f32> = sums.iter().map(|row| row.largest).collect();
        let tiles = ExponentialTiles {
            rows: (Pieces::new(into.by_row.0), into.by_row.1),
            classes: (Pieces::new(into.by_class.0), into.by_class.1),
            first_class: first,
            wants_totals: into.smoothing != 0.0,
            references: &references,
            targets: self.targets,
            sums: parts,
        };
        with_product(self.how, self.packed, block.transposed(), |product| {
            product.run_into_exponentials(&tiles);
        });
        parts.add_to(sums, block.rows());
    }
}

/// Turns logits of a row into exponentials and adds them up.
struct Exponentiate<'a> {
    smoothing: f32,
    sums: &'a mut RowSums,
    logits: &'a mut [f32],
}

impl Kernel for Exponentiate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if self.smoothing > 0.0 {
            self.sums.total += sum(simd, self.logits);
        }
        let exponentials = exp_sum(simd, self.logits, 1.0, -self.sums.largest);
        self.sums.exponentials += f64::from(exponentials);
    }
}
