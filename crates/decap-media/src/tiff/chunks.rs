//! The strips and tiles of a TIFF, decompressed.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;
use weezl::BitOrder;
use weezl::decode::Configuration;

use super::compression::Compression;
use super::fax;
use super::layout::{Layout, Samples};
use crate::directory::{ByteOrder, Directory, tag};
use crate::error::{InputFault, unread_tiff};
use crate::jpeg;

/// Where the strips or tiles lie, and what undoes their packing.
pub(super) struct Chunks<'a> {
    bytes: &'a [u8],
    order: ByteOrder,
    offsets: Vec<u64>,
    /// Empty where the file does not say.
    byte_counts: Vec<u64>,
    jpeg_tables: &'a [u8],
    is_bit_reversed: bool,
    predictor: u64,
}

impl<'a> Chunks<'a> {
    pub(super) fn of(bytes: &'a [u8], directory: &Directory<'a>) -> Result<Self, InputFault> {
        let (offsets, byte_counts) = match directory.has(tag::TILE_OFFSETS) {
            true => (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS),
            false => (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS),
        };
        let predictor = directory.integer(tag::PREDICTOR).unwrap_or(1);
        if !(1..=3).contains(&predictor) {
            return Err(unread_tiff(&format!("predictor {predictor}")));
        }
        Ok(Self {
            bytes,
            order: directory.order,
            offsets: directory.integers(offsets).unwrap_or_default(),
            byte_counts: directory.integers(byte_counts).unwrap_or_default(),
            jpeg_tables: directory.raw(tag::JPEG_TABLES).unwrap_or_default(),
            is_bit_reversed: directory.integer(tag::FILL_ORDER) == Some(2),
            predictor,
        })
    }

    /// Strip or tile `index`, unpacked: at least `rows` rows of `layout.row_bytes()` bytes.
    pub(super) fn unpacked(
        &self,
        index: usize,
        layout: &Layout,
        rows: usize,
    ) -> Result<Vec<u8>, InputFault> {
        let expected = layout.packed_bytes(rows);
        let mut packed = Cow::Borrowed(self.packed(index, expected)?);
        if self.is_bit_reversed && layout.compression != Compression::Jpeg {
            let bytes = packed.to_mut().iter_mut();
            bytes.for_each(|byte| *byte = byte.reverse_bits());
        }
        let mut unpacked = match layout.compression {
            Compression::None => packed[..packed.len().min(expected)].to_vec(),
            Compression::Fax(coding) => fax::decode(&packed, coding, layout.chunk_width, rows)?,
            Compression::Lzw => unpack_lzw(&packed, expected)?,
            Compression::Deflate => unpack_deflate(&packed, expected)?,
            Compression::PackBits => unpack_bits(&packed, expected),
            Compression::Jpeg => self.unpack_jpeg(&packed, layout, rows)?,
        };
        if unpacked.len() < expected {
            return Err(InputFault::Damaged(
                "cut short: the end of the photo is missing".into(),
            ));
        }
        unpacked.truncate(expected);
        if matches!(layout.compression, Compression::Lzw | Compression::Deflate) {
            self.undo_prediction(&mut unpacked, layout)?;
        }
        Ok(unpacked)
    }

