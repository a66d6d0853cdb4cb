//! Axes: from numbers to places in a drawing, and round numbers to mark.

/// Most marks on an axis, whatever the numbers are.
const MOST_MARKS: usize = 40;

/// An axis from one round number to another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    step: f64,
    /// Where the two ends are in the drawing.
    ends: (f64, f64),
}

impl Scale {
    /// An axis that holds `low` and `high`, which are finite, with about `num_marks` marks.
    pub(super) fn around(low: f64, high: f64, num_marks: usize, ends: (f64, f64)) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let step = round_step((high - low) / num_marks.max(1) as f64);
        let low = (low / step).floor() * step;
        let high = ((high / step).ceil() * step).max(low + step);
        Self {
            low,
            high,
            step,
            ends,
        }
    }

    /// The place of `value` in the drawing.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        self.ends.0 + share * (self.ends.1 - self.ends.0)
    }

    /// The round numbers, with their labels.
    pub(super) fn marks(&self) -> Vec<(f64, String)> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        let decimals = (-self.step.log10().floor()).max(0.0) as usize;
        (0..=count.min(MOST_MARKS))
            .map(|place| {
                let number = (self.low / self.step).round() + place as f64;
                // Adding 0 makes no `-0` of it.
                let value = number * self.step + 0.0;
                (value, format!("{value:.decimals$}"))
            })
            .collect()
    }
}

/// The smallest of 1, 2 or 5 times a power of ten that is at least `step`, which is above 0.
pub(super) fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let fits = |factor: &&f64| **factor * power >= step * (1.0 - 1e-9);
    factors.iter().find(fits).unwrap_or(&10.0) * power
}

/// `0.01`, `560`, `50k`, `90.1k`, `1.2M`.
pub(super) fn compact(number: f64) -> String {
    let trimmed = |value: f64, unit: &str| {
        let text = format!("{value:.1}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match number {
        n if n >= 1e6 => trimmed(n / 1e6, "M"),
        n if n >= 1e3 => trimmed(n / 1e3, "k"),
        n => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.005, "0.005"),
            (560.0, "560"),
            (5000.0, "5k"),
            (90_100.0, "90.1k"),
            (1.2e6, "1.2M"),
        ];
        for (number, text) in cases {
            assert_eq!(compact(number), text);
        }
    }

    #[test]
    fn marks_are_round_and_hold_the_numbers() {
        let cases: [(f64, f64, &[&str]); 5] = [
            (61.2, 88.0, &["60", "65", "70", "75", "80", "85", "90"]),
            (0.0, 0.0, &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (-0.3, 0.4, &["-0.4", "-0.2", "0.0", "0.2", "0.4"]),
            (0.0, 1000.0, &["0", "200", "400", "600", "800", "1000"]),
            (7.0, 7.0, &["7.0", "7.2", "7.4", "7.6", "7.8", "8.0"]),
        ];
        for (low, high, labels) in cases {
            let scale = Scale::around(low, high, 6, (10.0, 110.0));
            let marks = scale.marks();
            let found: Vec<&str> = marks.iter().map(|(_, label)| label.as_str()).collect();
            assert_eq!(found, labels, "{low} {high}");
            assert!(scale.place(low) >= 10.0 - 1e-9 && scale.place(high) <= 110.0 + 1e-9);
            let (first, last) = (marks[0].0, marks[marks.len() - 1].0);
            assert!((scale.place(first) - 10.0).abs() < 1e-9);
            assert!((scale.place(last) - 110.0).abs() < 1e-9);
        }
    }
}
