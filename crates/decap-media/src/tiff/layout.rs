//! How a TIFF's samples are arranged, from the tags of its directory.

use super::compression::Compression;
use crate::directory::{Directory, tag};
use crate::error::{InputFault, unread_tiff};
use crate::limits::{Limits, check_pixels};

/// What the number in a sample means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Samples {
    /// An unsigned integer, the largest of which is full intensity.
    Uint,
    Float,
}

/// What the samples of a pixel stand for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Colour {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    /// The colours that the samples are numbers of.
    Palette(Vec<[u8; 3]>),
    Cmyk,
    YCbCr,
}

/// Whether, and in which way, the sample behind the colour is transparency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alpha {
    None,
    Straight,
    Premultiplied,
}

/// The arrangement; all sizes are checked against the limits.
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) bits: usize,
    pub(super) samples: Samples,
    pub(super) colour: Colour,
    pub(super) alpha: Alpha,
    pub(super) compression: Compression,
    /// Planes stored one behind the other: one, or as many as a pixel has samples.
    pub(super) planes: usize,
    /// Samples of a pixel within a strip or tile: all of them, or one where planes are separate.
    pub(super) chunk_samples: usize,
    /// Size of a strip or tile; the last strip may have fewer rows.
    pub(super) chunk_width: usize,
    pub(super) chunk_height: usize,
    pub(super) is_tiled: bool,
    /// Pixels across and down that share one pair of colour samples.
    pub(super) subsampling: (usize, usize),
    /// What a decoder within this one may take.
    pub(super) decoder_bytes: u64,
}

impl Layout {
    /// The arrangement that `directory` describes, as Pillow's table of modes and libtiff read it.
    ///
    /// # Errors
    /// A combination that neither reads, or that would need a guess, is unsupported; sizes over the
    /// limits are too large.
    pub(super) fn of(directory: &Directory, limits: &Limits) -> Result<Self, InputFault> {
        let size = |tag, name: &str| {
            let size = directory.integer(tag).and_then(|it| u32::try_from(it).ok());
            size.ok_or_else(|| InputFault::Damaged(format!("expected a TIFF with a {name}")))
        };
        let width = size(tag::IMAGE_WIDTH, "width")?;
        let height = size(tag::IMAGE_LENGTH, "height")?;
        check_pixels(width, height, limits)?;
        let (width, height) = (width as usize, height as usize);

        let compression = Compression::of(directory)?;
        let photometric = directory.integer(tag::PHOTOMETRIC).unwrap_or(0);
        let colour_samples = if matches!(photometric, 2 | 6 | 8) {
            3
        } else {
            1
        };
        let samples_per_pixel = match directory.integer(tag::SAMPLES_PER_PIXEL) {
            Some(samples) => samples,
            None if compression == Compression::Jpeg => colour_samples,
            None => 1,
        };
        if !(1..=8).contains(&samples_per_pixel) {
            return Err(unread_tiff(&format!("{samples_per_pixel} samples a pixel")));
        }
        let samples_per_pixel = samples_per_pixel as usize;
        let bits = bits_per_sample(directory, samples_per_pixel)?;
        let samples = sample_format(directory, bits)?;
        let colour = colour_of(directory, photometric, samples_per_pixel, bits, samples)?;
        let extra = samples_per_pixel
            .checked_sub(colour.samples())
            .ok_or_else(|| unread_tiff(&format!("{samples_per_pixel} samples for its colours")))?;
        let alpha = alpha_of(directory, extra, &colour)?;
        let is_planar = match directory.integer(tag::PLANAR_CONFIGURATION).unwrap_or(1) {
            1 => false,
            2 => samples_per_pixel > 1,
            other => return Err(unread_tiff(&format!("planar configuration {other}"))),
        };
        if colour == Colour::YCbCr && (is_planar || bits != 8 || samples_per_pixel != 3) {
            return Err(unread_tiff(
                "YCbCr in separate planes or of more than 8 bits",
            ));
        }
        let subsampling = match colour {
            Colour::YCbCr if compression != Compression::Jpeg => {
                subsampling_of(directory, width, height)?
            }
            _ => (1, 1),
        };
        if matches!(compression, Compression::Fax(_)) && (bits, samples_per_pixel) != (1, 1) {
            return Err(unread_tiff("fax compression of more than black and white"));
        }
        if compression == Compression::Jpeg && bits != 8 {
            return Err(unread_tiff("JPEG compression of more than 8 bits"));
        }

        let is_tiled = directory.has(tag::TILE_OFFSETS);
        let (chunk_width, chunk_height) = match is_tiled {
            true => (
                size(tag::TILE_WIDTH, "width of its tiles")? as usize,
                size(tag::TILE_LENGTH, "height of its tiles")? as usize,
            ),
            false => {
                let rows = directory.integer(tag::ROWS_PER_STRIP).unwrap_or(u64::MAX);
                (width, usize::try_from(rows).unwrap_or(height).min(height))
            }
        };
        if chunk_width == 0 || chunk_height == 0 {
            return Err(InputFault::Damaged(
                "expected strips or tiles of some pixels, got none".into(),
            ));
        }
        let layout = Self {
            width,
            height,
            bits,
            samples,
            colour,
            alpha,
            compression,
            planes: if is_planar { samples_per_pixel } else { 1 },
            chunk_samples: if is_planar { 1 } else { samples_per_pixel },
            chunk_width,
            chunk_height,
            is_tiled,
            subsampling,
            decoder_bytes: limits.decoder_bytes,
        };
        layout.check_memory(limits)?;
        Ok(layout)
    }

