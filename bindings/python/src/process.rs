//! The process that the threads belong to: a child that was forked from it has none of them.

use std::process;
use std::sync::OnceLock;

use pyo3::PyResult;

use crate::failure::model_error;

/// The process that first used the library.
static OWNER: OnceLock<u32> = OnceLock::new();

/// Refuses a process that was forked after the library was used: it would wait for ever for threads that
/// did not come along.
///
/// # Errors
/// `decap.ModelError`, with the remedy.
pub fn check() -> PyResult<()> {
    let here = process::id();
    if *OWNER.get_or_init(|| here) == here {
        return Ok(());
    }
    Err(model_error(
        "unavailable",
        "this process was forked from one that had used decap, and its threads did not come along\n  \
         use multiprocessing.get_context(\"spawn\"), or fork before the first Captioner is opened",
    ))
}
