//! Which kernels run: detected once, forced by `DECAP_KERNELS`.

#[cfg(target_arch = "aarch64")]
use crate::arch::neon;
use crate::arch::{Kernel, scalar};
#[cfg(target_arch = "x86_64")]
use crate::{
    arch::{avx2, avx512},
    matrix_unit,
};
use std::cell::Cell;
use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::sync::OnceLock;

/// Environment variable that forces a kernel set, for example `DECAP_KERNELS=avx2`.
pub const KERNELS_VARIABLE: &str = "DECAP_KERNELS";

/// A family of kernels, from the portable ones to the newest instruction sets.
///
/// Sets of one architecture are ordered: a later one contains the instructions of the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KernelSet {
    /// Plain Rust, any processor.
    Scalar,
    /// aarch64 NEON.
    Neon,
    /// x86-64 AVX2, FMA and F16C.
    Avx2,
    /// x86-64 AVX-512 F, BW, DQ and VL alone (`avx512f`).
    Avx512,
    /// AVX-512 with BF16 and VNNI dot products (`avx512bf16`, or `avx512` if the machine has them).
    Avx512Bf16,
    /// AVX-512 BF16 and VNNI, and the AMX matrix unit for bf16 and int8.
    Amx,
}

impl KernelSet {
    /// Every set, slowest first.
    pub const ALL: [Self; 6] = [
        Self::Scalar,
        Self::Neon,
        Self::Avx2,
        Self::Avx512,
        Self::Avx512Bf16,
        Self::Amx,
    ];

    /// The set in use on this thread: what [`with_kernels`] forced, else what
    /// [`KERNELS_VARIABLE`] names, else the best of the machine.
    ///
    /// An unusable value of the variable is reported once on stderr and the best set is used;
    /// call [`KernelSet::from_environment`] first to make it an error.
    pub fn active() -> Self {
        FORCED.with(Cell::get).unwrap_or_else(Self::of_process)
    }

    fn of_process() -> Self {
        static CHOICE: OnceLock<KernelSet> = OnceLock::new();
        *CHOICE.get_or_init(|| {
            Self::from_environment().unwrap_or_else(|error| {
                let best = Self::best();
                warn(&format!("warning: {error}; using {best}"));
                best
            })
        })
    }

    /// The set that [`KERNELS_VARIABLE`] names, or the best of the machine when it is not set.
    ///
    /// # Errors
    /// When the variable names no set, or one that this machine cannot run.
    pub fn from_environment() -> Result<Self, KernelSetError> {
        match std::env::var_os(KERNELS_VARIABLE) {
            None => Ok(Self::best()),
            Some(value) if value.is_empty() => Ok(Self::best()),
            Some(value) => {
                let set: Self = value.to_string_lossy().parse()?;
                if set.is_supported() {
                    Ok(set)
                } else {
                    Err(KernelSetError::Unsupported(set))
                }
            }
        }
    }

    /// The fastest set that this machine runs.
    pub fn best() -> Self {
        static BEST: OnceLock<KernelSet> = OnceLock::new();
        *BEST.get_or_init(|| {
            let mut sets = Self::ALL.into_iter().rev();
            sets.find(|set| set.is_supported()).unwrap_or(Self::Scalar)
        })
    }

    /// The sets that this machine runs, slowest first.
    pub fn supported() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|set| set.is_supported())
    }

    /// Whether this machine runs the set.
    pub fn is_supported(self) -> bool {
        match self {
            Self::Scalar => true,
            Self::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::is_supported(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::is_supported(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => avx512::has_dot_products(),
            #[cfg(target_arch = "x86_64")]
            Self::Amx => matrix_unit::is_supported(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 | Self::Avx512Bf16 | Self::Amx => false,
        }
    }

    /// The name that [`KERNELS_VARIABLE`] takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512f",
            Self::Avx512Bf16 => "avx512bf16",
            Self::Amx => "amx",
        }
    }
}

impl fmt::Display for KernelSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for KernelSet {
    type Err = KernelSetError;

