//! A query in sixteen bits, to be multiplied with rows of bytes.

/// A query rounded to steps of its own.
pub(super) struct RoundedQuery {
    /// `[width]`, in steps.
    pub(super) numbers: Vec<i16>,
    pub(super) step: f32,
    /// Length of what rounding took.
    lost: f32,
}

impl RoundedQuery {
    /// Rounds `query` so that its largest value becomes `most` steps.
    pub(super) fn new(query: &[f32], most: i16) -> Self {
        let largest = query
            .iter()
            .fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let step = match largest / f32::from(most) {
            step if step >= f32::MIN_POSITIVE => step,
            _ => 1.0,
        };
        let steps = |value: &f32| (value / step).round_ties_even();
        let lost = query
            .iter()
            .map(|value| f64::from(value - steps(value) * step).powi(2));
        Self {
            numbers: query.iter().map(|value| steps(value) as i16).collect(),
            step,
            lost: lost.sum::<f64>().sqrt() as f32,
        }
    }

    /// The most steps with which a sum of products with bytes fits 32 bits.
    pub(super) fn most_steps(width: usize) -> i16 {
        (i32::MAX as usize / (128 * width)).min(i16::MAX as usize) as i16
    }

    /// Most by which a dot product with a row of bytes is off, over the scale of the row; `length` is that of the
    /// query. A byte may be off by half.
    ///
    /// Cauchy and Schwarz twice: what rounding took from the row times the query, and the row times what rounding
    /// took from the query. A row of bytes is at most 127 sqrt(width) scales long.
    pub(super) fn slack(&self, length: f32) -> f32 {
        (self.numbers.len() as f32).sqrt() * (0.5 * length + 127.0 * self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_fit_whatever_the_width() {
        for width in [1, 100, 512, 513, 1024, 4096] {
            let most = i64::from(RoundedQuery::most_steps(width));
            assert!(most >= 1 && most * 128 * width as i64 <= i64::from(i32::MAX));
        }
    }

    #[test]
    fn steps_are_what_the_query_was() {
        let query = [0.5, -0.25, 0.1, 0.0];
        let rounded = RoundedQuery::new(&query, 1000);
        assert_eq!(rounded.numbers, [1000, -500, 200, 0]);
        assert!((rounded.step - 5e-4).abs() < 1e-9 && rounded.lost < 1e-7);
        let nothing = RoundedQuery::new(&[0.0; 3], 1000);
        assert_eq!((nothing.numbers, nothing.lost), (vec![0; 3], 0.0));
    }
}
