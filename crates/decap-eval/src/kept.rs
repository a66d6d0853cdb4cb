//! Work that is kept between runs: files of JSON lines that only grow.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use decap::{Error, Result};

/// An open file of records, one JSON line each.
pub(super) struct Kept {
    path: PathBuf,
    file: File,
}

impl Kept {
    /// Opens the file at `path`, or makes it, and calls `visit` with each record that is there.
    ///
    /// A run that was killed may have left half a line: it is cut off. A line that is no record
    /// is passed over.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn open<T: DeserializeOwned>(path: &Path, mut visit: impl FnMut(T)) -> Result<Self> {
        let failed = |source| Error::io(path, source);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let file = options.open(path).map_err(failed)?;
        let mut reader = BufReader::with_capacity(1 << 16, &file);
        let (mut line, mut whole) = (Vec::new(), 0);
        loop {
            line.clear();
            let count = reader.read_until(b'\n', &mut line).map_err(failed)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            whole += count as u64;
            if let Ok(record) = serde_json::from_slice(&line) {
                visit(record);
            }
        }
        if !line.is_empty() {
            file.set_len(whole).map_err(failed)?;
        }
        Ok(Self {
            path: path.to_path_buf(),
            file,
        })
    }

    /// Adds records, in one write.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn append<T: Serialize>(&mut self, records: &[T]) -> Result<()> {
        let failed = |source| Error::io(&self.path, source);
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record).map_err(|error| failed(error.into()))?;
            lines.push(b'\n');
        }
        self.file.write_all(&lines).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_line_is_dropped_and_the_rest_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/kept.jsonl");
        let read = |path: &Path| {
            let mut found: Vec<u32> = Vec::new();
            let kept = Kept::open(path, |record| found.push(record)).unwrap();
            (kept, found)
        };
        let (mut kept, found) = read(&path);
        assert!(found.is_empty());
        kept.append(&[1, 2]).unwrap();
        kept.append(&[3]).unwrap();
        fs::write(&path, b"1\n2\nno record\n3\n12").unwrap();
        let (mut kept, found) = read(&path);
        assert_eq!(found, [1, 2, 3]);
        kept.append(&[4]).unwrap();
        assert_eq!(read(&path).1, [1, 2, 3, 4]);
    }
}
