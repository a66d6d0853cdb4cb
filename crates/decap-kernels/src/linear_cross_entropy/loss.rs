//! The sums of the rows, without gradients.

use super::blocks::{BLOCK_CLASSES, Blocks};
use crate::arch::{Kernel, Simd};
use crate::dispatch::dispatch;
use crate::lanes::{exp_sum, maximum, sum};
use crate::row_sums::RowSums;
use crate::words::with_f32_scratch;
use rayon::prelude::*;

impl Blocks<'_> {
    /// The sums of the rows.
    pub(super) fn row_sums(&self) -> Vec<RowSums> {
        let len = self.targets.len();
        let mut rows = vec![RowSums::new(f32::NEG_INFINITY); len];
        if rows.is_empty() {
            return rows;
        }
        for first in (0..self.classes).step_by(BLOCK_CLASSES) {
            let block = self.block(first);
            let size = block.rows();
            with_f32_scratch(len * size, |logits| {
                self.logits(block, logits);
                let pairs = rows.par_iter_mut().zip(logits.par_chunks_exact_mut(size));
                pairs
                    .zip(self.targets)
                    .for_each(|((row, logits), &target)| {
                        if let Some(logit) = logits.get(target.wrapping_sub(first)) {
                            row.target = f64::from(*logit);
                        }
                        dispatch(self.how.set, AddLogits { row, logits });
                    });
            });
        }
        rows
    }
}

/// Adds more logits of a row to its sums.
struct AddLogits<'a> {
    row: &'a mut RowSums,
    logits: &'a mut [f32],
}

impl Kernel for AddLogits<'_> {
    type Output = ();

    /// The logits are replaced by `e^(logit - largest)`.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let row = self.row;
        row.total += sum(simd, self.logits);
        let largest = maximum(simd, self.logits).max(row.largest);
        row.exponentials *= f64::from(row.largest - largest).exp();
        row.largest = largest;
        row.exponentials += f64::from(exp_sum(simd, self.logits, 1.0, -largest));
    }
}
