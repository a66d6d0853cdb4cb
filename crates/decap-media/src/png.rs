//! PNG files cut down to what makes the pixels, so that nothing else in them can do harm.

use flate2::Crc;
use image::metadata::Orientation;

use crate::orientation;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1A\n";
const IMAGE_END: [u8; 12] = *b"\0\0\0\0IEND\xAE\x42\x60\x82";

/// The chunks of `bytes` that Pillow makes pixels of: size, palette, transparency and image data.
///
/// Profiles, which may unpack to gigabytes, texts and the later frames of an animation are left out.
/// A file that ends before its end mark gets one, and a last chunk that is cut gets a check sum.
/// Where all pixels are there the result is whole; where not, the decoder will say so.
pub(super) fn pixels_alone(bytes: &[u8]) -> Vec<u8> {
    let mut kept = SIGNATURE.to_vec();
    kept.reserve(bytes.len());
    for chunk in Chunks::of(bytes) {
        if matches!(chunk.kind, b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT") {
            match chunk.whole {
                Some(whole) => kept.extend_from_slice(whole),
                None => append(&mut kept, chunk.kind, chunk.data),
            }
        }
    }
    kept.extend(IMAGE_END);
    kept
}

/// How the photo must be turned, from the chunks that say so.
pub(super) fn orientation(bytes: &[u8]) -> Option<Orientation> {
    orientation::of_png(Chunks::of(bytes).map(|chunk| (chunk.kind, chunk.data)))
}

fn append(kept: &mut Vec<u8>, kind: &[u8], data: &[u8]) {
    let mut check_sum = Crc::new();
    check_sum.update(kind);
    check_sum.update(data);
    // At most what a chunk said of its length, in 32 bits.
    kept.extend((data.len() as u32).to_be_bytes());
    kept.extend_from_slice(kind);
    kept.extend_from_slice(data);
    kept.extend(check_sum.sum().to_be_bytes());
}

struct Chunk<'a> {
    kind: &'a [u8],
    data: &'a [u8],
    /// With its length and check sum; `None` where the file ends within it.
    whole: Option<&'a [u8]>,
}

/// The chunks up to the end mark or the end of the file.
struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Chunks<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes.get(SIGNATURE.len()..).unwrap_or_default(),
        }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let rest = self.rest;
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let kind = rest.get(4..8).filter(|kind| *kind != b"IEND")?;
        let whole = length.checked_add(12).and_then(|end| rest.get(..end));
        let data = &rest[8..rest.len().min(length.saturating_add(8))];
        self.rest = whole.map_or(&[], |whole| &rest[whole.len()..]);
        Some(Chunk { kind, data, whole })
    }
}
