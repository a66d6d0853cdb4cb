//! Canon's CR3: MP4's container (<https://github.com/lclevy/canon_cr3>).

use super::Previews;
use crate::boxes::{boxes, first, within};
use crate::orientation;

/// The extended kinds of the boxes that hold the preview, and what the camera says of the photo.
const PREVIEW: &[u8] = b"\xEA\xF4\x2B\x5E\x1C\x98\x4B\x88\xB9\xFB\xB7\xDC\x40\x6E\x4D\x16";
const CAMERA: &[u8] = b"\x85\xC0\xB6\x87\x82\x0F\x11\xE0\x81\x11\xF4\xCE\x46\x2B\x6A\x48";

/// The preview in a box of its own, and the first sample of each track: that of the first is a JPEG of the
/// full size.
pub(super) fn previews(bytes: &[u8]) -> Previews<'_> {
    let mut previews = Previews::default();
    for top in boxes(bytes) {
        match &top.kind {
            b"moov" => {
                for part in boxes(top.content) {
                    match &part.kind {
                        b"uuid" => {
                            let camera = part.content.strip_prefix(CAMERA);
                            let exif = camera.and_then(|camera| first(camera, b"CMT1"));
                            previews.orientation =
                                previews.orientation.or(exif.and_then(orientation::of_exif));
                        }
                        b"trak" => match first_sample(part.content) {
                            Some((start, length)) => previews.add(bytes, start, length),
                            None => continue,
                        },
                        _ => {}
                    }
                }
            }
            b"uuid" => {
                // Two numbers stand before the box.
                let preview = top.content.strip_prefix(PREVIEW).and_then(|it| it.get(8..));
                let preview = preview.and_then(|preview| first(preview, b"PRVW"));
                if let Some(preview) = preview {
                    match number(preview, 12) {
                        Some(length) => previews.add(preview, 16, length),
                        None => previews.is_cut = true,
                    }
                }
            }
            _ => {}
        }
    }
    previews
}

/// Where the first sample of a track is, and how many bytes it has.
fn first_sample(track: &[u8]) -> Option<(u64, u64)> {
    let table = within(track, &[b"mdia", b"minf", b"stbl"])?;
    let sizes = first(table, b"stsz")?;
    let length = match number(sizes, 4)? {
        0 => number(sizes, 12)?,
        common => common,
    };
    let start = match first(table, b"co64") {
        Some(offsets) => u64::from_be_bytes(*offsets.get(8..)?.first_chunk()?),
        None => number(first(table, b"stco")?, 8)?,
    };
    Some((start, length))
}

/// The number in the four bytes at `at`.
fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes: &[u8; 4] = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes).into())
}
