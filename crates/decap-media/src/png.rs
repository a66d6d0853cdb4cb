//! PNG to pixels. A file is first cut down to what makes them, so that nothing else in it can do harm.

use std::io::Cursor;

use ::png::{BitDepth, ColorType, Decoder, DecodingError, Transformations};
use flate2::Crc;

use crate::RgbImage;
use crate::error::InputFault;
use crate::limits::{Limits, check_decoder_bytes, check_pixels};
use crate::orientation::{self, Orientation};
use crate::samples::{Channels, to_rgb};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1A\n";
const IMAGE_END: [u8; 12] = *b"\0\0\0\0IEND\xAE\x42\x60\x82";

/// Decodes to RGB; of 16 bits the high byte is kept.
pub(super) fn decode(
    bytes: &[u8],
    limits: &Limits,
) -> Result<(RgbImage, Option<Orientation>), InputFault> {
    // By the header alone: the decoder would first look for the data behind it.
    if let Some((width, height)) = size(bytes) {
        check_pixels(width, height, limits)?;
    }
    let kept = pixels_alone(bytes);
    let decoder_bytes = usize::try_from(limits.decoder_bytes).unwrap_or(usize::MAX);
    let decoder_limits = ::png::Limits {
        bytes: decoder_bytes,
    };
    let mut decoder = Decoder::new_with_limits(Cursor::new(&kept[..]), decoder_limits);
    // Palettes to colours, and fewer than 8 bits to 8.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(fault_of)?;
    let (width, height) = reader.info().size();
    check_pixels(width, height, limits)?;
    let (colour, depth) = reader.output_color_type();
    let channels = match colour {
        ColorType::Grayscale => Channels::Grey,
        ColorType::GrayscaleAlpha => Channels::GreyAlpha,
        ColorType::Rgb => Channels::Rgb,
        ColorType::Rgba => Channels::RgbAlpha,
        ColorType::Indexed => return Err(damaged("expected a palette, got none")),
    };
    let length = reader
        .output_buffer_size()
        .ok_or_else(|| InputFault::TooLarge("expected pixels that fit memory".into()))?;
    let pixels = u64::from(width) * u64::from(height);
    check_decoder_bytes((length as u64).saturating_add(3 * pixels), limits)?;
    let mut samples = vec![0; length];
    reader.next_frame(&mut samples).map_err(fault_of)?;
    if depth == BitDepth::Sixteen {
        // Big-endian.
        let count = samples.len() / 2;
        for at in 0..count {
            samples[at] = samples[2 * at];
        }
        samples.truncate(count);
    }
    let image = RgbImage::of_decoder(width, height, to_rgb(samples, channels))?;
    Ok((image, orientation_of(bytes)))
}

/// Width and height, as the header tells.
pub(super) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| {
        let four = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(four))
    };
    number(16).zip(number(20))
}

fn fault_of(error: DecodingError) -> InputFault {
    match error {
        DecodingError::LimitsExceeded => InputFault::TooLarge(error.to_string()),
        error => InputFault::Damaged(error.to_string()),
    }
}

fn damaged(message: &str) -> InputFault {
    InputFault::Damaged(message.to_owned())
}

/// The chunks of `bytes` that Pillow makes pixels of: size, palette, transparency and image data.
///
/// Profiles, which may unpack to gigabytes, texts and the later frames of an animation are left out.
/// A file that ends before its end mark gets one, and a last chunk that is cut gets a check sum.
/// Where all pixels are there the result is whole; where not, the decoder will say so.
fn pixels_alone(bytes: &[u8]) -> Vec<u8> {
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
fn orientation_of(bytes: &[u8]) -> Option<Orientation> {
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
