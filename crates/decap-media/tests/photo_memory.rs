//! A photo of a few bytes takes little memory, whatever it claims. One test alone: it counts what
//! the whole process allocates.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` functions themselves

use std::alloc::System;
use std::fs;
use std::io::Write;
use std::path::Path;

use decap_media::{Limits, image};
use flate2::Crc;
use flate2::write::ZlibEncoder;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MOST_BYTES: usize = 1 << 20;

#[test]
fn small_files_take_little_memory() {
    let png = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/media/rgb.png");
    let png = fs::read(png).unwrap();
    let zeros = deflated(&vec![0; 64 << 20]);
    let profile = with_chunk(&png, b"iCCP", &[b"x\0\0", &zeros[..]].concat());
    let text = with_chunk(&png, b"zTXt", &[b"x\0\0", &zeros[..]].concat());
    let language = with_chunk(&png, b"iTXt", &[b"x\0\x01\0\0\0", &zeros[..]].concat());
    // One pixel on a screen of 16,000 x 16,000, then a frame of that size without data.
    let screen =
        b"GIF89a\x80\x3e\x80\x3e\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    let frame = b"GIF89a\x80\x3e\x80\x3e\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x80\x3e\x80\x3e\0\x02\x02D\x01\0;";
    let cases: [(&str, &[u8], bool); 5] = [
        ("a profile of 64 MiB", &profile, true),
        ("a text of 64 MiB", &text, true),
        ("an international text of 64 MiB", &language, true),
        ("a GIF's screen", screen, false),
        ("a GIF's frame", frame, false),
    ];
    for (name, bytes, is_photo) in cases {
        let region = Region::new(ALLOCATOR);
        let decoded = image::decode(bytes, name.as_ref(), &Limits::default());
        let taken = region.change().bytes_allocated;
        assert_eq!(decoded.is_ok(), is_photo, "{name}: {decoded:?}");
        assert!(taken < MOST_BYTES, "{name}: {taken} bytes");
    }
}

/// `png` with a chunk behind its header.
fn with_chunk(png: &[u8], kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    const HEADER_END: usize = 33;
    let mut check_sum = Crc::new();
    check_sum.update(kind);
    check_sum.update(data);
    let length = (data.len() as u32).to_be_bytes();
    let check_sum = check_sum.sum().to_be_bytes();
    let chunk = [&length, &kind[..], data, &check_sum].concat();
    [&png[..HEADER_END], &chunk, &png[HEADER_END..]].concat()
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
