//! BMP to pixels, as Pillow reads them.
//!
//! Headers of every age are read: of 12 bytes (OS/2 1), 40 to 124 (Windows), 64 (OS/2 2, whose fields
//! begin as those of Windows).

use crate::RgbImage;
use crate::bmp_runs;
use crate::error::InputFault;
use crate::limits::{Limits, check_decoder_bytes, check_pixels};
use crate::samples::{Channels, to_rgb};

const FILE_HEADER_BYTES: usize = 14;
const OLDEST_HEADER_BYTES: u32 = 12;
const INFO_HEADER_BYTES: u32 = 40;
/// Windows' shortest header with a mask for alpha.
const ALPHA_HEADER_BYTES: u32 = 56;
const OS2_HEADER_BYTES: u32 = 64;
/// Where masks lie, behind a short header or within a long one.
const MASKS_AT: usize = 54;

/// How pixels are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    /// Palette indices of 1, 2, 4 or 8 bits.
    Indices,
    /// Palette indices in runs.
    RunLengths,
    /// Blue, green, red, in three bytes.
    Bytes,
    /// Masks of 16 or 32 bits; red, green, blue, alpha.
    Masks([Mask; 4]),
}

#[derive(Debug)]
struct Header {
    width: u32,
    height: u32,
    /// Most files begin with the last row.
    is_top_down: bool,
    /// Bits of a pixel.
    bits: u16,
    storage: Storage,
    pixels_at: usize,
    /// Where the palette begins, its entries, and the bytes of one.
    palette: (usize, usize, usize),
}

/// Decodes to RGB. An alpha channel that is zero everywhere is none: Windows programs give a mask for it
/// and leave its bits unset.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, InputFault> {
    let header = Header::read(bytes)?;
    check_pixels(header.width, header.height, limits)?;
    let pixels = u64::from(header.width) * u64::from(header.height);
    check_decoder_bytes(pixels.saturating_mul(7), limits)?;
    let data = bytes.get(header.pixels_at..).ok_or_else(cut_short)?;
    let (samples, channels) = match header.storage {
        Storage::Indices | Storage::RunLengths => {
            let palette = header.palette(bytes)?;
            let indices = match header.storage {
                Storage::RunLengths => header.run_lengths(data)?,
                _ => header.indices(data)?,
            };
            let colours = indices
                .iter()
                .flat_map(|&index| palette[usize::from(index)]);
            (colours.collect(), Channels::Rgb)
        }
        Storage::Bytes => (header.bytes(data)?, Channels::Rgb),
        Storage::Masks(masks) => header.masked(data, masks)?,
    };
    RgbImage::of_decoder(header.width, header.height, to_rgb(samples, channels))
}

