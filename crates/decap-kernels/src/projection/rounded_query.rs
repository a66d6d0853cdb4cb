//! A query in sixteen bits, to be multiplied with rows of bytes.

/// A query rounded to steps of its own.
pub(super) struct RoundedQuery {
    /// `[width]`, in steps.
    pub(super) numbers: Vec<i16>,
    pub(super) step: f32,
    /// Length of the rounding error.
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

    /// The most steps for which a sum of products with bytes fits into 32 bits.
    pub(super) fn most_steps(width: usize) -> i16 {
        (i32::MAX as usize / (128 * width)).min(i16::MAX as usize) as i16
    }

    /// The largest error of a dot product with a row of bytes, divided by the scale of the row; `length` is the length
    /// of the query. A byte may be off by half.
    ///
    /// Cauchy and Schwarz twice: the rounding error of the row times the query, and the row times the rounding error of
    /// the query. A row of bytes is at most 127 sqrt(width) scales long.
    pub(super) fn slack(&self, length: f32) -> f32 {
        (self.numbers.len() as f32).sqrt() * (0.5 * length + 127.0 * self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{Kernel, Simd};
    use crate::dispatch::{KernelSet, dispatch};

    struct Dot<'a>(&'a [i16], &'a [i8]);

    impl Kernel for Dot<'_> {
        type Output = i32;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> i32 {
            simd.dot_bytes(self.0, self.1)
        }
    }

    #[test]
    fn products_with_bytes_are_exact_under_every_set() {
        for width in (0..70).chain([127, 128, 512, 777]) {
            let most = RoundedQuery::most_steps(width.max(1));
            let number = |at: usize| [most, -most, 17, (at % 251) as i16][at % 4];
            let byte = |at: usize| [i8::MIN, i8::MAX, -3, (at % 127) as i8][at / 2 % 4];
            let numbers: Vec<i16> = (0..width).map(number).collect();
            for bytes in [(0..width).map(byte).collect(), vec![i8::MIN; width]] {
                let pairs = numbers.iter().zip(&bytes);
                let exact: i64 = pairs.map(|(&a, &b)| i64::from(a) * i64::from(b)).sum();
                for set in KernelSet::supported() {
                    let got = dispatch(set, Dot(&numbers, &bytes));
                    assert_eq!(i64::from(got), exact, "{set} {width}");
                }
            }
            // All of one sign: the largest possible sum.
            let exact = width as i64 * i64::from(most) * -128;
            for set in KernelSet::supported() {
                let got = dispatch(set, Dot(&vec![most; width], &vec![i8::MIN; width]));
                assert_eq!(i64::from(got), exact, "{set} {width}");
            }
        }
    }

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
