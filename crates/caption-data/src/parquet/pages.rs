//! The pages of a column: headers, unpacking, and which bytes of a page are its values.

use std::io::Read;

use super::metadata::Column;
use super::runs::Runs;
use super::thrift::{Thrift, WireType};
use super::values::{self, Dictionary, DictionaryPage};
use super::{AddRow, damaged, unsupported};
use crate::error::Fault;
use crate::source::Budget;

/// The pages of one chunk, from front to back.
pub(super) struct Pages<'a> {
    rest: &'a [u8],
    codec: i64,
    column: &'a Column,
    budget: &'a Budget,
}

pub(super) enum Page<'a> {
    Dictionary(DictionaryPage),
    Data(DataPage<'a>),
}

/// Values, with levels that say which rows have none.
pub(super) struct DataPage<'a> {
    column: &'a Column,
    encoding: i64,
    num_values: usize,
    levels: Levels<'a>,
    /// The page, unpacked: levels where they are not apart, and values.
    bytes: Vec<u8>,
}

enum Levels<'a> {
    /// In front of the values, each with its length.
    InFront,
    /// Apart: the definition levels, and how many values there are.
    Apart { definition: &'a [u8], count: usize },
}

/// A page's header; sizes are as the file claims.
#[derive(Default)]
struct Header {
    page_type: Option<i64>,
    unpacked: Option<i64>,
    packed: Option<i64>,
    num_values: Option<i64>,
    num_nulls: Option<i64>,
    encoding: Option<i64>,
    definition_bytes: Option<i64>,
    repetition_bytes: Option<i64>,
    is_stored_bare: bool,
}

const DATA_PAGE: i64 = 0;
const DICTIONARY_PAGE: i64 = 2;
const DATA_PAGE_V2: i64 = 3;

impl<'a> Pages<'a> {
    pub(super) fn new(bytes: &'a [u8], codec: i64, column: &'a Column, budget: &'a Budget) -> Self {
        Self {
            rest: bytes,
            codec,
            column,
            budget,
        }
    }

    /// The next page; `None` for one that holds no values.
    fn page(&mut self) -> Result<Option<Page<'a>>, Fault> {
        let mut thrift = Thrift::new(self.rest);
        let header = Header::read(&mut thrift)?;
        let packed = size(header.packed, "packed size of a page")?;
        let (packed, rest) = thrift
            .rest()
            .split_at_checked(packed)
            .ok_or_else(|| damaged("expected a whole page, got an early end"))?;
        self.rest = rest;
        let unpacked = size(header.unpacked, "size of a page")?;
        let num_values = || size(header.num_values, "number of values");
        match header.page_type {
            Some(DICTIONARY_PAGE) => Ok(Some(Page::Dictionary(DictionaryPage {
                num_values: num_values()?,
                bytes: self.unpack(packed, unpacked)?,
            }))),
            Some(DATA_PAGE) => Ok(Some(Page::Data(DataPage {
                column: self.column,
                encoding: header.encoding.unwrap_or(-1),
                num_values: num_values()?,
                levels: Levels::InFront,
                bytes: self.unpack(packed, unpacked)?,
            }))),
            Some(DATA_PAGE_V2) => {
                // Levels are never packed.
                let repetition = size(header.repetition_bytes, "size of the levels")?;
                let definition = size(header.definition_bytes, "size of the levels")?;
                let levels = repetition.checked_add(definition);
                let levels = levels.filter(|&levels| levels <= packed.len().min(unpacked));
                let levels = levels.ok_or_else(|| damaged("expected levels within their page"))?;
                let definition = &packed[repetition..levels];
                let (packed, unpacked) = (&packed[levels..], unpacked - levels);
                let count = num_values()?.checked_sub(size(header.num_nulls, "number of nulls")?);
                let count = count.ok_or_else(|| damaged("expected fewer nulls than values"))?;
                let bytes = match header.is_stored_bare {
                    true => {
                        self.budget.take(packed.len() as u64)?;
                        packed.to_vec()
                    }
                    false => self.unpack(packed, unpacked)?,
                };
                Ok(Some(Page::Data(DataPage {
                    column: self.column,
                    encoding: header.encoding.unwrap_or(-1),
                    num_values: num_values()?,
                    levels: Levels::Apart { definition, count },
                    bytes,
                })))
            }
            _ => Ok(None),
        }
    }

    /// Exactly `size` bytes, taken from the budget before they are there.
    fn unpack(&self, packed: &[u8], size: usize) -> Result<Vec<u8>, Fault> {
        self.budget.take(size as u64)?;
        // A byte more than allowed shows that there are more.
        let limit = (size as u64).saturating_add(1);
        let mut bytes = Vec::new();
        let unpacked = match self.codec {
            0 => {
                bytes.extend_from_slice(packed);
                Ok(())
            }
            1 => {
                let claimed = snap::raw::decompress_len(packed);
                if claimed.as_ref().is_ok_and(|&claimed| claimed != size) {
                    return Err(damaged("expected a page of the size in its header"));
                }
                bytes.resize(size, 0);
                let unpacked = snap::raw::Decoder::new().decompress(packed, &mut bytes);
                unpacked.map(drop).map_err(|error| error.to_string())
            }
            2 => {
                let unpacker = flate2::read::MultiGzDecoder::new(packed);
                let unpacked = unpacker.take(limit).read_to_end(&mut bytes);
                unpacked.map(drop).map_err(|error| error.to_string())
            }
            // It refuses windows over 128 MiB, as Zstandard's own program does.
            6 => match ruzstd::decoding::StreamingDecoder::new(packed) {
                Ok(unpacker) => {
                    let unpacked = unpacker.take(limit).read_to_end(&mut bytes);
                    unpacked.map(drop).map_err(|error| error.to_string())
                }
                // A page without bytes may be packed into none.
                Err(_) if packed.is_empty() && size == 0 => Ok(()),
                Err(error) => Err(error.to_string()),
            },
            3 => return Err(unsupported("pages packed with LZO")),
            4 => return Err(unsupported("pages packed with Brotli")),
            5 | 7 => return Err(unsupported("pages packed with LZ4")),
            other => {
                return Err(unsupported(format!(
                    "pages packed in the unknown way {other}"
                )));
            }
        };
        unpacked.map_err(|error| damaged(format!("expected a whole page, got {error}")))?;
        match bytes.len() == size {
            true => Ok(bytes),
            false => Err(damaged("expected a page of the size in its header")),
        }
    }
}