/// Width and height, as the header tells.
pub(super) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = Header::read(bytes).ok()?;
    Some((header.width, header.height))
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, InputFault> {
        let four = |at: usize| {
            let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
            four.map(u32::from_le_bytes).ok_or_else(cut_short)
        };
        let two = |at: usize| Ok::<u16, InputFault>((four(at)? & 0xFFFF) as u16);
        let pixels_at = four(10)? as usize;
        let header_bytes = four(14)?;
        if header_bytes == OLDEST_HEADER_BYTES {
            let (width, height) = (two(18)?, two(20)?);
            let bits = two(24)?;
            if !matches!(bits, 1 | 4 | 8 | 24) {
                return Err(unsupported("a header of this old kind"));
            }
            return Ok(Self {
                width: width.into(),
                height: height.into(),
                is_top_down: false,
                bits,
                storage: match bits {
                    24 => Storage::Bytes,
                    _ => Storage::Indices,
                },
                pixels_at,
                palette: (FILE_HEADER_BYTES + header_bytes as usize, 1 << bits, 3),
            });
        }
        if header_bytes < INFO_HEADER_BYTES {
            return Err(unsupported("a header of this old kind"));
        }
        let (width, height) = (four(18)?.cast_signed(), four(22)?.cast_signed());
        let width = u32::try_from(width)
            .map_err(|_| InputFault::Damaged(format!("expected a width, got {width}")))?;
        let (bits, compression) = (two(28)?, four(30)?);
        let storage = storage_of(header_bytes, bits, compression, four)?;
        let is_top_down = height < 0;
        if is_top_down && storage == Storage::RunLengths {
            return Err(unsupported("runs from the top down"));
        }
        let colours = match four(46)? {
            0 => 1 << bits.min(8),
            colours => colours.min(1 << bits.min(8)),
        };
        Ok(Self {
            width,
            height: height.unsigned_abs(),
            is_top_down,
            bits,
            storage,
            pixels_at,
            palette: (
                FILE_HEADER_BYTES + header_bytes as usize,
                colours as usize,
                4,
            ),
        })
    }

    /// All 256 entries, red, green and blue; those that the file lacks are black.
    fn palette(&self, bytes: &[u8]) -> Result<[[u8; 3]; 256], InputFault> {
        let (at, entries, entry_bytes) = self.palette;
        let stored = bytes
            .get(at..)
            .and_then(|rest| rest.get(..entries * entry_bytes));
        let mut palette = [[0; 3]; 256];
        for (entry, stored) in palette
            .iter_mut()
            .zip(stored.ok_or_else(cut_short)?.chunks_exact(entry_bytes))
        {
            *entry = [stored[2], stored[1], stored[0]];
        }
        Ok(palette)
    }

    /// The rows of `data` from the top down, each without its padding to four bytes.
    fn rows<'a>(&self, data: &'a [u8]) -> Result<impl Iterator<Item = &'a [u8]>, InputFault> {
        let row_bits = u64::from(self.width) * u64::from(self.bits);
        let size = |bytes: u64| usize::try_from(bytes).map_err(|_| cut_short());
        let (used, stride) = (
            size(row_bits.div_ceil(8))?,
            size(row_bits.div_ceil(32) * 4)?,
        );
        let height = self.height as usize;
        // The padding of the last row may be missing.
        let least = (height - 1)
            .checked_mul(stride)
            .and_then(|it| it.checked_add(used));
        if least.is_none_or(|least| data.len() < least) {
            return Err(cut_short());
        }
        let is_top_down = self.is_top_down;
        Ok((0..height).map(move |row| {
            let row = if is_top_down { row } else { height - 1 - row };
            &data[row * stride..][..used]
        }))
    }

    fn indices(&self, data: &[u8]) -> Result<Vec<u8>, InputFault> {
        let (bits, width) = (u32::from(self.bits), self.width as usize);
        let per_byte = 8 / bits as usize;
        let mask = u8::MAX >> (8 - bits);
        let mut indices = Vec::with_capacity(width * self.height as usize);
        for row in self.rows(data)? {
            indices.extend((0..width).map(|x| {
                let shift = 8 - bits * (x % per_byte + 1) as u32;
                row[x / per_byte] >> shift & mask
            }));
        }
        Ok(indices)
    }

    /// `[pixels, 3]`
    fn bytes(&self, data: &[u8]) -> Result<Vec<u8>, InputFault> {
        let mut samples = Vec::with_capacity(self.width as usize * self.height as usize * 3);
        for row in self.rows(data)? {
            samples.extend(row.chunks_exact(3).flat_map(|it| [it[2], it[1], it[0]]));
        }
        Ok(samples)
    }

    fn masked(&self, data: &[u8], masks: [Mask; 4]) -> Result<(Vec<u8>, Channels), InputFault> {
        let [red, green, blue, alpha] = masks;
        let values = |row: &[u8]| -> Vec<u32> {
            match self.bits {
                16 => row
                    .chunks_exact(2)
                    .map(|it| u16::from_le_bytes([it[0], it[1]]).into())
                    .collect(),
                _ => row
                    .chunks_exact(4)
                    .map(|it| u32::from_le_bytes([it[0], it[1], it[2], it[3]]))
                    .collect(),
            }
        };
        let mut is_visible = false;
        let mut samples = Vec::with_capacity(self.width as usize * self.height as usize * 4);
        for row in self.rows(data)? {
            for value in values(row) {
                let coverage = alpha.of_value(value);
                is_visible |= coverage > 0;
                samples.extend([
                    red.of_value(value),
                    green.of_value(value),
                    blue.of_value(value),
                    coverage,
                ]);
            }
        }
        if !is_visible {
            samples.chunks_exact_mut(4).for_each(|pixel| pixel[3] = 255);
        }
        Ok((samples, Channels::RgbAlpha))
    }

    /// Palette indices from the top down; what is skipped is index 0.
    fn run_lengths(&self, data: &[u8]) -> Result<Vec<u8>, InputFault> {
        bmp_runs::indices(
            data,
            self.width as usize,
            self.height as usize,
            self.bits == 4,
        )
        .ok_or_else(cut_short)
    }
}

