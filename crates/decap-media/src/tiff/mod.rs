//! TIFF and BigTIFF, as libtiff and Pillow read them: the first page of a photo, scan or fax.

mod chunks;
mod compression;
mod fax;
mod layout;

use half::f16;

use self::chunks::Chunks;
use self::compression::Compression;
use self::layout::{Alpha, Colour, Layout, Samples};
use super::jpeg_components::ycbcr_to_rgb;
use super::orientation::{self, Orientation};
use super::samples::{Channels, to_rgb, unmultiplied};
use crate::RgbImage;
use crate::directory::{ByteOrder, Directory, tag};
use crate::error::{InputFault, unread_tiff};
use crate::limits::Limits;

/// Decodes the first page to RGB. Of integers the high byte is kept; floats are 0 to 1 or, where
/// most are above 1, 0 to 255, as Pillow writes them.
///
/// # Errors
/// What neither Pillow nor libtiff reads is unsupported, and the message says to convert it.
pub(super) fn decode(
    bytes: &[u8],
    limits: &Limits,
) -> Result<(RgbImage, Option<Orientation>), InputFault> {
    let directory = Directory::first(bytes)
        .ok_or_else(|| InputFault::Damaged("expected a TIFF's directory, got none".into()))?;
    let layout = Layout::of(&directory, limits)?;
    let chunks = Chunks::of(bytes, &directory)?;
    let mut reader = Reader {
        layout: &layout,
        chunks: &chunks,
        order: directory.order,
        full_intensity: 1.0,
    };
    let mut read = reader.read()?;
    if read.floats_above_one > read.floats / 2 {
        reader.full_intensity = 255.0;
        read = reader.read()?;
        if read.floats_above_one > read.floats / 2 {
            return Err(unread_tiff("floating-point samples far above 255"));
        }
    }
    let pixels = rgb_of(read.samples, &layout, &directory);
    let size = (layout.width as u32, layout.height as u32); // both came as u32
    let orientation =
        orientation::of_exif(bytes).or_else(|| orientation::of_xmp(directory.raw(tag::XMP)?));
    let image = RgbImage::of_decoder(size.0, size.1, pixels)?;
    Ok((image, orientation))
}

struct Reader<'a> {
    layout: &'a Layout,
    chunks: &'a Chunks<'a>,
    order: ByteOrder,
    /// The float that is the byte 255.
    full_intensity: f64,
}

struct Read {
    /// `[height, width, used samples]`, u8.
    samples: Vec<u8>,
    floats: usize,
    floats_above_one: usize,
}

impl Reader<'_> {
    /// All strips or tiles, put together and narrowed to bytes.
    fn read(&self) -> Result<Read, InputFault> {
        let layout = self.layout;
        let used = layout.used_samples();
        let mut read = Read {
            samples: vec![0; layout.width * layout.height * used],
            floats: 0,
            floats_above_one: 0,
        };
        let mut narrowed = Vec::new();
        let (across, down) = (layout.chunks_across(), layout.chunks_down());
        for plane in 0..layout.planes.min(used) {
            for index in 0..across * down {
                let (left, top) = (
                    index % across * layout.chunk_width,
                    index / across * layout.chunk_height,
                );
                let rows = layout.chunk_height.min(layout.height - top);
                // The last strip holds the rows that are left; a tile is always whole.
                let unpacked_rows = if layout.is_tiled {
                    layout.chunk_height
                } else {
                    rows
                };
                let unpacked =
                    self.chunks
                        .unpacked(plane * across * down + index, layout, unpacked_rows)?;
                let pixels = layout.chunk_width.min(layout.width - left);
                for row in 0..rows {
                    narrowed.clear();
                    self.narrow_row(&unpacked, row, &mut narrowed, &mut read);
                    let target = ((top + row) * layout.width + left) * used;
                    let target = &mut read.samples[target..][..pixels * used];
                    match layout.planes {
                        1 => {
                            let sources = narrowed.chunks_exact(layout.chunk_samples);
                            for (to, from) in target.chunks_exact_mut(used).zip(sources) {
                                to.copy_from_slice(&from[..used]);
                            }
                        }
                        _ => {
                            for (to, &from) in target.chunks_exact_mut(used).zip(&narrowed) {
                                to[plane] = from;
                            }
                        }
                    }
                }
            }
        }
        Ok(read)
    }

    /// Appends the samples of a row of an unpacked chunk, each as a byte.
    fn narrow_row(&self, unpacked: &[u8], row: usize, narrowed: &mut Vec<u8>, read: &mut Read) {
        let layout = self.layout;
        if layout.subsampling != (1, 1) {
            return spread_row(unpacked, row, layout, narrowed);
        }
        let row = &unpacked[row * layout.row_bytes()..][..layout.row_bytes()];
        let samples = layout.chunk_width * layout.chunk_samples;
        let bytes = layout.bits / 8;
        match (layout.samples, layout.bits) {
            (Samples::Float, _) => {
                narrowed.extend(row.chunks_exact(bytes).map(|sample| {
                    let value = self.float(sample) / self.full_intensity;
                    read.floats += 1;
                    read.floats_above_one += usize::from(value > 1.0);
                    (value * 255.0).round() as u8 // saturates; NaN becomes 0
                }));
            }
            (Samples::Uint, 8) => narrowed.extend_from_slice(row),
            (Samples::Uint, bits) if bits % 8 == 0 => {
                let high = if self.order == ByteOrder::Big {
                    0
                } else {
                    bytes - 1
                };
                narrowed.extend(row.chunks_exact(bytes).map(|sample| sample[high]));
            }
            (Samples::Uint, bits) => {
                let is_number = matches!(layout.colour, Colour::Palette(_));
                narrowed.extend((0..samples).map(|sample| {
                    let value = bits_at(row, sample * bits, bits.min(8));
                    match is_number || bits > 8 {
                        true => value,
                        false => (u32::from(value) * 255 / ((1 << bits) - 1)) as u8,
                    }
                }));
            }
        }
    }

    fn float(&self, sample: &[u8]) -> f64 {
        let number = self.order.number(sample);
        match sample.len() {
            2 => f64::from(f16::from_bits(number as u16)),
            4 => f64::from(f32::from_bits(number as u32)),
            _ => f64::from_bits(number),
        }
    }
}

