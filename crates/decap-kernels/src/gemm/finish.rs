//! The epilogue of a block of the output, for kernels whose tiles are not finished one by one.

use crate::arch::{Kernel, Simd};
use crate::dispatch::{KernelSet, dispatch};
use crate::epilogue::Epilogue;
use crate::lanes::{Activation, activate, add_scaled};
use crate::matrix::OutputBlock;
use std::ops::Range;

/// Finishes the block at `rows` and `columns` of the output.
pub(super) fn finish(
    set: KernelSet,
    epilogue: Epilogue<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    outputs: usize,
    block: &mut OutputBlock<'_>,
) {
    let nothing = Activation::Identity == epilogue.activation;
    if epilogue.bias.is_none() && epilogue.residual.is_none() && nothing {
        return;
    }
    let finish = Finish {
        epilogue,
        rows,
        columns,
        outputs,
        block,
    };
    dispatch(set, finish);
}

struct Finish<'a, 'b, 'c> {
    epilogue: Epilogue<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    outputs: usize,
    block: &'b mut OutputBlock<'c>,
}

impl Kernel for Finish<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let bias = self.epilogue.bias.map(|bias| &bias[self.columns.clone()]);
        for index in 0..self.rows.len() {
            let row = self.block.row(index);
            if let Some(bias) = bias {
                add_scaled(simd, row, 1.0, bias);
            }
            activate(simd, self.epilogue.activation, row);
            if let Some(residual) = self.epilogue.residual {
                let start = (self.rows.start + index) * self.outputs;
                let columns = start + self.columns.start..start + self.columns.end;
                add_scaled(simd, row, 1.0, &residual[columns]);
            }
        }
    }
}
