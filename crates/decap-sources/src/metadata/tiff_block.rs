//! A TIFF structure, which EXIF blocks are too, edited at its end.
//!
//! Camera makers' notes hold offsets that nobody else understands, so nothing in the structure may move.
//! A new first directory goes behind everything, and the header points there. What was appended ends in a
//! seal; while that is whole, the structure as it was before can be had again byte for byte.

use decap::InputFault;
use sha2::{Digest, Sha256};

/// Tags by their numbers in the TIFF 6.0, XMP and EXIF specifications.
pub(super) mod tag {
    pub const IMAGE_DESCRIPTION: u16 = 270;
    pub const XMP: u16 = 700;
    pub const IPTC: u16 = 33723;
    pub const EXIF_DIRECTORY: u16 = 34665;
    pub const DATE_TIME_ORIGINAL: u16 = 36867;
}

/// The tags that decap writes.
const OWN_TAGS: [u16; 3] = [tag::IMAGE_DESCRIPTION, tag::XMP, tag::IPTC];

/// Types of values.
const BYTE: u16 = 1;
const ASCII: u16 = 2;
const UNDEFINED: u16 = 7;

const HEADER_BYTES: usize = 8;
const ENTRY_BYTES: usize = 12;

/// What the seal begins with; then the length before, the first directory's place before, and a digest of
/// what was appended.
const SEAL_MAGIC: &[u8; 8] = b"decap\0\0\x01";
const SEAL_BYTES: usize = 24;
const DIGEST_BYTES: usize = 8;

/// A value that a tag is to have; `None` removes the tag.
pub(super) type Change = (u16, Option<Vec<u8>>);

/// The first directory of a TIFF structure.
pub(super) struct TiffBlock<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
    entries: Vec<Entry>,
    /// Where the second directory begins, as it stands in the file.
    next: [u8; 4],
}

#[derive(Clone, Copy)]
struct Entry {
    tag: u16,
    /// As it stands in the file.
    bytes: [u8; ENTRY_BYTES],
}

impl<'a> TiffBlock<'a> {
    /// Reads the first directory of `bytes`.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, InputFault> {
        let is_big_endian = match bytes.get(..4) {
            Some(b"II*\0") => false,
            Some(b"MM\0*") => true,
            Some(b"II+\0" | b"MM\0+") => {
                let message = "captions are not written into BigTIFF files";
                return Err(InputFault::Unsupported(message.into()));
            }
            _ => return Err(damaged("expected the header of a TIFF")),
        };
        let mut block = Self {
            bytes,
            is_big_endian,
            entries: Vec::new(),
            next: [0; 4],
        };
        let at = block.u32_at(4).ok_or_else(cut_short)?;
        (block.entries, block.next) = block.directory_at(at as usize).ok_or_else(cut_short)?;
        Ok(block)
    }

    fn directory_at(&self, at: usize) -> Option<(Vec<Entry>, [u8; 4])> {
        let count = usize::from(self.u16_at(at)?);
        let rest = self.bytes.get(at.checked_add(2)?..)?;
        let (entries, rest) = rest.split_at_checked(count * ENTRY_BYTES)?;
        let entry = |bytes: &[u8]| {
            let bytes: [u8; ENTRY_BYTES] = bytes.try_into().ok()?;
            let tag = self.u16_of([bytes[0], bytes[1]]);
            Some(Entry { tag, bytes })
        };
        let entries = entries.chunks_exact(ENTRY_BYTES).filter_map(entry);
        // EXIF blocks that end behind the last entry exist: they have no second directory.
        let next = rest.first_chunk().copied().unwrap_or_default();
        Some((entries.collect(), next))
    }

    /// The bytes of the values of `tag` in the first directory; nothing where they lie outside.
    pub(super) fn value(&self, tag: u16) -> Option<&[u8]> {
        self.value_in(&self.entries, tag)
    }

    fn value_in<'v>(&'v self, entries: &'v [Entry], tag: u16) -> Option<&'v [u8]> {
        let entry = &entries.iter().find(|entry| entry.tag == tag)?.bytes;
        let size = match self.u16_of([entry[2], entry[3]]) {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => return None,
        };
        let count = self.u32_of([entry[4], entry[5], entry[6], entry[7]]) as usize;
        let length = count.checked_mul(size)?;
        if length <= 4 {
            return entry.get(8..8 + length);
        }
        let at = self.u32_of([entry[8], entry[9], entry[10], entry[11]]) as usize;
        self.bytes.get(at..at.checked_add(length)?)
    }

    /// The time when the photo was taken, as EXIF has it: `YYYY:MM:DD HH:MM:SS`.
    pub(super) fn date_time_original(&self) -> Option<&[u8]> {
        let pointer = self.value(tag::EXIF_DIRECTORY)?.first_chunk()?;
        let (entries, _) = self.directory_at(self.u32_of(*pointer) as usize)?;
        let entry = entries
            .iter()
            .find(|entry| entry.tag == tag::DATE_TIME_ORIGINAL)?;
        // The value lies in the file, so it outlives the entries.
        let (count, at) = (entry.bytes.get(4..8)?, entry.bytes.get(8..12)?);
        let count = self.u32_of(count.try_into().ok()?) as usize;
        let at = self.u32_of(at.try_into().ok()?) as usize;
        self.bytes.get(at..at.checked_add(count)?)
    }

    fn u16_at(&self, at: usize) -> Option<u16> {
        Some(self.u16_of(*self.bytes.get(at..)?.first_chunk()?))
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        Some(self.u32_of(*self.bytes.get(at..)?.first_chunk()?))
    }

    fn u16_of(&self, bytes: [u8; 2]) -> u16 {
        match self.is_big_endian {
            true => u16::from_be_bytes(bytes),
            false => u16::from_le_bytes(bytes),
        }
    }

    fn u32_of(&self, bytes: [u8; 4]) -> u32 {
        match self.is_big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        }
    }

    fn bytes_of_u16(&self, number: u16) -> [u8; 2] {
        match self.is_big_endian {
            true => number.to_be_bytes(),
            false => number.to_le_bytes(),
        }
    }

    fn bytes_of_u32(&self, number: u32) -> [u8; 4] {
        match self.is_big_endian {
            true => number.to_be_bytes(),
            false => number.to_le_bytes(),
        }
    }
}

