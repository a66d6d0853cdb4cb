//! Metadata in the chunks of a PNG. All other chunks are copied, animations with them.

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;

use decap::InputFault;
use flate2::read::ZlibDecoder;

use super::blocks::{Blocks, Change, Changes, LARGEST_BLOCK, damaged};

const SIGNATURE_BYTES: usize = 8;
const XMP_KEYWORD: &[u8] = b"XML:com.adobe.xmp";
/// Where ImageMagick puts packets.
const RAW_XMP_KEYWORD: &[u8] = b"Raw profile type xmp";
/// The PNG specification's keyword of a caption.
const DESCRIPTION_KEYWORD: &[u8] = b"Description";

struct Chunk<'a> {
    kind: [u8; 4],
    whole: Range<usize>,
    data: &'a [u8],
}

/// The chunks, the last of which is the end's.
fn chunks(bytes: &[u8]) -> Result<Vec<Chunk<'_>>, InputFault> {
    let cut_short = || damaged("expected the chunks of a PNG, got the end of the file");
    let mut chunks: Vec<Chunk<'_>> = Vec::new();
    let mut at = SIGNATURE_BYTES;
    while chunks.last().is_none_or(|last| &last.kind != b"IEND") {
        let header: &[u8; 8] = bytes
            .get(at..)
            .and_then(<[u8]>::first_chunk)
            .ok_or_else(cut_short)?;
        let [a, b, c, d, kind @ ..] = *header;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let data_at = at + 8;
        let data_end = data_at.checked_add(length).ok_or_else(cut_short)?;
        let data = bytes.get(data_at..data_end).ok_or_else(cut_short)?;
        let end = data_end
            .checked_add(4)
            .filter(|&end| end <= bytes.len())
            .ok_or_else(cut_short)?;
        chunks.push(Chunk {
            kind,
            whole: at..end,
            data,
        });
        at = end;
    }
    Ok(chunks)
}

/// The keyword of a text chunk, and its text.
fn text<'a>(chunk: &Chunk<'a>) -> Option<(&'a [u8], Cow<'a, [u8]>)> {
    if !matches!(&chunk.kind, b"tEXt" | b"zTXt" | b"iTXt") {
        return None;
    }
    let (keyword, rest) = split_at_zero(chunk.data)?;
    let is_wanted = [XMP_KEYWORD, RAW_XMP_KEYWORD, DESCRIPTION_KEYWORD].contains(&keyword);
    if !is_wanted {
        return None;
    }
    let (is_compressed, content) = match &chunk.kind {
        b"tEXt" => (false, rest),
        b"zTXt" => (true, rest.get(1..)?),
        _ => {
            let (_language, content) = split_at_zero(rest.get(2..)?)?;
            let (_translated, content) = split_at_zero(content)?;
            (rest[0] == 1, content)
        }
    };
    let content = match is_compressed {
        false => Cow::Borrowed(content),
        true => Cow::Owned(inflated(content)?),
    };
    Some((keyword, content))
}

fn split_at_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let zero = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..zero], &bytes[zero + 1..]))
}

/// Nothing where it is broken, or more than a block may have.
fn inflated(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let most = LARGEST_BLOCK as u64 + 1;
    ZlibDecoder::new(bytes)
        .take(most)
        .read_to_end(&mut content)
        .ok()?;
    (content.len() <= LARGEST_BLOCK).then_some(content)
}

/// Where XMP stands: the number of its chunk.
fn place_of_xmp(chunks: &[Chunk<'_>]) -> Option<usize> {
    let is_xmp = |chunk: &Chunk<'_>| {
        &chunk.kind == b"iTXt"
            && split_at_zero(chunk.data).is_some_and(|(keyword, _)| keyword == XMP_KEYWORD)
    };
    chunks.iter().position(is_xmp)
}

pub(super) fn blocks(bytes: &[u8]) -> Result<Blocks<'_>, InputFault> {
    let chunks = chunks(bytes)?;
    let mut blocks = Blocks::default();
    let place = place_of_xmp(&chunks);
    if let Some(place) = place {
        let (_, packet) = text(&chunks[place])
            .ok_or_else(|| damaged("expected XMP in the PNG's text, got broken compression"))?;
        blocks.xmp = Some(packet);
    }
    for (index, chunk) in chunks.iter().enumerate() {
        match text(chunk) {
            Some(_) if place == Some(index) => {}
            Some((DESCRIPTION_KEYWORD, words)) => {
                blocks.has_other_description |= !crate::whose::is_blank(&words);
            }
            Some((RAW_XMP_KEYWORD, profile)) => blocks.other_xmp.extend(raw_profile(&profile)),
            Some((_, packet)) => blocks.other_xmp.push(packet.into_owned()),
            None => {}
        }
    }
    let mut exif = chunks.iter().filter(|chunk| &chunk.kind == b"eXIf");
    blocks.exif = exif.next().map(|chunk| chunk.data);
    blocks.is_exif_closed = exif.next().is_some();
    Ok(blocks)
}