    fn from_str(name: &str) -> Result<Self, KernelSetError> {
        if name == "avx512" {
            return Ok(match Self::Avx512Bf16.is_supported() {
                true => Self::Avx512Bf16,
                false => Self::Avx512,
            });
        }
        let known = Self::ALL.into_iter().find(|set| set.name() == name);
        known.ok_or_else(|| KernelSetError::Unknown(name.to_owned()))
    }
}

/// Runs `kernel` with the instructions of `set`.
pub(crate) fn dispatch<K: Kernel>(set: KernelSet, kernel: K) -> K::Output {
    match set {
        #[cfg(target_arch = "x86_64")]
        KernelSet::Avx512 | KernelSet::Avx512Bf16 | KernelSet::Amx => avx512::run(kernel),
        #[cfg(target_arch = "x86_64")]
        KernelSet::Avx2 => avx2::run(kernel),
        #[cfg(target_arch = "aarch64")]
        KernelSet::Neon => neon::run(kernel),
        _ => kernel.run(scalar::Scalar),
    }
}

/// Why a kernel set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelSetError {
    /// No set has this name.
    Unknown(String),
    /// The machine lacks the instructions of the set.
    Unsupported(KernelSet),
}

impl fmt::Display for KernelSetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                let names: Vec<_> = KernelSet::ALL.iter().map(|set| set.name()).collect();
                let names = names.join(", ");
                write!(
                    formatter,
                    "{KERNELS_VARIABLE}: expected one of {names}, got \"{name}\""
                )
            }
            Self::Unsupported(set) => {
                let names: Vec<_> = KernelSet::supported().map(KernelSet::name).collect();
                let names = names.join(", ");
                write!(
                    formatter,
                    "{KERNELS_VARIABLE}: expected one of {names} on this machine, got \"{set}\""
                )
            }
        }
    }
}

impl std::error::Error for KernelSetError {}

thread_local! {
    static FORCED: Cell<Option<KernelSet>> = const { Cell::new(None) };
}

/// Runs `work` and forces the kernels that this thread calls to `set`, for benches and tests.
///
/// Work that `work` itself moves to other threads is not affected.
///
/// # Panics
/// When the machine does not support `set`.
pub fn with_kernels<R>(set: KernelSet, work: impl FnOnce() -> R) -> R {
    struct Restore(Option<KernelSet>);
    impl Drop for Restore {
        fn drop(&mut self) {
            FORCED.with(|forced| forced.set(self.0));
        }
    }
    assert!(set.is_supported(), "{}", KernelSetError::Unsupported(set));
    let _restore = Restore(FORCED.with(|forced| forced.replace(Some(set))));
    work()
}

/// Tells people a line; where standard error is closed, there is nobody to tell.
#[allow(
    clippy::disallowed_methods,
    reason = "the one line that this library prints"
)]
fn warn(line: &str) {
    let _told = writeln!(std::io::stderr(), "{line}");
}

/// What [`with_kernels`] forced on this thread.
pub(crate) fn forced_kernels() -> Option<KernelSet> {
    FORCED.with(Cell::get)
}

/// The name of the kernel set in use, for logs and `--version`.
pub fn active_kernels() -> &'static str {
    KernelSet::active().name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for set in KernelSet::ALL {
            assert_eq!(set.name().parse::<KernelSet>(), Ok(set));
        }
    }

    #[test]
    fn unknown_name_lists_what_is_known() {
        let message = "sse9".parse::<KernelSet>().unwrap_err().to_string();
        assert_eq!(
            message,
            "DECAP_KERNELS: expected one of scalar, neon, avx2, avx512f, avx512bf16, amx, got \"sse9\""
        );
    }

    #[test]
    fn forcing_is_undone() {
        let before = KernelSet::active();
        let inside = with_kernels(KernelSet::Scalar, KernelSet::active);
        assert_eq!(inside, KernelSet::Scalar);
        assert_eq!(KernelSet::active(), before);
    }
}
