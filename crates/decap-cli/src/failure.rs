//! What ends a run, with the remedy that the command line knows.

use std::fmt;

use decap::Error;

/// How a run that came to its end went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every input was dealt with.
    AllWell,
    /// Some input failed; each was reported.
    SomeFailed,
}

/// What ends a run before its end.
#[derive(Debug)]
pub enum Failure {
    /// From the library.
    Library(Error),
    /// Standard output or a file could not be written.
    Output(std::io::Error),
    /// The reader of standard output went away: nothing to say, nothing went wrong.
    ReaderGone,
    /// The command line makes no sense.
    Usage(String),
    /// References and predictions cannot be scored.
    Scoring(String),
}

impl Failure {
    /// 0 where the reader went away, 2 for wrong usage, 130 after Ctrl-C, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Usage(_) | Self::Library(Error::Usage(_)) => 2,
            Self::Library(Error::Interrupted) => 130,
            _ => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(error) => {
                write!(formatter, "{error}")?;
                remedy(error).map_or(Ok(()), |remedy| write!(formatter, "\n  {remedy}"))
            }
            Self::Output(error) => write!(formatter, "cannot write: {error}"),
            Self::ReaderGone => Ok(()),
            Self::Usage(message) | Self::Scoring(message) => write!(formatter, "{message}"),
        }
    }
}

/// What to do about `error`, in terms of the command line.
pub fn remedy(error: &Error) -> Option<&'static str> {
    match error.kind() {
        "too_large" => Some("raise --max-file-mib or --max-megapixels if you trust this file"),
        "mismatch" if error.to_string().contains("memory") => {
            Some("build the memory again with `decap memory build --encoder ...`")
        }
        "model" => Some("get a fresh copy of this file, or make it again"),
        "interrupted" => Some("the same command with --resume goes on from here"),
        _ => None,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Output(error),
        }
    }
}
