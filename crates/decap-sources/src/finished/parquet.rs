//! Captions as a Parquet file: one row an input.
//!
//! Written plainly, with gzip, a page for each column of a group of rows:
//! <https://parquet.apache.org/docs/file-format/>. Field numbers are those of
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>.

use std::io::{self, BufRead, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value};

use super::thrift::{Struct, varint};

/// Rows that are in memory together.
const ROWS_IN_GROUP: usize = 10_000;

const MAGIC: &[u8] = b"PAR1";
const GZIP: i32 = 2;
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const REQUIRED: i32 = 0;
const OPTIONAL: i32 = 1;
const REPEATED: i32 = 2;
/// `ConvertedType`, and the fields of `LogicalType` that say the same.
const UTF8: (i32, u8) = (0, 1);
const LIST: (i32, u8) = (3, 3);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Double = 5,
    Text = 6,
}

/// Where a column's value stands in a line of JSON, and how often.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A key that each line has.
    Key(&'static str),
    /// A key that a line may have.
    KeyOrNone(&'static str),
    /// A key of `error`, which a line may have.
    OfError(&'static str),
    /// A key of each of the lines' `evidence`.
    OfEvidence(&'static str),
}

/// The columns; those of `evidence` stand together.
const COLUMNS: [(&str, Place, Kind); 11] = [
    ("path", Place::Key("path"), Kind::Text),
    ("caption", Place::KeyOrNone("caption"), Kind::Text),
    ("score", Place::KeyOrNone("score"), Kind::Double),
    ("confidence", Place::KeyOrNone("confidence"), Kind::Double),
    ("chosen_from", Place::KeyOrNone("chosen_from"), Kind::Text),
    ("text", Place::OfEvidence("text"), Kind::Text),
    ("weight", Place::OfEvidence("weight"), Kind::Double),
    ("model", Place::KeyOrNone("model"), Kind::Text),
    ("run", Place::KeyOrNone("run"), Kind::Text),
    ("error_kind", Place::OfError("kind"), Kind::Text),
    ("error", Place::OfError("message"), Kind::Text),
];

/// Writes a row for each of `lines`; returns how many have a caption.
pub(super) fn write(lines: impl BufRead, file: &mut dyn Write) -> io::Result<usize> {
    let mut captions = 0;
    let mut groups = Vec::new();
    let mut columns = empty_columns();
    let mut rows = 0;
    file.write_all(MAGIC)?;
    let mut offset = MAGIC.len() as u64;
    for line in lines.lines() {
        let line: Map<String, Value> = serde_json::from_str(&line?)?;
        captions += usize::from(line.get("caption").is_some_and(Value::is_string));
        for column in &mut columns {
            column.add(&line);
        }
        rows += 1;
        if rows == ROWS_IN_GROUP {
            groups.push(Group::write(&columns, rows, &mut offset, file)?);
            columns = empty_columns();
            rows = 0;
        }
    }
    if rows > 0 {
        groups.push(Group::write(&columns, rows, &mut offset, file)?);
    }
    let all = groups.iter().map(|group| group.rows).sum();
    let groups = groups.into_iter().map(|group| group.metadata);
    let metadata = Struct::default()
        .i32(1, 1)
        .structs(2, schema().into_iter())
        .i64(3, all)
        .structs(4, groups)
        .text(6, concat!("decap ", env!("CARGO_PKG_VERSION")))
        .finish();
    file.write_all(&metadata)?;
    file.write_all(&(metadata.len() as u32).to_le_bytes())?;
    file.write_all(MAGIC)?;
    Ok(captions)
}

/// The tree of columns, in depth-first order.
fn schema() -> Vec<Struct> {
    let leaf = |name: &str, repetition, kind: Kind| {
        let element = Struct::default()
            .i32(1, kind as i32)
            .i32(3, repetition)
            .text(4, name);
        match kind {
            Kind::Text => typed(element, UTF8),
            Kind::Double => element,
        }
    };
    let group = |name: &str, repetition, children| {
        let element = Struct::default().i32(3, repetition);
        element.text(4, name).i32(5, children)
    };
    let of_evidence = COLUMNS
        .iter()
        .filter(|(_, place, _)| matches!(place, Place::OfEvidence(_)));
    let fields = of_evidence.count() as i32;
    let top = COLUMNS.len() as i32 - fields + 1;
    let mut schema = vec![Struct::default().text(4, "schema").i32(5, top)];
    let mut is_in_evidence = false;
    for (name, place, kind) in COLUMNS {
        match place {
            Place::Key(_) => schema.push(leaf(name, REQUIRED, kind)),
            Place::KeyOrNone(_) | Place::OfError(_) => schema.push(leaf(name, OPTIONAL, kind)),
            Place::OfEvidence(_) => {
                if !std::mem::replace(&mut is_in_evidence, true) {
                    schema.push(typed(group("evidence", REQUIRED, 1), LIST));
                    schema.push(group("list", REPEATED, 1));
                    schema.push(group("element", REQUIRED, fields));
                }
                schema.push(leaf(name, REQUIRED, kind));
            }
        }
    }
    schema
}

fn typed(element: Struct, (converted, logical): (i32, u8)) -> Struct {
    let logical = Struct::default().nested(logical, Struct::default());
    element.i32(6, converted).nested(10, logical)
}

fn empty_columns() -> Vec<Column> {
    let column = |&(name, place, kind)| Column {
        name,
        place,
        kind,
        values: Vec::new(),
        defined: Levels::default(),
        repeated: Levels::default(),
    };
    COLUMNS.iter().map(column).collect()
}

/// The values of one column of a group of rows.
struct Column {
    name: &'static str,
    place: Place,
    kind: Kind,
    /// Those that are there, one behind the other.
    values: Vec<u8>,
    /// 1 for a value that is there.
    defined: Levels,
    /// 1 for a value that belongs to the same row as the one before.
    repeated: Levels,
}

impl Column {
    fn add(&mut self, line: &Map<String, Value>) {
        match self.place {
            Place::Key(key) => self.push(line.get(key).unwrap_or(&Value::Null)),
            Place::KeyOrNone(key) => self.push_optional(line.get(key)),
            Place::OfError(key) => {
                self.push_optional(line.get("error").and_then(|error| error.get(key)));
            }
            Place::OfEvidence(key) => {
                let evidence = line.get("evidence").and_then(Value::as_array);
                let evidence = evidence.map_or(&[][..], Vec::as_slice);
                if evidence.is_empty() {
                    self.defined.push(false);
                    self.repeated.push(false);
                }
                for (place, one) in evidence.iter().enumerate() {
                    self.defined.push(true);
                    self.repeated.push(place > 0);
                    self.push(one.get(key).unwrap_or(&Value::Null));
                }
            }
        }
    }

    fn push_optional(&mut self, value: Option<&Value>) {
        let value = value.filter(|value| !value.is_null());
        self.defined.push(value.is_some());
        if let Some(value) = value {
            self.push(value);
        }
    }

    fn push(&mut self, value: &Value) {
        match self.kind {
            Kind::Double => {
                let value = value.as_f64().unwrap_or(f64::NAN);
                self.values.extend(value.to_le_bytes());
            }
            Kind::Text => {
                let text = value.as_str().unwrap_or_default();
                self.values.extend((text.len() as u32).to_le_bytes());
                self.values.extend(text.as_bytes());
            }
        }
    }

    /// The content of its page.
    fn page(&self) -> Vec<u8> {
        let mut page = Vec::new();
        if matches!(self.place, Place::OfEvidence(_)) {
            page.extend(self.repeated.bytes());
        }
        if !matches!(self.place, Place::Key(_)) {
            page.extend(self.defined.bytes());
        }
        page.extend(&self.values);
        page
    }

    fn path(&self) -> Vec<&'static str> {
        match self.place {
            Place::OfEvidence(_) => vec!["evidence", "list", "element", self.name],
            _ => vec![self.name],
        }
    }

    /// Writes the page; returns what the file's end says of it, and its size unpacked.
    fn write(
        &self,
        rows: u64,
        offset: &mut u64,
        file: &mut dyn Write,
    ) -> io::Result<(Struct, u64)> {
        let page = self.page();
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&page)?;
        let packed = packed.finish()?;
        let count = match self.place {
            Place::Key(_) => rows,
            _ => self.defined.count,
        };
        let of_data = Struct::default()
            .i32(1, count as i32)
            .i32(2, PLAIN)
            .i32(3, RLE)
            .i32(4, RLE);
        let header = Struct::default()
            .i32(1, 0)
            .i32(2, page.len() as i32)
            .i32(3, packed.len() as i32)
            .nested(5, of_data)
            .finish();
        file.write_all(&header)?;
        file.write_all(&packed)?;
        let unpacked = (header.len() + page.len()) as u64;
        let written = (header.len() + packed.len()) as u64;
        let metadata = Struct::default()
            .i32(1, self.kind as i32)
            .i32s(2, &[PLAIN, RLE])
            .texts(3, &self.path())
            .i32(4, GZIP)
            .i64(5, count)
            .i64(6, unpacked)
            .i64(7, written)
            .i64(9, *offset);
        let chunk = Struct::default().i64(2, *offset).nested(3, metadata);
        *offset += written;
        Ok((chunk, unpacked))
    }
}

/// Levels of 0 and 1, as runs of equal ones.
#[derive(Default)]
struct Levels {
    runs: Vec<(bool, u64)>,
    count: u64,
}

impl Levels {
    fn push(&mut self, level: bool) {
        self.count += 1;
        match self.runs.last_mut() {
            Some((last, count)) if *last == level => *count += 1,
            _ => self.runs.push((level, 1)),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut runs = Vec::new();
        for &(level, count) in &self.runs {
            varint(&mut runs, count << 1);
            runs.push(u8::from(level));
        }
        let mut bytes = (runs.len() as u32).to_le_bytes().to_vec();
        bytes.extend(runs);
        bytes
    }
}

/// A group of rows that is written.
struct Group {
    rows: u64,
    metadata: Struct,
}

impl Group {
    fn write(
        columns: &[Column],
        rows: usize,
        offset: &mut u64,
        file: &mut dyn Write,
    ) -> io::Result<Self> {
        let rows = rows as u64;
        let mut bytes = 0;
        let mut chunks = Vec::with_capacity(columns.len());
        for column in columns {
            let (chunk, unpacked) = column.write(rows, offset, file)?;
            bytes += unpacked;
            chunks.push(chunk);
        }
        let metadata = Struct::default()
            .structs(1, chunks.into_iter())
            .i64(2, bytes)
            .i64(3, rows);
        Ok(Self { rows, metadata })
    }
}
