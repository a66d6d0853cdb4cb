//! A photo's bytes to pixels, whole and reduced.
#![no_main]

use std::path::Path;

use decap_media::{Limits, image, memory_to_decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut limits = Limits::default();
    limits.pixels = 1 << 18;
    limits.edge = 1 << 14;
    limits.decoder_bytes = 16 << 20;
    let name = Path::new("photo");
    // The last byte decides, so that a photo stays a photo.
    let least_side = input.last().filter(|&&last| last % 4 == 0).map(|_| 2);
    let _bytes = memory_to_decode(input, least_side);
    if let Ok(photo) = image::decode_to_fit(input, name, &limits, least_side) {
        let pixels = u64::from(photo.width()) * u64::from(photo.height());
        assert!(pixels <= limits.pixels);
        assert_eq!(photo.pixels().len() as u64, 3 * pixels);
    }
});
