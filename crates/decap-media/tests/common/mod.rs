//! What the tests of photos share.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "tests may unwrap; each test file uses some of these"
)]

use std::path::PathBuf;

use decap_media::{Limits, RgbImage, image};

/// A file of the tests.
pub fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// The pixels of a file of the tests.
pub fn decoded(name: &str) -> RgbImage {
    image::open(data(name), &Limits::default()).unwrap()
}

/// By how much a sample of `a` differs from that of `b` at most.
pub fn largest_difference(a: &RgbImage, b: &RgbImage) -> u8 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let pairs = a.pixels().iter().zip(b.pixels());
    pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// Numbers that look random and are always the same (xorshift).
pub fn random() -> impl FnMut() -> usize {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    }
}
