//! Counts that can be typed.

use clap::builder::{RangedU64ValueParser, TypedValueParser};

/// A count that must not be zero.
pub fn at_least_one() -> impl TypedValueParser<Value = usize> {
    RangedU64ValueParser::<u64>::new()
        .range(1..=1_000_000_000)
        .map(|value| value as usize)
}

/// Frames of a video: as many as the library takes.
pub fn frames() -> impl TypedValueParser<Value = usize> {
    RangedU64ValueParser::<u64>::new()
        .range(1..=1024)
        .map(|value| value as usize)
}
