//! Metadata in the segments of a JPEG. Everything from the first scan on is copied.

use std::borrow::Cow;
use std::ops::Range;

use decap::InputFault;

use super::blocks::{Blocks, Change, Changes, LARGEST_BLOCK, damaged};
use super::photoshop;

const APP0: u8 = 0xE0;
const APP1: u8 = 0xE1;
const APP2: u8 = 0xE2;
const APP13: u8 = 0xED;
const START_OF_SCAN: u8 = 0xDA;
const END_OF_IMAGE: u8 = 0xD9;

const XMP_NAME: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const EXTENSION_NAME: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";
const EXIF_NAME: &[u8] = b"Exif\0\0";
const PHOTOSHOP_NAME: &[u8] = b"Photoshop 3.0\0";
const MULTI_PICTURE_NAME: &[u8] = b"MPF\0";

/// The most that a segment holds behind its length.
const LARGEST_SEGMENT: usize = 65_533;

/// A segment of the head of a JPEG.
struct Segment {
    /// From the bytes that fill up the space before its marker to its end.
    whole: Range<usize>,
    marker: u8,
    payload: Range<usize>,
}

/// The head of a JPEG, and where its first scan begins.
struct Head<'a> {
    bytes: &'a [u8],
    segments: Vec<Segment>,
    end: usize,
}

impl<'a> Head<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, InputFault> {
        let cut_short = || damaged("expected the segments of a JPEG, got the end of the file");
        let mut segments = Vec::new();
        let mut at = 2;
        loop {
            let start = at;
            let rest = bytes.get(at..).ok_or_else(cut_short)?;
            let fill = rest.iter().take_while(|&&byte| byte == 0xFF).count();
            let marker = *rest.get(fill).ok_or_else(cut_short)?;
            if fill == 0 {
                return Err(damaged("expected a marker of a JPEG between its segments"));
            }
            at += fill + 1;
            match marker {
                START_OF_SCAN | END_OF_IMAGE => {
                    return Ok(Self {
                        bytes,
                        segments,
                        end: start,
                    });
                }
                // No length follows these.
                0x01 | 0xD0..=0xD7 => continue,
                0x00 | 0xD8 => return Err(damaged("expected a marker of a JPEG's head")),
                _ => {}
            }
            let length = bytes.get(at..at + 2).ok_or_else(cut_short)?;
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            let end = at + length;
            if length < 2 || end > bytes.len() {
                return Err(cut_short());
            }
            segments.push(Segment {
                whole: start..end,
                marker,
                payload: at + 2..end,
            });
            at = end;
        }
    }

    /// The segments of this marker and name, with what follows the name.
    fn named(
        &self,
        marker: u8,
        name: &'static [u8],
    ) -> impl Iterator<Item = (usize, &'a [u8])> + use<'a, '_> {
        let segments = self.segments.iter().enumerate();
        segments.filter_map(move |(index, segment)| {
            let payload = self.bytes[segment.payload.clone()].strip_prefix(name)?;
            (segment.marker == marker).then_some((index, payload))
        })
    }

    /// Photoshop's resources, which may go on from one segment to the next.
    fn photoshop(&self) -> Option<Vec<u8>> {
        let parts: Vec<&[u8]> = self
            .named(APP13, PHOTOSHOP_NAME)
            .map(|(_, part)| part)
            .collect();
        (!parts.is_empty()).then(|| parts.concat())
    }

    /// Where a new segment goes that belongs behind EXIF, and before the offsets of further pictures.
    fn behind_exif(&self) -> usize {
        let is_first = |segment: &&Segment| {
            segment.marker == APP0
                || segment.marker == APP1
                    && self.bytes[segment.payload.clone()].starts_with(EXIF_NAME)
        };
        self.segments.iter().take_while(is_first).count()
    }
}

pub(super) fn blocks(bytes: &[u8]) -> Result<Blocks<'_>, InputFault> {
    let head = Head::read(bytes)?;
    let mut packets = head.named(APP1, XMP_NAME).map(|(_, packet)| packet);
    let xmp = packets.next();
    let mut other_xmp: Vec<Vec<u8>> = packets.map(<[u8]>::to_vec).collect();
    other_xmp.extend(extension(&head)?);
    let mut exif = head.named(APP1, EXIF_NAME).map(|(_, block)| block);
    let photoshop = head.photoshop();
    let iptc = photoshop.as_deref().and_then(photoshop::iptc);
    Ok(Blocks {
        xmp: xmp.map(Cow::Borrowed),
        other_xmp,
        exif: exif.next(),
        is_exif_closed: exif.next().is_some(),
        iptc: iptc.map(|iptc| Cow::Owned(iptc.to_vec())),
        has_place_for_iptc: photoshop
            .as_deref()
            .is_none_or(|resources| photoshop::resources(resources).is_some()),
        has_other_description: false,
    })
}

