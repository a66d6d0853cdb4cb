//! Which random stream serves which purpose, so that no two share numbers.

use decap::random::RandomStream;

/// What random numbers are drawn for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// The order of captions in an epoch.
    Order = 1,
    /// The noise on prefixes in a step.
    Noise = 2,
    /// The dropout masks of a step.
    Dropout = 3,
    /// Which old sentences are rehearsed, and when; rows of new tokens.
    Rehearsal = 4,
    /// Which captions prefixes are projected onto, and which of them are left out in a step.
    Support = 5,
    /// How much noise each prefix gets in a step.
    NoiseAmount = 6,
}

/// The stream of `purpose` at `time` (an epoch or step) and `place` (a layer).
pub(super) fn stream(seed: u64, purpose: Purpose, time: u64, place: u64) -> RandomStream {
    RandomStream::new(&[seed, purpose as u64, time, place])
}
