//! Files that the usual library wrote, files that are made by hand to mislead, and damaged ones.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use crate::source::Budget;
use crate::{CaptionFormat, Captions, Error, read_captions};

const UNCOMPRESSED: i64 = 0;
const SNAPPY: i64 = 1;
const DATA_PAGE: i64 = 0;
const DICTIONARY_PAGE: i64 = 2;
const PLAIN: i64 = 0;
const DICTIONARY: i64 = 8;

fn data(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    folder.join(format!("{name}.parquet"))
}

fn read(bytes: &[u8]) -> Result<Captions, Error> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    read_captions(file.path())
}

/// Thrift's compact protocol, written.
#[derive(Default)]
struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

impl Struct {
    fn field(mut self, id: u8, wire_type: u8, value: &[u8]) -> Self {
        self.bytes.push((id - self.last) << 4 | wire_type);
        self.bytes.extend_from_slice(value);
        self.last = id;
        self
    }

    fn integer(self, id: u8, value: i64) -> Self {
        let zigzag = (value << 1 ^ value >> 63) as u64;
        self.field(id, 6, &varint(zigzag))
    }

    fn text(self, id: u8, value: &str) -> Self {
        let value = [varint(value.len() as u64), value.as_bytes().to_vec()].concat();
        self.field(id, 8, &value)
    }

    fn inner(self, id: u8, value: Struct) -> Self {
        self.field(id, 12, &value.end())
    }

