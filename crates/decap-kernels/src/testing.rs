//! Random inputs and comparisons for the unit tests.

/// Sizes around the edges of tiles and vectors.
pub(crate) fn sizes() -> [usize; 9] {
    [0, 1, 2, 7, 15, 17, 63, 65, 130]
}

/// `len` values in -1..1, the same for the same seed.
pub(crate) fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Asserts that no value is further from the expected one than `tolerance * max(1, |expected|)`.
#[track_caller]
pub(crate) fn assert_close(got: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}: length");
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        let difference = (got - expected).abs();
        assert!(
            difference <= tolerance * expected.abs().max(1.0),
            "{what}: value {index}: expected {expected}, got {got}"
        );
    }
}
