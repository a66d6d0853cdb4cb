//! How much memory a photo will take, told before it is decoded.

#[cfg(feature = "avif")]
use crate::avif;
use crate::directory::{Directory, tag};
#[cfg(feature = "jxl")]
use crate::jpeg_xl;
use crate::kind::{PhotoKind, kind_of_head};
use crate::{bmp, jpeg, png, raw, webp};

/// Bytes of a decoded pixel.
const RGB_BYTES: u64 = 3;

/// About how many bytes decoding the photo in `bytes` takes at its peak, pixels and the decoder's own
/// samples, as its header tells; 0 for what is not read. Its file is not counted.
///
/// Meant for sharing memory among photos that are decoded at once: nothing is refused here.
/// `least_side` as in [`decode_to_fit`](crate::image::decode_to_fit).
pub fn memory_to_decode(bytes: &[u8], least_side: Option<u32>) -> u64 {
    let told = parser_guard::guarded(
        "photo",
        || from_header(bytes, least_side).ok_or(()),
        |_message| (),
    );
    told.unwrap_or(0)
}

fn from_header(bytes: &[u8], least_side: Option<u32>) -> Option<u64> {
    let pixels = |size: (u32, u32)| u64::from(size.0).saturating_mul(size.1.into());
    let (size, sample_bytes) = match kind_of_head(bytes)? {
        PhotoKind::Jpeg => return jpeg::memory_to_decode(bytes, least_side),
        PhotoKind::Png => {
            let size = png::size(bytes)?;
            // Colour with transparency at most.
            (size, if bytes.get(24) == Some(&16) { 8 } else { 4 })
        }
        PhotoKind::Gif => {
            let edge = |at: usize| Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
            // Numbers of colours, and the colours.
            ((edge(6)?.into(), edge(8)?.into()), 5)
        }
        PhotoKind::Bmp => (bmp::size(bytes)?, 4),
        PhotoKind::WebP => (webp::size(bytes)?, 8),
        PhotoKind::Tiff => {
            let directory = Directory::first(bytes)?;
            let edge = |tag| u32::try_from(directory.integer(tag)?).ok();
            ((edge(tag::IMAGE_WIDTH)?, edge(tag::IMAGE_LENGTH)?), 8)
        }
        PhotoKind::Raw(_) => return raw::memory_to_decode(bytes, least_side),
        #[cfg(feature = "avif")]
        PhotoKind::Avif => return avif::memory_to_decode(bytes),
        #[cfg(not(feature = "avif"))]
        PhotoKind::Avif => return None,
        #[cfg(feature = "jxl")]
        PhotoKind::JpegXl => return jpeg_xl::memory_to_decode(bytes),
        #[cfg(not(feature = "jxl"))]
        PhotoKind::JpegXl => return None,
        PhotoKind::Unreadable(_) => return None,
    };
    Some(pixels(size).saturating_mul(sample_bytes + RGB_BYTES))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_header_tells_the_order_of_magnitude() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let mut photos = 0;
        for entry in walk(&folder) {
            let Ok(bytes) = fs::read(&entry) else {
                continue;
            };
            let Ok(photo) = crate::image::decode(&bytes, &entry, &crate::Limits::default()) else {
                continue;
            };
            let pixels = u64::from(photo.width()) * u64::from(photo.height());
            let told = memory_to_decode(&bytes, None);
            assert!(
                (RGB_BYTES * pixels..=20 * pixels).contains(&told),
                "{}: {told} bytes for {pixels} pixels",
                entry.display()
            );
            photos += 1;
        }
        assert!(photos > 10, "{photos} photos");
        for nothing in [
            &b""[..],
            b"a text",
            b"GIF89a\x01",
            b"\xff\xd8\xff",
            b"II*\0",
        ] {
            assert_eq!(memory_to_decode(nothing, None), 0, "{nothing:?}");
        }
    }

    fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => files.extend(walk(&path)),
                path => files.push(path),
            }
        }
        files
    }
}