    /// Samples of a pixel that are used: its colour and its transparency.
    pub(super) fn used_samples(&self) -> usize {
        self.colour.samples() + usize::from(self.alpha != Alpha::None)
    }

    pub(super) fn chunks_across(&self) -> usize {
        self.width.div_ceil(self.chunk_width)
    }

    pub(super) fn chunks_down(&self) -> usize {
        self.height.div_ceil(self.chunk_height)
    }

    /// Bytes of a row of an unpacked strip or tile.
    pub(super) fn row_bytes(&self) -> usize {
        (self.chunk_width * self.chunk_samples * self.bits).div_ceil(8)
    }

    /// Bytes of `rows` rows of an unpacked strip or tile, in the file's arrangement.
    pub(super) fn packed_bytes(&self, rows: usize) -> usize {
        match self.subsampling {
            (1, 1) => self.row_bytes() * rows,
            (across, down) => {
                self.chunk_width.div_ceil(across) * rows.div_ceil(down) * (across * down + 2)
            }
        }
    }

    /// One strip or tile, unpacked with a copy, beside all samples and then all pixels. Tiles may
    /// reach beyond the photo, but not so that they are most of the work.
    fn check_memory(&self, limits: &Limits) -> Result<(), InputFault> {
        let too_large = |what: &str| {
            Err(InputFault::TooLarge(format!(
                "expected a TIFF that takes at most {} bytes, got {what}",
                limits.decoder_bytes
            )))
        };
        let chunk_pixels = self.chunk_width as u128 * self.chunk_height as u128;
        let chunk_bytes =
            chunk_pixels * self.chunk_samples as u128 * (self.bits as u128).div_ceil(8);
        let pixels = self.width as u128 * self.height as u128;
        let bytes = 2 * chunk_bytes + pixels * (self.used_samples() as u128 + 3);
        if bytes > u128::from(limits.decoder_bytes) {
            return too_large(&format!(
                "{} x {} pixels in parts of {} x {}",
                self.width, self.height, self.chunk_width, self.chunk_height
            ));
        }
        let chunks = self.chunks_across() as u128 * self.chunks_down() as u128;
        if chunks * chunk_pixels > 4 * u128::from(limits.pixels) {
            return too_large("tiles far larger than the photo");
        }
        Ok(())
    }
}

impl Colour {
    fn samples(&self) -> usize {
        match self {
            Self::WhiteIsZero | Self::BlackIsZero | Self::Palette(_) => 1,
            Self::Rgb | Self::YCbCr => 3,
            Self::Cmyk => 4,
        }
    }
}

/// One number for all samples: neither libtiff nor Pillow reads a mixture.
fn bits_per_sample(directory: &Directory, samples: usize) -> Result<usize, InputFault> {
    let bits = directory.integers(tag::BITS_PER_SAMPLE);
    let mut bits = bits.unwrap_or_else(|| vec![1]);
    bits.truncate(samples);
    match bits.first() {
        Some(&first @ 1..=64) if bits.iter().all(|&it| it == first) => Ok(first as usize),
        _ => Err(unread_tiff(&format!("samples of {bits:?} bits"))),
    }
}

