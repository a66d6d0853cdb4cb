//! Parquet's runs: a number that repeats, or several of few bits each.
//!
//! <https://parquet.apache.org/docs/file-format/data-pages/encodings/#RLE>

use super::damaged;
use super::thrift::Thrift;
use crate::error::Fault;

/// Numbers of `width` bits.
pub(super) struct Runs<'a> {
    rest: Thrift<'a>,
    width: u32,
}

/// Numbers that come together.
pub(super) enum Run<'a> {
    Repeated { value: u32, count: u64 },
    Packed { bytes: &'a [u8], count: u64 },
}

impl<'a> Runs<'a> {
    /// Runs of numbers of at most 32 bits.
    pub(super) fn new(bytes: &'a [u8], width: u32) -> Self {
        Self {
            rest: Thrift::new(bytes),
            width: width.min(u32::BITS),
        }
    }

    /// The next run.
    pub(super) fn next(&mut self) -> Result<Run<'a>, Fault> {
        let head = self.rest.varint()?;
        if head & 1 == 0 {
            let bytes = self.rest.bytes((self.width as usize).div_ceil(8))?;
            let value = bytes
                .iter()
                .rev()
                .fold(0, |value, &byte| value << 8 | u32::from(byte));
            return Ok(Run::Repeated {
                value,
                count: head >> 1,
            });
        }
        // Groups of eight numbers; the last ones of a page may be cut off.
        let groups = head >> 1;
        let len = groups.saturating_mul(u64::from(self.width));
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let bytes = self.rest.bytes(len.min(self.rest.rest().len()))?;
        Ok(Run::Packed {
            bytes,
            count: groups.saturating_mul(8),
        })
    }

    /// How many of the next `total` numbers are `wanted`.
    pub(super) fn count_of(mut self, wanted: u32, total: usize) -> Result<usize, Fault> {
        let mut left = total;
        let mut found = 0;
        while left > 0 {
            match self.next()? {
                Run::Repeated { value, count } => {
                    let count = clamp(count, left)?;
                    found += if value == wanted { count } else { 0 };
                    left -= count;
                }
                Run::Packed { bytes, count } => {
                    let count = clamp(count, left)?;
                    for index in 0..count {
                        found += usize::from(number_at(bytes, index, self.width)? == wanted);
                    }
                    left -= count;
                }
            }
        }
        Ok(found)
    }

    /// Calls `visit` with each of the next `total` numbers.
    pub(super) fn each(
        mut self,
        total: usize,
        mut visit: impl FnMut(u32) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut left = total;
        while left > 0 {
            let count = match self.next()? {
                Run::Repeated { value, count } => {
                    let count = clamp(count, left)?;
                    (0..count).try_for_each(|_| visit(value))?;
                    count
                }
                Run::Packed { bytes, count } => {
                    let count = clamp(count, left)?;
                    for index in 0..count {
                        visit(number_at(bytes, index, self.width)?)?;
                    }
                    count
                }
            };
            left -= count;
        }
        Ok(())
    }
}

/// The part of a run that is wanted.
fn clamp(count: u64, left: usize) -> Result<usize, Fault> {
    match usize::try_from(count).unwrap_or(usize::MAX).min(left) {
        0 => Err(damaged("expected a run of numbers, got none")),
        count => Ok(count),
    }
}

/// The number of `width` bits at `index`, lowest bits first.
pub(super) fn number_at(bytes: &[u8], index: usize, width: u32) -> Result<u32, Fault> {
    let early_end = || damaged("expected more packed numbers, got an early end");
    let first_bit = index.checked_mul(width as usize).ok_or_else(early_end)?;
    let end = (first_bit + width as usize).div_ceil(8);
    let bytes = bytes.get(first_bit / 8..end).ok_or_else(early_end)?;
    let number = bytes
        .iter()
        .rev()
        .fold(0u64, |number, &byte| number << 8 | u64::from(byte));
    let number = number >> (first_bit % 8);
    Ok((number & ((1u64 << width) - 1)) as u32)
}
