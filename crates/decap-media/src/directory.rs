//! A TIFF's directory: numbered tags and their values. EXIF blocks have the same form.

use std::ops::Range;

/// The tags that decide how a photo is read, by their numbers in the TIFF 6.0 specification.
pub(crate) mod tag {
    pub const NEW_SUBFILE_TYPE: u16 = 254;
    pub const IMAGE_WIDTH: u16 = 256;
    pub const IMAGE_LENGTH: u16 = 257;
    pub const BITS_PER_SAMPLE: u16 = 258;
    pub const COMPRESSION: u16 = 259;
    pub const PHOTOMETRIC: u16 = 262;
    pub const FILL_ORDER: u16 = 266;
    pub const MAKE: u16 = 271;
    pub const STRIP_OFFSETS: u16 = 273;
    pub const ORIENTATION: u16 = 274;
    pub const SAMPLES_PER_PIXEL: u16 = 277;
    pub const ROWS_PER_STRIP: u16 = 278;
    pub const STRIP_BYTE_COUNTS: u16 = 279;
    pub const PLANAR_CONFIGURATION: u16 = 284;
    pub const T4_OPTIONS: u16 = 292;
    pub const PREDICTOR: u16 = 317;
    pub const COLOR_MAP: u16 = 320;
    pub const TILE_WIDTH: u16 = 322;
    pub const TILE_LENGTH: u16 = 323;
    pub const TILE_OFFSETS: u16 = 324;
    pub const TILE_BYTE_COUNTS: u16 = 325;
    pub const SUB_IFDS: u16 = 330;
    pub const EXTRA_SAMPLES: u16 = 338;
    pub const SAMPLE_FORMAT: u16 = 339;
    pub const JPEG_TABLES: u16 = 347;
    pub const YCBCR_COEFFICIENTS: u16 = 529;
    pub const YCBCR_SUBSAMPLING: u16 = 530;
    pub const REFERENCE_BLACK_WHITE: u16 = 532;
    pub const XMP: u16 = 700;
    pub const DNG_VERSION: u16 = 50706;
    pub const JPEG_OFFSET: u16 = 513;
    pub const JPEG_BYTE_COUNT: u16 = 514;
    pub const EXIF_DIRECTORY: u16 = 34665;
    pub const MAKER_NOTE: u16 = 37500;
}

/// No directory of a photo has more tags, nor a tag more values; what comes after is left out.
const MOST_ENTRIES: usize = 1 << 16;
const MOST_VALUES: usize = 1 << 22;

/// The order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

/// How the numbers of a TIFF are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) order: ByteOrder,
    /// BigTIFF: offsets and counts of eight bytes.
    pub(crate) is_big: bool,
}

/// A directory of a TIFF, over the bytes of the file.
pub(crate) struct Directory<'a> {
    bytes: &'a [u8],
    pub(super) order: ByteOrder,
    entries: Vec<Entry>,
    /// Where the next one begins; 0 behind the last.
    next: u64,
}

struct Entry {
    tag: u16,
    kind: u16,
    /// Where its values lie in the file; empty where they would lie beyond its end.
    values: Range<usize>,
}

impl<'a> Directory<'a> {
    /// The first directory of the TIFF in `bytes`, BigTIFF or not; `None` for anything else.
    ///
    /// Whatever lies beyond the end of the bytes is left out, as Pillow does it: a broken block
    /// still gives what is whole in it.
    pub(crate) fn first(bytes: &'a [u8]) -> Option<Self> {
        let (form, start) = Form::of(bytes, &[])?;
        Self::at(bytes, form, start)
    }

    /// The directory that begins at `start`; otherwise as [`Directory::first`].
    pub(crate) fn at(bytes: &'a [u8], form: Form, start: u64) -> Option<Self> {
        let order = form.order;
        let (count_bytes, entry_bytes, inline_bytes) = match form.is_big {
            false => (2, 12, 4),
            true => (8, 20, 8),
        };
        let rest = bytes.get(usize::try_from(start).ok()?..)?;
        let count = usize::try_from(order.number(rest.get(..count_bytes)?)).ok()?;
        let first_at = usize::try_from(start).ok()? + count_bytes;
        let mut entries = Vec::new();
        for (index, entry) in rest[count_bytes..]
            .chunks_exact(entry_bytes)
            .take(count.min(MOST_ENTRIES))
            .enumerate()
        {
            let kind = order.number(&entry[2..4]) as u16;
            let inline_at = first_at + index * entry_bytes + entry_bytes - inline_bytes;
            let length = order
                .number(&entry[4..entry_bytes - inline_bytes])
                .checked_mul(value_bytes(kind))
                .and_then(|length| usize::try_from(length).ok());
            let values = length.and_then(|length| {
                let at = match length <= inline_bytes {
                    true => inline_at,
                    false => {
                        usize::try_from(order.number(&entry[entry_bytes - inline_bytes..])).ok()?
                    }
                };
                let end = at.checked_add(length)?;
                (end <= bytes.len()).then_some(at..end)
            });
            entries.push(Entry {
                tag: order.number(&entry[..2]) as u16,
                kind,
                values: values.unwrap_or(0..0),
            });
        }
        let next = count
            .checked_mul(entry_bytes)
            .and_then(|length| rest[count_bytes..].get(length..)?.get(..inline_bytes))
            .map_or(0, |offset| order.number(offset));
        Some(Self {
            bytes,
            order,
            entries,
            next,
        })
    }

