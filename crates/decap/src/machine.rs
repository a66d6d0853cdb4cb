//! What the processor offers, and what of it is used.

use decap_kernels::KernelSet;

use decap_encoder::{Error, Result};

/// The kernels in use and the threads that run them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// The kernel set, as `DECAP_KERNELS` names it.
    pub kernels: &'static str,
    /// Threads of the pool; `RAYON_NUM_THREADS` sets them.
    pub threads: usize,
}

impl Machine {
    /// What this process uses.
    ///
    /// # Errors
    /// [`Error::Usage`] where `DECAP_KERNELS` names no kernel set, or one that the processor lacks.
    pub fn detect() -> Result<Self> {
        let set = KernelSet::from_environment().map_err(|error| Error::Usage(error.to_string()))?;
        Ok(Self {
            kernels: set.name(),
            threads: decap_kernels::num_threads(),
        })
    }

    /// Refuses an unusable `DECAP_KERNELS`, before anything was computed with other kernels.
    ///
    /// # Errors
    /// As [`Machine::detect`].
    pub fn check() -> Result<()> {
        KernelSet::from_environment()
            .map(drop)
            .map_err(|error| Error::Usage(error.to_string()))
    }
}
