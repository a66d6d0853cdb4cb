//! A folder that appears whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::parent_of;
use super::strays::{LOCK_FILE, PREFIX, sweep};
use crate::error::{Error, Result};

/// Fills a new folder beside `path`, then renames it onto `path`.
///
/// A folder that is there is replaced where [`check_folder_is_own`] says that it may be; it is
/// removed only after the new one is whole.
///
/// # Errors
/// As [`check_folder_is_own`], what `fill` returns, or [`Error::Io`]; `path` is then as it was
/// before.
pub fn write_folder_atomically(
    path: &Path,
    own: &[&str],
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let failed = |source| Error::io(path, source);
    check_folder_is_own(path, own)?;
    let parent = parent_of(path);
    fs::create_dir_all(parent).map_err(failed)?;
    sweep(parent);
    let temporary = temporary_in(parent).map_err(failed)?;
    // Held until the folder has its name, so that nobody takes it for a stray.
    let lock = File::create(temporary.path().join(LOCK_FILE)).map_err(failed)?;
    // File systems without locks exist; there, strays stay.
    let _locked = lock.try_lock();
    fill(temporary.path())?;
    let finished = temporary.keep();
    let placed = place(&finished, path);
    if placed.is_err() {
        let _removed = fs::remove_dir_all(&finished);
    }
    placed.map_err(failed)
}

/// Gives the folder `finished` the name `path`; one that is there is moved aside and removed.
fn place(finished: &Path, path: &Path) -> io::Result<()> {
    fs::remove_file(finished.join(LOCK_FILE))?;
    if !path.exists() {
        return fs::rename(finished, path);
    }
    if exchange(finished, path).is_ok() {
        // What was there has the temporary name now.
        return fs::remove_dir_all(finished);
    }
    let old = temporary_in(parent_of(path))?;
    let aside = old.path().join("folder");
    fs::rename(path, &aside)?;
    fs::rename(finished, path).inspect_err(|_| {
        // Should this fail as well, the old folder is where the error says it is.
        let _back = fs::rename(&aside, path);
    })
}

/// Exchanges the names of two folders at once, where the system can: at no moment is there none.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn exchange(_one: &Path, _other: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A folder with what a plain new one gets under the process's umask.
fn temporary_in(parent: &Path) -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o777));
    }
    builder.tempdir_in(parent)
}

/// Held while a folder is read and extended in place, so that two processes do not undo each other's
/// work.
#[derive(Debug)]
pub struct FolderLock {
    _folder: Option<File>,
}

impl FolderLock {
    /// Locks the folder at `path` until the value is dropped.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where another process holds it, [`Error::Io`] where there is none.
    pub fn hold(path: &Path) -> Result<Self> {
        let Some(folder) = opened(path)? else {
            return Ok(Self { _folder: None });
        };
        match folder.try_lock() {
            Err(fs::TryLockError::WouldBlock) => Err(Error::Unavailable(format!(
                "{}: another decap process is changing this folder; run the command again when it \
                 has ended",
                path.display()
            ))),
            // File systems without locks exist.
            Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(Self {
                _folder: Some(folder),
            }),
        }
    }

    /// As [`FolderLock::hold`], but waits for another process.
    ///
    /// # Errors
    /// [`Error::Io`] where there is no such folder.
    pub fn wait(path: &Path) -> Result<Self> {
        let folder = opened(path)?;
        if let Some(folder) = &folder {
            // File systems without locks exist.
            let _locked = folder.lock();
        }
        Ok(Self { _folder: folder })
    }
}

/// The folder at `path`, to be locked. Windows opens no folders as files; there, two processes are not kept
/// apart.
fn opened(path: &Path) -> Result<Option<File>> {
    if cfg!(not(unix)) {
        return Ok(None);
    }
    let folder = File::open(path).map_err(|source| Error::io(path, source))?;
    Ok(Some(folder))
}

