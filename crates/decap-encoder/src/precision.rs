//! The precision that networks are computed in, and what `auto` takes.

use std::fmt;
use std::str::FromStr;

use decap_kernels::{KernelSet, Precision as KernelPrecision};

use crate::error::{Error, Result};

/// The precision that networks are computed in.
///
/// Weights are packed in it once, when they are loaded; activations, sums and embeddings stay f32.
/// The ONNX towers compute as their file says, whatever is asked for here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// What was measured to be fastest among those that keep the cosine of an embedding to f32's
    /// above 0.999 and at least 95 % of the captions as they are (`docs/results.md`, "Precision").
    #[default]
    Auto,
    /// 32-bit floats: the reference.
    F32,
    /// Operands rounded to bfloat16, sums in f32.
    Bf16,
    /// 8-bit weights with a scale an output, activations rounded to 8 bits row by row.
    Int8,
}

impl Precision {
    /// Every choice, `auto` first.
    pub const ALL: [Self; 4] = [Self::Auto, Self::F32, Self::Bf16, Self::Int8];

    /// The name on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// What CLIP's towers compute in. `auto` never takes int8: what it costs depends on a
    /// checkpoint's outliers, and is measured on none here.
    pub fn of_towers(self) -> KernelPrecision {
        match self {
            Self::Auto if has_dot_products() => KernelPrecision::Bf16,
            other => other.asked_for(),
        }
    }

    /// What the decoder computes in. A token reads every weight once, so that bytes pay; its
    /// activations keep 16 bits, because bytes there change one caption in ten.
    pub fn of_decoder(self) -> KernelPrecision {
        match self {
            Self::Auto => KernelPrecision::Int8Weights,
            other => other.asked_for(),
        }
    }

    /// What a memory is scanned in for many photos. The rows that matter are scored exactly all
    /// the same.
    pub fn of_scan(self) -> KernelPrecision {
        match self {
            Self::Auto => KernelPrecision::Bf16,
            other => other.asked_for(),
        }
    }

    /// Whether a photo much larger than the towers see is decoded at a smaller scale.
    pub(crate) fn reduces_photos(self) -> bool {
        self != Self::F32
    }

    fn asked_for(self) -> KernelPrecision {
        match self {
            Self::Auto | Self::F32 => KernelPrecision::F32,
            Self::Bf16 => KernelPrecision::Bf16,
            Self::Int8 => KernelPrecision::Int8,
        }
    }
}

/// Whether products of bf16 and of bytes are faster than those of f32.
fn has_dot_products() -> bool {
    KernelSet::active() >= KernelSet::Avx512Bf16
}

impl fmt::Display for Precision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = Self::ALL
            .into_iter()
            .find(|precision| precision.name() == name);
        known.ok_or_else(|| Error::Usage(format!("expected auto, f32, bf16 or int8, got `{name}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for precision in Precision::ALL {
            assert_eq!(precision.name().parse::<Precision>().unwrap(), precision);
        }
        assert!("f64".parse::<Precision>().is_err());
    }

    #[test]
    fn what_is_asked_for_is_taken() {
        for (asked, taken) in [
            (Precision::F32, KernelPrecision::F32),
            (Precision::Bf16, KernelPrecision::Bf16),
            (Precision::Int8, KernelPrecision::Int8),
        ] {
            assert_eq!(asked.of_towers(), taken);
            assert_eq!(asked.of_decoder(), taken);
            assert_eq!(asked.of_scan(), taken);
        }
    }
}
