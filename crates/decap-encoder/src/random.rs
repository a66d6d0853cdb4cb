//! Random numbers that depend on a key and a counter alone.
//!
//! Which dropout mask, noise vector or sample a place gets depends on its key and index, not on
//! what was drawn before or by which thread. So results are the same for any number of threads,
//! and a resumed run continues as if never stopped.

/// A stream of random numbers: value `n` is a hash of the key and `n`.
///
/// The hash is the finaliser of SplitMix64 (Steele, Lea, Flood: *Fast Splittable Pseudorandom
/// Number Generators*, 2014), applied to the key plus `n` golden-ratio steps.
#[derive(Debug, Clone, Copy)]
pub struct RandomStream {
    key: u64,
}

impl RandomStream {
    /// The stream of these coordinates, for instance seed, step and layer.
    pub fn new(coordinates: &[u64]) -> Self {
        let fold = |key, &coordinate: &u64| finalise(mix(key, 1) ^ finalise(mix(coordinate, 2)));
        Self {
            key: coordinates.iter().fold(0x6a09_e667_f3bc_c908, fold),
        }
    }

    /// Value `index`, all 64 bits.
    #[inline]
    pub fn bits(self, index: u64) -> u64 {
        finalise(mix(self.key, index.wrapping_add(1)))
    }

    /// Value `index`, in `0.0..1.0`, 53 bits.
    pub fn uniform(self, index: u64) -> f64 {
        (self.bits(index) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Value `index` in `0..bound` without a remainder's bias worth noticing; 0 for a bound of 0.
    pub fn below(self, index: u64, bound: usize) -> usize {
        ((u128::from(self.bits(index)) * bound as u128) >> 64) as usize
    }

    /// Value `index` of a standard normal distribution (Box-Muller).
    pub fn gaussian(self, index: u64) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform(2 * index)).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform(2 * index + 1)).cos()
    }
}

#[inline]
fn mix(key: u64, steps: u64) -> u64 {
    key.wrapping_add(steps.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[inline]
fn finalise(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distributions() {
        let stream = RandomStream::new(&[42, 7]);
        let count = 100_000;
        let mean = |value: &dyn Fn(u64) -> f64| (0..count).map(value).sum::<f64>() / count as f64;
        // Five standard errors of a mean of 100,000 values.
        assert!((mean(&|n| stream.uniform(n)) - 0.5).abs() < 5.0 * 0.2887 / (count as f64).sqrt());
        assert!(mean(&|n| stream.gaussian(n)).abs() < 5.0 / (count as f64).sqrt());
        let square = mean(&|n| stream.gaussian(n).powi(2));
        assert!((square - 1.0).abs() < 5.0 * 2.0_f64.sqrt() / (count as f64).sqrt());
        assert!((0..count).all(|n| stream.below(n, 3) < 3));
    }

    #[test]
    fn coordinates_make_streams_of_their_own() {
        let keys = [&[1, 2][..], &[2, 1], &[1], &[1, 2, 0], &[0, 1, 2], &[]];
        let mut first: Vec<u64> = keys
            .iter()
            .map(|key| RandomStream::new(key).bits(0))
            .collect();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), keys.len());
    }
}
