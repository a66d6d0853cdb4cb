//! How a photo must be turned to stand upright, as Pillow's `ImageOps.exif_transpose` tells it:
//! by its EXIF block or, where that says nothing, by its XMP packet.

use std::io::Read;

use flate2::read::ZlibDecoder;

use crate::RgbImage;
use crate::directory::{Directory, tag};

/// EXIF's orientation: how a photo must be turned to stand upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Orientation(u8);

impl Orientation {
    /// By its number in EXIF, 1 to 8.
    pub fn from_exif(number: u8) -> Option<Self> {
        (1..=8).contains(&number).then_some(Self(number))
    }

    /// `image`, upright.
    pub fn applied_to(self, image: RgbImage) -> RgbImage {
        // Mirrored, then turned: EXIF 2.32, section 4.6.4, tag 274.
        let (is_mirrored, quarter_turns) = match self.0 {
            2 => (true, 0),
            3 => (false, 2),
            4 => (true, 2),
            5 => (true, 3),
            6 => (false, 1),
            7 => (true, 1),
            8 => (false, 3),
            _ => return image,
        };
        let image = match is_mirrored {
            true => image.mirrored(),
            false => image,
        };
        (0..quarter_turns).fold(image, |image, _| image.turned_right())
    }
}

/// The orientation in an EXIF block, with or without `Exif\0\0` before it, or in a whole TIFF.
///
/// The value may be of any type of number, as in Pillow; all but 1 to 8 is ignored.
pub(super) fn of_exif(block: &[u8]) -> Option<Orientation> {
    const PREFIX: &[u8] = b"Exif\0\0";
    let block = block.strip_prefix(PREFIX).unwrap_or(block);
    let block = block.strip_prefix(PREFIX).unwrap_or(block);
    let directory = Directory::first(block)?;
    let number = match directory.integer(tag::ORIENTATION) {
        Some(integer) => u8::try_from(integer).ok()?,
        None => {
            let real = *directory.reals(tag::ORIENTATION)?.first()?;
            (1..=8).find(|&number| f64::from(number) == real)?
        }
    };
    Orientation::from_exif(number)
}

/// The orientation in an XMP packet, as an attribute or as an element.
pub(super) fn of_xmp(packet: &[u8]) -> Option<Orientation> {
    const NAME: &[u8] = b"tiff:Orientation";
    let mut rest = packet;
    while let Some(at) = rest.windows(NAME.len()).position(|it| it == NAME) {
        rest = &rest[at + NAME.len()..];
        let value = rest.strip_prefix(b"=\"").or(rest.strip_prefix(b">"));
        if let Some(digit @ b'0'..=b'9') = value.and_then(|value| value.first()) {
            return Orientation::from_exif(digit - b'0');
        }
    }
    None
}

/// The orientation of a JPEG: of all its EXIF segments joined, else of its first XMP segment.
pub(super) fn of_jpeg(bytes: &[u8]) -> Option<Orientation> {
    const EXIF: &[u8] = b"Exif\0\0";
    const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
    let mut exif = Vec::new();
    let mut xmp: &[u8] = &[];
    for segment in application_segments(bytes) {
        if let Some(part) = segment.strip_prefix(EXIF) {
            exif.extend_from_slice(part);
        } else if let Some(packet) = segment.strip_prefix(XMP) {
            xmp = packet;
        }
    }
    of_exif(&exif).or_else(|| of_xmp(xmp))
}

/// What the APP1 segments before the first scan hold.
fn application_segments(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    const APP1: u8 = 0xE1;
    const START_OF_SCAN: u8 = 0xDA;
    const END_OF_IMAGE: u8 = 0xD9;
    let mut rest = bytes.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        loop {
            let start = rest.iter().position(|&byte| byte == 0xFF)?;
            rest = &rest[start..];
            let fill = rest.iter().position(|&byte| byte != 0xFF)?;
            let marker = rest[fill];
            rest = &rest[fill + 1..];
            match marker {
                START_OF_SCAN | END_OF_IMAGE => return None,
                0x00 | 0x01 | 0xD0..=0xD8 => continue,
                _ => {}
            }
            let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
            let segment = rest.get(2..length)?;
            rest = &rest[length..];
            if marker == APP1 {
                return Some(segment);
            }
        }
    })
}

