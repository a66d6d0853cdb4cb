//! One file that holds or lists many photos: an archive or a table, read one photo after the other.
//!
//! Nothing is unpacked to disk. The names in an archive are labels alone, whatever they say.

mod archive;
mod bounded;
mod fetched;
mod kind;
mod parquet;
mod table;
mod tarred;
#[cfg(test)]
mod tests;
mod zipped;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use decap::{Error, Input, InputFault, Result};
use parser_guard::guarded;

use crate::fetch::{Done, Reach};

pub(crate) use archive::label;
use fetched::Fetched;
pub use kind::SourceKind;
pub use table::{CaptionedRow, for_each_caption};
pub(crate) use tarred::open as open_tar;

/// Photos that are read ahead, beside the one that is being looked at.
const AHEAD: usize = 2;

/// How a source is read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SourceOptions {
    /// Largest photo in an archive, in bytes. Default 512 MiB.
    pub file_bytes: u64,
    /// The column of a table that holds paths or photos; a usual name where there is none.
    pub column: Option<String>,
    /// Which addresses of the web are fetched.
    pub reach: Reach,
    /// Addresses that need not be fetched: they are given as paths.
    pub done: Done,
    /// The column of a table that holds captions; a usual name where there is none.
    pub caption_column: Option<String>,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            file_bytes: 512 << 20,
            column: None,
            reach: Reach::default(),
            done: Done::default(),
            caption_column: None,
        }
    }
}

/// The photos of one archive or table, in its order. Memory does not grow with their number.
///
/// What cannot be read has its error in its place. An error of the source itself is told by
/// [`Source::end`].
///
/// ```
/// use decap_sources::source::{Source, SourceKind, SourceOptions};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("photos.csv");
/// std::fs::write(&path, "path,who\n/photos/a.jpg,Ada\n")?;
/// let kind = SourceKind::of(&path).unwrap();
/// let photos: Vec<_> = Source::open(path, kind, SourceOptions::default()).collect();
/// assert_eq!(photos[0].as_ref().unwrap().name(), std::path::Path::new("/photos/a.jpg"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Source {
    photos: Receiver<Given>,
    end: SourceEnd,
}

/// What a source's thread gives.
#[derive(Debug)]
enum Given {
    /// A photo, or why there is none.
    Photo(Box<Result<Input>>),
    /// The source cannot be read any further.
    Broken(Error),
}

/// How a source ended, once all its photos were taken.
#[derive(Debug, Clone, Default)]
pub struct SourceEnd(Arc<Mutex<Option<Error>>>);

impl SourceEnd {
    /// Why it ended early; nothing where it was read to its end. It is told once.
    pub fn error(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

impl Source {
    /// Reads `path` as `kind`, on a thread of its own, which ends when this is dropped.
    pub fn open(path: PathBuf, kind: SourceKind, options: SourceOptions) -> Self {
        let place = path.clone();
        Self::of(place, move |give| match kind {
            SourceKind::Tar => tarred::read(&path, &options, give),
            SourceKind::Zip => zipped::read(&path, &options, give),
            SourceKind::Delimited(delimiter) => {
                table::read_delimited(&path, delimiter, &options, give)
            }
            SourceKind::JsonLines => table::read_json_lines(&path, &options, give),
            SourceKind::Parquet => parquet::read(&path, &options, give),
        })
    }

    /// Fetches photos of the web, as [`Source::open`] does those that a table lists.
    pub fn fetch(addresses: Vec<PathBuf>, options: SourceOptions) -> Self {
        let place = addresses.first().cloned().unwrap_or_default();
        Self::of(place, move |give| {
            let mut fetched = Fetched::new(&options, give);
            for address in addresses {
                fetched.push(Ok(Input::from(address)))?;
            }
            fetched.finish()
        })
    }

    /// What `read` gives, on a thread of its own. `place` is named where it cannot go on.
    fn of(
        place: PathBuf,
        read: impl FnOnce(&mut Give<'_>) -> Result<(), Ended> + Send + 'static,
    ) -> Self {
        let (sender, photos) = sync_channel(AHEAD);
        let end = SourceEnd::default();
        let name = place.clone();
        let thread = thread::Builder::new().spawn(move || {
            let mut give = |photo| {
                let given = Given::Photo(Box::new(photo));
                sender.send(given).map_err(|_| Ended::NobodyReads)
            };
            let read = || read(&mut give);
            let ended = guarded("archive", read, |message| damaged(&place, message).into());
            if let Err(Ended::Failed(error)) = ended {
                // Where nobody reads, nobody is to be told.
                let _told = sender.send(Given::Broken(*error));
            }
        });
        if let Err(error) = thread {
            end.set(Error::io(name, error));
        }
        Self { photos, end }
    }

    /// Tells, once all photos were taken, whether the end came early.
    pub fn end(&self) -> SourceEnd {
        self.end.clone()
    }
}

impl Iterator for Source {
    type Item = Result<Input>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.photos.recv().ok()? {
            Given::Photo(photo) => Some(*photo),
            Given::Broken(error) => {
                self.end.set(error);
                None
            }
        }
    }
}

/// Why reading ended before the last photo.
enum Ended {
    /// The source cannot be read any further.
    Failed(Box<Error>),
    /// The receiver is gone.
    NobodyReads,
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// Takes the photos of a source.
type Give<'g> = dyn FnMut(Result<Input>) -> Result<(), Ended> + 'g;

/// A source or a photo in it that is damaged or cut short.
pub(crate) fn damaged(path: &Path, message: impl Into<String>) -> Error {
    Error::input(path, InputFault::Damaged(message.into()))
}
