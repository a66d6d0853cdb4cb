//! Fixed cuts of slices over the rayon pool.

use crate::dispatch::{forced_kernels, with_kernels};
use rayon::prelude::*;

/// Whether a computation spreads over the rayon pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// Stays on the calling thread, because the caller is parallel itself.
    One,
    /// Uses the pool when the work is worth it.
    All,
}

/// Values per piece of element-wise work. Fixed, so that results do not depend on the threads.
pub(crate) const CHUNK_VALUES: usize = 1 << 15;

/// Calls `work(start, piece)` for each piece of `values`.
pub(crate) fn for_each_chunk_mut(values: &mut [f32], work: impl Fn(usize, &mut [f32]) + Sync) {
    if values.len() <= CHUNK_VALUES {
        work(0, values);
    } else {
        values
            .par_chunks_mut(CHUNK_VALUES)
            .enumerate()
            .for_each(|(index, piece)| work(index * CHUNK_VALUES, piece));
    }
}

/// Rows of `width` values that make a piece of about [`CHUNK_VALUES`].
pub(crate) fn rows_per_chunk(width: usize) -> usize {
    (CHUNK_VALUES / width.max(1)).max(1)
}

/// Runs `work` on a thread of the current rayon pool.
///
/// A kernel that is called from outside the pool hands its work to the pool and waits for it; a
/// network of a hundred small kernels should do that once.
pub fn on_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let forced = forced_kernels();
    rayon::scope(|_| match forced {
        Some(set) => with_kernels(set, work),
        None => work(),
    })
}

/// Threads of the current rayon pool.
pub fn num_threads() -> usize {
    rayon::current_num_threads()
}