/// The structure with `changes` to its first directory; without `bytes` a new one. Nothing where nothing
/// is left of a structure that was made here.
///
/// # Errors
/// [`InputFault::Damaged`] where it is no TIFF; [`InputFault::Unsupported`] for BigTIFF;
/// [`InputFault::TooLarge`] over 4 GiB.
pub(super) fn edit(
    bytes: Option<&[u8]>,
    changes: &[Change],
) -> Result<Option<Vec<u8>>, InputFault> {
    let now = bytes.map(TiffBlock::read).transpose()?;
    let entry_of = |block: &Option<TiffBlock<'_>>, tag| {
        let entries = block.as_ref().map(|block| block.entries.iter());
        let entry = entries.and_then(|mut entries| entries.find(|entry| entry.tag == tag));
        entry.map(|entry| entry.bytes)
    };
    let value_of = |block: &Option<TiffBlock<'_>>, tag| {
        let value = block.as_ref().and_then(|block| block.value(tag));
        value.map(<[u8]>::to_vec)
    };
    let before = match bytes {
        Some(bytes) => unsealed(bytes).unwrap_or_else(|| Some(bytes.to_vec())),
        None => None,
    };
    let base = before.as_deref().map(TiffBlock::read).transpose()?;
    let mut changed: Vec<Change> = Vec::new();
    for tag in OWN_TAGS {
        let wanted = match changes.iter().find(|change| change.0 == tag) {
            Some((_, value)) => value.clone(),
            // One that points behind the end would find something there once more is appended.
            None if entry_of(&now, tag) == entry_of(&base, tag) => continue,
            None => value_of(&now, tag),
        };
        if wanted != value_of(&base, tag) {
            changed.push((tag, wanted));
        }
    }
    match changed.is_empty() {
        true => Ok(before),
        false => append(base.as_ref(), &changed).map(Some),
    }
}