/// The number in `count` bits, at most 8, from bit `at` on, highest first.
fn bits_at(row: &[u8], at: usize, count: usize) -> u8 {
    let byte = |index: usize| u16::from(row.get(index).copied().unwrap_or(0));
    let two = byte(at / 8) << 8 | byte(at / 8 + 1);
    (two << (at % 8) >> (16 - count)) as u8
}

/// Appends a row of YCbCr in which blocks of pixels share their colour: each block is stored as
/// its brightnesses, then Cb and Cr.
fn spread_row(unpacked: &[u8], row: usize, layout: &Layout, narrowed: &mut Vec<u8>) {
    let (across, down) = layout.subsampling;
    let block_bytes = across * down + 2;
    let blocks = layout.chunk_width.div_ceil(across);
    let blocks = &unpacked[row / down * blocks * block_bytes..][..blocks * block_bytes];
    narrowed.extend((0..layout.chunk_width).flat_map(|x| {
        let block = &blocks[x / across * block_bytes..][..block_bytes];
        let brightness = block[row % down * across + x % across];
        [brightness, block[across * down], block[across * down + 1]]
    }));
}

/// `[height, width, 3]`, u8.
fn rgb_of(mut samples: Vec<u8>, layout: &Layout, directory: &Directory) -> Vec<u8> {
    let has_alpha = layout.alpha != Alpha::None;
    let used = layout.used_samples();
    if layout.colour == Colour::WhiteIsZero {
        let pixels = samples.chunks_exact_mut(used);
        pixels.for_each(|pixel| pixel[0] = 255 - pixel[0]);
    }
    if layout.alpha == Alpha::Premultiplied {
        for pixel in samples.chunks_exact_mut(used) {
            if let Some((alpha, colour)) = pixel.split_last_mut() {
                colour
                    .iter_mut()
                    .for_each(|value| *value = unmultiplied(*value, *alpha));
            }
        }
    }
    match &layout.colour {
        Colour::WhiteIsZero | Colour::BlackIsZero if has_alpha => {
            to_rgb(samples, Channels::GreyAlpha)
        }
        Colour::WhiteIsZero | Colour::BlackIsZero => to_rgb(samples, Channels::Grey),
        Colour::Rgb if has_alpha => to_rgb(samples, Channels::RgbAlpha),
        Colour::Rgb => samples,
        Colour::Cmyk => to_rgb(samples, Channels::Cmyk),
        Colour::Palette(colours) if has_alpha => {
            let pixels = samples.chunks_exact(2).flat_map(|it| {
                let [red, green, blue] = colours[usize::from(it[0])];
                [red, green, blue, it[1]]
            });
            to_rgb(pixels.collect(), Channels::RgbAlpha)
        }
        Colour::Palette(colours) => {
            let pixels = samples.iter().flat_map(|&it| colours[usize::from(it)]);
            pixels.collect()
        }
        Colour::YCbCr => {
            if layout.compression == Compression::Jpeg {
                ycbcr_to_rgb(&mut samples);
            } else {
                let conversion = YCbCrToRgb::of(directory);
                for pixel in samples.chunks_exact_mut(3) {
                    let rgb = conversion.rgb([pixel[0], pixel[1], pixel[2]]);
                    pixel.copy_from_slice(&rgb);
                }
            }
            samples
        }
    }
}

/// TIFF 6.0, section 21: the weights of red, green and blue in the brightness, and the samples that
/// stand for black, white and no colour.
struct YCbCrToRgb {
    weights: [f64; 3],
    reference: [f64; 6],
}

impl YCbCrToRgb {
    fn of(directory: &Directory) -> Self {
        const WEIGHTS: [f64; 3] = [0.299, 0.587, 0.114];
        const REFERENCE: [f64; 6] = [0.0, 255.0, 128.0, 255.0, 128.0, 255.0];
        let weights = directory
            .reals(tag::YCBCR_COEFFICIENTS)
            .and_then(|it| it.try_into().ok());
        let reference = directory
            .reals(tag::REFERENCE_BLACK_WHITE)
            .and_then(|it| it.try_into().ok());
        Self {
            weights: weights
                .filter(|it: &[f64; 3]| it.iter().all(|weight| *weight > 0.0 && *weight < 1.0))
                .unwrap_or(WEIGHTS),
            reference: reference
                .filter(|it: &[f64; 6]| it.chunks_exact(2).all(|it| it[1] - it[0] >= 1.0))
                .unwrap_or(REFERENCE),
        }
    }

    fn rgb(&self, sample: [u8; 3]) -> [u8; 3] {
        let [red_weight, green_weight, blue_weight] = self.weights;
        let full = |channel: usize, range: f64| {
            let (zero, end) = (self.reference[2 * channel], self.reference[2 * channel + 1]);
            (f64::from(sample[channel]) - zero) * range / (end - zero)
        };
        let (y, cb, cr) = (full(0, 255.0), full(1, 127.0), full(2, 127.0));
        let red = y + cr * (2.0 - 2.0 * red_weight);
        let blue = y + cb * (2.0 - 2.0 * blue_weight);
        let green = (y - red * red_weight - blue * blue_weight) / green_weight;
        [red, green, blue].map(|value| value.round() as u8) // saturates
    }
}
