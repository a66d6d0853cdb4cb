//! Where embeddings are kept between runs.

use std::env;
use std::path::{Path, PathBuf};

/// The folder that was typed, else `decap` in the user's cache folder, else in the temporary one.
pub fn cache_folder(typed: Option<&Path>) -> PathBuf {
    if let Some(typed) = typed {
        return typed.to_path_buf();
    }
    let user = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("LOCALAPPDATA").map(PathBuf::from))
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .unwrap_or_else(env::temp_dir);
    user.join("decap").join("embeddings")
}