/// `base` and behind it a directory with these changes.
fn append(base: Option<&TiffBlock<'_>>, changes: &[Change]) -> Result<Vec<u8>, InputFault> {
    let empty = TiffBlock {
        bytes: b"II*\0\0\0\0\0",
        is_big_endian: false,
        entries: Vec::new(),
        next: [0; 4],
    };
    let (block, length_before) = match base {
        Some(base) => (base, base.bytes.len()),
        None => (&empty, 0),
    };
    let mut out = block.bytes.to_vec();
    let place_before = block.u32_at(4).ok_or_else(cut_short)?;
    pad(&mut out);
    let place = offset(out.len())?;
    let is_changed = |entry: &&Entry| changes.iter().any(|change| change.0 == entry.tag);
    let kept = block.entries.iter().filter(|entry| !is_changed(entry));
    let mut entries: Vec<Entry> = kept.copied().collect();
    let values = changes
        .iter()
        .filter_map(|(tag, value)| Some((*tag, value.as_ref()?)));
    let values: Vec<_> = values.collect();
    let count = entries.len() + values.len();
    let mut value_at = out.len() + 2 + count * ENTRY_BYTES + 4;
    for &(tag, value) in &values {
        let kind = match tag {
            tag::IMAGE_DESCRIPTION => ASCII,
            tag::XMP => BYTE,
            _ => UNDEFINED,
        };
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..2].copy_from_slice(&block.bytes_of_u16(tag));
        bytes[2..4].copy_from_slice(&block.bytes_of_u16(kind));
        bytes[4..8].copy_from_slice(&block.bytes_of_u32(offset(value.len())?));
        if value.len() <= 4 {
            bytes[8..8 + value.len()].copy_from_slice(value);
        } else {
            bytes[8..].copy_from_slice(&block.bytes_of_u32(offset(value_at)?));
            value_at += value.len().next_multiple_of(2);
        }
        // Tags stand in ascending order; where they do not, the others keep theirs.
        let at = entries.iter().position(|entry| entry.tag > tag);
        let entry = Entry { tag, bytes };
        entries.insert(at.unwrap_or(entries.len()), entry);
    }
    let count = u16::try_from(entries.len()).map_err(|_| too_large())?;
    out.extend(block.bytes_of_u16(count));
    out.extend(entries.iter().flat_map(|entry| entry.bytes));
    out.extend(block.next);
    for (_, value) in values.iter().filter(|(_, value)| value.len() > 4) {
        out.extend_from_slice(value);
        pad(&mut out);
    }
    out[4..8].copy_from_slice(&block.bytes_of_u32(place));
    out.extend(SEAL_MAGIC);
    out.extend(offset(length_before)?.to_le_bytes());
    out.extend(place_before.to_le_bytes());
    let digest = digest_of(&out[length_before..]);
    out.extend(digest);
    offset(out.len())?;
    Ok(out)
}

/// The structure before decap appended to it; within, nothing where there was none before. Nothing at all
/// where the end is not as decap left it.
fn unsealed(bytes: &[u8]) -> Option<Option<Vec<u8>>> {
    let at = bytes.len().checked_sub(SEAL_BYTES)?;
    let seal = bytes[at..].strip_prefix(SEAL_MAGIC)?;
    let number = |at: usize| Some(u32::from_le_bytes(*seal.get(at..)?.first_chunk()?));
    let (length, place_before) = (number(0)? as usize, number(4)?);
    let appended = bytes.get(length..bytes.len() - DIGEST_BYTES)?;
    if seal[8..] != digest_of(appended) {
        return None;
    }
    if length == 0 {
        return Some(None);
    }
    let block = TiffBlock::read(bytes).ok()?;
    if length < HEADER_BYTES || block.u32_at(4)? as usize != length.next_multiple_of(2) {
        return None;
    }
    let mut before = bytes[..length].to_vec();
    before[4..8].copy_from_slice(&block.bytes_of_u32(place_before));
    // Whoever can write the seal can write what is no TIFF without it.
    TiffBlock::read(&before).ok()?;
    Some(Some(before))
}

fn digest_of(bytes: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&Sha256::digest(bytes)[..DIGEST_BYTES]);
    digest
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(2), 0);
}

fn offset(place: usize) -> Result<u32, InputFault> {
    u32::try_from(place).map_err(|_| too_large())
}

fn too_large() -> InputFault {
    InputFault::TooLarge("expected a TIFF of less than 4 GiB with room for a caption".into())
}

fn cut_short() -> InputFault {
    damaged("expected a whole directory in the TIFF, got the end of the file")
}

