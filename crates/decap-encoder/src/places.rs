//! Where models and encoders are found by what they are called.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::precision::Precision;
use crate::weights::Folder;

/// Finds the folder that a reference names.
///
/// The library knows paths alone ([`Disk`]). A program that carries a model, or downloads them, knows
/// more names; a model may name its encoder by one of them.
pub trait Places: Send + Sync {
    /// The folder that `reference` names.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Unavailable`] where there is none.
    fn find(&self, reference: &str) -> Result<Folder>;
}

/// Paths of this machine, and no other names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disk;

impl Places for Disk {
    fn find(&self, reference: &str) -> Result<Folder> {
        let path = Path::new(reference);
        if path.is_dir() {
            return Ok(Folder::disk(path));
        }
        let kind = match path.exists() {
            true => ErrorKind::NotADirectory,
            false => ErrorKind::NotFound,
        };
        Err(Error::io(path, kind.into()))
    }
}

/// How a model or an encoder is opened.
#[derive(Clone)]
#[non_exhaustive]
pub struct OpenOptions {
    /// What its networks compute in. Default [`Precision::Auto`].
    pub precision: Precision,
    /// Where it is found, and the encoder that it names. Default [`Disk`].
    pub places: Arc<dyn Places>,
}

impl OpenOptions {
    /// These options with another precision.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// These options with other places to look in.
    #[must_use]
    pub fn places(mut self, places: impl Places + 'static) -> Self {
        self.places = Arc::new(places);
        self
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            precision: Precision::default(),
            places: Arc::new(Disk),
        }
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OpenOptions")
            .field("precision", &self.precision)
            .finish_non_exhaustive()
    }
}