fn storage_of(
    header_bytes: u32,
    bits: u16,
    compression: u32,
    four: impl Fn(usize) -> Result<u32, InputFault>,
) -> Result<Storage, InputFault> {
    const RAW: u32 = 0;
    const RUNS_OF_BYTES: u32 = 1;
    const RUNS_OF_HALF_BYTES: u32 = 2;
    const BIT_FIELDS: u32 = 3;
    const ALPHA_BIT_FIELDS: u32 = 6;
    let masks = |masks: [u32; 4]| -> Result<Storage, InputFault> {
        let [red, green, blue, alpha] = masks.map(|mask| Mask::of(mask, bits));
        let masks = red.zip(green).zip(blue.zip(alpha));
        let ((red, green), (blue, alpha)) =
            masks.ok_or_else(|| unsupported("unusual bit masks"))?;
        Ok(Storage::Masks([red, green, blue, alpha]))
    };
    let colours =
        || Ok::<_, InputFault>([four(MASKS_AT)?, four(MASKS_AT + 4)?, four(MASKS_AT + 8)?]);
    match (compression, bits) {
        (RAW, 1 | 2 | 4 | 8) => Ok(Storage::Indices),
        (RAW, 16) => masks([0x7C00, 0x3E0, 0x1F, 0]),
        (RAW, 24) => Ok(Storage::Bytes),
        (RAW, 32) => masks([0xFF_0000, 0xFF00, 0xFF, 0]),
        (RUNS_OF_BYTES, 8) | (RUNS_OF_HALF_BYTES, 4) => Ok(Storage::RunLengths),
        // Other things to OS/2.
        (BIT_FIELDS.., _) if header_bytes == OS2_HEADER_BYTES => {
            Err(unsupported("the compression of OS/2"))
        }
        // The only masks that fit three bytes a pixel are those that go without saying.
        (BIT_FIELDS, 24) => match colours()? {
            [0xFF_0000, 0xFF00, 0xFF] => Ok(Storage::Bytes),
            _ => Err(unsupported("unusual bit masks")),
        },
        (BIT_FIELDS | ALPHA_BIT_FIELDS, 16 | 32) => {
            let [red, green, blue] = colours()?;
            let has_alpha = compression == ALPHA_BIT_FIELDS || header_bytes >= ALPHA_HEADER_BYTES;
            let alpha = if has_alpha { four(MASKS_AT + 12)? } else { 0 };
            masks([red, green, blue, alpha])
        }
        _ => Err(unsupported("these bits or compression")),
    }
}

/// The bits of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mask {
    shift: u32,
    /// The largest value, at most 255; 0 for no channel.
    largest: u32,
}

impl Mask {
    /// Bits that touch, within `bits`; of more than eight the upper eight. `None` for others.
    fn of(mask: u32, bits: u16) -> Option<Self> {
        if mask == 0 {
            return Some(Self {
                shift: 0,
                largest: 0,
            });
        }
        let (shift, count) = (mask.trailing_zeros(), mask.count_ones());
        if 32 - mask.leading_zeros() != shift + count || shift + count > u32::from(bits) {
            return None;
        }
        let surplus = count.saturating_sub(8);
        Some(Self {
            shift: shift + surplus,
            largest: (1 << (count - surplus)) - 1,
        })
    }

