//! Numbers that can be typed, checked as they are.

use std::ops::RangeInclusive;

use clap::builder::TypedValueParser;

/// A count that must not be zero.
pub fn at_least_one() -> impl TypedValueParser<Value = usize> {
    within(1..=1_000_000_000)
}

/// Frames of a video: as many as the library takes.
pub fn frames() -> impl TypedValueParser<Value = usize> {
    within(1..=1024)
}

/// Draws of a bootstrap: more only take longer.
pub fn draws() -> impl TypedValueParser<Value = usize> {
    within(0..=1_000_000)
}

/// Pixels of a small photo's longer edge.
pub fn pixels() -> impl TypedValueParser<Value = usize> {
    within(0..=4096)
}

/// Seconds that work may take: up to a day.
pub fn seconds() -> impl TypedValueParser<Value = usize> {
    within(1..=86_400)
}

/// A whole number of this range.
fn within(range: RangeInclusive<usize>) -> impl TypedValueParser<Value = usize> {
    move |text: &str| -> Result<usize, String> {
        let (least, most) = (*range.start(), *range.end());
        match text.parse() {
            Ok(value) if range.contains(&value) => Ok(value),
            _ => Err(format!(
                "expected a whole number from {least} to {most}, got `{text}`"
            )),
        }
    }
}

/// A number above 0, such as a temperature.
pub fn positive(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err(format!("expected a number above 0, got `{text}`")),
    }
}

/// Millions, perhaps a fraction of one, as a count of single ones.
pub fn millions(text: &str) -> Result<u64, String> {
    units(text, 1e6)
}

/// Mebibytes, perhaps a fraction of one, as bytes.
pub fn mebibytes(text: &str) -> Result<u64, String> {
    units(text, 1_048_576.0)
}

/// A number of `unit`s as a count of single ones.
fn units(text: &str, unit: f64) -> Result<u64, String> {
    match text.parse::<f64>() {
        // Beyond its range a float becomes the largest whole number.
        Ok(value) if value.is_finite() && value * unit >= 1.0 => Ok((value * unit).round() as u64),
        _ => Err(format!("expected a number above 0, got `{text}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn millions_may_be_fractions_and_must_be_something() {
        assert_eq!(millions("0.01"), Ok(10_000));
        assert_eq!(millions("256"), Ok(256_000_000));
        assert_eq!(millions("1e300"), Ok(u64::MAX));
        assert_eq!(mebibytes("0.5"), Ok(524_288));
        for text in ["0", "-1", "1e-9", "nan", "inf", "", "ten"] {
            assert!(millions(text).is_err(), "{text}");
        }
    }
}
