//! Numbers that can be typed, checked as they are.

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

/// A number above 0, such as a temperature.
pub fn positive(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err(format!("expected a number above 0, got `{text}`")),
    }
}

/// Draws of a bootstrap: more only take longer.
pub fn draws() -> impl TypedValueParser<Value = usize> {
    RangedU64ValueParser::<u64>::new()
        .range(0..=1_000_000)
        .map(|value| value as usize)
}
