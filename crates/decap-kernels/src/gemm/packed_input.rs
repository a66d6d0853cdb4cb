//! The first operand of a product, packed into scratch memory.

use super::packing::Packing;
use super::row_scales::integer_scales;
use super::tile_kernel::TileKernel;
use crate::dispatch::KernelSet;
use crate::matrix::{Layout, MatrixView, Precision};
use crate::parallel::Threads;
use crate::words::{with_f32_scratch, with_scratch};

/// A first operand as the tiles of a kernel read it.
#[derive(Clone, Copy)]
pub(crate) struct PackedInput<'a> {
    pub(crate) kernel: TileKernel,
    pub(crate) layout: Layout,
    pub(crate) words: &'a [u32],
    /// Factors of the rows if the second operand is bytes; else empty.
    pub(crate) scales: &'a [f32],
}

/// Packs `input`, `[rows, inputs]`, into scratch memory and lends it to `work`.
pub(crate) fn with_packed_input<R>(
    set: KernelSet,
    threads: Threads,
    precision: Precision,
    input: MatrixView<'_>,
    work: impl FnOnce(PackedInput<'_>) -> R,
) -> R {
    let rows = input.rows();
    let kernel = TileKernel::choose(set, precision, rows);
    let (grouping, order) = kernel.group_rows(set, rows);
    let layout = Layout::new(grouping, kernel.input_format(), order, input.columns());
    let scaled_rows = if precision.has_byte_weights() {
        rows
    } else {
        0
    };
    with_f32_scratch(2 * scaled_rows, |scales| {
        let (factors, scales) = scales.split_at_mut(scaled_rows);
        let factors = match kernel.largest_integer() {
            Some(largest) => {
                integer_scales(set, input, largest, factors, scales);
                &*factors
            }
            None => {
                scales.fill(1.0);
                &[]
            }
        };
        with_scratch(layout.words(), |words| {
            let packing = Packing {
                set,
                threads,
                operand: input,
                layout,
                factors,
            };
            packing.run(words);
            work(PackedInput {
                kernel,
                layout,
                words,
                scales,
            })
        })
    })
}
