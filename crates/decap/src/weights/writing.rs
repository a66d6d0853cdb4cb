//! Files that appear whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::error::{Error, Result};

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
        .prefix(".partial-")
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
/// An existing folder at `path` is replaced; it is removed only after the new one is whole.
///
/// # Errors
/// What `fill` returns, or [`Error::Io`]; `path` is then as it was before.
pub fn write_folder_atomically(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let failed = |source| Error::io(path, source);
    let parent = parent_of(path);
    fs::create_dir_all(parent).map_err(failed)?;
    let temporary = tempfile::Builder::new()
        .prefix(".partial-")
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
        fs::rename(path, old.path().join("folder")).map_err(failed)?;
        fs::rename(&finished, path).map_err(failed)?;
        return Ok(());
    }
    fs::rename(&finished, path).map_err(failed)
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
        write_folder_atomically(&path, fill("one")).unwrap();
        write_folder_atomically(&path, fill("two")).unwrap();
        let failed = write_folder_atomically(&path, |folder| {
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
}
