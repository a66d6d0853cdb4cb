//! GIF: the first frame on its screen.

use std::io::Cursor;
use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use crate::RgbImage;
use crate::error::InputFault;
use crate::limits::{Limits, check_pixels};
use crate::samples::{Channels, to_rgb};

/// Decodes the first frame to RGB. What it leaves of the screen is transparent or, in a GIF
/// without transparency, of the palette's first colour; so does Pillow.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, InputFault> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    let most = NonZeroU64::new(limits.decoder_bytes).unwrap_or(NonZeroU64::MIN);
    options.set_memory_limit(MemoryLimit::Bytes(most));
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(fault_of)?;
    check_size(
        decoder.width().into(),
        decoder.height().into(),
        bytes,
        limits,
    )?;
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));

    let frame = decoder.next_frame_info().map_err(fault_of)?;
    let frame = frame.ok_or_else(|| InputFault::Empty("expected a picture, got none".into()))?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    let transparent = frame.transparent;
    let own_palette = frame.palette.clone();
    // A frame that reaches beyond the screen makes it larger.
    let (screen_width, screen_height) = (screen.0.max(left + width), screen.1.max(top + height));
    check_size(screen_width as u32, screen_height as u32, bytes, limits)?;

    let mut indices = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indices).map_err(fault_of)?;
    let palette = match &own_palette {
        Some(palette) => palette.as_slice(),
        None => decoder.global_palette().unwrap_or_default(),
    };
    let channels = match transparent {
        Some(_) => Channels::RgbAlpha,
        None => Channels::Rgb,
    };
    let colour = |index: u8| {
        let at = usize::from(index) * 3;
        let rgb = palette.get(at..at + 3).unwrap_or(&[0; 3]);
        let alpha = if transparent == Some(index) { 0 } else { 255 };
        [rgb[0], rgb[1], rgb[2], alpha]
    };
    let outside = colour(transparent.unwrap_or(0));
    let mut samples = Vec::with_capacity(screen_width * screen_height * channels.count());
    for y in 0..screen_height {
        let row = y.checked_sub(top).filter(|&row| row < height);
        let row = row.map(|row| &indices[row * width..][..width]);
        for x in 0..screen_width {
            let index = row.and_then(|row| row.get(x.checked_sub(left)?));
            let pixel = index.map_or(outside, |&index| colour(index));
            samples.extend_from_slice(&pixel[..channels.count()]);
        }
    }
    let pixels = to_rgb(samples, channels);
    RgbImage::of_decoder(screen_width as u32, screen_height as u32, pixels)
}

/// Besides the limits on pixels: a screen that the bytes cannot fill is refused, since a few bytes
/// could claim a gigabyte.
fn check_size(width: u32, height: u32, bytes: &[u8], limits: &Limits) -> Result<(), InputFault> {
    /// The longest run that a code of 12 bits stands for.
    const PIXELS_OF_A_BYTE: u64 = 4096;
    const PIXELS_OF_ANY_FILE: u64 = 16 << 20;
    const BYTES_OF_A_PIXEL: u64 = 8; // an index, RGB and alpha, and RGB
    check_pixels(width, height, limits)?;
    let pixels = u64::from(width) * u64::from(height);
    let filled = (bytes.len() as u64).saturating_mul(PIXELS_OF_A_BYTE);
    let affordable = limits.decoder_bytes / BYTES_OF_A_PIXEL;
    let most = filled.max(PIXELS_OF_ANY_FILE).min(affordable);
    match pixels <= most {
        true => Ok(()),
        false => Err(InputFault::TooLarge(format!(
            "expected at most {most} pixels of a GIF of {} bytes, got {width} x {height}",
            bytes.len()
        ))),
    }
}

fn fault_of(error: DecodingError) -> InputFault {
    match error {
        DecodingError::OutOfMemory | DecodingError::MemoryLimit => {
            InputFault::TooLarge(error.to_string())
        }
        error => InputFault::Damaged(error.to_string()),
    }
}
