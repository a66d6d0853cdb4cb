//! Unfinished files and folders, and those that a killed process left behind.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the names of unfinished files and folders begin with.
pub(super) const PREFIX: &str = ".partial-";

/// The file within an unfinished folder that its process holds a lock on.
pub(super) const LOCK_FILE: &str = ".lock";

/// Far longer than it takes to make a lock file, or to rename a folder.
const ABANDONED: Duration = Duration::from_secs(600);

/// Removes what killed processes left unfinished in `parent`: everything under a temporary name whose
/// lock nobody holds. It is no error where that cannot be done: another user's are not ours to remove.
pub(super) fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            let _swept = sweep_one(&entry.path());
        }
    }
}

fn sweep_one(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let lock: PathBuf = match metadata.is_dir() {
        true => path.join(LOCK_FILE),
        false => path.to_path_buf(),
    };
    match File::open(&lock) {
        Ok(file) if file.try_lock().is_err() => return Ok(()),
        Ok(_) => {}
        // A folder without a lock file is being made, named or removed at this moment, unless nothing has
        // happened to it for long: then its process is dead.
        Err(error) if error.kind() == io::ErrorKind::NotFound && metadata.is_dir() => {
            if metadata.modified()?.elapsed().unwrap_or_default() < ABANDONED {
                return Ok(());
            }
        }
        Err(error) => return Err(error),
    }
    match metadata.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}
