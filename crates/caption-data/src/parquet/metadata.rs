//! A file's metadata: which columns there are, and where the text column's values lie.
//!
//! Field numbers are those of <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>.

use super::thrift::{Thrift, WireType};
use super::{damaged, unsupported};
use crate::error::Fault;

/// Columns in columns: no table of captions has that many levels.
const MAX_DEPTH: usize = 64;

/// What is known of a file before its values are read.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) column: Column,
    pub(super) num_columns: usize,
    /// One for each group of rows.
    pub(super) chunks: Vec<Chunk>,
}

/// The column of captions.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Its name, or that of the list it is in.
    pub(super) name: String,
    /// Its place among the columns that hold values.
    index: usize,
    /// The definition level of a value that is there.
    pub(super) max_definition: u32,
    /// 1 within a list, else 0.
    pub(super) max_repetition: u32,
}

/// Where the values of one group of rows lie, packed how.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) codec: i64,
}

/// The physical type of texts.
const BYTE_ARRAY: i64 = 6;

/// A node of the schema, in depth-first order.
#[derive(Default)]
struct Element {
    physical_type: Option<i64>,
    /// 0 required, 1 optional, 2 repeated.
    repetition: i64,
    name: String,
    num_children: i64,
}

/// A column that holds values.
pub(super) struct Leaf {
    path: Vec<String>,
    physical_type: i64,
    max_definition: u32,
    max_repetition: u32,
}

impl Metadata {
    /// Reads the metadata of a file, of which the column that `choose` takes is to be read.
    pub(super) fn read(
        footer: &[u8],
        choose: impl Fn(&[Leaf]) -> Result<Column, Fault>,
    ) -> Result<Self, Fault> {
        let mut schema = Vec::new();
        let mut column: Option<Column> = None;
        let mut num_columns = 0;
        let mut chunks = Vec::new();
        let mut thrift = Thrift::new(footer);
        thrift.fields(|thrift, id, wire_type| match (id, wire_type) {
            (2, WireType::List) => {
                let (count, _) = thrift.list()?;
                for _ in 0..count {
                    schema.push(read_element(thrift)?);
                }
                let leaves = leaves(&schema)?;
                num_columns = top_columns(&leaves);
                column = Some(choose(&leaves)?);
                Ok(true)
            }
            (4, WireType::List) => {
                let column = column.as_ref();
                let column = column.ok_or_else(|| damaged("expected the schema first"))?;
                let (count, _) = thrift.list()?;
                for _ in 0..count {
                    chunks.push(read_row_group(thrift, column.index)?);
                }
                Ok(true)
            }
            _ => Ok(false),
        })?;
        let column = column.ok_or_else(|| damaged("expected a schema, got none"))?;
        Ok(Self {
            column,
            num_columns,
            chunks,
        })
    }
}