fn damaged(message: &str) -> InputFault {
    InputFault::Damaged(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Width 3, a description where asked for, and a second directory.
    fn tiff(is_big_endian: bool, description: Option<&[u8]>) -> Vec<u8> {
        let block = TiffBlock {
            bytes: &[],
            is_big_endian,
            entries: Vec::new(),
            next: [0; 4],
        };
        let (u16_of, u32_of) = (
            |number| block.bytes_of_u16(number),
            |number| block.bytes_of_u32(number),
        );
        let mut out = match is_big_endian {
            true => b"MM\0*".to_vec(),
            false => b"II*\0".to_vec(),
        };
        out.extend(u32_of(8));
        let count = 1 + u16::from(description.is_some());
        out.extend(u16_of(count));
        out.extend([u16_of(256), u16_of(3)].concat());
        out.extend(u32_of(1));
        out.extend([u16_of(3), u16_of(0)].concat());
        let end = 8 + 2 + 12 * u32::from(count) + 4;
        if let Some(text) = description {
            out.extend([u16_of(270), u16_of(2)].concat());
            out.extend(u32_of(text.len() as u32));
            out.extend(u32_of(end));
        }
        // No directory is there, but nobody looks.
        out.extend(u32_of(4_000));
        out.extend(description.unwrap_or_default());
        out.push(7);
        out
    }

    #[test]
    fn a_text_is_written_and_taken_back_byte_for_byte() {
        for is_big_endian in [false, true] {
            for description in [None, Some(&b"my dog\0"[..])] {
                let before = tiff(is_big_endian, description);
                let change = [(tag::IMAGE_DESCRIPTION, Some(b"a dog\0".to_vec()))];
                let once = edit(Some(&before), &change).unwrap().unwrap();
                let block = TiffBlock::read(&once).unwrap();
                assert_eq!(block.value(tag::IMAGE_DESCRIPTION).unwrap(), b"a dog\0");
                let (_, next) = block
                    .directory_at(block.u32_at(4).unwrap() as usize)
                    .unwrap();
                assert_eq!(block.u32_of(next), 4_000);
                assert_eq!(once[8..before.len()], before[8..], "nothing moves");
                let twice = edit(Some(&once), &change).unwrap().unwrap();
                assert_eq!(twice, once);
                let short = [(tag::IMAGE_DESCRIPTION, Some(b"cat\0".to_vec()))];
                let other = edit(Some(&once), &short).unwrap().unwrap();
                assert!(other.len() < once.len(), "it does not grow");
                let former = [(tag::IMAGE_DESCRIPTION, description.map(<[u8]>::to_vec))];
                assert_eq!(edit(Some(&other), &former).unwrap().unwrap(), before);
            }
        }
        let change = [(tag::IMAGE_DESCRIPTION, Some(b"a dog\0".to_vec()))];
        let made = edit(None, &change).unwrap().unwrap();
        let gone = [(tag::IMAGE_DESCRIPTION, None)];
        assert_eq!(edit(Some(&made), &gone).unwrap(), None);
    }

    #[test]
    fn what_others_changed_behind_decap_stays() {
        let before = tiff(false, None);
        let change = [(tag::IMAGE_DESCRIPTION, Some(b"a dog\0".to_vec()))];
        let mut once = edit(Some(&before), &change).unwrap().unwrap();
        // The width, in decap's directory.
        let place = before.len().next_multiple_of(2) + 2 + 8;
        assert_eq!(once[place], 3);
        once[place] = 4;
        let gone = [(tag::IMAGE_DESCRIPTION, None)];
        let back = edit(Some(&once), &gone).unwrap().unwrap();
        let block = TiffBlock::read(&back).unwrap();
        assert_eq!(block.value(256).unwrap(), [4, 0]);
        assert_eq!(block.value(tag::IMAGE_DESCRIPTION), None);
    }

    #[test]
    fn broken_structures_are_errors() {
        for bytes in [
            &b""[..],
            b"II*\0",
            b"II*\0\xff\xff\xff\xff",
            b"II*\0\x08\0\0\0\xff\xff",
        ] {
            assert!(matches!(
                edit(Some(bytes), &[]),
                Err(InputFault::Damaged(_))
            ));
        }
        let big = edit(Some(b"MM\0+\0\x08\0\0"), &[]);
        assert!(matches!(big, Err(InputFault::Unsupported(_))));
    }
}
