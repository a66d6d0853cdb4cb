//! The orientation of a photo, from EXIF and XMP blocks in a JPEG and in a PNG.
#![no_main]

use std::path::Path;

use decap_fuzz::choice;
use decap_media::{Limits, image};
use libfuzzer_sys::fuzz_target;

/// 24 x 16 grey pixels each.
const JPEG: &[u8] = include_bytes!("../../crates/decap-media/tests/data/media/grey.jpg");
const PNG: &[u8] = include_bytes!("../../crates/decap-media/tests/data/media/grey.png");
/// Where the chunks behind a PNG's header begin.
const BEHIND_HEADER: usize = 33;

fuzz_target!(|input: &[u8]| {
    let Some((kind, block)) = choice(input, 6) else {
        return;
    };
    // A segment of a JPEG holds no more.
    let block = &block[..block.len().min(60_000)];
    let photo = match kind {
        0 => jpeg_with(b"Exif\0\0", block),
        1 => jpeg_with(b"http://ns.adobe.com/xap/1.0/\0", block),
        2 => png_with(b"eXIf", b"", block),
        3 => png_with(b"tEXt", b"Raw profile type exif\0", block),
        4 => png_with(b"zTXt", b"Raw profile type exif\0\0", block),
        _ => png_with(b"iTXt", b"XML:com.adobe.xmp\0", block),
    };
    let photo = image::decode(&photo, Path::new("photo"), &Limits::default());
    // What lies beside the pixels costs no photo.
    assert!(photo.is_ok(), "{photo:?}");
});

fn jpeg_with(name: &[u8], block: &[u8]) -> Vec<u8> {
    let length = (2 + name.len() + block.len()) as u16;
    let (start, rest) = JPEG.split_at(2);
    [start, b"\xff\xe1", &length.to_be_bytes(), name, block, rest].concat()
}

fn png_with(kind: &[u8], name: &[u8], block: &[u8]) -> Vec<u8> {
    let length = (name.len() + block.len()) as u32;
    let (header, rest) = PNG.split_at(BEHIND_HEADER);
    // Nobody compares the sum of a chunk that is left out.
    let sum = [0; 4];
    [header, &length.to_be_bytes(), kind, name, block, &sum, rest].concat()
}