/// The packet that the segments of extended XMP make up.
fn extension(head: &Head<'_>) -> Result<Option<Vec<u8>>, InputFault> {
    const DIGEST_BYTES: usize = 32;
    let mut packet: Vec<u8> = Vec::new();
    for (_, part) in head.named(APP1, EXTENSION_NAME) {
        let Some((header, content)) = part.split_at_checked(DIGEST_BYTES + 8) else {
            return Err(damaged("expected extended XMP of a JPEG, got less"));
        };
        let at = &header[DIGEST_BYTES + 4..];
        let at = u32::from_be_bytes([at[0], at[1], at[2], at[3]]) as usize;
        let end = at
            .checked_add(content.len())
            .filter(|&end| end <= LARGEST_BLOCK);
        let end = end.ok_or_else(|| damaged("expected extended XMP of at most 16 MiB"))?;
        if packet.len() < end {
            packet.resize(end, b' ');
        }
        packet[at..end].copy_from_slice(content);
    }
    Ok(Some(packet).filter(|packet| !packet.is_empty()))
}

pub(super) fn with(bytes: &[u8], changes: &Changes) -> Result<Vec<u8>, InputFault> {
    let head = Head::read(bytes)?;
    let mut pieces: Vec<Cow<'_, [u8]>> = Vec::new();
    for segment in &head.segments {
        pieces.push(Cow::Borrowed(&bytes[segment.whole.clone()]));
    }
    // Behind these, so that the numbers of the segments hold until all are replaced.
    let mut added: Vec<(usize, Vec<u8>)> = Vec::new();
    let exif = head.named(APP1, EXIF_NAME).next().map(|(index, _)| index);
    let first = head.segments.iter().take_while(|it| it.marker == APP0);
    replace(
        &mut pieces,
        &mut added,
        exif,
        first.count(),
        wrapped(APP1, EXIF_NAME, &changes.exif)?,
    );
    let xmp = head.named(APP1, XMP_NAME).next().map(|(index, _)| index);
    replace(
        &mut pieces,
        &mut added,
        xmp,
        head.behind_exif(),
        wrapped(APP1, XMP_NAME, &changes.xmp)?,
    );
    if changes.iptc != Change::Keep {
        let resources = photoshop::with_iptc(head.photoshop().as_deref(), &changes.iptc)?;
        let places: Vec<usize> = head
            .named(APP13, PHOTOSHOP_NAME)
            .map(|(index, _)| index)
            .collect();
        for &index in &places {
            pieces[index] = Cow::Borrowed(&[]);
        }
        let mut segments = Vec::new();
        for part in resources.chunks(LARGEST_SEGMENT - PHOTOSHOP_NAME.len()) {
            segments.extend(segment(APP13, PHOTOSHOP_NAME, part)?);
        }
        match places.first() {
            Some(&index) => pieces[index] = Cow::Owned(segments),
            None => added.push((head.behind_exif(), segments)),
        }
    }
    // Of several for one place the last to come is the first to stay there: EXIF, XMP, IPTC.
    for (index, segment) in added.into_iter().rev() {
        pieces.insert(index, Cow::Owned(segment));
    }
    let before = head.end - 2;
    let after: usize = pieces.iter().map(|piece| piece.len()).sum();
    move_pictures(&mut pieces, &head, before, after);
    let mut out = Vec::with_capacity(bytes.len() - before + after);
    out.extend_from_slice(&bytes[..2]);
    for piece in &pieces {
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(&bytes[head.end..]);
    Ok(out)
}

/// Puts a segment in the place of the one numbered `index`, or else notes it for `place`.
fn replace(
    pieces: &mut [Cow<'_, [u8]>],
    added: &mut Vec<(usize, Vec<u8>)>,
    index: Option<usize>,
    place: usize,
    wanted: Option<Vec<u8>>,
) {
    match (wanted, index) {
        (None, _) => {}
        (Some(segment), Some(index)) => pieces[index] = Cow::Owned(segment),
        (Some(segment), None) => added.push((place, segment)),
    }
}

/// A changed block as a segment, of no bytes where it is removed; nothing where it is kept.
fn wrapped(marker: u8, name: &[u8], change: &Change) -> Result<Option<Vec<u8>>, InputFault> {
    match change {
        Change::Keep => Ok(None),
        Change::Remove => Ok(Some(Vec::new())),
        Change::Set(block) => segment(marker, name, block).map(Some),
    }
}

fn segment(marker: u8, name: &[u8], content: &[u8]) -> Result<Vec<u8>, InputFault> {
    let length = name.len() + content.len();
    if length > LARGEST_SEGMENT {
        let what = match name {
            XMP_NAME => "XMP",
            _ => "EXIF",
        };
        return Err(InputFault::Unsupported(format!(
            "expected {what} with the caption of at most {LARGEST_SEGMENT} bytes, which a JPEG has \
             room for, got {length}"
        )));
    }
    let length = (length as u16 + 2).to_be_bytes();
    Ok([&[0xFF, marker], &length[..], name, content].concat())
}

/// Tells the list of further pictures in the file (MPF) how far they have moved: their places count from
/// the list itself, and the first picture's length contains the head.
fn move_pictures(pieces: &mut [Cow<'_, [u8]>], head: &Head<'_>, before: usize, after: usize) {
    if before == after {
        return;
    }
    let is_list = |piece: &Cow<'_, [u8]>| {
        piece.first_chunk() == Some(&[0xFF, APP2])
            && piece
                .get(4..)
                .is_some_and(|rest| rest.starts_with(MULTI_PICTURE_NAME))
    };
    let Some(index) = pieces.iter().position(is_list) else {
        return;
    };
    let Some((number, _)) = head.named(APP2, MULTI_PICTURE_NAME).next() else {
        return;
    };
    let list_before = head.end - head.segments[number].whole.start;
    let list_after: usize = pieces[index..].iter().map(|piece| piece.len()).sum();
    let by = |before: usize, after: usize| (after as u32).wrapping_sub(before as u32);
    let moved = moved_list(
        &pieces[index],
        by(before, after),
        by(list_before, list_after),
    );
    if let Some(moved) = moved {
        pieces[index] = Cow::Owned(moved);
    }
}

/// The segment `list`, with the first picture longer by `longer` and the others farther away by `farther`,
/// both modulo 2^32; nothing where it is broken.
fn moved_list(list: &[u8], longer: u32, farther: u32) -> Option<Vec<u8>> {
    const ENTRIES: u16 = 0xB002;
    const ENTRY_BYTES: usize = 16;
    let base = 4 + MULTI_PICTURE_NAME.len();
    let is_big_endian = list.get(base..base + 2)? == b"MM";
    let number = |at: usize| {
        let bytes: [u8; 4] = *list.get(at..)?.first_chunk()?;
        Some(match is_big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        })
    };
    let short = |at: usize| {
        let bytes: [u8; 2] = *list.get(at..)?.first_chunk()?;
        Some(match is_big_endian {
            true => u16::from_be_bytes(bytes),
            false => u16::from_le_bytes(bytes),
        })
    };
    let directory = base.checked_add(number(base + 4)? as usize)?;
    let count = usize::from(short(directory)?);
    let entry = (0..count).map(|index| directory + 2 + 12 * index);
    let mut entry = entry.filter(|&at| short(at) == Some(ENTRIES));
    let entry = entry.next()?;
    let pictures = number(entry + 4)? as usize / ENTRY_BYTES;
    let first = base.checked_add(number(entry + 8)? as usize)?;
    let mut moved = list.to_vec();
    let mut set = |at: usize, value: u32| {
        let bytes = match is_big_endian {
            true => value.to_be_bytes(),
            false => value.to_le_bytes(),
        };
        moved.get_mut(at..at + 4)?.copy_from_slice(&bytes);
        Some(())
    };
    for picture in 0..pictures {
        let at = first.checked_add(picture * ENTRY_BYTES)?;
        let (size, place) = (number(at + 4)?, number(at + 8)?);
        match place {
            0 => set(at + 4, size.wrapping_add(longer))?,
            place => set(at + 8, place.wrapping_add(farther))?,
        }
    }
    Some(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_pictures_are_found_where_they_have_moved() {
        let mut list = vec![0xFF, APP2, 0, 0];
        list.extend(b"MPF\0II*\0\x08\0\0\0\x01\0");
        list.extend([0x02, 0xB0, 7, 0, 32, 0, 0, 0, 26, 0, 0, 0]);
        list.extend([0; 4]);
        list.extend([0, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        list.extend([0, 0, 0, 0, 50, 0, 0, 0, 90, 0, 0, 0, 0, 0, 0, 0]);
        let moved = moved_list(&list, 7, 2_u32.wrapping_neg()).unwrap();
        let base = 8 + 26;
        assert_eq!(moved[base + 4..base + 8], [107, 0, 0, 0]);
        assert_eq!(
            moved[base + 16 + 4..base + 16 + 12],
            [50, 0, 0, 0, 88, 0, 0, 0]
        );
        assert_eq!(moved_list(&list[..60], 7, 7), None);
    }

    #[test]
    fn a_broken_head_is_an_error() {
        for bytes in [
            &b"\xff\xd8\xff"[..],
            b"\xff\xd8\xff\xe1\0",
            b"\xff\xd8\xff\xe1\0\x01\0",
            b"\xff\xd8\xff\xe1\x10\0\0",
            b"\xff\xd8\0\0",
            b"\xff\xd8\xff\xfe\0\x02",
        ] {
            assert!(matches!(blocks(bytes), Err(InputFault::Damaged(_))));
        }
    }
}