/// The bytes of a profile that ImageMagick wrote: a name, a length, and hexadecimal digits.
fn raw_profile(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split_ascii_whitespace();
    let (_name, _length) = (words.next()?, words.next()?);
    let digits: Vec<u8> = words.flat_map(str::bytes).collect();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes = digits.chunks_exact(2).map(|pair| {
        let byte = digit(pair[0])? * 16 + digit(pair[1])?;
        u8::try_from(byte).ok()
    });
    bytes.collect()
}

pub(super) fn with(bytes: &[u8], changes: &Changes) -> Result<Vec<u8>, InputFault> {
    let chunks = chunks(bytes)?;
    let xmp = match &changes.xmp {
        Change::Set(packet) => {
            // Uncompressed, in no language, as the XMP specification has it.
            let content = [XMP_KEYWORD, &[0, 0, 0, 0, 0], packet].concat();
            Change::Set(chunk(*b"iTXt", &content)?)
        }
        change => change.clone(),
    };
    let exif = match &changes.exif {
        Change::Set(block) => Change::Set(chunk(*b"eXIf", block)?),
        change => change.clone(),
    };
    let place_of_exif = chunks.iter().position(|chunk| &chunk.kind == b"eXIf");
    let edits = [(place_of_exif, exif), (place_of_xmp(&chunks), xmp)];
    // Readers that stop at the pixels see it, and no animation's frame is parted from its pixels.
    let header = chunks.iter().position(|chunk| &chunk.kind == b"IHDR");
    let header = header.ok_or_else(|| damaged("expected the header of a PNG"))?;
    let mut out = bytes[..SIGNATURE_BYTES].to_vec();
    for (index, chunk) in chunks.iter().enumerate() {
        let edit = edits.iter().find(|(place, _)| *place == Some(index));
        match edit.map_or(&Change::Keep, |(_, change)| change) {
            Change::Keep => out.extend_from_slice(&bytes[chunk.whole.clone()]),
            Change::Set(chunk) => out.extend_from_slice(chunk),
            Change::Remove => {}
        }
        if index == header {
            for (place, change) in &edits {
                if let (None, Change::Set(chunk)) = (place, change) {
                    out.extend_from_slice(chunk);
                }
            }
        }
    }
    let end = chunks.last().map_or(SIGNATURE_BYTES, |last| last.whole.end);
    out.extend_from_slice(&bytes[end..]);
    Ok(out)
}

fn chunk(kind: [u8; 4], data: &[u8]) -> Result<Vec<u8>, InputFault> {
    let length = i32::try_from(data.len())
        .map_err(|_| damaged("expected less than 2 GiB of metadata in a PNG"))?;
    let mut sum = crc32fast::Hasher::new();
    sum.update(&kind);
    sum.update(data);
    let sum = sum.finalize().to_be_bytes();
    Ok([&length.to_be_bytes()[..], &kind, data, &sum].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(chunks: &[([u8; 4], &[u8])]) -> Vec<u8> {
        let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, data) in chunks {
            out.extend(chunk(*kind, data).unwrap());
        }
        out
    }

    #[test]
    fn the_chunks_keep_their_order_and_the_file_its_end() {
        let mut before = png(&[
            (*b"IHDR", b"header"),
            (*b"acTL", b"animation"),
            (*b"fcTL", b"frame"),
            (*b"IDAT", b"pixels"),
            (*b"IEND", b""),
        ]);
        before.extend(b"more");
        let changes = Changes {
            xmp: Change::Set(b"<packet/>".to_vec()),
            exif: Change::Set(b"II*\0".to_vec()),
            ..Changes::default()
        };
        let after = with(&before, &changes).unwrap();
        let kinds: Vec<[u8; 4]> = chunks(&after).unwrap().iter().map(|it| it.kind).collect();
        let expected = [
            b"IHDR", b"eXIf", b"iTXt", b"acTL", b"fcTL", b"IDAT", b"IEND",
        ];
        assert_eq!(kinds, expected.map(|kind| *kind));
        assert!(after.ends_with(b"more"));
        assert_eq!(blocks(&after).unwrap().xmp.unwrap(), &b"<packet/>"[..]);
        let changes = Changes {
            xmp: Change::Remove,
            exif: Change::Remove,
            ..Changes::default()
        };
        assert_eq!(with(&after, &changes).unwrap(), before);
        for end in 0..before.len() - 4 {
            let cut = blocks(&before[..end]);
            assert!(matches!(cut, Err(InputFault::Damaged(_))), "{end}");
        }
    }

    #[test]
    fn a_bomb_of_text_is_an_error() {
        let zeros = vec![0; LARGEST_BLOCK + 1];
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &zeros).unwrap();
        let content = [XMP_KEYWORD, b"\0\x01\0\0\0", &encoder.finish().unwrap()].concat();
        let bomb = png(&[(*b"IHDR", b""), (*b"iTXt", &content), (*b"IEND", b"")]);
        assert!(matches!(blocks(&bomb), Err(InputFault::Damaged(_))));
    }

    #[test]
    fn imagemagicks_profiles_are_read() {
        let profile = raw_profile(b"\nxmp\n       4\n3c612f\n3e\n");
        assert_eq!(profile.as_deref(), Some(&b"<a/>"[..]));
        assert_eq!(raw_profile(b"xmp 4 zz"), None);
    }
}