    fn list(self, id: u8, values: Vec<Struct>) -> Self {
        let mut bytes = vec![(values.len() as u8) << 4 | 12];
        bytes.extend(values.into_iter().flat_map(Struct::end));
        self.field(id, 9, &bytes)
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A page with its header; `unpacked` is the size that it claims.
fn page(page_type: i64, num_values: i64, encoding: i64, unpacked: usize, packed: &[u8]) -> Vec<u8> {
    let counts = Struct::default()
        .integer(1, num_values)
        .integer(2, encoding);
    let header = Struct::default()
        .integer(1, page_type)
        .integer(2, unpacked as i64)
        .integer(3, packed.len() as i64);
    let header = header.inner(if page_type == DATA_PAGE { 5 } else { 7 }, counts);
    [header.end(), packed.to_vec()].concat()
}

/// A file with one column of required texts in one group of rows.
fn file(column: &str, codec: i64, pages: &[u8]) -> Vec<u8> {
    let schema = vec![
        Struct::default().text(4, "schema").integer(5, 1),
        Struct::default()
            .integer(1, 6)
            .integer(3, 0)
            .text(4, column),
    ];
    let meta = Struct::default()
        .integer(1, 6)
        .integer(4, codec)
        .integer(7, pages.len() as i64)
        .integer(9, 4);
    let chunk = Struct::default().integer(2, 4).inner(3, meta);
    let group = Struct::default().list(1, vec![chunk]);
    let footer = Struct::default()
        .integer(1, 1)
        .list(2, schema)
        .integer(3, 2)
        .list(4, vec![group])
        .end();
    let len = (footer.len() as u32).to_le_bytes();
    [b"PAR1", pages, &footer, &len, b"PAR1"].concat()
}

fn plain(value: &[u8]) -> Vec<u8> {
    [&(value.len() as u32).to_le_bytes(), value].concat()
}

#[test]
fn a_file_of_the_hub_is_read() {
    let captions = read_captions(data("hub")).unwrap();
    let expected = [
        "a dog in picture 0",
        "café 0",
        "a dog in picture 1",
        "café 1",
        "the second alone",
        "a dog in picture 5",
        "café 5",
    ];
    assert_eq!(captions.texts(), expected);
    assert_eq!(captions.format(), CaptionFormat::Parquet);
    assert_eq!(captions.note(), Some("column `caption` of 4"));
}

#[test]
fn each_packing_and_encoding_is_read() {
    let expected: Vec<String> = (0..20)
        .filter(|row| row % 5 != 4)
        .map(|row| format!("a dog runs over lawn {}", row / 2))
        .collect();
    for name in [
        "none_v1_dictionary",
        "gzip_v1_plain",
        "gzip_v2_delta_length",
        "snappy_v2_delta",
        "zstd_v1_dictionary",
        "zstd_v2_plain",
    ] {
        let captions = read_captions(data(name)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(captions.texts(), expected, "{name}");
    }
}

#[test]
fn a_packing_that_is_not_read_is_named_with_the_remedy() {
    for (name, packing) in [("brotli", "Brotli"), ("lz4", "LZ4")] {
        let error = read_captions(data(name)).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        let message = error.to_string();
        assert!(
            message.contains(packing) && message.contains("Snappy, gzip or Zstandard"),
            "{message}"
        );
    }
}

#[test]
fn a_file_made_by_hand_is_read_and_others_are_refused() {
    let values = [plain(b"a dog"), plain("a café".as_bytes())].concat();
    let pages = page(DATA_PAGE, 2, PLAIN, values.len(), &values);
    assert_eq!(
        read(&file("caption", UNCOMPRESSED, &pages))
            .unwrap()
            .texts(),
        ["a dog", "a café"]
    );
    let error = read(&file("label", UNCOMPRESSED, &pages)).unwrap_err();
    assert!(error.to_string().contains("got label"), "{error}");
    let values = [plain(b"a dog"), plain(b"caf\xe9")].concat();
    let pages = page(DATA_PAGE, 2, PLAIN, values.len(), &values);
    let error = read(&file("caption", UNCOMPRESSED, &pages)).unwrap_err();
    assert!(error.to_string().contains("after 1 captions"), "{error}");
    let whole = std::fs::read(data("hub")).unwrap();
    let error = read(&whole[..whole.len() / 2]).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
}

/// Half a kilobyte took 1.9 GB: one long text that two thousand rows refer to.
#[test]
fn a_dictionary_cannot_multiply_a_text_without_end() {
    let long = plain(&[b'a'; 900_000]);
    let packed = snap::raw::Encoder::new().compress_vec(&long).unwrap();
    let dictionary = page(DICTIONARY_PAGE, 1, PLAIN, long.len(), &packed);
    // One run of 2,000 zeros, of one bit each.
    let numbers = [&[1][..], &varint(2000 << 1), &[0]].concat();
    let numbers_packed = snap::raw::Encoder::new().compress_vec(&numbers).unwrap();
    let rows = page(DATA_PAGE, 2000, DICTIONARY, numbers.len(), &numbers_packed);
    let bytes = file("caption", SNAPPY, &[dictionary, rows].concat());
    let error = read(&bytes).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    assert!(error.to_string().contains("unpacks to far more"), "{error}");
}

#[test]
fn a_page_cannot_claim_more_than_its_file_may_hold() {
    for codec in [SNAPPY, 2, 6] {
        let pages = page(DATA_PAGE, 1, PLAIN, 1_500_000_000, b"\x80\xde\xa0\xcb\x05");
        let error = read(&file("caption", codec, &pages)).unwrap_err();
        assert!(
            matches!(error, Error::TooLarge { .. }),
            "{codec}: {error:?}"
        );
    }
    // Blank texts and lengths take no bytes of their own: they count all the same.
    let dictionary = page(DICTIONARY_PAGE, 1, PLAIN, 4, &plain(b""));
    let numbers = [&[1][..], &varint((1 << 40) << 1), &[0]].concat();
    let rows = page(DATA_PAGE, 1 << 40, DICTIONARY, numbers.len(), &numbers);
    let error = read(&file("caption", UNCOMPRESSED, &[dictionary, rows].concat())).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    let lengths = [varint(1 << 40), varint(1), varint(1 << 40), vec![0, 0, 0]].concat();
    let rows = page(DATA_PAGE, 1 << 40, 6, lengths.len(), &lengths);
    let error = read(&file("caption", UNCOMPRESSED, &rows)).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
}

/// Each bit of each file is wrong once, and each file ends at each byte: an error or captions.
#[test]
fn damaged_files_never_panic() {
    let mut refused = 0;
    for name in [
        "hub",
        "none_v1_dictionary",
        "gzip_v1_plain",
        "gzip_v2_delta_length",
        "snappy_v2_delta",
        "zstd_v1_dictionary",
        "zstd_v2_plain",
    ] {
        let whole = std::fs::read(data(name)).unwrap();
        let mut try_it = |bytes: &[u8]| {
            let len = bytes.len() as u64;
            let budget = Budget::of_packed(len);
            refused += usize::from(super::read(Cursor::new(bytes), len, &budget).is_err());
        };
        for at in 0..whole.len() {
            for bit in [0x01, 0x10, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= bit;
                try_it(&bytes);
            }
            try_it(&whole[..at]);
        }
    }
    assert!(refused > 5000, "{refused} were refused");
}
