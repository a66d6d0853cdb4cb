//! One file that appears whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::parent_of;
use super::strays::{PREFIX, sweep};
use crate::error::{Error, Result};

/// Writes a file under a temporary name beside `path`, then renames it onto `path`.
///
/// A symbolic link is followed, and a file that is replaced keeps its permissions. A device or a named
/// pipe is written to as it is.
///
/// # Errors
/// [`Error::Io`]; `path` is then as it was before, unless it is a device or a pipe.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    if let Ok(place) = resolved(path) {
        sweep(parent_of(&place));
    }
    write_one_of_many(path, write)
}

/// As [`write_atomically`], but does not look through the folder for what killed processes left there,
/// which takes time for each file in it. For the first file of a folder call that.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_one_of_many(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let failed = |source| Error::io(path, source);
    match Target::of(path).map_err(failed)? {
        Target::Stream(file) => {
            let mut buffered = io::BufWriter::with_capacity(1 << 20, file);
            write(&mut buffered)
                .and_then(|()| buffered.flush())
                .map_err(failed)
        }
        Target::File { place, replaced } => {
            fs::create_dir_all(parent_of(&place)).map_err(failed)?;
            let temporary = temporary_beside(&place).map_err(failed)?;
            let mut buffered = io::BufWriter::with_capacity(1 << 20, temporary);
            write(&mut buffered).map_err(failed)?;
            let temporary = buffered
                .into_inner()
                .map_err(|error| failed(error.into_error()))?;
            temporary.as_file().sync_all().map_err(failed)?;
            if let Some(permissions) = replaced {
                fs::set_permissions(temporary.path(), permissions).map_err(failed)?;
            }
            temporary
                .persist(&place)
                .map_err(|error| failed(error.error))?;
            Ok(())
        }
    }
}

/// Checks that `path` can be written, before the work whose result it is to hold.
///
/// # Errors
/// [`Error::Io`], as [`write_atomically`] would say it afterwards.
pub fn probe(path: &Path) -> Result<()> {
    let failed = |source| Error::io(path, source);
    match Target::of(path).map_err(failed)? {
        Target::Stream(_) => Ok(()),
        Target::File { place, .. } => {
            fs::create_dir_all(parent_of(&place)).map_err(failed)?;
            temporary_beside(&place).map(drop).map_err(failed)
        }
    }
}

/// Refuses to write `output` where it is one of `inputs`, under whatever name.
///
/// # Errors
/// [`Error::Usage`] that names both.
pub fn refuse_input<'p>(output: &Path, inputs: impl IntoIterator<Item = &'p Path>) -> Result<()> {
    let Some(id) = identity(output) else {
        return Ok(());
    };
    for input in inputs {
        if identity(input).as_ref() == Some(&id) {
            return Err(Error::Usage(format!(
                "{}: expected an output of its own, got the input {}; nothing was written",
                output.display(),
                input.display()
            )));
        }
    }
    Ok(())
}

/// Where an output goes.
enum Target {
    /// A device, a pipe, or a standard stream by its name: it cannot be replaced.
    Stream(File),
    /// A file, and the permissions of the one that it replaces.
    File {
        place: PathBuf,
        replaced: Option<fs::Permissions>,
    },
}

impl Target {
    fn of(path: &Path) -> io::Result<Self> {
        let place = resolved(path)?;
        let found = match fs::metadata(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            found => Some(found?),
        };
        // `/dev/stdout` may be a file by way of the shell; renamed over, it would be another one.
        let is_stream_name = path.starts_with("/dev") || path.starts_with("/proc");
        match found {
            Some(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Some(found) if found.is_file() && !is_stream_name => Ok(Self::File {
                place,
                replaced: Some(found.permissions()),
            }),
            Some(_) => OpenOptions::new().append(true).open(path).map(Self::Stream),
            None => Ok(Self::File {
                place,
                replaced: None,
            }),
        }
    }
}

/// What `path` leads to, through symbolic links, where it exists or not.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    /// As many as Linux follows.
    const MOST_LINKS: usize = 40;
    let mut place = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_symlink() => {
                let target = fs::read_link(&place)?;
                // An absolute target replaces the whole path.
                place = parent_of(&place).join(target);
            }
            _ => return Ok(place),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// A locked temporary file, which later strays are told from by the lock. It gets what a plain new
/// file gets under the process's umask.
fn temporary_beside(place: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(parent_of(place))?;
    // File systems without locks exist; there, strays stay.
    let _locked = temporary.as_file().try_lock();
    Ok(temporary)
}

/// Tells files apart: device and inode where there are such.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path).ok()?;
    // Many processes share a device.
    metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok().filter(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        write_atomically(&path, |file| file.write_all(b"old")).unwrap();
        let result = write_atomically(&path, |file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(matches!(result, Err(Error::Io { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no leftovers"
        );
    }

    #[test]
    fn an_output_that_is_an_input_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.jpg"), b"photo").unwrap();
        fs::create_dir(path("deep")).unwrap();
        let photo = path("a.jpg");
        let roundabout = path("deep").join("../a.jpg");
        assert!(refuse_input(&roundabout, [photo.as_path()]).is_err());
        assert!(refuse_input(&path("b.jpg"), [photo.as_path()]).is_ok());
        assert!(refuse_input(Path::new("/dev/null"), [Path::new("/dev/null")]).is_ok());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&photo, path("link")).unwrap();
            fs::hard_link(&photo, path("second")).unwrap();
            for name in ["link", "second"] {
                let error = refuse_input(&path(name), [photo.as_path()]).unwrap_err();
                assert_eq!(error.kind(), "usage");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_modes_and_devices_are_respected() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("elsewhere")).unwrap();
        fs::write(path("elsewhere/real"), b"old").unwrap();
        fs::set_permissions(path("elsewhere/real"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("elsewhere/real", path("link")).unwrap();
        symlink("elsewhere/new", path("dangling")).unwrap();
        for name in ["link", "dangling"] {
            write_atomically(&path(name), |file| file.write_all(b"new")).unwrap();
            assert!(fs::symlink_metadata(path(name)).unwrap().is_symlink());
            assert_eq!(fs::read(path(name)).unwrap(), b"new");
        }
        let mode = fs::metadata(path("elsewhere/real")).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o640);

        write_atomically(Path::new("/dev/null"), |file| file.write_all(b"gone")).unwrap();
        probe(Path::new("/dev/null")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        assert_eq!(probe(folder.path()).unwrap_err().kind(), "io");
    }

    #[test]
    fn strays_of_the_dead_are_swept_and_the_living_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let stray = folder.path().join(".partial-dead");
        fs::write(&stray, b"half").unwrap();
        let living = temporary_beside(&folder.path().join("other")).unwrap();
        write_atomically(&folder.path().join("file"), |file| file.write_all(b"new")).unwrap();
        assert!(!stray.exists());
        assert!(living.path().exists());
    }
}