    /// Where the next directory begins; `None` behind the last.
    pub(crate) fn next(&self) -> Option<u64> {
        Some(self.next).filter(|&next| next > 0)
    }

    pub(crate) fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }

    /// The values of `tag` where they are integers of any type; one below zero becomes huge.
    pub(crate) fn integers(&self, tag: u16) -> Option<Vec<u64>> {
        let entry = self.entry(tag)?;
        let is_signed = matches!(entry.kind, 6 | 8 | 9 | 17);
        let size = value_bytes(entry.kind) as usize;
        if !matches!(entry.kind, 1 | 3 | 4 | 13 | 16 | 18) && !is_signed {
            return None;
        }
        let values = self.bytes[entry.values.clone()].chunks_exact(size);
        let values = values.take(MOST_VALUES);
        let unused_bits = 64 - 8 * size as u32;
        let integer = |bytes| match (self.order.number(bytes), is_signed) {
            (value, true) => ((value << unused_bits) as i64 >> unused_bits) as u64,
            (value, false) => value,
        };
        Some(values.map(integer).collect()).filter(|values: &Vec<u64>| !values.is_empty())
    }

    /// The first integer of `tag`.
    pub(crate) fn integer(&self, tag: u16) -> Option<u64> {
        self.integers(tag)?.first().copied()
    }

    /// The values of `tag` where they are fractions or floats.
    pub(crate) fn reals(&self, tag: u16) -> Option<Vec<f64>> {
        let entry = self.entry(tag)?;
        let order = self.order;
        let part = |bytes: &[u8]| order.number(bytes) as f64;
        let signed_part = |bytes: &[u8]| f64::from(order.number(bytes) as u32 as i32);
        let real = |bytes: &[u8]| match entry.kind {
            5 => part(&bytes[..4]) / part(&bytes[4..]),
            10 => signed_part(&bytes[..4]) / signed_part(&bytes[4..]),
            11 => f64::from(f32::from_bits(order.number(bytes) as u32)),
            _ => f64::from_bits(order.number(bytes)),
        };
        let size = match entry.kind {
            5 | 10 | 12 => 8,
            11 => 4,
            _ => return None,
        };
        let values = self.bytes[entry.values.clone()].chunks_exact(size);
        Some(values.take(MOST_VALUES).map(real).collect())
    }

    /// The bytes of the values of `tag`, in the file's order.
    pub(crate) fn raw(&self, tag: u16) -> Option<&'a [u8]> {
        Some(&self.bytes[self.entry(tag)?.values.clone()])
    }

    /// Where the bytes of the values of `tag` begin, and whether they are numbers of four bytes, which
    /// may be the place of a directory.
    pub(crate) fn place(&self, tag: u16) -> Option<(u64, bool)> {
        let entry = self.entry(tag)?;
        Some((entry.values.start as u64, matches!(entry.kind, 4 | 13)))
    }

    /// Of a tag that occurs twice, the last counts, as in Pillow.
    fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.tag == tag)
    }
}

impl Form {
    /// What the first bytes of a TIFF say, and where its first directory begins. Cameras' raw files
    /// have other numbers than 42 there: those in `raw_numbers` are taken, too.
    pub(crate) fn of(bytes: &[u8], raw_numbers: &[u64]) -> Option<(Self, u64)> {
        let order = ByteOrder::of(bytes)?;
        let number = order.number(bytes.get(2..4)?);
        let is_big = number == 43;
        if !matches!(number, 42 | 43) && !raw_numbers.contains(&number) {
            return None;
        }
        let start = match is_big {
            false => bytes.get(4..8)?,
            true => bytes.get(8..16)?,
        };
        Some((Self { order, is_big }, order.number(start)))
    }
}

impl ByteOrder {
    /// The order that the first two bytes name.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes.get(..2)? {
            b"II" => Some(Self::Little),
            b"MM" => Some(Self::Big),
            _ => None,
        }
    }

    /// The number in at most eight bytes.
    pub(super) fn number(self, bytes: &[u8]) -> u64 {
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self {
            Self::Little => bytes.iter().rev().fold(0, join),
            Self::Big => bytes.iter().fold(0, join),
        }
    }
}

/// Bytes of one value of a type; zero for a type that does not exist.
fn value_bytes(kind: u16) -> u64 {
    match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => 0,
    }
}
