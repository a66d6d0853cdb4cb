//! The native part of the Python package `decap`: a thin layer over the library and the program. What
//! Python objects mean (arrays, PIL images, files) is decided in Python, in `python/decap/_inputs.py`.

mod captioner;
mod failure;
mod inputs;
mod memory;
mod process;
mod score;
mod train;

use std::ffi::OsString;

use pyo3::prelude::*;

/// Functions and classes that the Python package wraps.
#[pymodule]
mod _decap {
    use super::*;

    #[pymodule_export]
    use super::captioner::Captioner;
    #[pymodule_export]
    use super::memory::Memory;
    #[pymodule_export]
    use super::score::score;
    #[pymodule_export]
    use super::train::train;

    /// The version, as Cargo has it.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    /// Runs the program `decap` with `words`, its name first; returns the exit code.
    #[pyfunction]
    fn main(py: Python<'_>, words: Vec<OsString>) -> u8 {
        py.detach(|| decap_cli::run(words))
    }
}
