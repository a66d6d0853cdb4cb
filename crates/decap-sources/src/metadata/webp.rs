//! Metadata in the chunks of a WebP. All other chunks are copied, animations with them.

use std::borrow::Cow;
use std::ops::Range;

use decap::InputFault;

use super::blocks::{Blocks, Change, Changes, ExtendedHeader, damaged};

/// `RIFF`, a length, `WEBP`.
const HEADER_BYTES: usize = 12;
const CHUNK_HEADER_BYTES: usize = 8;

/// Flags of the extended header.
const HAS_ALPHA: u8 = 0x10;
const HAS_EXIF: u8 = 0x08;
const HAS_XMP: u8 = 0x04;

struct Chunk<'a> {
    kind: [u8; 4],
    whole: Range<usize>,
    data: &'a [u8],
}

/// The chunks, and where the last ends.
fn chunks(bytes: &[u8]) -> Result<(Vec<Chunk<'_>>, usize), InputFault> {
    let cut_short = || damaged("expected the chunks of a WebP, got the end of the file");
    let length = bytes.get(4..8).and_then(<[u8]>::first_chunk);
    let length = u32::from_le_bytes(*length.ok_or_else(cut_short)?) as usize;
    let end = length.checked_add(8).filter(|&end| end <= bytes.len());
    let end = end.ok_or_else(cut_short)?;
    let mut chunks = Vec::new();
    let mut at = HEADER_BYTES;
    // A lone byte at the end fills up.
    while at + 1 < end {
        let header: &[u8; CHUNK_HEADER_BYTES] = bytes[..end]
            .get(at..)
            .and_then(<[u8]>::first_chunk)
            .ok_or_else(cut_short)?;
        let [kind @ .., a, b, c, d] = *header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let data_at = at + CHUNK_HEADER_BYTES;
        let data_end = data_at.checked_add(length).ok_or_else(cut_short)?;
        let data = bytes[..end].get(data_at..data_end).ok_or_else(cut_short)?;
        // The last one may lack its filling.
        let whole_end = data_end.next_multiple_of(2).min(end);
        chunks.push(Chunk {
            kind,
            whole: at..whole_end,
            data,
        });
        at = whole_end;
    }
    Ok((chunks, end))
}

pub(super) fn blocks(bytes: &[u8]) -> Result<Blocks<'_>, InputFault> {
    let (chunks, _) = chunks(bytes)?;
    let mut packets = chunks.iter().filter(|chunk| &chunk.kind == b"XMP ");
    let xmp = packets.next().map(|chunk| Cow::Borrowed(chunk.data));
    let other_xmp = packets.map(|chunk| chunk.data.to_vec()).collect();
    let mut exif = chunks.iter().filter(|chunk| &chunk.kind == b"EXIF");
    let first = exif.next().map(|chunk| chunk.data);
    // Some writers put JPEG's name before it, which is left alone.
    let is_named = first.is_some_and(|block| block.starts_with(b"Exif\0\0"));
    Ok(Blocks {
        xmp,
        other_xmp,
        exif: first.map(|block| block.strip_prefix(b"Exif\0\0").unwrap_or(block)),
        is_exif_closed: exif.next().is_some() || is_named,
        ..Blocks::default()
    })
}

pub(super) fn with(bytes: &[u8], changes: &Changes) -> Result<Vec<u8>, InputFault> {
    let (chunks, end) = chunks(bytes)?;
    let find = |kind: &[u8; 4]| chunks.iter().position(|chunk| &chunk.kind == kind);
    let edits = [
        (*b"EXIF", find(b"EXIF"), HAS_EXIF, &changes.exif),
        (*b"XMP ", find(b"XMP "), HAS_XMP, &changes.xmp),
    ];
    let header = match find(b"VP8X") {
        Some(index) => chunks[index].data.to_vec(),
        None => made_header(&chunks)?,
    };
    let mut flags = *header
        .first()
        .ok_or_else(|| damaged("expected the header of a WebP"))?;
    for (_, _, flag, change) in &edits {
        match change {
            Change::Keep => {}
            Change::Set(_) => flags |= flag,
            Change::Remove => flags &= !flag,
        }
    }
    let is_plain = flags & !HAS_ALPHA == 0;
    let mut out = bytes[..HEADER_BYTES].to_vec();
    if !(is_plain && (changes.extended_header == ExtendedHeader::Ours || find(b"VP8X").is_none())) {
        let header = [&[flags], &header[1..]].concat();
        put(&mut out, *b"VP8X", &header)?;
    }
    for (index, chunk) in chunks.iter().enumerate() {
        let edit = edits.iter().find(|(_, place, ..)| *place == Some(index));
        match edit.map_or(&Change::Keep, |(.., change)| change) {
            // It stands at the beginning.
            _ if &chunk.kind == b"VP8X" => {}
            Change::Keep => out.extend_from_slice(&bytes[chunk.whole.clone()]),
            Change::Set(block) => put(&mut out, chunk.kind, block)?,
            Change::Remove => {}
        }
    }
    for (kind, place, _, change) in &edits {
        if let (None, Change::Set(block)) = (place, change) {
            // What came before may lack its filling.
            out.resize(out.len().next_multiple_of(2), 0);
            put(&mut out, *kind, block)?;
        }
    }
    let length = u32::try_from(out.len() - 8).map_err(|_| too_large())?;
    out[4..8].copy_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&bytes[end..]);
    Ok(out)
}

