//! Parquet files with a text column, as data sets lie on the Hugging Face Hub.

use std::fs::File;
use std::path::Path;

use parquet::basic::Type;
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::{CaptionFormat, Captions, Collector, invalid};
use crate::error::{Error, InputFault, Result};

/// Names of text columns in the order of preference; the first that is there is read.
const TEXT_COLUMNS: &[&str] = &[
    "caption",
    "captions",
    "text",
    "TEXT",
    "sentence",
    "sentences",
    "alt_text",
    "raw",
];

/// Rows decoded at a time.
const BATCH_ROWS: usize = 4096;

/// Reads the text column alone; a column of lists gives its strings in order. Pictures in other
/// columns are not touched, and captions have no picture's identifier.
pub(super) fn read(path: &Path) -> Result<Captions> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    let damaged = |error: parquet::errors::ParquetError| {
        Error::input(
            path,
            InputFault::Damaged(format!("expected a Parquet file: {error}")),
        )
    };
    let reader = SerializedFileReader::new(file).map_err(damaged)?;
    let column = text_column(path, &reader)?;
    let mut collector = Collector::new(CaptionFormat::Parquet);
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(damaged)?;
        let ColumnReader::ByteArrayColumnReader(mut values) =
            group.get_column_reader(column).map_err(damaged)?
        else {
            return Err(invalid(
                path,
                "expected a column of byte arrays, got another type",
            ));
        };
        let (mut batch, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            batch.clear();
            definitions.clear();
            repetitions.clear();
            let (records, _, _) = values
                .read_records(
                    BATCH_ROWS,
                    Some(&mut definitions),
                    Some(&mut repetitions),
                    &mut batch,
                )
                .map_err(damaged)?;
            for value in &batch {
                add(&mut collector, value).map_err(|message| invalid(path, message))?;
            }
            if records == 0 {
                break;
            }
        }
    }
    Ok(collector.captions)
}

fn add(collector: &mut Collector, value: &ByteArray) -> Result<(), String> {
    let row = collector.captions.len();
    let text = str::from_utf8(value.data()).map_err(|_| {
        format!("expected UTF-8 in the text column, got other bytes after {row} captions")
    })?;
    collector.text(None, text)
}

fn text_column(path: &Path, reader: &SerializedFileReader<File>) -> Result<usize> {
    let schema = reader.metadata().file_metadata().schema_descr();
    let columns = schema.columns();
    TEXT_COLUMNS
        .iter()
        .find_map(|name| {
            columns.iter().position(|column| {
                let parts = column.path().parts();
                // `caption`, or the strings of `captions.list.element`; not `image.text`.
                let is_named = parts.first().is_some_and(|first| first == name)
                    && (parts.len() == 1 || column.max_rep_level() == 1);
                is_named && column.physical_type() == Type::BYTE_ARRAY
            })
        })
        .ok_or_else(|| {
            let names: Vec<String> = columns
                .iter()
                .map(|column| column.path().string())
                .collect();
            invalid(
                path,
                format!(
                    "expected a text column called one of {}, got {}",
                    TEXT_COLUMNS.join(", "),
                    names.join(", ")
                ),
            )
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::data_type::ByteArrayType;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::super::{CaptionFormat, read_captions};
    use super::*;

    /// Writes one column with the given values and levels after a column of picture bytes.
    fn write(path: &Path, column: &str, values: &[&str], levels: Option<(&[i16], &[i16])>) {
        let schema = format!("message schema {{ REQUIRED BYTE_ARRAY image; {column} }}");
        let schema = Arc::new(parse_message_type(&schema).unwrap());
        let file = File::create(path).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, Default::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut image = group.next_column().unwrap().unwrap();
        let pictures = vec![ByteArray::from(vec![0xffu8, 0xd8]); 2];
        image
            .typed::<ByteArrayType>()
            .write_batch(&pictures, None, None)
            .unwrap();
        image.close().unwrap();
        let mut text = group.next_column().unwrap().unwrap();
        let values: Vec<ByteArray> = values.iter().map(|&value| ByteArray::from(value)).collect();
        let (definitions, repetitions) = levels.unzip();
        text.typed::<ByteArrayType>()
            .write_batch(&values, definitions, repetitions)
            .unwrap();
        text.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn a_text_column_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train-00000-of-00001.parquet");
        write(
            &path,
            "REQUIRED BYTE_ARRAY caption (UTF8);",
            &["a dog", "a café"],
            None,
        );
        let captions = read_captions(&path).unwrap();
        assert_eq!(captions.format(), CaptionFormat::Parquet);
        assert_eq!(captions.texts(), ["a dog", "a café"]);
    }

    #[test]
    fn a_column_of_lists_is_read_and_nulls_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no_extension");
        let column = "OPTIONAL group captions (LIST) { REPEATED group list {
            OPTIONAL BYTE_ARRAY element (UTF8); } }";
        let levels: (&[i16], &[i16]) = (&[3, 3, 2], &[0, 1, 0]);
        write(&path, column, &["one", "two"], Some(levels));
        assert_eq!(read_captions(&path).unwrap().texts(), ["one", "two"]);
    }

    /// `tools/reference/dataset_golden.py` wrote it, with the library that data sets are written with.
    #[test]
    fn a_file_of_the_hub_is_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dataset/hub.parquet");
        let captions = read_captions(path).unwrap();
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
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        write(
            &path,
            "REQUIRED BYTE_ARRAY label (UTF8);",
            &["a", "b"],
            None,
        );
        let error = read_captions(&path).unwrap_err().to_string();
        assert!(error.contains("got image, label"), "{error}");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(read_captions(&path).unwrap_err().kind(), "damaged");
    }
}