/// The orientation of a PNG, from the chunks that Pillow looks at: `eXIf`, the "Raw profile type
/// exif" of ImageMagick, XMP.
pub(super) fn of_png<'a>(
    chunks: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Option<Orientation> {
    const PROFILE: &[u8] = b"Raw profile type exif\0";
    const XMP: &[u8] = b"XML:com.adobe.xmp\0";
    // The last of each kind counts, and no other is unpacked.
    let (mut exif, mut profile, mut packed_profile, mut xmp) = (None, None, None, None);
    for (kind, data) in chunks {
        match kind {
            b"eXIf" => exif = Some(data),
            b"tEXt" => profile = data.strip_prefix(PROFILE).or(profile),
            b"zTXt" => packed_profile = data.strip_prefix(PROFILE).or(packed_profile),
            b"iTXt" => xmp = data.strip_prefix(XMP).or(xmp),
            _ => {}
        }
    }
    let profile = || match (profile, packed_profile) {
        (Some(text), _) => bytes_of_profile(text),
        (None, packed) => bytes_of_profile(&inflate(packed?.strip_prefix(b"\0")?)),
    };
    let exif = match exif {
        Some(block) => of_exif(block),
        None => profile().and_then(|block| of_exif(&block)),
    };
    exif.or_else(|| of_xmp(&packet_of_text(xmp?)?))
}

/// The XMP packet of an `iTXt` chunk, behind its keyword: whether it is compressed, the method, a
/// language, the keyword in that language.
fn packet_of_text(text: &[u8]) -> Option<Vec<u8>> {
    let (&is_compressed, rest) = text.split_first()?;
    let packet = rest.get(1..)?.splitn(3, |&byte| byte == 0).nth(2)?;
    Some(match is_compressed {
        0 => packet.to_vec(),
        _ => inflate(packet),
    })
}

/// Text within a PNG, to a size that no EXIF block or packet of a photo needs.
fn inflate(data: &[u8]) -> Vec<u8> {
    const MOST_BYTES: u64 = 4 << 20;
    let mut text = Vec::new();
    // A stream that breaks off still gives what came before.
    let _ = ZlibDecoder::new(data)
        .take(MOST_BYTES)
        .read_to_end(&mut text);
    text
}

/// The bytes of ImageMagick's form: an empty line, a name, a length, lines of hexadecimal digits.
fn bytes_of_profile(profile: &[u8]) -> Option<Vec<u8>> {
    let lines = profile.split(|&byte| byte == b'\n').skip(3);
    let digits: Option<Vec<u8>> = lines
        .flatten()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|&byte| char::from(byte).to_digit(16).map(|digit| digit as u8))
        .collect();
    Some(
        digits?
            .chunks_exact(2)
            .map(|it| it[0] << 4 | it[1])
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_are_turned_as_by_the_image_crate() {
        let pixels: Vec<u8> = (0..2 * 3 * 3).collect();
        for number in 1..=8 {
            let theirs = ::image::RgbImage::from_raw(2, 3, pixels.clone()).unwrap();
            let mut expected = ::image::DynamicImage::ImageRgb8(theirs);
            expected.apply_orientation(::image::metadata::Orientation::from_exif(number).unwrap());
            let ours = RgbImage::new(2, 3, pixels.clone()).unwrap();
            let found = Orientation::from_exif(number).unwrap().applied_to(ours);
            let size = (expected.width(), expected.height());
            assert_eq!((found.width(), found.height()), size, "{number}");
            assert_eq!(found.pixels(), expected.into_rgb8().as_raw(), "{number}");
        }
        assert_eq!(Orientation::from_exif(0), None);
        assert_eq!(Orientation::from_exif(9), None);
    }
}