/// The extended header of a file that has none: its size in pixels, and whether it has alpha.
fn made_header(chunks: &[Chunk<'_>]) -> Result<Vec<u8>, InputFault> {
    let unknown = || damaged("expected the pixels of a WebP in its first chunk");
    let first = chunks.first().ok_or_else(unknown)?;
    let (flags, width, height) = match (&first.kind, first.data) {
        // A frame's tag, a start code, then 14 bits of each with 2 bits of scale.
        (b"VP8 ", [_, _, _, 0x9D, 0x01, 0x2A, a, b, c, d, ..]) => {
            let edge = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
            (0, edge(*a, *b), edge(*c, *d))
        }
        // A signature, then 14 bits of each less one, and a bit for alpha.
        (b"VP8L", [0x2F, a, b, c, d, ..]) => {
            let bits = u32::from_le_bytes([*a, *b, *c, *d]);
            let flags = if bits >> 28 & 1 == 1 { HAS_ALPHA } else { 0 };
            (flags, (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        }
        _ => return Err(unknown()),
    };
    let (Some(width), Some(height)) = (width.checked_sub(1), height.checked_sub(1)) else {
        return Err(damaged("expected pixels in the WebP, got none"));
    };
    let (width, height) = (width.to_le_bytes(), height.to_le_bytes());
    Ok([&[flags, 0, 0, 0], &width[..3], &height[..3]].concat())
}

fn put(out: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) -> Result<(), InputFault> {
    let length = u32::try_from(data.len()).map_err(|_| too_large())?;
    out.extend(kind);
    out.extend(length.to_le_bytes());
    out.extend_from_slice(data);
    if data.len() % 2 == 1 {
        out.push(0);
    }
    Ok(())
}

fn too_large() -> InputFault {
    InputFault::TooLarge("expected a WebP of less than 4 GiB with its caption".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lossless, 3 x 2, with alpha.
    fn webp() -> Vec<u8> {
        let bits: u32 = 2 | 1 << 14 | 1 << 28;
        let data = [&[0x2F], &bits.to_le_bytes()[..]].concat();
        let mut out = b"RIFF\x12\0\0\0WEBP".to_vec();
        put(&mut out, *b"VP8L", &data).unwrap();
        out.extend(b"behind");
        out
    }

    #[test]
    fn a_plain_file_gets_the_header_and_loses_it() {
        let changes = Changes {
            xmp: Change::Set(b"<packet/>".to_vec()),
            ..Changes::default()
        };
        let after = with(&webp(), &changes).unwrap();
        let (found, end) = chunks(&after).unwrap();
        assert_eq!(
            found[0].data,
            [HAS_ALPHA | HAS_XMP, 0, 0, 0, 2, 0, 0, 1, 0, 0]
        );
        assert_eq!(&after[end..], b"behind");
        let mut changes = Changes {
            xmp: Change::Remove,
            ..Changes::default()
        };
        let stays = with(&after, &changes).unwrap();
        assert_eq!(chunks(&stays).unwrap().0[0].data[0], HAS_ALPHA);
        changes.extended_header = ExtendedHeader::Ours;
        assert_eq!(with(&after, &changes).unwrap(), webp());
        for end in 12..webp().len() - 6 {
            let whole = webp();
            let cut = blocks(&whole[..end]);
            assert!(matches!(cut, Err(InputFault::Damaged(_))), "{end}");
        }
    }
}
