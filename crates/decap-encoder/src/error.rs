//! One error type; its variants say whose fault it is.

use std::io;
use std::path::{Path, PathBuf};

pub use decap_media::InputFault;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, sorted by whose fault it is.
///
/// Messages are lower case, name the file (and the tensor) and say what was expected and what
/// was found. They do not name command-line flags: a front end adds its own remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A photo, video or text given as input cannot be used.
    #[error("{}: {fault}", path.display())]
    Input {
        /// The input, or a name for it where it is not a file.
        path: PathBuf,
        /// What is wrong with it.
        fault: InputFault,
    },
    /// A model, encoder, memory or checkpoint is broken or not what it claims to be.
    #[error("{}: {message}", path.display())]
    Model {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, with the tensor's name where there is one.
        message: String,
    },
    /// A model, encoder or checkpoint that may well be sound, but is of a kind that is not read; the
    /// message says which kind is.
    #[error("{}: {message}", path.display())]
    Unsupported {
        /// The file or folder.
        path: PathBuf,
        /// What it is, and what would be read.
        message: String,
    },
    /// Two parts that do not belong together: a memory of another encoder, another width.
    #[error("{0}")]
    Mismatch(String),
    /// The caller asked for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Something that is needed is not here: a text tower, a program, the network.
    #[error("{0}")]
    Unavailable(String),
    /// The work was stopped on request; what was written so far is whole.
    #[error("interrupted")]
    Interrupted,
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

    /// An [`Error::Model`] about `path`.
    pub fn model(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Self::Model {
            path: path.as_ref().to_path_buf(),
            message: message.into(),
        }
    }

    /// An [`Error::Unsupported`] about `path`.
    pub fn unsupported(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Self::Unsupported {
            path: path.as_ref().to_path_buf(),
            message: message.into(),
        }
    }

    /// A short stable word for programs: the `kind` of a JSON error record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "not_found",
                io::ErrorKind::PermissionDenied => "permission_denied",
                _ => "io",
            },
            Self::Input { fault, .. } => fault.kind(),
            Self::Model { .. } => "model",
            Self::Unsupported { .. } => "unsupported",
            Self::Mismatch(_) => "mismatch",
            Self::Usage(_) => "usage",
            Self::Unavailable(_) => "unavailable",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<decap_media::Error> for Error {
    fn from(error: decap_media::Error) -> Self {
        use decap_media::Error as Media;
        match error {
            Media::Io { path, source } => Self::Io { path, source },
            Media::Input { path, fault } => Self::Input { path, fault },
            Media::Usage(message) => Self::Usage(message),
            Media::Unavailable(message) => Self::Unavailable(message),
            // The enum may grow; what it says stays.
            other => Self::Usage(other.to_string()),
        }
    }
}