impl<'a> Iterator for Pages<'a> {
    type Item = Result<Page<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.page() {
                Ok(None) => (),
                Ok(Some(page)) => return Some(Ok(page)),
                Err(fault) => {
                    self.rest = &[];
                    return Some(Err(fault));
                }
            }
        }
        None
    }
}

fn size(claimed: Option<i64>, what: &str) -> Result<usize, Fault> {
    let size = claimed.and_then(|claimed| usize::try_from(claimed).ok());
    size.ok_or_else(|| damaged(format!("expected the {what}, got none")))
}

impl Header {
    fn read(thrift: &mut Thrift<'_>) -> Result<Self, Fault> {
        let mut header = Self::default();
        thrift.fields(|thrift, id, wire_type| {
            let place = match (id, wire_type) {
                (1, WireType::Integer) => &mut header.page_type,
                (2, WireType::Integer) => &mut header.unpacked,
                (3, WireType::Integer) => &mut header.packed,
                // Of data pages and dictionaries alike.
                (5 | 7, WireType::Struct) => {
                    thrift.fields(|thrift, id, wire_type| {
                        let place = match (id, wire_type) {
                            (1, WireType::Integer) => &mut header.num_values,
                            (2, WireType::Integer) => &mut header.encoding,
                            _ => return Ok(false),
                        };
                        *place = Some(thrift.integer()?);
                        Ok(true)
                    })?;
                    return Ok(true);
                }
                (8, WireType::Struct) => {
                    header.read_second_version(thrift)?;
                    return Ok(true);
                }
                _ => return Ok(false),
            };
            *place = Some(thrift.integer()?);
            Ok(true)
        })?;
        Ok(header)
    }

    fn read_second_version(&mut self, thrift: &mut Thrift<'_>) -> Result<(), Fault> {
        thrift.fields(|thrift, id, wire_type| {
            let place = match (id, wire_type) {
                (1, WireType::Integer) => &mut self.num_values,
                (2, WireType::Integer) => &mut self.num_nulls,
                (4, WireType::Integer) => &mut self.encoding,
                (5, WireType::Integer) => &mut self.definition_bytes,
                (6, WireType::Integer) => &mut self.repetition_bytes,
                (7, WireType::False) => {
                    self.is_stored_bare = true;
                    return Ok(true);
                }
                (7, WireType::True) => return Ok(true),
                _ => return Ok(false),
            };
            *place = Some(thrift.integer()?);
            Ok(true)
        })
    }
}

impl DataPage<'_> {
    /// Calls `add` with each value that is there.
    pub(super) fn read(
        &self,
        dictionary: Option<&Dictionary>,
        budget: &Budget,
        add: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let (count, bytes) = match self.levels {
            Levels::Apart { count, .. } => (count, &self.bytes[..]),
            Levels::InFront => {
                let mut rest = &self.bytes[..];
                if self.column.max_repetition > 0 {
                    values::sized(&mut rest)?;
                }
                let mut count = self.num_values;
                if self.column.max_definition > 0 {
                    let levels = values::sized(&mut rest)?;
                    let width = u32::BITS - self.column.max_definition.leading_zeros();
                    let present = self.column.max_definition;
                    count = Runs::new(levels, width).count_of(present, self.num_values)?;
                }
                (count, rest)
            }
        };
        values::read(self.encoding, bytes, count, dictionary, budget, add)
    }

    /// Calls `add` once a row, with nothing where the row has no value; for a column that is no list.
    pub(super) fn read_rows(
        &self,
        dictionary: Option<&Dictionary>,
        budget: &Budget,
        add: &mut AddRow<'_>,
    ) -> Result<(), Fault> {
        let mut rest = &self.bytes[..];
        let levels = match self.levels {
            Levels::Apart { definition, .. } => definition,
            Levels::InFront if self.column.max_definition > 0 => values::sized(&mut rest)?,
            Levels::InFront => &[],
        };
        let present = self.column.max_definition;
        budget.take(self.num_values as u64)?;
        let mut is_there = Vec::new();
        match present {
            0 => is_there.resize(self.num_values, true),
            _ => {
                let width = u32::BITS - present.leading_zeros();
                let push = |level| {
                    is_there.push(level == present);
                    Ok(())
                };
                Runs::new(levels, width).each(self.num_values, push)?;
            }
        }
        let count = is_there.iter().filter(|&&is_there| is_there).count();
        let mut rows = is_there.iter();
        values::read(
            self.encoding,
            rest,
            count,
            dictionary,
            budget,
            &mut |value| {
                while rows.next() == Some(&false) {
                    add(None)?;
                }
                add(Some(value))
            },
        )?;
        rows.try_for_each(|_| add(None))
    }
}
