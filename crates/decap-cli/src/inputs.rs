//! The paths that were typed, as a list of photos and videos.

use std::collections::HashSet;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use decap::media::is_video;
use decap::{Error, InputFault};

use crate::failure::Failure;

/// Files that a folder is searched for.
const PHOTO_EXTENSIONS: &[&str] = &[
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff",
];

/// Whether to look into folders within folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The folder's own files.
    Flat,
    /// All files below it.
    Recursive,
}

/// One thing to caption, or why there is none at a path that was typed.
pub type Input = Result<PathBuf, Error>;

/// Lists the inputs behind `paths`: files as they are, folders by extension in name order, globs
/// where no such file exists, and for `-` the lines of standard input. Each file once.
///
/// # Errors
/// Where standard input cannot be read. What is wrong with a single path stands in its place.
pub fn expand(paths: &[PathBuf], depth: Depth) -> Result<Vec<Input>, Failure> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            for line in std::io::stdin().lock().lines() {
                let line = line?;
                let line = line.trim_end_matches('\r');
                if !line.is_empty() {
                    expand_one(Path::new(line), depth, &mut inputs);
                }
            }
        } else {
            expand_one(path, depth, &mut inputs);
        }
    }
    let mut seen = HashSet::new();
    inputs.retain(|input| match input {
        Ok(path) => seen.insert(path.clone()),
        Err(_) => true,
    });
    Ok(inputs)
}

fn expand_one(path: &Path, depth: Depth, inputs: &mut Vec<Input>) {
    let text = path.to_string_lossy();
    if path.is_dir() {
        expand_folder(path, depth, inputs);
    } else if !path.exists() && text.contains(['*', '?', '[']) {
        expand_glob(path, &text, inputs);
    } else {
        inputs.push(Ok(path.to_path_buf()));
    }
}

fn expand_folder(folder: &Path, depth: Depth, inputs: &mut Vec<Input>) {
    let before = inputs.len();
    let max_depth = match depth {
        Depth::Flat => 1,
        Depth::Recursive => usize::MAX,
    };
    let walk = walkdir::WalkDir::new(folder)
        .max_depth(max_depth)
        .follow_links(true)
        .sort_by_file_name();
    for entry in walk {
        match entry {
            Ok(entry) if entry.file_type().is_file() && wanted(entry.path()) => {
                inputs.push(Ok(entry.into_path()));
            }
            Ok(_) => {}
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_path_buf();
                let error = error.into_io_error().unwrap_or_else(|| {
                    std::io::Error::other("this link leads back into a folder above it")
                });
                inputs.push(Err(Error::io(path, error)));
            }
        }
    }
    if inputs.len() == before {
        let hint = match depth {
            Depth::Flat => "; --recursive looks into folders within it",
            Depth::Recursive => "",
        };
        let message = format!("no photo in this folder{hint}");
        inputs.push(Err(Error::input(folder, InputFault::Empty(message))));
    }
}

fn expand_glob(path: &Path, pattern: &str, inputs: &mut Vec<Input>) {
    let before = inputs.len();
    match glob::glob(pattern) {
        Ok(found) => {
            for entry in found {
                inputs.push(entry.map_err(|error| {
                    let path = error.path().to_path_buf();
                    Error::io(path, error.into())
                }));
            }
        }
        Err(error) => {
            let message = format!("not a pattern: {error}");
            inputs.push(Err(Error::input(path, InputFault::Unsupported(message))));
        }
    }
    if inputs.len() == before {
        let message = "no file matches this pattern".to_owned();
        inputs.push(Err(Error::input(path, InputFault::Empty(message))));
    }
}

fn wanted(path: &Path) -> bool {
    is_named_like_a_photo(path) || is_video(path)
}

/// Whether `path` ends as photos do.
pub fn is_named_like_a_photo(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        PHOTO_EXTENSIONS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(extension))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn folders_globs_and_files_are_listed_once_in_order() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir(path("deep")).unwrap();
        for name in ["b.JPG", "a.png", "notes.txt", "clip.mp4", "deep/c.webp"] {
            fs::write(path(name), b"").unwrap();
        }
        let list = |typed: &[PathBuf], depth| -> Vec<String> {
            let inputs = expand(typed, depth).unwrap();
            let name = |path: PathBuf| {
                path.strip_prefix(root.path())
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            };
            inputs
                .into_iter()
                .map(|input| input.map_or_else(|e| e.kind().into(), name))
                .collect()
        };
        let folder = [root.path().to_path_buf()];
        assert_eq!(list(&folder, Depth::Flat), ["a.png", "b.JPG", "clip.mp4"]);
        assert_eq!(
            list(&folder, Depth::Recursive),
            ["a.png", "b.JPG", "clip.mp4", "deep/c.webp"]
        );
        assert_eq!(
            list(&[path("*.png"), path("a.png")], Depth::Flat),
            ["a.png"]
        );
        assert_eq!(list(&[path("*.gif")], Depth::Flat), ["empty"]);
        assert_eq!(list(&[path("deep")], Depth::Flat), ["deep/c.webp"]);
        fs::remove_file(path("deep/c.webp")).unwrap();
        assert_eq!(list(&[path("deep")], Depth::Flat), ["empty"]);
    }
}
