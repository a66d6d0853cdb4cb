//! Immutable bytes that are mapped from a file, compiled into the program, or owned.

use std::fmt;
use std::fs;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use decap_kernels::mapped_file::MappedFile;

use crate::error::{Error, Result};

/// Immutable bytes; a clone or a [`slice`](Bytes::slice) shares them.
#[derive(Clone)]
pub struct Bytes {
    storage: Storage,
    range: Range<usize>,
}

#[derive(Clone)]
enum Storage {
    Static(&'static [u8]),
    Mapped(Arc<MappedFile>),
    Owned(Arc<[u8]>),
}

impl Bytes {
    /// Maps the file at `path`; a small one is copied, so that it may be changed meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be opened, or is no regular file.
    pub fn map(path: &Path) -> Result<Self> {
        /// A copy of a description or a tokenizer costs nothing.
        const COPIED_BYTES: u64 = 1 << 20;
        let found = fs::metadata(path).map_err(|source| Error::io(path, source))?;
        if found.is_file() && found.len() <= COPIED_BYTES {
            let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
            return Ok(bytes.into());
        }
        let mapped = MappedFile::open(path).map_err(|source| Error::io(path, source))?;
        Ok(Self {
            range: 0..mapped.len(),
            storage: Storage::Mapped(Arc::new(mapped)),
        })
    }

    /// Bytes compiled into the program.
    pub fn from_static(bytes: &'static [u8]) -> Self {
        Self {
            storage: Storage::Static(bytes),
            range: 0..bytes.len(),
        }
    }

    /// The bytes compiled into the program, where these are such.
    pub fn as_static(&self) -> Option<&'static [u8]> {
        match self.storage {
            Storage::Static(bytes) => Some(&bytes[self.range.clone()]),
            _ => None,
        }
    }

    /// Lets go of the pages of `range` where the bytes are mapped: they have been copied. They are
    /// read anew when they are looked at again.
    pub(crate) fn release(&self, range: Range<usize>) {
        if let Storage::Mapped(file) = &self.storage {
            let start = self.range.start.saturating_add(range.start);
            file.release(
                start
                    ..self
                        .range
                        .end
                        .min(self.range.start.saturating_add(range.end)),
            );
        }
    }

    /// A part of these bytes, sharing them.
    ///
    /// # Panics
    /// If `range` reaches past the end.
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.len(),
            "a range within the bytes"
        );
        let range = self.range.start + range.start..self.range.start + range.end;
        Self {
            storage: self.storage.clone(),
            range,
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let whole: &[u8] = match &self.storage {
            Storage::Static(bytes) => bytes,
            Storage::Mapped(file) => file,
            Storage::Owned(bytes) => bytes,
        };
        &whole[self.range.clone()]
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            range: 0..bytes.len(),
            storage: Storage::Owned(bytes.into()),
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Bytes({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_may_be_cut_while_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, vec![b'x'; 5000]).unwrap();
        let bytes = Bytes::map(&path).unwrap();
        fs::write(&path, b"").unwrap();
        assert!(bytes.iter().all(|&byte| byte == b'x') && bytes.len() == 5000);
        assert!(Bytes::map(folder.path()).is_err());
    }
}
