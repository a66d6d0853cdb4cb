//! Files that appear whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// What the names of unfinished files begin with.
const TEMPORARY_PREFIX: &str = ".partial-";

/// Writes a file under a temporary name beside `path`, then renames it onto `path`.
///
/// # Errors
/// [`Error::Io`]; `path` is then as it was before.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let failed = |source| Error::io(path, source);
    let parent = parent_of(path);
    fs::create_dir_all(parent).map_err(failed)?;
    let temporary = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .tempfile_in(parent)
        .map_err(failed)?;
    let mut buffered = io::BufWriter::with_capacity(1 << 20, temporary);
    write(&mut buffered).map_err(failed)?;
    let temporary = buffered
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    temporary.as_file().sync_all().map_err(failed)?;
    set_default_permissions(temporary.as_file()).map_err(failed)?;
    temporary
        .persist(path)
        .map_err(|error| failed(error.error))?;
    Ok(())
}

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
    let temporary = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .tempdir_in(parent)
        .map_err(failed)?;
    fill(temporary.path())?;
    let finished = temporary.keep();
    make_folder_readable(&finished).map_err(failed)?;
    if path.exists() {
        let old = tempfile::Builder::new()
            .prefix(".old-")
            .tempdir_in(parent)
            .map_err(failed)?;
        let aside = old.path().join("folder");
        fs::rename(path, &aside).map_err(failed)?;
        return fs::rename(&finished, path).map_err(|source| {
            // Should this fail as well, the old folder is where the error says it is.
            let _ = fs::rename(&aside, path);
            failed(source)
        });
    }
    fs::rename(&finished, path).map_err(failed)
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
        let is_own = is_marked && own.contains(&&*name) || name.starts_with(TEMPORARY_PREFIX);
        if !(is_file && is_own) {
            return Err(Error::Usage(format!(
                "{}: expected a new or an empty folder, got one with `{name}` in it; choose another",
                path.display()
            )));
        }
    }
    Ok(())
}

/// The folder that `path` lies in.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Temporary files are made private; the finished file gets what a plain new file would get.
#[cfg(unix)]
fn set_default_permissions(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_default_permissions(_file: &fs::File) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn make_folder_readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_folder_readable(_path: &Path) -> io::Result<()> {
    Ok(())
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
}