    /// The bytes of strip or tile `index` in the file.
    ///
    /// A count that is absent, or reaches beyond the end of the file, is no reason to refuse it: the
    /// bytes that are there may be enough. A count far above what the chunk unpacks to is cut down,
    /// or else every strip of a small file could be the whole file.
    fn packed(&self, index: usize, expected: usize) -> Result<&'a [u8], InputFault> {
        let missing = || InputFault::Damaged("cut short: a part of the photo is missing".into());
        let offset = self.offsets.get(index).ok_or_else(missing)?;
        let start = usize::try_from(*offset).map_err(|_| missing())?;
        let rest = self.bytes.get(start..).ok_or_else(missing)?;
        let most = expected.saturating_mul(4).saturating_add(1 << 16);
        let count = match self.byte_counts.get(index) {
            Some(0) | None => most,
            Some(count) => usize::try_from(*count).unwrap_or(most).min(most),
        };
        Ok(&rest[..count.min(rest.len())])
    }

    /// The chunk is a JPEG without the tables that it shares with the others.
    fn unpack_jpeg(
        &self,
        packed: &[u8],
        layout: &Layout,
        rows: usize,
    ) -> Result<Vec<u8>, InputFault> {
        let body = packed.strip_prefix(b"\xFF\xD8").ok_or_else(|| {
            InputFault::Damaged("expected a strip of JPEG, got something else".into())
        })?;
        let tables = self.jpeg_tables;
        let tables = tables.strip_prefix(b"\xFF\xD8").unwrap_or(tables);
        let tables = tables.strip_suffix(b"\xFF\xD9").unwrap_or(tables);
        let whole = [b"\xFF\xD8", tables, body].concat();
        jpeg::decode_components(
            &whole,
            layout.chunk_width,
            rows..=layout.chunk_height,
            layout.chunk_samples,
            layout.decoder_bytes,
        )
    }

    /// Samples were stored as differences from their left neighbour; with floats, byte by byte.
    fn undo_prediction(&self, unpacked: &mut [u8], layout: &Layout) -> Result<(), InputFault> {
        if self.predictor == 1 {
            return Ok(());
        }
        let (bytes, remainder) = (layout.bits / 8, layout.bits % 8);
        let is_float = layout.samples == Samples::Float;
        if remainder != 0
            || !matches!(bytes, 1 | 2 | 3 | 4 | 8)
            || (self.predictor == 3 && !is_float)
        {
            return Err(unread_tiff(&format!(
                "predictor {} with samples of {} bits",
                self.predictor, layout.bits
            )));
        }
        let stride = layout.chunk_samples;
        for row in unpacked.chunks_exact_mut(layout.row_bytes()) {
            if self.predictor == 3 {
                for at in stride..row.len() {
                    row[at] = row[at].wrapping_add(row[at - stride]);
                }
                let planes = row.to_vec();
                let samples = row.len() / bytes;
                for (at, byte) in row.iter_mut().enumerate() {
                    let plane = match self.order {
                        ByteOrder::Big => at % bytes,
                        ByteOrder::Little => bytes - 1 - at % bytes,
                    };
                    *byte = planes[plane * samples + at / bytes];
                }
                continue;
            }
            for at in stride..row.len() / bytes {
                let left = self.order.number(&row[(at - stride) * bytes..][..bytes]);
                let here = &mut row[at * bytes..][..bytes];
                let sum = self.order.number(here).wrapping_add(left);
                match self.order {
                    ByteOrder::Little => here.copy_from_slice(&sum.to_le_bytes()[..bytes]),
                    ByteOrder::Big => here.copy_from_slice(&sum.to_be_bytes()[8 - bytes..]),
                }
            }
        }
        Ok(())
    }
}

fn unpack_lzw(packed: &[u8], expected: usize) -> Result<Vec<u8>, InputFault> {
    // Files from before TIFF 6.0 have the bits of their codes the other way round.
    if packed.len() > 1 && packed[0] == 0 && packed[1] & 1 == 1 {
        return Err(unread_tiff("old-style LZW compression"));
    }
    let mut unpacked = vec![0; expected];
    let mut decoder = Configuration::with_tiff_size_switch(BitOrder::Msb, 8).build();
    let (mut read, mut written) = (0, 0);
    while written < expected {
        let result = decoder.decode_bytes(&packed[read..], &mut unpacked[written..]);
        read += result.consumed_in;
        written += result.consumed_out;
        match result.status {
            Ok(_) if result.consumed_in + result.consumed_out > 0 => {}
            Ok(_) => break,
            Err(error) => return Err(InputFault::Damaged(error.to_string())),
        }
    }
    unpacked.truncate(written);
    Ok(unpacked)
}

fn unpack_deflate(packed: &[u8], expected: usize) -> Result<Vec<u8>, InputFault> {
    let mut unpacked = Vec::new();
    let outcome = ZlibDecoder::new(packed)
        .take(expected as u64)
        .read_to_end(&mut unpacked);
    match outcome {
        Err(error) if unpacked.len() < expected => Err(InputFault::Damaged(error.to_string())),
        _ => Ok(unpacked),
    }
}

/// Runs of literal bytes and of one byte repeated.
fn unpack_bits(packed: &[u8], expected: usize) -> Vec<u8> {
    let mut unpacked = Vec::new();
    let mut rest = packed;
    while let Some((&head, after)) = rest.split_first() {
        if unpacked.len() >= expected {
            break;
        }
        rest = after;
        match head as i8 {
            -128 => {}
            literal @ 0.. => {
                let count = (literal as usize + 1).min(rest.len());
                unpacked.extend_from_slice(&rest[..count]);
                rest = &rest[count..];
            }
            repeated => {
                let Some((&byte, after)) = rest.split_first() else {
                    break;
                };
                let count = 1 + usize::from(repeated.unsigned_abs());
                unpacked.resize(unpacked.len() + count, byte);
                rest = after;
            }
        }
    }
    unpacked
}
