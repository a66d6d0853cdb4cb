//! JPEG: bit for bit what libjpeg-turbo, and so Pillow, makes of it.

use std::ops::RangeInclusive;

use libjpeg_turbo_rs::{
    ColorSpace, DecodeLimits, DecodeWarning, Decoder, FrameHeader, JpegError, PixelFormat,
    ScalingFactor,
};

use crate::RgbImage;
use crate::error::InputFault;
use crate::jpeg_components::{interleaved, ycbcr_to_rgb, ycck_to_cmyk};
use crate::limits::{Limits, check_pixels};
use crate::orientation::{self, Orientation};
use crate::samples::{Channels, to_rgb};

/// Decodes `bytes` to RGB; CMYK and YCCK become RGB as in Pillow, without a colour profile.
///
/// With `least_side`, at the smallest of the scales 1, 1/2, 1/4 and 1/8 whose shorter side is still
/// that long: the decoder then never computes the pixels that are left out.
pub(super) fn decode(
    bytes: &[u8],
    limits: &Limits,
    least_side: Option<u32>,
) -> Result<(RgbImage, Option<Orientation>), InputFault> {
    let mut decoder = decoder_of(bytes, limits.pixels, limits.decoder_bytes)?;
    let (width, height) = (decoder.header().width(), decoder.header().height());
    let size = u32::try_from(width).ok().zip(u32::try_from(height).ok());
    let (width, height) = size.ok_or_else(|| InputFault::Damaged("no usable size".into()))?;
    check_pixels(width, height, limits)?;
    if !is_whole(bytes) {
        return Err(cut_short());
    }

    let colours = decoder.jpeg_color_space();
    let is_cmyk = matches!(colours, ColorSpace::Cmyk | ColorSpace::Ycck);
    let mut denominator = 1;
    let mut pixels = if is_ordinary(decoder.header()) {
        denominator = least_side.map_or(1, |least| self::denominator(width.min(height), least));
        decoder.set_output_format(match is_cmyk {
            true => PixelFormat::Cmyk,
            false => PixelFormat::Rgb,
        });
        if denominator > 1 {
            let scale = ScalingFactor::try_new(1, denominator).map_err(fault_of)?;
            decoder.set_scale(scale);
        }
        let decoded = decoder.decode_image().map_err(fault_of)?;
        refuse_cut_short(&decoded.warnings)?;
        decoded.data
    } else {
        let mut samples = components_of(decoder, limits.decoder_bytes)?;
        match colours {
            ColorSpace::YCbCr => ycbcr_to_rgb(&mut samples),
            ColorSpace::Ycck => ycck_to_cmyk(&mut samples),
            _ => {}
        }
        samples
    };
    if is_cmyk {
        // Stored inverted, as Adobe writes it and Pillow expects it always.
        pixels.iter_mut().for_each(|value| *value = 255 - *value);
        pixels = to_rgb(pixels, Channels::Cmyk);
    }
    // As libjpeg rounds.
    let (width, height) = (width.div_ceil(denominator), height.div_ceil(denominator));
    let image = RgbImage::of_decoder(width, height, pixels)?;
    Ok((image, orientation::of_jpeg(bytes)))
}

/// Width and height of a JPEG that [`decode`] reads, as its header tells.
pub(super) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let decoder = decoder_of(bytes, u64::MAX, u64::MAX).ok()?;
    let header = decoder.header();
    Some((header.width.into(), header.height.into()))
}

/// About how many bytes [`decode`] takes at its peak; `None` for what it does not read.
pub(super) fn memory_to_decode(bytes: &[u8], least_side: Option<u32>) -> Option<u64> {
    /// Samples and pixels, where they are not decoded row by row.
    const WHOLE_BYTES: u64 = 2;
    /// A coefficient, which photos in several scans keep to the end.
    const COEFFICIENT_BYTES: u64 = 2;
    let decoder = decoder_of(bytes, u64::MAX, u64::MAX).ok()?;
    let header = decoder.header();
    let (width, height) = (u32::from(header.width), u32::from(header.height));
    let samples = u64::from(width) * u64::from(height) * header.components.len() as u64;
    if !is_ordinary(header) {
        return Some((WHOLE_BYTES + COEFFICIENT_BYTES) * samples);
    }
    let denominator = least_side.map_or(1, |least| denominator(width.min(height), least));
    let pixels = samples.max(3 * u64::from(width) * u64::from(height))
        / u64::from(denominator * denominator);
    Some(match header.is_progressive {
        true => pixels + COEFFICIENT_BYTES * samples,
        false => pixels,
    })
}