fn sample_format(directory: &Directory, bits: usize) -> Result<Samples, InputFault> {
    let formats = directory.integers(tag::SAMPLE_FORMAT);
    let formats = formats.unwrap_or_else(|| vec![1]);
    let first = formats[0];
    match (first, bits) {
        _ if formats.iter().any(|&it| it != first) => {
            Err(unread_tiff(&format!("sample formats {formats:?}")))
        }
        // "Undefined" is what old programs say of bytes; signed bytes are taken as unsigned by
        // Pillow, since that is what they are in practice.
        (1 | 4, _) | (2, 8) => Ok(Samples::Uint),
        (3, 16 | 32 | 64) => Ok(Samples::Float),
        (2, _) => Err(unread_tiff("signed samples")),
        _ => Err(unread_tiff(&format!(
            "sample format {first} of {bits} bits"
        ))),
    }
}

fn colour_of(
    directory: &Directory,
    photometric: u64,
    samples_per_pixel: usize,
    bits: usize,
    samples: Samples,
) -> Result<Colour, InputFault> {
    Ok(match photometric {
        0 => Colour::WhiteIsZero,
        1 => Colour::BlackIsZero,
        2 => Colour::Rgb,
        3 if bits <= 8 && samples == Samples::Uint => Colour::Palette(palette_of(directory, bits)?),
        5 if samples == Samples::Uint => Colour::Cmyk,
        6 if samples_per_pixel == 1 => Colour::BlackIsZero,
        6 if samples == Samples::Uint => Colour::YCbCr,
        8..=10 => return Err(unread_tiff("Lab colours")),
        32844 | 32845 => return Err(unread_tiff("LogLuv colours")),
        other => {
            return Err(unread_tiff(&format!(
                "photometric interpretation {other} of {bits} bits"
            )));
        }
    })
}

/// All reds, then all greens, then all blues, of 16 bits; some old programs fill only the low 8.
fn palette_of(directory: &Directory, bits: usize) -> Result<Vec<[u8; 3]>, InputFault> {
    let colours = 1 << bits;
    let map = directory.integers(tag::COLOR_MAP).unwrap_or_default();
    if map.len() < 3 * colours {
        return Err(InputFault::Damaged(format!(
            "expected a palette of {colours} colours, got {}",
            map.len() / 3
        )));
    }
    let has_low_bytes_alone = map.iter().all(|&value| value < 256);
    let shift = if has_low_bytes_alone { 0 } else { 8 };
    let colour =
        |index: usize| [0, 1, 2].map(|channel| (map[channel * colours + index] >> shift) as u8);
    Ok((0..colours).map(colour).collect())
}

/// What the first sample behind the colour is; the others must be no transparency.
fn alpha_of(directory: &Directory, extra: usize, colour: &Colour) -> Result<Alpha, InputFault> {
    let kinds = directory.integers(tag::EXTRA_SAMPLES).unwrap_or_default();
    let alpha = match (extra, kinds.first()) {
        (0, _) | (_, Some(0)) => Alpha::None,
        (_, Some(1)) => Alpha::Premultiplied,
        // 999 is what Corel Draw writes.
        (_, Some(2 | 999)) => Alpha::Straight,
        // A single sample that the file does not explain is taken for transparency by all readers.
        (1, None) => Alpha::Straight,
        _ => return Err(unread_tiff(&format!("{extra} extra samples a pixel"))),
    };
    let has_more = kinds.iter().skip(1).any(|&kind| kind != 0);
    let is_odd = match colour {
        Colour::Cmyk | Colour::YCbCr => alpha != Alpha::None,
        Colour::Palette(_) => alpha == Alpha::Premultiplied,
        _ => false,
    };
    match has_more || is_odd {
        true => Err(unread_tiff("this kind of transparency")),
        false => Ok(alpha),
    }
}

/// Absent means 2 by 2, unless the strips are as long as full resolution needs, as some programs
/// write them.
fn subsampling_of(
    directory: &Directory,
    width: usize,
    height: usize,
) -> Result<(usize, usize), InputFault> {
    let given = directory.integers(tag::YCBCR_SUBSAMPLING);
    let byte_counts = directory.integers(tag::STRIP_BYTE_COUNTS);
    let bytes: u64 = byte_counts
        .unwrap_or_default()
        .iter()
        .fold(0, |sum, it| sum.saturating_add(*it));
    match given.as_deref() {
        Some(&[across @ (1 | 2 | 4), down @ (1 | 2 | 4)]) => Ok((across as usize, down as usize)),
        Some(other) => Err(unread_tiff(&format!("colour sampling {other:?}"))),
        None if u128::from(bytes) == width as u128 * height as u128 * 3 => Ok((1, 1)),
        None => Ok((2, 2)),
    }
}
