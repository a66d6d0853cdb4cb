//! Immutable bytes that are mapped from a file, compiled into the program, or owned.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use decap_kernels::mapped_file::MappedFile;

use crate::error::{Error, Result};

/// Immutable bytes; a clone shares them.
#[derive(Clone)]
pub enum Bytes {
    /// Compiled into the program.
    Static(&'static [u8]),
    /// Mapped from a file.
    Mapped(Arc<MappedFile>),
    /// In memory of their own.
    Owned(Arc<[u8]>),
}

impl Bytes {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be opened.
    pub fn map(path: &Path) -> Result<Self> {
        let mapped = MappedFile::open(path).map_err(|source| Error::io(path, source))?;
        Ok(Self::Mapped(Arc::new(mapped)))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Static(bytes) => bytes,
            Self::Mapped(file) => file,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes.into())
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Bytes({} bytes)", self.len())
    }
}
