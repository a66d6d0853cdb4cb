//! JPEG: bit for bit what libjpeg-turbo, and so Pillow, makes of it.

use image::metadata::Orientation;
use libjpeg_turbo_rs::{
    ColorSpace, DecodeLimits, DecodeWarning, Decoder, JpegError, PixelFormat, ScalingFactor,
};

use super::image::{Limits, check_pixels};
use crate::error::InputFault;

/// Decodes `bytes` to RGB; CMYK and YCCK become RGB as in Pillow, without a colour profile.
///
/// With `least_side`, at the smallest of the scales 1, 1/2, 1/4 and 1/8 whose shorter side is still
/// that long: the decoder then never computes the pixels that are left out.
pub(super) fn decode(
    bytes: &[u8],
    limits: &Limits,
    least_side: Option<u32>,
) -> Result<(image::RgbImage, Option<Orientation>), InputFault> {
    let decoder_limits = DecodeLimits {
        max_pixels: limits.pixels,
        max_memory: Some(limits.decoder_bytes),
        ..DecodeLimits::default()
    };
    let mut decoder = Decoder::new_with_limits(bytes, decoder_limits).map_err(fault_of)?;
    let (width, height) = (decoder.header().width(), decoder.header().height());
    let size = u32::try_from(width).ok().zip(u32::try_from(height).ok());
    let (width, height) = size.ok_or_else(|| InputFault::Damaged("no usable size".into()))?;
    check_pixels(width, height, limits)?;
    if !is_whole(bytes) {
        return Err(cut_short());
    }

    let is_cmyk = matches!(
        decoder.jpeg_color_space(),
        ColorSpace::Cmyk | ColorSpace::Ycck
    );
    decoder.set_output_format(if is_cmyk {
        PixelFormat::Cmyk
    } else {
        PixelFormat::Rgb
    });
    // Lenient as libjpeg is: a flipped bit spoils some blocks and not the photo. What Pillow
    // does not accept either is data that ends early.
    decoder.set_lenient(true);
    let orientation = decoder.exif_orientation().and_then(Orientation::from_exif);
    let denominator = least_side.map_or(1, |least| denominator(width.min(height), least));
    if denominator > 1 {
        let scale = ScalingFactor::try_new(1, denominator).map_err(fault_of)?;
        decoder.set_scale(scale);
    }
    let decoded = decoder.decode_image().map_err(fault_of)?;
    if decoded
        .warnings
        .iter()
        .any(|it| matches!(it, DecodeWarning::TruncatedData { .. }))
    {
        return Err(cut_short());
    }
    let pixels = if is_cmyk {
        cmyk_to_rgb(&decoded.data)
    } else {
        decoded.data
    };
    // As libjpeg rounds.
    let (width, height) = (width.div_ceil(denominator), height.div_ceil(denominator));
    image::RgbImage::from_raw(width, height, pixels)
        .map(|image| (image, orientation))
        .ok_or_else(|| InputFault::Damaged("expected as many pixels as the header says".into()))
}

/// By how much a photo whose shorter side is `side` may shrink so that `least` pixels are left.
fn denominator(side: u32, least: u32) -> u32 {
    let fits = |denominator: &u32| side / denominator >= least.max(1);
    [8, 4, 2].into_iter().find(fits).unwrap_or(1)
}

fn cut_short() -> InputFault {
    InputFault::Damaged("cut short: the end of the photo is missing".into())
}

fn fault_of(error: JpegError) -> InputFault {
    match error {
        JpegError::LimitExceeded { .. } | JpegError::AllocationFailed { .. } => {
            InputFault::TooLarge(error.to_string())
        }
        JpegError::Unsupported(_) => InputFault::Unsupported(error.to_string()),
        JpegError::UnexpectedEof => cut_short(),
        error => InputFault::Damaged(error.to_string()),
    }
}

/// Inverted CMYK, as Adobe writes it and Pillow expects it always, to RGB
/// (`cmyk2rgb` in <https://github.com/python-pillow/Pillow/blob/11.0.0/src/libImaging/Convert.c>).
fn cmyk_to_rgb(cmyk: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(cmyk.len() / 4 * 3);
    for pixel in cmyk.chunks_exact(4) {
        let light = u32::from(pixel[3]);
        rgb.extend(pixel[..3].iter().map(|&value| {
            let product = (255 - u32::from(value)) * light + 128;
            (light - (((product >> 8) + product) >> 8)) as u8
        }));
    }
    rgb
}

/// Whether the JPEG in `bytes` runs on to its end-of-image marker.
///
/// The decoder fills what is missing with grey and reports success, so a download that broke off
/// would be captioned as half a photo. Walks the segments (ITU T.81, B.1): headers by their
/// length, entropy-coded data up to the next marker that is neither a stuffed zero nor a restart.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    const FIRST_RESTART: u8 = 0xD0;
    const END_OF_IMAGE: u8 = 0xD9;
    const TEMPORARY: u8 = 0x01;

    let mut position = 2; // behind the start-of-image marker
    while let Some(marker_at) = next_marker(bytes, position) {
        position = marker_at + 2;
        match bytes[marker_at + 1] {
            END_OF_IMAGE => return true,
            // Markers without a segment: restarts, a nested start of image, TEM.
            FIRST_RESTART..END_OF_IMAGE | TEMPORARY => {}
            // All others begin with their length. Behind a start of scan, the search for the next
            // marker passes over the entropy-coded data.
            _ => match bytes.get(position..position + 2) {
                Some(length) => position += usize::from(u16::from_be_bytes([length[0], length[1]])),
                None => return false,
            },
        }
    }
    false
}

/// The position of the next 0xFF that a marker code follows: not a fill byte, not a stuffed zero.
fn next_marker(bytes: &[u8], from: usize) -> Option<usize> {
    let found = bytes
        .get(from..)?
        .windows(2)
        .position(|pair| pair[0] == 0xFF && pair[1] != 0xFF && pair[1] != 0x00)?;
    Some(from + found)
}

#[cfg(test)]
mod tests {
    use super::{denominator, is_whole};

    #[test]
    fn a_photo_shrinks_by_powers_of_two_and_never_below_what_is_asked() {
        for (side, least, expected) in [
            (4000, 500, 8),
            (3999, 500, 4),
            (1000, 500, 2),
            (999, 500, 1),
            (10, 0, 8),
            (1, 1, 1),
        ] {
            assert_eq!(denominator(side, least), expected, "{side} {least}");
        }
    }

    #[test]
    fn only_a_file_with_its_end_is_whole() {
        let scan = [0xFF, 0xDA, 0, 2, 1, 0xFF, 0x00, 0xD9, 0xFF, 0xD0, 7];
        let cases: [(&str, Vec<u8>, bool); 6] = [
            ("empty image", vec![0xFF, 0xD8, 0xFF, 0xD9], true),
            ("start alone", vec![0xFF, 0xD8], false),
            ("no bytes", vec![], false),
            (
                "an end within a comment",
                vec![0xFF, 0xD8, 0xFF, 0xFE, 0, 4, 0xFF, 0xD9],
                false,
            ),
            (
                "scan",
                [&[0xFF, 0xD8], &scan[..], &[0xFF, 0xFF, 0xD9]].concat(),
                true,
            ),
            ("scan cut short", [&[0xFF, 0xD8], &scan[..]].concat(), false),
        ];
        for (name, bytes, whole) in cases {
            assert_eq!(is_whole(&bytes), whole, "{name}");
        }
    }
}
