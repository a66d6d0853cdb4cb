//! Unfinished files and folders, and those that a killed process left behind.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What the names of unfinished files and folders begin with.
pub(super) const PREFIX: &str = ".partial-";

/// The file within an unfinished folder that its process holds a lock on.
pub(super) const LOCK_FILE: &str = ".lock";

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
    // A folder without a lock file is being made at this moment, or is none of ours.
    let file = File::open(&lock)?;
    if file.try_lock().is_err() {
        return Ok(());
    }
    match metadata.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}
