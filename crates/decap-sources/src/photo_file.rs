//! A photo's file, replaced whole or not at all, and only as it was when it was captioned.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use decap::media::HEAD_BYTES;
use decap::media::image::read_within;
use decap::output::{write_atomically, write_one_of_many};
use decap::{Error, InputFault, Result};

/// What tells that a file was changed: its length and the time of its last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

/// What becomes of the time of a file's last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Times {
    /// It is that of the writing.
    #[default]
    New,
    /// It stays.
    Kept,
}

/// Whether files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effect {
    /// They are.
    #[default]
    Write,
    /// They are read, so that it can be told what would be written.
    Pretend,
}

impl FileStamp {
    /// The stamp of a file, through links.
    ///
    /// # Errors
    /// [`Error::Io`] where there is none.
    pub fn of(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|source| Error::io(path, source))?;
        Ok(Self::of_metadata(&metadata))
    }

    fn of_metadata(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }
}

/// A file that was read, to be replaced.
pub(crate) struct ReadFile {
    pub bytes: Vec<u8>,
    stamp: FileStamp,
}

impl ReadFile {
    /// Reads a file of at most `most` bytes; one that has not got the stamp `expected` was changed since.
    pub(crate) fn open(path: &Path, most: u64, expected: Option<&FileStamp>) -> Result<Self> {
        let stamp = FileStamp::of(path)?;
        if expected.is_some_and(|expected| *expected != stamp) {
            return Err(Error::io(path, changed()));
        }
        let bytes = read_within(path, most)?;
        Ok(Self { bytes, stamp })
    }

    /// Gives the file other content.
    pub(crate) fn replace(&self, path: &Path, bytes: &[u8], times: Times) -> Result<()> {
        let failed = |source| Error::io(path, source);
        let metadata = fs::metadata(path).map_err(failed)?;
        if metadata.permissions().readonly() {
            let message = "the file is read-only, so nothing was written into it";
            let error = io::Error::new(io::ErrorKind::PermissionDenied, message);
            return Err(failed(error));
        }
        write_whole(path, |out| {
            out.write_all(bytes)?;
            out.flush()?;
            self.check(path)
        })?;
        match (times, self.stamp.modified) {
            (Times::Kept, Some(modified)) => {
                let file = File::options().append(true).open(path).map_err(failed)?;
                file.set_modified(modified).map_err(failed)
            }
            _ => Ok(()),
        }
    }

    /// Removes the file.
    pub(crate) fn remove(&self, path: &Path) -> Result<()> {
        self.check(path)
            .and_then(|()| fs::remove_file(path))
            .map_err(|source| Error::io(path, source))
    }

    /// Whether the file is as it was read.
    fn check(&self, path: &Path) -> io::Result<()> {
        match FileStamp::of_metadata(&fs::metadata(path)?) == self.stamp {
            true => Ok(()),
            false => Err(changed()),
        }
    }
}

fn changed() -> io::Error {
    io::Error::other(
        "the file was changed while it was being captioned, so nothing was written into it",
    )
}

/// Writes a file whole or not at all. Of many in one folder, only the first looks for what killed
/// processes have left there.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    /// The folder that was looked through last.
    static SWEPT: Mutex<Option<PathBuf>> = Mutex::new(None);
    let folder = path.parent().map(Path::to_path_buf);
    let before = {
        let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *swept, folder.clone())
    };
    match before == folder {
        true => write_one_of_many(path, write),
        false => write_atomically(path, write),
    }
}

/// The first bytes of a file, which tell what it is.
pub(crate) fn head_of(path: &Path) -> Result<Vec<u8>> {
    let failed = |source| Error::io(path, source);
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        let message = "captions are written into regular files alone".to_owned();
        return Err(Error::input(path, InputFault::Unsupported(message)));
    }
    let mut head = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(HEAD_BYTES as u64)
        .read_to_end(&mut head)
        .map_err(failed)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_changed_meanwhile_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        fs::write(&path, b"before").unwrap();
        let stamp = FileStamp::of(&path).unwrap();
        let read = ReadFile::open(&path, 10, Some(&stamp)).unwrap();
        fs::write(&path, b"a person's").unwrap();
        let error = read.replace(&path, b"decap's", Times::New).unwrap_err();
        assert!(error.to_string().contains("was changed"), "{error}");
        assert!(read.remove(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"a person's");
        assert!(ReadFile::open(&path, 10, Some(&stamp)).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn times_stay_on_request_and_modes_always() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        fs::write(&path, b"before").unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        File::options()
            .append(true)
            .open(&path)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
        for (times, is_kept) in [(Times::Kept, true), (Times::New, false)] {
            let read = ReadFile::open(&path, 10, None).unwrap();
            read.replace(&path, b"after", times).unwrap();
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            assert_eq!(modified == long_ago, is_kept);
        }
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
        let read = ReadFile::open(&path, 10, None).unwrap();
        let error = read.replace(&path, b"more", Times::New).unwrap_err();
        assert_eq!(error.kind(), "permission_denied");
        assert!(error.to_string().contains("read-only"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"after");
    }
}