/// Refuses a folder at `path` that may hold what somebody wants to keep: one with a file that is
/// not among `own`, or without the first of `own`, which marks its kind. No folder and an empty one
/// are fine.
///
/// # Errors
/// [`Error::Usage`] that names what is there, [`Error::Io`] where the folder cannot be read.
pub fn check_folder_is_own(path: &Path, own: &[&str]) -> Result<()> {
    let failed = |source| Error::io(path, source);
    let is_marked = own.first().is_some_and(|name| path.join(name).is_file());
    let entries = match fs::read_dir(path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_file = entry.file_type().map_err(failed)?.is_file();
        let is_own = is_marked && own.contains(&&*name) || name.starts_with(PREFIX);
        if !(is_file && is_own) {
            return Err(Error::Usage(format!(
                "{}: expected a new or an empty folder, got one with `{name}` in it; choose another",
                path.display()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::write_atomically;

    #[test]
    fn a_failed_folder_leaves_the_old_one() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("model");
        let fill = |text: &'static str| {
            move |folder: &Path| {
                write_atomically(&folder.join("a"), |file| file.write_all(text.as_bytes()))
            }
        };
        write_folder_atomically(&path, &["a"], fill("one")).unwrap();
        write_folder_atomically(&path, &["a"], fill("two")).unwrap();
        let failed = write_folder_atomically(&path, &["a"], |folder| {
            fill("three")(folder)?;
            Err(Error::Interrupted)
        });
        assert!(matches!(failed, Err(Error::Interrupted)));
        assert_eq!(fs::read(path.join("a")).unwrap(), b"two");
        assert_eq!(
            fs::read_dir(parent.path()).unwrap().count(),
            1,
            "no leftovers"
        );
    }

    #[test]
    fn a_folder_with_other_files_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let fill =
            |folder: &Path| write_atomically(&folder.join("rows"), |file| file.write_all(b"new"));
        for name in ["holiday.jpg", "captions", "rows/deeper"] {
            let path = parent.path().join("mine");
            fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
            fs::write(path.join(name), b"dear").unwrap();
            let error = write_folder_atomically(&path, &["rows", "captions"], fill).unwrap_err();
            assert_eq!(error.kind(), "usage");
            assert!(error.to_string().contains("mine"), "{error}");
            assert_eq!(fs::read(path.join(name)).unwrap(), b"dear");
            fs::remove_dir_all(&path).unwrap();
        }
        let path = parent.path().join("empty");
        fs::create_dir(&path).unwrap();
        write_folder_atomically(&path, &["rows"], fill).unwrap();
        let file = parent.path().join("file");
        fs::write(&file, b"dear").unwrap();
        assert!(write_folder_atomically(&file, &["rows"], fill).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"dear");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_is_changed_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::hold(folder.path()).unwrap();
        let error = FolderLock::hold(folder.path()).unwrap_err();
        assert_eq!(error.kind(), "unavailable");
        drop(first);
        FolderLock::hold(folder.path()).unwrap();
        let missing = FolderLock::hold(&folder.path().join("missing"));
        assert_eq!(missing.unwrap_err().kind(), "not_found");
    }

    #[test]
    fn an_abandoned_folder_is_swept() {
        let parent = tempfile::tempdir().unwrap();
        let stray = parent.path().join(".partial-dead");
        fs::create_dir(&stray).unwrap();
        fs::write(stray.join(LOCK_FILE), b"").unwrap();
        fs::write(stray.join("rows"), b"half").unwrap();
        let path = parent.path().join("memory");
        write_folder_atomically(&path, &["a"], |folder| {
            write_atomically(&folder.join("a"), |file| file.write_all(b"one"))
        })
        .unwrap();
        assert!(!stray.exists());
        // Killed before there was a lock: told by its age.
        fs::create_dir(&stray).unwrap();
        fs::write(stray.join("rows"), b"half").unwrap();
        let write = || {
            let fill =
                |folder: &Path| write_atomically(&folder.join("a"), |file| file.write_all(b"two"));
            write_folder_atomically(&path, &["a"], fill).unwrap();
        };
        write();
        assert!(stray.exists(), "it may be in the making");
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        File::open(&stray).unwrap().set_modified(old).unwrap();
        write();
        assert!(!stray.exists());
        let names: Vec<_> = fs::read_dir(&path).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "the lock is gone");
    }
}
