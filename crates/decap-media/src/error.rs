//! What can be wrong with a photo or a video.

use std::io;
use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by whose fault it is. Messages are lower case and name the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A photo or video cannot be used.
    #[error("{}: {fault}", path.display())]
    Input {
        /// The input, or a name for it where it is not a file.
        path: PathBuf,
        /// What is wrong with it.
        fault: InputFault,
    },
    /// The caller asked for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A program that is needed is not here.
    #[error("{0}")]
    Unavailable(String),
}

/// A limit that the caller may raise for a file that is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::file_bytes`](crate::Limits::file_bytes).
    FileBytes,
    /// [`Limits::pixels`](crate::Limits::pixels).
    Pixels,
    /// [`VideoOptions::timeout`](crate::VideoOptions::timeout).
    Time,
}

/// What is wrong with an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputFault {
    /// The bytes are of no supported kind.
    #[error("{0}")]
    Unsupported(String),
    /// The right kind, but damaged or cut short.
    #[error("{0}")]
    Damaged(String),
    /// Over a limit that the caller may raise.
    #[error("{message}")]
    OverLimit {
        /// Which limit that is.
        limit: Limit,
        /// What was expected and what was found.
        message: String,
    },
    /// Over a bound on memory or work that guards against hostile files.
    #[error("{0}")]
    TooLarge(String),
    /// Nothing in it.
    #[error("{0}")]
    Empty(String),
    /// Text that is not usable text; the message names the line.
    #[error("{0}")]
    Text(String),
}

impl Error {
    /// An [`Error::Io`] about `path`.
    pub fn io(path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io {
            path: path.as_ref().to_path_buf(),
            source,
        }
    }

    /// An [`Error::Input`] about `path`.
    pub fn input(path: impl AsRef<Path>, fault: InputFault) -> Self {
        Self::Input {
            path: path.as_ref().to_path_buf(),
            fault,
        }
    }

    /// A short stable word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "not_found",
                io::ErrorKind::PermissionDenied => "permission_denied",
                _ => "io",
            },
            Self::Input { fault, .. } => fault.kind(),
            Self::Usage(_) => "usage",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl InputFault {
    /// A short stable word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unsupported(_) => "unsupported",
            Self::Damaged(_) => "damaged",
            Self::OverLimit { .. } | Self::TooLarge(_) => "too_large",
            Self::Empty(_) => "empty",
            Self::Text(_) => "invalid_text",
        }
    }
}

/// A fault about a photo of a kind, such as "HEIC", that is sound but not read.
pub(crate) fn unread(kind: &str) -> InputFault {
    InputFault::Unsupported(format!(
        "{kind} photos are not read; convert it to JPEG or PNG"
    ))
}

/// A fault about a photo of a kind that is read where `feature` is built in.
#[cfg(not(all(feature = "avif", feature = "jxl")))]
pub(crate) fn not_built_in(kind: &str, feature: &str) -> InputFault {
    InputFault::Unsupported(format!(
        "{kind} photos are not read by this build, which lacks the feature `{feature}`; convert it to \
         JPEG or PNG"
    ))
}

/// A fault that says what about a TIFF is not read, and what to do.
pub(crate) fn unread_tiff(what: &str) -> InputFault {
    InputFault::Unsupported(format!(
        "a TIFF with {what} is not read; convert it to JPEG or PNG"
    ))
}
