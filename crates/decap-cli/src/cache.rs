//! Where embeddings and models are kept between runs.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use decap::encoder::Encoder;
use decap::{EmbeddingCache, Error, Result};

use crate::print;

/// The folder that was typed, else one in the user's cache folder.
///
/// # Errors
/// As [`models_folder`].
pub fn cache_folder(typed: Option<&Path>) -> Result<PathBuf> {
    match typed {
        Some(typed) => Ok(typed.to_path_buf()),
        None => Ok(user_folder(env::var_os, env::home_dir())?.join("embeddings")),
    }
}

/// The folder of `--cache`, opened.
///
/// # Errors
/// Where it cannot be written.
pub fn embedding_cache(typed: Option<&Path>, encoder: &Encoder) -> Result<Option<EmbeddingCache>> {
    typed
        .map(|folder| EmbeddingCache::open(folder, encoder))
        .transpose()
}

/// Says what `--cache` did.
pub fn tell_cache(cache: Option<&EmbeddingCache>) {
    let Some(cache) = cache else { return };
    match cache.hits() {
        0 => {}
        hits => print::tell(format!("seen before, from the cache: {hits}")),
    }
    if let Some(error) = cache.fault() {
        print::warn(format!("decap: the cache takes no more: {error}"));
    }
}

/// Where models are kept that are not the Hub's.
///
/// # Errors
/// [`Error::Unavailable`] where the user has no home folder: a folder that others can guess is theirs to
/// fill.
pub fn models_folder() -> Result<PathBuf> {
    Ok(user_folder(env::var_os, env::home_dir())?.join("models"))
}

/// `decap` in the user's cache folder.
fn user_folder(
    variable: impl Fn(&'static str) -> Option<OsString>,
    home: Option<PathBuf>,
) -> Result<PathBuf> {
    let named = |name| {
        let folder = PathBuf::from(variable(name)?);
        // A relative one would be another folder with each place that the program runs in.
        folder.is_absolute().then_some(folder)
    };
    let home = home.filter(|home| home.is_absolute());
    let user = named("XDG_CACHE_HOME")
        .or_else(|| named("LOCALAPPDATA"))
        .or_else(|| Some(home?.join(".cache")));
    let none = || {
        let message =
            "there is no home folder to keep embeddings in: set XDG_CACHE_HOME to a folder";
        Error::Unavailable(message.to_owned())
    };
    Ok(user.ok_or_else(none)?.join("decap"))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_the_users_own_or_there_is_none() {
        let folder = |xdg: Option<&str>, home: Option<&str>| {
            let variable = |name| xdg.filter(|_| name == "XDG_CACHE_HOME").map(OsString::from);
            user_folder(variable, home.map(PathBuf::from)).ok()
        };
        let own = Some(PathBuf::from("/home/ann/.cache/decap"));
        assert_eq!(folder(None, Some("/home/ann")), own);
        assert_eq!(
            folder(Some("/c"), Some("/home/ann")),
            Some("/c/decap".into())
        );
        assert_eq!(folder(Some(""), Some("/home/ann")), own);
        assert_eq!(folder(Some("c"), Some("/home/ann")), own);
        assert_eq!(folder(None, None), None);
        assert_eq!(folder(None, Some("")), None);
    }
}
