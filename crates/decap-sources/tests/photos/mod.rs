//! Photos for tests: those of the media crate, and some made here.

#![allow(dead_code, reason = "each file of tests takes a part")]

use std::fs;
use std::path::Path;

use md5::{Digest, Md5};

/// A photo among the media crate's test files.
pub fn media(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../decap-media/tests/data");
    fs::read(folder.join(name)).unwrap()
}

/// A PNG's chunk.
pub fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut sum = crc32fast::Hasher::new();
    sum.update(kind);
    sum.update(data);
    let length = (data.len() as u32).to_be_bytes();
    let sum = sum.finalize().to_be_bytes();
    [&length[..], kind, data, &sum].concat()
}

/// A PNG with chunks behind its header.
pub fn png_with(chunks: &[Vec<u8>]) -> Vec<u8> {
    const BEHIND_HEADER: usize = 33;
    let png = media("media/rgb.png");
    let (head, rest) = png.split_at(BEHIND_HEADER);
    [head, &chunks.concat(), rest].concat()
}

/// An animated PNG of one frame.
pub fn apng() -> Vec<u8> {
    let png = media("media/rgb.png");
    let size = &png[16..24];
    let control = [&[0; 4][..], size, &[0; 8], &[0, 1, 0, 10, 0, 0]].concat();
    png_with(&[
        chunk(b"acTL", &[0, 0, 0, 1, 0, 0, 0, 0]),
        chunk(b"fcTL", &control),
    ])
}

/// A JPEG with segments behind its start.
pub fn jpeg_with(segments: &[Vec<u8>]) -> Vec<u8> {
    let jpeg = media("media/photo.jpg");
    [&jpeg[..2], &segments.concat(), &jpeg[2..]].concat()
}

/// A segment of a JPEG.
pub fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16 + 2).to_be_bytes();
    [&[0xFF, marker], &length[..], content].concat()
}

/// An entry of a TIFF's directory, big-endian.
fn entry(tag: u16, kind: u16, count: u32, value: [u8; 4]) -> Vec<u8> {
    [
        &tag.to_be_bytes()[..],
        &kind.to_be_bytes(),
        &count.to_be_bytes(),
        &value,
    ]
    .concat()
}

/// A JPEG whose EXIF has a maker's note with an offset in it, and no description.
pub fn canon_jpeg() -> Vec<u8> {
    let at = |place: u32| place.to_be_bytes();
    let mut exif = b"MM\0*\0\0\0\x08".to_vec();
    // The first directory: the make, and where EXIF's own is.
    exif.extend([0, 2]);
    exif.extend(entry(271, 2, 6, at(38)));
    exif.extend(entry(34665, 4, 1, at(44)));
    exif.extend([0; 4]);
    exif.extend(b"Canon\0");
    // EXIF's own: the note.
    exif.extend([0, 1]);
    exif.extend(entry(37500, 7, 35, at(62)));
    exif.extend([0; 4]);
    // The note: a directory whose value lies behind it.
    exif.extend([0, 1]);
    exif.extend(entry(6, 2, 17, at(80)));
    exif.extend([0; 4]);
    exif.extend(b"IMG:maker's note\0");
    jpeg_with(&[segment(0xE1, &[b"Exif\0\0", &exif[..]].concat())])
}

/// A TIFF of two pages of one grey pixel each.
pub fn multi_page_tiff() -> Vec<u8> {
    let mut tiff = b"MM\0*\0\0\0\x0A".to_vec();
    // The pixels.
    tiff.extend([90, 200]);
    for (pixel, next) in [(8_u32, 112_u32), (9, 0)] {
        let short = |value: u16| [value.to_be_bytes(), [0, 0]].concat().try_into().unwrap();
        tiff.extend([0, 8]);
        tiff.extend(entry(256, 3, 1, short(1)));
        tiff.extend(entry(257, 3, 1, short(1)));
        tiff.extend(entry(258, 3, 1, short(8)));
        tiff.extend(entry(259, 3, 1, short(1)));
        tiff.extend(entry(262, 3, 1, short(1)));
        tiff.extend(entry(273, 4, 1, pixel.to_be_bytes()));
        tiff.extend(entry(278, 3, 1, short(1)));
        tiff.extend(entry(279, 4, 1, 1_u32.to_be_bytes()));
        tiff.extend(next.to_be_bytes());
    }
    tiff
}

/// The JPEG with the digest of its IPTC datasets beside them, as Photoshop writes it.
pub fn with_photoshop_digest(jpeg: &[u8]) -> Vec<u8> {
    let name = b"Photoshop 3.0\x008BIM\x04\x04\0\0";
    let at = jpeg.windows(name.len()).position(|it| it == name).unwrap();
    let size_at = at + name.len();
    let size = u32::from_be_bytes(jpeg[size_at..size_at + 4].try_into().unwrap()) as usize;
    let datasets = &jpeg[size_at + 4..size_at + 4 + size];
    let digest = Md5::digest(datasets);
    let mut resource = b"8BIM\x04\x25\0\0\0\0\0\x10".to_vec();
    resource.extend_from_slice(&digest);
    let length = u16::from_be_bytes([jpeg[at - 2], jpeg[at - 1]]);
    let end = at - 2 + usize::from(length);
    let mut out = jpeg[..end].to_vec();
    let length = (length + resource.len() as u16).to_be_bytes();
    out[at - 2..at].copy_from_slice(&length);
    out.extend(resource);
    out.extend_from_slice(&jpeg[end..]);
    out
}
