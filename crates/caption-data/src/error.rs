//! What can go wrong, by whose fault it is.

use std::io;
use std::path::{Path, PathBuf};

/// Why a caption file could not be read. Every message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system could not open or read the file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file may well be sound, but this crate does not read its kind; the message says what to
    /// convert it to.
    #[error("{}: {message}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is, and what would be read.
        message: String,
    },
    /// The file's kind is known, but its bytes are damaged or cut short.
    #[error("{}: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// The file, what it unpacks to or one of its captions is over a limit.
    #[error("{}: {message}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit, and what to do.
        message: String,
    },
    /// There is no caption in the file.
    #[error("{}: expected at least one caption, got none", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The text of the file is not what was expected.
    #[error("{}: {message}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What was expected, what was found, and in which line or entry.
        message: String,
    },
}

impl Error {
    /// The file that the error is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::Unsupported { path, .. }
            | Self::Damaged { path, .. }
            | Self::TooLarge { path, .. }
            | Self::Empty { path }
            | Self::Text { path, .. } => path,
        }
    }
}

/// What is wrong, before the file's name is put to it.
#[derive(Debug)]
pub(crate) enum Fault {
    #[cfg(feature = "parquet")]
    Io(io::Error),
    Unsupported(String),
    #[cfg(feature = "parquet")]
    Damaged(String),
    TooLarge(String),
    Text(String),
}

impl Fault {
    /// The error about `path`.
    pub(crate) fn of(self, path: &Path) -> Error {
        let path = path.to_path_buf();
        match self {
            #[cfg(feature = "parquet")]
            Self::Io(source) => Error::Io { path, source },
            Self::Unsupported(message) => Error::Unsupported { path, message },
            #[cfg(feature = "parquet")]
            Self::Damaged(message) => Error::Damaged { path, message },
            Self::TooLarge(message) => Error::TooLarge { path, message },
            Self::Text(message) => Error::Text { path, message },
        }
    }

    /// The same fault with its place in front: `line 3`, `entry 7`.
    pub(crate) fn at(self, place: impl std::fmt::Display) -> Self {
        match self {
            Self::Unsupported(message) => Self::Unsupported(format!("{place}: {message}")),
            Self::TooLarge(message) => Self::TooLarge(format!("{place}: {message}")),
            Self::Text(message) => Self::Text(format!("{place}: {message}")),
            #[cfg(feature = "parquet")]
            other => other,
        }
    }
}

/// Texts are what most faults are about.
impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self::Text(message)
    }
}

impl From<&str> for Fault {
    fn from(message: &str) -> Self {
        Self::Text(message.to_owned())
    }
}
