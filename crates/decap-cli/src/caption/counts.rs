//! What became of the inputs of a run.

use std::time::Instant;

use crate::print;

/// How many inputs had which end.
pub struct Counts {
    /// Captions written.
    pub captioned: usize,
    /// Captions left out for want of confidence.
    pub left_out: usize,
    /// Inputs that could not be captioned.
    pub failed: usize,
    /// Inputs that look nearly like one before and have its caption.
    pub shared: usize,
    began: Instant,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            captioned: 0,
            left_out: 0,
            failed: 0,
            shared: 0,
            began: Instant::now(),
        }
    }
}

impl Counts {
    /// Says it to a person, where they cannot count it themselves: of many inputs, or where not all was well.
    pub fn tell(&self, least_confidence: Option<f32>) {
        if let Some(summary) = self.summary(least_confidence, self.began.elapsed().as_secs_f64()) {
            print::tell(summary);
        }
    }

    fn summary(&self, least_confidence: Option<f32>, seconds: f64) -> Option<String> {
        /// A screen of them.
        const MANY: usize = 24;
        /// Shorter runs are over before anybody asks how fast they are.
        const LONG_SECONDS: f64 = 10.0;
        let all = self.captioned + self.left_out + self.failed;
        let is_mixed = all > 1 && self.failed + self.left_out + self.shared > 0;
        if all < MANY && !is_mixed {
            return None;
        }
        let mut summary = format!("captioned {} of {all}", self.captioned);
        if seconds > LONG_SECONDS {
            summary += &format!(" in {seconds:.0} s, {:.1} a second", all as f64 / seconds);
        }
        if self.failed > 0 {
            summary += &format!("; {} failed", self.failed);
        }
        if self.shared > 0 {
            summary += &format!("; {} look nearly like one before", self.shared);
        }
        if let (Some(least), 1..) = (least_confidence, self.left_out) {
            summary += &format!(
                "; {} left out, their confidence is below {least:.2}",
                self.left_out
            );
        }
        Some(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_cannot_count_is_told() {
        let counts = |captioned, left_out, failed| Counts {
            captioned,
            left_out,
            failed,
            shared: 0,
            ..Counts::default()
        };
        for (counts, seconds, said) in [
            (counts(9, 0, 0), 1.0, None),
            (counts(0, 0, 1), 1.0, None),
            (counts(24, 0, 0), 1.0, Some("captioned 24 of 24")),
            (
                counts(300, 0, 0),
                30.0,
                Some("captioned 300 of 300 in 30 s, 10.0 a second"),
            ),
            (
                counts(3, 2, 1),
                1.0,
                Some("captioned 3 of 6; 1 failed; 2 left out, their confidence is below 0.25"),
            ),
        ] {
            assert_eq!(counts.summary(Some(0.25), seconds).as_deref(), said);
        }
    }
}