fn read_element(thrift: &mut Thrift<'_>) -> Result<Element, Fault> {
    let mut element = Element::default();
    thrift.fields(|thrift, id, wire_type| {
        match (id, wire_type) {
            (1, WireType::Integer) => element.physical_type = Some(thrift.integer()?),
            (3, WireType::Integer) => element.repetition = thrift.integer()?,
            (4, WireType::Binary) => {
                element.name = String::from_utf8_lossy(thrift.binary()?).into_owned();
            }
            (5, WireType::Integer) => element.num_children = thrift.integer()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(element)
}

/// The columns that hold values, from the tree's nodes in depth-first order; the first node is the
/// root.
fn leaves(schema: &[Element]) -> Result<Vec<Leaf>, Fault> {
    struct Open {
        children_left: i64,
        definition: u32,
        repetition: u32,
    }
    let Some((root, nodes)) = schema.split_first() else {
        return Err(damaged("expected a schema, got none"));
    };
    let mut open = vec![Open {
        children_left: root.num_children,
        definition: 0,
        repetition: 0,
    }];
    let mut path: Vec<String> = Vec::new();
    let mut leaves = Vec::new();
    for node in nodes {
        while open.last().is_some_and(|parent| parent.children_left <= 0) {
            open.pop();
            path.pop();
        }
        let Some(parent) = open.last_mut() else {
            return Err(damaged("expected a schema of one tree, got more"));
        };
        parent.children_left -= 1;
        let definition = parent.definition + u32::from(node.repetition != 0);
        let repetition = parent.repetition + u32::from(node.repetition == 2);
        path.push(node.name.clone());
        if node.num_children > 0 {
            if open.len() >= MAX_DEPTH {
                return Err(damaged("expected a schema of few levels, got more"));
            }
            open.push(Open {
                children_left: node.num_children,
                definition,
                repetition,
            });
            continue;
        }
        leaves.push(Leaf {
            path: path.clone(),
            physical_type: node.physical_type.unwrap_or(-1),
            max_definition: definition,
            max_repetition: repetition,
        });
        path.pop();
    }
    Ok(leaves)
}

/// How many columns a table shows.
fn top_columns(leaves: &[Leaf]) -> usize {
    let mut names: Vec<&str> = leaves
        .iter()
        .filter_map(|leaf| Some(leaf.path.first()?.as_str()))
        .collect();
    names.dedup();
    names.len()
}

/// The text column called one of `names`, or a list of texts called so.
pub(super) fn text_column(leaves: &[Leaf], names: &[&str]) -> Result<Column, Fault> {
    let found = names.iter().find_map(|name| {
        leaves.iter().position(|leaf| {
            // `caption`, or the strings of `captions.list.element`; not `image.text`.
            let is_named = leaf
                .path
                .first()
                .is_some_and(|first| first.eq_ignore_ascii_case(name));
            let is_text = leaf.physical_type == BYTE_ARRAY;
            is_named && is_text && (leaf.path.len() == 1 || leaf.max_repetition == 1)
        })
    });
    column_at(leaves, found).ok_or_else(|| no_column(leaves, "a text column", names))
}

/// The column of bytes or texts called one of `names`, each a path such as `image.bytes`; one value a row.
pub(super) fn plain_column(leaves: &[Leaf], names: &[&str]) -> Result<Column, Fault> {
    let found = names.iter().find_map(|name| {
        leaves.iter().position(|leaf| {
            let is_plain = leaf.physical_type == BYTE_ARRAY && leaf.max_repetition == 0;
            is_plain && leaf.path.join(".").eq_ignore_ascii_case(name)
        })
    });
    column_at(leaves, found).ok_or_else(|| no_column(leaves, "a column of bytes or texts", names))
}

fn column_at(leaves: &[Leaf], index: Option<usize>) -> Option<Column> {
    let index = index?;
    let leaf = leaves.get(index)?;
    Some(Column {
        name: leaf.path.first()?.clone(),
        index,
        max_definition: leaf.max_definition,
        max_repetition: leaf.max_repetition,
    })
}

fn no_column(leaves: &[Leaf], what: &str, names: &[&str]) -> Fault {
    /// So many names are enough to see what there is.
    const MOST_NAMES: usize = 12;
    let columns = leaves.iter().map(|leaf| leaf.path.join("."));
    Fault::Text(format!(
        "expected {what} called one of {}, got {}",
        names.join(", "),
        columns.take(MOST_NAMES).collect::<Vec<_>>().join(", ")
    ))
}

/// The chunk of column `index` in a group of rows.
fn read_row_group(thrift: &mut Thrift<'_>, index: usize) -> Result<Chunk, Fault> {
    let mut chunk = None;
    thrift.fields(|thrift, id, wire_type| match (id, wire_type) {
        (1, WireType::List) => {
            let (count, _) = thrift.list()?;
            for column in 0..count {
                let found = read_chunk(thrift)?;
                if column == index as u64 {
                    chunk = Some(found.into_chunk()?);
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    })?;
    chunk.ok_or_else(|| damaged("expected all columns in each group of rows, got fewer"))
}

#[derive(Default)]
struct RawChunk {
    is_elsewhere: bool,
    is_encrypted: bool,
    codec: Option<i64>,
    len: Option<i64>,
    data_start: Option<i64>,
    dictionary_start: Option<i64>,
}

fn read_chunk(thrift: &mut Thrift<'_>) -> Result<RawChunk, Fault> {
    let mut chunk = RawChunk::default();
    thrift.fields(|thrift, id, wire_type| match (id, wire_type) {
        (1, WireType::Binary) => {
            chunk.is_elsewhere = true;
            Ok(false)
        }
        (3, WireType::Struct) => {
            thrift.fields(|thrift, id, wire_type| {
                let place = match (id, wire_type) {
                    (4, WireType::Integer) => &mut chunk.codec,
                    (7, WireType::Integer) => &mut chunk.len,
                    (9, WireType::Integer) => &mut chunk.data_start,
                    (11, WireType::Integer) => &mut chunk.dictionary_start,
                    _ => return Ok(false),
                };
                *place = Some(thrift.integer()?);
                Ok(true)
            })?;
            Ok(true)
        }
        (8, WireType::Struct) => {
            chunk.is_encrypted = true;
            Ok(false)
        }
        _ => Ok(false),
    })?;
    Ok(chunk)
}

impl RawChunk {
    fn into_chunk(self) -> Result<Chunk, Fault> {
        if self.is_encrypted {
            return Err(unsupported("an encrypted one"));
        }
        if self.is_elsewhere {
            return Err(unsupported("one whose values are in another file"));
        }
        let number = |number: Option<i64>, what: &str| {
            let number = number.and_then(|number| u64::try_from(number).ok());
            number.ok_or_else(|| damaged(format!("expected the {what} of a column, got none")))
        };
        let data = number(self.data_start, "start")?;
        // Some writers give a start of 0 where there is no dictionary.
        let dictionary = self
            .dictionary_start
            .and_then(|start| u64::try_from(start).ok());
        let dictionary = dictionary.filter(|&start| start > 0 && start < data);
        Ok(Chunk {
            start: dictionary.unwrap_or(data),
            len: number(self.len, "size")?,
            codec: self.codec.unwrap_or(-1),
        })
    }
}
