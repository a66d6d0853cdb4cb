//! What a cross-entropy keeps about the logits of a row.

/// What is known about the logits of a row.
#[derive(Clone, Copy)]
pub(crate) struct RowSums {
    /// The largest of them, or another value that is subtracted from them instead.
    pub(crate) largest: f32,
    /// Sum of `e^(logit - largest)`.
    pub(crate) exponentials: f64,
    /// Sum of the logits.
    pub(crate) total: f64,
    /// Logit of the target.
    pub(crate) target: f64,
}

impl RowSums {
    /// The sums of no logits; `largest` is what will be subtracted from them.
    pub(crate) fn new(largest: f32) -> Self {
        Self {
            largest,
            exponentials: 0.0,
            total: 0.0,
            target: 0.0,
        }
    }

    pub(crate) fn log_sum(&self) -> f64 {
        f64::from(self.largest) + self.exponentials.ln()
    }
}