    /// The channel in `value`, 0 to 255, rounded down as Pillow does
    /// (`ImagingUnpackBGR15` in <https://github.com/python-pillow/Pillow/blob/11.0.0/src/libImaging/Unpack.c>).
    fn of_value(self, value: u32) -> u8 {
        match self.largest {
            0 => 0,
            largest => ((value >> self.shift & largest) * 255 / largest) as u8,
        }
    }
}

fn cut_short() -> InputFault {
    InputFault::Damaged("cut short: the BMP's header promises more".into())
}

fn unsupported(what: &str) -> InputFault {
    InputFault::Unsupported(format!(
        "a BMP with {what} is not read; convert it to JPEG or PNG"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sides whose rows need padding at every depth.
    const WIDTH: i32 = 5;
    const HEIGHT: i32 = 3;

    fn bmp(bits: u16, height: i32, colours: u32, data: &[u8]) -> Vec<u8> {
        let entries = if bits <= 8 { 1_u32 << bits } else { 0 };
        let palette: Vec<u8> = (0..entries)
            .flat_map(|i| [i as u8, (i * 7) as u8, (i * 31) as u8, 0])
            .collect();
        let mut bytes = b"BM\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend((54 + palette.len() as u32).to_le_bytes());
        for value in [
            40,
            WIDTH as u32,
            height as u32,
            1 | u32::from(bits) << 16,
            0,
            0,
            0,
            0,
            colours,
            0,
        ] {
            bytes.extend(value.to_le_bytes());
        }
        [&bytes, &palette[..], data].concat()
    }

    fn row_bytes(bits: u16) -> usize {
        (WIDTH as usize * usize::from(bits)).div_ceil(32) * 4
    }

    #[test]
    fn every_depth_is_read_as_by_the_image_crate() {
        /// The crate rounds five bits to eight where Pillow cuts.
        const ROUNDING: u8 = 1;
        for bits in [1_u16, 2, 4, 8, 16, 24, 32] {
            for height in [HEIGHT, -HEIGHT] {
                let count = row_bytes(bits) * HEIGHT as usize;
                let data: Vec<u8> = (0..count).map(|i| (i * 73 + 11) as u8).collect();
                let bytes = bmp(bits, height, 0, &data);
                let expected = ::image::load_from_memory(&bytes).unwrap().to_rgb8();
                let found = decode(&bytes, &Limits::default()).unwrap();
                let most = if bits == 16 { ROUNDING } else { 0 };
                assert_eq!(found.pixels().len(), expected.len());
                for (found, expected) in found.pixels().iter().zip(expected.iter()) {
                    assert!(found.abs_diff(*expected) <= most, "{bits} bits, {height}");
                }
            }
        }
    }

    #[test]
    fn channels_of_any_width_are_cut_to_eight_bits() {
        let five = Mask::of(0x7C00, 16).unwrap();
        // 3 * 255 / 31 = 24.7
        assert_eq!(
            [0, 3 << 10, 31 << 10].map(|value| five.of_value(value)),
            [0, 24, 255]
        );
        let ten = Mask::of(0x3FF0_0000, 32).unwrap();
        assert_eq!(ten.of_value(0x2AA0_0000), 0xAA);
        assert_eq!(Mask::of(0x5, 16), None);
        assert_eq!(Mask::of(0x1_0000, 16), None);
    }

    #[test]
    fn what_is_cut_short_is_refused_at_every_byte() {
        for bits in [1_u16, 8, 16, 24, 32] {
            let bytes = bmp(bits, HEIGHT, 0, &vec![7; row_bytes(bits) * HEIGHT as usize]);
            let used = (WIDTH as usize * usize::from(bits)).div_ceil(8);
            let padding = row_bytes(bits) - used;
            assert!(decode(&bytes[..bytes.len() - padding], &Limits::default()).is_ok());
            for length in 0..bytes.len() - padding {
                let error = decode(&bytes[..length], &Limits::default()).unwrap_err();
                assert_eq!(
                    error.kind(),
                    "damaged",
                    "{bits} bits, {length} bytes: {error}"
                );
            }
        }
    }
}
