//! What ends a run, with the remedy that the command line knows.

use std::borrow::Cow;
use std::fmt;

use decap::media::Limit;
use decap::{Error, InputFault};

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
    /// From the library, with a remedy that only the command knows.
    WithRemedy(Error, Cow<'static, str>),
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
            Self::Usage(_)
            | Self::Library(Error::Usage(_))
            | Self::WithRemedy(Error::Usage(_), _) => 2,
            Self::Library(Error::Interrupted) | Self::WithRemedy(Error::Interrupted, _) => 130,
            _ => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(error) => {
                write!(formatter, "{error}")?;
                let remedy = match error.kind() {
                    "too_large" => Some("make it smaller, or leave it out"),
                    _ => remedy(error),
                };
                remedy.map_or(Ok(()), |remedy| write!(formatter, "\n  {remedy}"))
            }
            Self::WithRemedy(error, remedy) => write!(formatter, "{error}\n  {remedy}"),
            Self::Output(error) => write!(formatter, "cannot write: {error}"),
            Self::ReaderGone => Ok(()),
            Self::Usage(message) | Self::Scoring(message) => write!(formatter, "{message}"),
        }
    }
}

/// What to do about `error` of a photo or video, in terms of the command line.
pub fn remedy(error: &Error) -> Option<&'static str> {
    if let Error::Io { source, .. } = error
        && source.kind() == std::io::ErrorKind::StorageFull
    {
        return Some("make room on that disk, then run the same command again");
    }
    if let Error::Input { fault, .. } = error
        && let Some(remedy) = remedy_of_input(fault)
    {
        return Some(remedy);
    }
    match error.kind() {
        // A kind of model: its message names the way.
        "unsupported" if matches!(error, Error::Unsupported { .. }) => None,
        "not_found" => Some("check that it is there, and its spelling"),
        "permission_denied" => Some("change its permissions, or run this as its owner"),
        // Its message says what to convert it to.
        "unsupported" if error.to_string().contains("convert it") => None,
        "unsupported" => Some("convert it to JPEG, PNG or MP4, or leave it out"),
        "damaged" => Some("get a fresh copy of this file, or leave it out"),
        // A bound that no option raises.
        "too_large" => Some("make it smaller, or leave it out"),
        // Its message names the option.
        "invalid_text" if error.to_string().contains("name it with --") => None,
        "invalid_text" => {
            Some("correct it; captions are UTF-8 text: one a line, a table with a header, or JSON")
        }
        "mismatch" => Some(
            "use parts that were made together: `decap memory build --encoder ...` builds a memory anew",
        ),
        "model" => Some(
            "get a fresh copy of this file, make it again, or update decap where it is the older one",
        ),
        "interrupted" => Some("run the same command again to begin anew"),
        _ => None,
    }
}

/// What to do about a photo or video whose fault says which cause it has.
fn remedy_of_input(fault: &InputFault) -> Option<&'static str> {
    match fault {
        InputFault::OverLimit { limit, .. } => match limit {
            Limit::FileBytes => Some("if you trust this file, raise --max-file-mib"),
            Limit::Pixels => Some("if you trust this file, raise --max-megapixels"),
            Limit::Time => Some("if you trust this file, raise --max-video-seconds"),
            _ => None,
        },
        InputFault::Unsupported(message) if message.ends_with("got text") => Some(
            "`decap embed --text FILE` reads sentences; `decap caption -` reads a list of paths",
        ),
        InputFault::Unsupported(message) if message.contains("in a regular file") => {
            Some("copy it to a file first")
        }
        InputFault::Unsupported(message) if message.contains("a playlist") => {
            Some("give the videos that it names")
        }
        _ => None,
    }
}

impl Failure {
    /// This failure with the remedy `to_resume` where the run was stopped, and `to_fit` where it
    /// does not fit what it was to go on from.
    pub fn of_resumable(error: Error, to_resume: &'static str, to_fit: &'static str) -> Self {
        match &error {
            Error::Interrupted => Self::WithRemedy(error, to_resume.into()),
            Error::Mismatch(_) => Self::WithRemedy(error, to_fit.into()),
            _ => Self::Library(error),
        }
    }
}

/// `error` about one input of several as a line for standard error, with its remedy.
pub fn complaint(error: &Error) -> String {
    let remedy = remedy(error).map_or_else(String::new, |remedy| format!(" ({remedy})"));
    format!("decap: {error}{remedy}")
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
