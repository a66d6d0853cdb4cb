//! The one way out: files and folders that appear whole or not at all, and are never written over
//! what somebody wants to keep.

mod file;
mod folder;
mod strays;

pub use file::{probe, refuse_input, write_atomically, write_one_of_many};
pub use folder::{FolderLock, check_folder_is_own, write_folder_atomically};

use std::path::Path;

/// The folder that `path` lies in.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