/// The samples `[rows, width, components]` of the JPEG within a TIFF, without any conversion of
/// colours: there the TIFF says what they are. The last strip may hold more rows than are left.
pub(super) fn decode_components(
    bytes: &[u8],
    width: usize,
    rows: RangeInclusive<usize>,
    components: usize,
    decoder_bytes: u64,
) -> Result<Vec<u8>, InputFault> {
    let decoder = decoder_of(bytes, u64::MAX, decoder_bytes)?;
    let header = decoder.header();
    let own = (usize::from(header.width), header.components.len());
    if own != (width, components) || !rows.contains(&usize::from(header.height)) {
        return Err(InputFault::Damaged(format!(
            "expected a strip of {width} x {} pixels and {components} samples, got {} x {} and {}",
            rows.start(),
            own.0,
            header.height,
            own.1
        )));
    }
    components_of(decoder, decoder_bytes)
}

fn decoder_of(bytes: &[u8], pixels: u64, decoder_bytes: u64) -> Result<Decoder<'_>, InputFault> {
    let decoder_limits = DecodeLimits {
        max_pixels: pixels,
        max_memory: Some(decoder_bytes),
        ..DecodeLimits::default()
    };
    let mut decoder = Decoder::new_with_limits(bytes, decoder_limits).map_err(fault_of)?;
    let header = decoder.header();
    let unread = |what: &str| {
        Err(InputFault::Unsupported(format!(
            "a JPEG {what} is not read; convert it to an ordinary JPEG or PNG"
        )))
    };
    if header.precision != 8 {
        return unread(&format!("of {} bits", header.precision));
    }
    if header.is_lossless {
        return unread("with lossless compression");
    }
    if !matches!(header.components.len(), 1 | 3 | 4) {
        return unread(&format!("of {} components", header.components.len()));
    }
    let (across, down) = largest_factors(header);
    let is_whole_step = header.components.iter().all(|it| {
        let (horizontal, vertical) = (it.horizontal_sampling, it.vertical_sampling);
        horizontal > 0 && vertical > 0 && across % horizontal == 0 && down % vertical == 0
    });
    // libjpeg does not do it either. One component alone has no other to be compared with.
    if !is_whole_step {
        return unread("whose colour is sampled at a fraction of a pixel");
    }
    // Lenient as libjpeg is: a flipped bit spoils some blocks and not the photo. What Pillow
    // does not accept either is data that ends early.
    decoder.set_lenient(true);
    Ok(decoder)
}

/// Whether the decoder's own upsampling is right: brightness is sampled most finely and the colours
/// are sampled alike. With other factors, libjpeg-turbo-rs 0.9.0 leaves colours out or panics.
fn is_ordinary(header: &FrameHeader) -> bool {
    let factors = |index: usize| {
        let component = header.components.get(index)?;
        Some((component.horizontal_sampling, component.vertical_sampling))
    };
    match header.components.len() {
        1 => true,
        3 => factors(1) == factors(2) && factors(0) == Some(largest_factors(header)),
        _ => (1..4).all(|index| factors(index) == factors(0)),
    }
}

fn largest_factors(header: &FrameHeader) -> (u8, u8) {
    let components = || header.components.iter();
    let across = components().map(|it| it.horizontal_sampling).max();
    let down = components().map(|it| it.vertical_sampling).max();
    (across.unwrap_or(1), down.unwrap_or(1))
}

/// The components of a JPEG at its size, `[height, width, components]`, u8.
fn components_of(decoder: Decoder, decoder_bytes: u64) -> Result<Vec<u8>, InputFault> {
    let factors: Vec<(usize, usize)> = decoder
        .header()
        .components
        .iter()
        .map(|it| (it.horizontal_sampling.into(), it.vertical_sampling.into()))
        .collect();
    let header = decoder.header();
    let pixels = u64::from(header.width) * u64::from(header.height);
    let bytes = 2 * pixels * factors.len() as u64;
    if bytes > decoder_bytes {
        return Err(InputFault::TooLarge(format!(
            "expected a JPEG that takes at most {decoder_bytes} bytes, got one of {bytes}"
        )));
    }
    let (raw, warnings) = decoder.decode_raw_with_warnings().map_err(fault_of)?;
    refuse_cut_short(&warnings)?;
    interleaved(&raw, &factors)
        .ok_or_else(|| InputFault::Damaged("expected as many samples as the header says".into()))
}

fn refuse_cut_short(warnings: &[DecodeWarning]) -> Result<(), InputFault> {
    let is_cut = |warning: &DecodeWarning| matches!(warning, DecodeWarning::TruncatedData { .. });
    match warnings.iter().any(is_cut) {
        true => Err(cut_short()),
        false => Ok(()),
    }
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
        JpegError::Unsupported(_) => {
            InputFault::Unsupported(format!("{error}; convert it to an ordinary JPEG or PNG"))
        }
        JpegError::UnexpectedEof => cut_short(),
        error => InputFault::Damaged(error.to_string()),
    }
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
