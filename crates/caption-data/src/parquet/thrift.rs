//! Thrift's compact protocol, as far as Parquet's metadata needs it.
//!
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>

use super::damaged;
use crate::error::Fault;

/// Structs within structs that are stepped over: Parquet's own have five.
const MAX_DEPTH: u32 = 32;

/// The types that values have on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireType {
    True,
    False,
    Byte,
    /// 16, 32 and 64 bits, zigzag.
    Integer,
    Double,
    Binary,
    /// Sets too.
    List,
    Map,
    Struct,
}

impl WireType {
    fn of(nibble: u8) -> Result<Self, Fault> {
        Ok(match nibble {
            1 => Self::True,
            2 => Self::False,
            3 => Self::Byte,
            4..=6 => Self::Integer,
            7 => Self::Double,
            8 => Self::Binary,
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Struct,
            other => return Err(damaged(format!("expected a Thrift type, got {other}"))),
        })
    }
}

/// Bytes that are read from front to back.
#[derive(Clone, Copy)]
pub(super) struct Thrift<'a> {
    rest: &'a [u8],
}

impl<'a> Thrift<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| damaged("expected whole metadata, got an early end"))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.bytes(1)?[0])
    }

    /// An unsigned number of seven bits a byte.
    pub(super) fn varint(&mut self) -> Result<u64, Fault> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(damaged("expected a number of 64 bits, got a longer one"))
    }

    /// A signed number.
    pub(super) fn integer(&mut self) -> Result<i64, Fault> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(super) fn binary(&mut self) -> Result<&'a [u8], Fault> {
        let len = self.varint()?;
        self.bytes(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Calls `visit` with each field of a struct; it returns whether it has read the value.
    pub(super) fn fields(
        &mut self,
        mut visit: impl FnMut(&mut Self, i64, WireType) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let mut id = 0i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            id = match head >> 4 {
                0 => self.integer()?,
                step => id.saturating_add(i64::from(step)),
            };
            let wire_type = WireType::of(head & 0x0f)?;
            if !visit(self, id, wire_type)? {
                self.skip(wire_type, 0)?;
            }
        }
    }

    /// How many elements a list has, and of which type.
    pub(super) fn list(&mut self) -> Result<(u64, WireType), Fault> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        Ok((count, WireType::of(head & 0x0f)?))
    }

    fn skip(&mut self, wire_type: WireType, depth: u32) -> Result<(), Fault> {
        if depth > MAX_DEPTH {
            return Err(damaged("expected metadata of few levels, got more"));
        }
        match wire_type {
            WireType::True | WireType::False => Ok(()),
            WireType::Byte => self.byte().map(drop),
            WireType::Integer => self.varint().map(drop),
            WireType::Double => self.bytes(8).map(drop),
            WireType::Binary => self.binary().map(drop),
            WireType::List => {
                let (count, element) = self.list()?;
                (0..count).try_for_each(|_| self.skip_element(element, depth))
            }
            WireType::Map => {
                let count = self.varint()?;
                if count == 0 {
                    return Ok(());
                }
                let types = self.byte()?;
                let (key, value) = (WireType::of(types >> 4)?, WireType::of(types & 0x0f)?);
                (0..count).try_for_each(|_| {
                    self.skip_element(key, depth)?;
                    self.skip_element(value, depth)
                })
            }
            WireType::Struct => loop {
                let head = self.byte()?;
                if head == 0 {
                    return Ok(());
                }
                if head >> 4 == 0 {
                    self.varint()?;
                }
                self.skip(WireType::of(head & 0x0f)?, depth + 1)?;
            },
        }
    }

    /// Each element takes a byte at least, so that a count beyond the end stops there.
    fn skip_element(&mut self, wire_type: WireType, depth: u32) -> Result<(), Fault> {
        match wire_type {
            // Within lists these have a byte of their own.
            WireType::True | WireType::False => self.byte().map(drop),
            other => self.skip(other, depth + 1),
        }
    }
}
