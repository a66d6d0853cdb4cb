//! Dropout whose masks are a function of seed, step and place, so that none is stored.

use rayon::prelude::*;

use decap::random::RandomStream;

/// Values a task handles; a multiple of the four values that share a random number.
const CHUNK: usize = 1 << 14;

/// One dropout layer in one step: which values it keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct DropoutMask {
    stream: RandomStream,
    /// Of 65,536 values about this many are dropped.
    threshold: u16,
    scale: f32,
}

impl DropoutMask {
    /// The mask of the stream, or `None` where nothing is dropped.
    pub fn new(stream: RandomStream, rate: f32) -> Option<Self> {
        let threshold = (rate * 65_536.0).round().min(65_535.0) as u16;
        let scale = (65_536.0 / (65_536.0 - f64::from(threshold))) as f32;
        (threshold > 0).then_some(Self {
            stream,
            threshold,
            scale,
        })
    }

    /// What value `index` is multiplied by: 0, or one over the share kept.
    #[cfg(test)]
    pub fn factor(&self, index: usize) -> f32 {
        self.factors(index as u64 / 4)[index % 4]
    }

    /// The factors of values `4 quad` to `4 quad + 3`.
    #[inline]
    fn factors(&self, quad: u64) -> [f32; 4] {
        let bits = self.stream.bits(quad);
        let kept = |lane: u32| ((bits >> (16 * lane)) as u16) >= self.threshold;
        [0, 1, 2, 3].map(|lane| if kept(lane) { self.scale } else { 0.0 })
    }

    /// Multiplies each value by its factor, in the forward and the backward pass alike.
    pub fn apply(&self, values: &mut [f32]) {
        values
            .par_chunks_mut(CHUNK)
            .enumerate()
            .for_each(|(chunk, values)| {
                self.apply_from(chunk * CHUNK, values);
            });
    }

    /// As [`DropoutMask::apply`] for values that begin at `first`, a multiple of 4.
    fn apply_from(&self, first: usize, values: &mut [f32]) {
        for (quad, values) in (first as u64 / 4..).zip(values.chunks_mut(4)) {
            for (value, factor) in values.iter_mut().zip(self.factors(quad)) {
                *value *= factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_dropped_is_the_rate_and_the_mean_stays() {
        let count = 1 << 20;
        for rate in [0.1, 0.5, 0.9] {
            let mask = DropoutMask::new(RandomStream::new(&[3]), rate).unwrap();
            let mut values = vec![1.0; count];
            mask.apply(&mut values);
            let dropped =
                values.iter().filter(|&&value| value == 0.0).count() as f32 / count as f32;
            // Five standard errors of a share of a million.
            let error = 5.0 * (rate * (1.0 - rate) / count as f32).sqrt();
            assert!((dropped - rate).abs() < error, "{dropped}");
            let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count as f64;
            assert!(
                (mean - 1.0).abs() < f64::from(error / (1.0 - rate)),
                "{mean}"
            );
            assert!(
                (0..count)
                    .step_by(997)
                    .all(|index| values[index] == mask.factor(index))
            );
        }
    }

    #[test]
    fn no_rate_is_no_mask() {
        assert!(DropoutMask::new(RandomStream::new(&[3]), 0.0).is_none());
    }
}
