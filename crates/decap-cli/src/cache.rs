//! Where embeddings and models are kept between runs.

use std::env;
use std::path::{Path, PathBuf};

/// The folder that was typed, else one in [`user_folder`].
pub fn cache_folder(typed: Option<&Path>) -> PathBuf {
    typed.map_or_else(|| user_folder().join("embeddings"), Path::to_path_buf)
}

/// Where models are kept that are not the Hub's.
pub fn models_folder() -> PathBuf {
    user_folder().join("models")
}

/// `decap` in the user's cache folder, else in the temporary one.
fn user_folder() -> PathBuf {
    let user = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("LOCALAPPDATA").map(PathBuf::from))
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .unwrap_or_else(env::temp_dir);
    user.join("decap")
}
