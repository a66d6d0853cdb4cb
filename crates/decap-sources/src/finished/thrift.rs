//! Thrift's compact protocol, as far as Parquet's metadata needs it.
//!
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>

/// The types that values have on the wire.
#[derive(Clone, Copy)]
enum WireType {
    I32 = 5,
    I64 = 6,
    Binary = 8,
    List = 9,
    Struct = 12,
}

/// A struct that is written, field by field in the order of their numbers.
#[derive(Default)]
pub(super) struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

impl Struct {
    fn field(&mut self, id: u8, kind: WireType) {
        // Parquet's numbers are near each other.
        self.bytes.push((id - self.last) << 4 | kind as u8);
        self.last = id;
    }

    pub(super) fn i32(mut self, id: u8, value: i32) -> Self {
        self.field(id, WireType::I32);
        zigzag(&mut self.bytes, i64::from(value));
        self
    }

    pub(super) fn i64(mut self, id: u8, value: u64) -> Self {
        self.field(id, WireType::I64);
        zigzag(&mut self.bytes, value as i64);
        self
    }

    pub(super) fn text(mut self, id: u8, text: &str) -> Self {
        self.field(id, WireType::Binary);
        binary(&mut self.bytes, text);
        self
    }

    pub(super) fn nested(mut self, id: u8, inner: Self) -> Self {
        self.field(id, WireType::Struct);
        self.bytes.extend(inner.finish());
        self
    }

    pub(super) fn i32s(mut self, id: u8, values: &[i32]) -> Self {
        self.list(id, WireType::I32, values.len());
        for &value in values {
            zigzag(&mut self.bytes, i64::from(value));
        }
        self
    }

    pub(super) fn texts(mut self, id: u8, texts: &[&str]) -> Self {
        self.list(id, WireType::Binary, texts.len());
        for text in texts {
            binary(&mut self.bytes, text);
        }
        self
    }

    pub(super) fn structs(mut self, id: u8, structs: impl ExactSizeIterator<Item = Self>) -> Self {
        self.list(id, WireType::Struct, structs.len());
        for one in structs {
            self.bytes.extend(one.finish());
        }
        self
    }

    fn list(&mut self, id: u8, of: WireType, len: usize) {
        /// More have a number of their own.
        const MOST_IN_HEAD: u8 = 14;
        self.field(id, WireType::List);
        match u8::try_from(len) {
            Ok(len) if len <= MOST_IN_HEAD => self.bytes.push(len << 4 | of as u8),
            _ => {
                self.bytes.push(15 << 4 | of as u8);
                varint(&mut self.bytes, len as u64);
            }
        }
    }

    /// Its bytes, the end included.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

/// An unsigned number, seven bits a byte.
pub(super) fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn zigzag(bytes: &mut Vec<u8>, value: i64) {
    varint(bytes, (value << 1 ^ value >> 63) as u64);
}

fn binary(bytes: &mut Vec<u8>, text: &str) {
    varint(bytes, text.len() as u64);
    bytes.extend(text.as_bytes());
}
