//! WebP to pixels.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use crate::RgbImage;
use crate::error::InputFault;
use crate::limits::{Limits, check_decoder_bytes, check_pixels};
use crate::orientation::{self, Orientation};
use crate::samples::{Channels, to_rgb};

/// Decodes to RGB; of an animation the first frame.
pub(super) fn decode(
    bytes: &[u8],
    limits: &Limits,
) -> Result<(RgbImage, Option<Orientation>), InputFault> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(fault_of)?;
    let (width, height) = decoder.dimensions();
    check_pixels(width, height, limits)?;
    let pixels = u64::from(width) * u64::from(height);
    let channels = match decoder.has_alpha() {
        true => Channels::RgbAlpha,
        false => Channels::Rgb,
    };
    let taken = pixels.saturating_mul(channels.count() as u64 + 3);
    check_decoder_bytes(taken, limits)?;
    decoder.set_memory_limit(usize::try_from(limits.decoder_bytes).unwrap_or(usize::MAX));
    // A broken EXIF block is no reason to refuse the photo that it describes.
    let exif = decoder.exif_metadata().ok().flatten();
    let xmp = decoder.xmp_metadata().ok().flatten();
    let orientation = exif
        .and_then(|exif| orientation::of_exif(&exif))
        .or_else(|| orientation::of_xmp(&xmp?));
    let length = decoder
        .output_buffer_size()
        .ok_or_else(|| InputFault::TooLarge("expected pixels that fit memory".into()))?;
    let mut samples = vec![0; length];
    decoder.read_image(&mut samples).map_err(fault_of)?;
    let image = RgbImage::of_decoder(width, height, to_rgb(samples, channels))?;
    Ok((image, orientation))
}

/// Width and height, as the header tells.
pub(super) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let decoder = WebPDecoder::new(Cursor::new(bytes)).ok()?;
    Some(decoder.dimensions())
}

fn fault_of(error: DecodingError) -> InputFault {
    match error {
        DecodingError::ImageTooLarge | DecodingError::MemoryLimitExceeded => {
            InputFault::TooLarge(error.to_string())
        }
        DecodingError::UnsupportedFeature(what) => InputFault::Unsupported(format!(
            "a WebP with {what} is not read; convert it to JPEG or PNG"
        )),
        // The decoder's words are about its own parts ("Corrupt bitstream").
        _ => InputFault::Damaged("the WebP photo is damaged or cut short".into()),
    }
}
